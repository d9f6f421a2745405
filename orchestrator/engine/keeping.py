"""What a run set must stay as it left it: another tool, or a colleague, who sets it otherwise meanwhile ends the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from orchestrator.engine.course import Stop
from orchestrator.engine.looking import BETWEEN, TRIES, Looker, shown
from orchestrator.engine.waiting import Waiting
from orchestrator.errors import ExpressionError
from orchestrator.journal.base import Reader, Session
from orchestrator.plan.steps import CommandStep, Plan, PlannedStep, Scope
from orchestrator.sighting import Sighting
from orchestrator.status import Status
from orchestrator.text.expression import names_in


class Keeper:
    """Looks at what steps with `keep` set: once when they are done, and again before each later step that changes something.

    Args:
        plan: the run's.
        reader, session: of the run.
        looker: asks.
        scope: what a step's expressions may read.
        waiting: for as long as the run is not to end.
    """

    def __init__(
        self,
        plan: Plan,
        reader: Reader,
        session: Session,
        looker: Looker,
        scope: Callable[[PlannedStep, frozenset[str]], Scope],
        waiting: Waiting,
    ) -> None:
        self._plan, self._reader, self._session, self._looker = plan, reader, session, looker
        self._scope, self._waiting = scope, waiting
        self._kept: dict[str, tuple[Any, str]] = {}  # step -> what it set, and when that was last seen

    async def after(self, step: PlannedStep) -> None:
        """A step is done.

        Raises:
            Stop: what it set cannot be seen.
        """
        if kept := self._sets(step):
            await self._note(kept)

    async def before(self, step: PlannedStep) -> None:
        """A step that changes something is about to begin.

        Raises:
            Stop: what an earlier one set is otherwise now, or cannot be seen.
        """
        for kept in self._kept_at(step):
            await self._still(kept, step)

    def _sets(self, step: PlannedStep) -> CommandStep | None:
        """The step whose setting is complete with this one: itself, or the one that it verifies."""
        if step.role == "verify":
            owner = next(other for other in self._plan.steps if other.key == step.owner)
            return owner if isinstance(owner, CommandStep) and owner.keep else None
        verified = any(other.owner == step.key and other.role == "verify" for other in self._plan.steps)
        return step if isinstance(step, CommandStep) and step.keep and not verified and step.role == "step" else None

    def _kept_at(self, step: PlannedStep) -> list[CommandStep]:
        """The steps whose settings must still be as they left them before another step changes something."""
        begun = self._reader.begun()
        return [
            kept
            for kept in self._plan.of("step")
            if isinstance(kept, CommandStep)
            and kept.keep
            and kept.key in begun
            and kept.index < step.index < self._end_of(kept)
        ]

    def _end_of(self, kept: CommandStep) -> int:
        """The place of the first step before which it is not looked at any more."""
        if kept.keep_until:
            first = f"{kept.keep_until}[1].1"  # a step of batches has none of its own in the plan
            return next(step.index for step in self._plan.steps if step.key in {kept.keep_until, first})
        batch, within, _ = kept.key.rpartition("].")
        same = [
            step.index for step in self._plan.of("step", "verify") if not within or step.key.startswith(f"{batch}].")
        ]
        return max(same) + 1

    async def _note(self, kept: CommandStep) -> None:
        value = await self._set_value(kept)
        self._kept[kept.key] = value, _clock()
        sighting = Sighting(kept.name, f"left by step {kept.key}", time.time_ns() // 1_000_000, True, value, "")
        await self._session.condition(sighting)

    async def _still(self, kept: CommandStep, step: PlannedStep) -> None:
        """Refuse to go on where somebody else changed what a step set."""
        if kept.key not in self._kept:
            self._recall(kept)
        if kept.key not in self._kept:  # the last session died before it could look
            await self._note(kept)
        value, when = self._kept[kept.key]
        now = await self._set_value(kept)
        if now == value:
            self._kept[kept.key] = value, _clock()
            return
        why = f"it was {shown(value)} as step {kept.key} left it ({when}), and is {shown(now)} now"
        moment = f"step {step.key}"
        await self._session.condition(Sighting(kept.name, moment, time.time_ns() // 1_000_000, False, now, why))
        raise Stop(
            Status.STOPPED,
            f"what step {kept.key} ({kept.name}) set was changed by somebody else: {why}; step {step.key} was not begun",
        )

    def _recall(self, kept: CommandStep) -> None:
        """What an earlier session saw."""
        for seen in self._reader.conditions():
            if seen.moment == f"left by step {kept.key}":
                self._kept[kept.key] = seen.value, _clock(seen.at)

    async def _set_value(self, kept: CommandStep) -> Any:
        keep = kept.keep
        assert keep is not None  # noqa: S101 - it is one of those that have one
        ask = keep.ask
        scope = self._scope(kept, names_in([keep.value, ask.url, ask.hosts, ask.parameters, ask.timeout]))
        error: ExpressionError | None = None
        for number in range(TRIES):
            if number:
                await self._waiting.sleep(BETWEEN)
            try:
                return await self._waiting.do(lambda: self._looker.value(keep, kept, scope))
            except ExpressionError as found:
                error = found
        raise Stop(Status.STOPPED, f"it cannot be seen what step {kept.key} ({kept.name}) set: {error}")


def _clock(at: int | None = None) -> str:
    return time.strftime("%H:%M:%S %Z", time.localtime(None if at is None else at / 1000))
