"""Lets a run go on while its conditions hold: at the start, before batches and steps, and all the time.

Without data nothing goes on: a condition that cannot be told is closed like one that does not hold. One that is looked at all
the time opens again by itself when it held twice in a row, so that one that flaps does not let a request through each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import anyio

from orchestrator.engine.course import Stop
from orchestrator.engine.hours import Piece
from orchestrator.engine.keeping import Keeper
from orchestrator.engine.looking import BETWEEN, TRIES, Looker
from orchestrator.engine.waiting import Waiting
from orchestrator.events import Audience
from orchestrator.journal.base import Reader, Session
from orchestrator.outcome import Effect
from orchestrator.plan.steps import Plan, PlannedCondition, PlannedStep
from orchestrator.playbook.conditions import Moment
from orchestrator.sighting import Sighting
from orchestrator.status import Ending, Status

HELD_TWICE = 2


class Sends(Protocol):
    """What is held and released (`runner.Runner`)."""

    def hold(self, reason: str) -> None:
        """Nothing is sent until `release`."""

    def release(self) -> None:
        """Go on."""

    def halt(self, ending: Ending) -> None:
        """End the run before all is done."""


class Gate:
    """The conditions of one session of a run.

    Args:
        plan: the run's.
        reader, session: of the run.
        audience: who is told.
        looker: asks.
        run: what is held.
        waiting: for as long as the run is not to end.
        keeper: of what the run set.

    Attributes:
        undoes: whether what was done is to be undone because a condition did not hold.
    """

    def __init__(
        self,
        plan: Plan,
        reader: Reader,
        session: Session,
        audience: Audience,
        looker: Looker,
        run: Sends,
        waiting: Waiting,
        keeper: Keeper,
    ) -> None:
        self._plan, self._reader, self._session, self._audience = plan, reader, session, audience
        self._looker, self._run, self._waiting, self._keeper = looker, run, waiting, keeper
        self._closed: dict[str, str] = {}  # conditions that are looked at all the time and do not hold -> why
        self._open = anyio.Event()
        self._begun, self._over = anyio.Event(), False
        self.undoes = False

    # at moments

    async def begin(self) -> None:
        """The run is about to begin, or goes on. Conditions at the start are those of a run that has changed nothing yet.

        Raises:
            Stop: one of them does not hold.
        """
        for condition in self._at("always"):
            self._closed[condition.name] = "not looked at yet"
        self._begun.set()
        changing = {step.key for step in self._plan.steps if step.effect is not Effect.READ}
        if not changing & self._reader.begun():
            await self._pass("start", self._at("start"), {})

    async def enter(self, piece: Piece) -> None:
        """A piece of work is about to begin.

        Raises:
            Stop: a condition of batches does not hold.
        """
        first = piece.steps[0]
        if piece.is_batch and self._reader.step(first.index)[0] == "pending":
            await self._pass(f"batch {piece.key}", self._at("batch"), first.local)

    async def before(self, step: PlannedStep) -> None:
        """A step is about to begin, or goes on.

        Raises:
            Stop: something does not hold.
        """
        if self._closed:
            await self._until_open()
        if step.role != "step" or step.effect is Effect.READ:
            return
        await self._pass(f"step {step.key}", self._at("step"), step.local)
        await self._keeper.before(step)

    async def after(self, step: PlannedStep) -> None:
        """A step is done.

        Raises:
            Stop: what it set cannot be seen.
        """
        await self._keeper.after(step)

    def end(self) -> None:
        """What comes now is done whether or not conditions hold: what is undone, and what comes last."""
        self._over = True
        self._begun.set()
        self._set_open()

    def _at(self, moment: Moment) -> list[PlannedCondition]:
        return [planned for planned in self._plan.conditions if planned.condition.at == moment]

    async def _pass(self, moment: str, conditions: Sequence[PlannedCondition], local: Mapping[str, Any]) -> None:
        for planned in conditions:
            sighting = await self._look(planned, moment, local)
            if sighting.holds:
                continue
            about = self._about(planned, sighting)
            if planned.condition.follows == "pause":
                await self._until_holds(planned, moment, local, about)
                continue
            not_begun = planned.condition.follows == "refuse"
            undo = planned.condition.follows == "undo"
            raise Stop(Status.NOT_STARTED if not_begun else Status.STOPPED, about, undo=undo)

    async def _look(self, planned: PlannedCondition, moment: str, local: Mapping[str, Any]) -> Sighting:
        """Look, a few times while there is no data; the last look is the one that counts."""
        tries = TRIES
        while True:
            sighting = await self._once(planned, moment, local)
            tries -= 1
            if sighting.holds is not None or not tries:
                await self._session.condition(sighting)
                return sighting
            await self._waiting.sleep(BETWEEN)

    async def _once(self, planned: PlannedCondition, moment: str, local: Mapping[str, Any]) -> Sighting:
        return await self._waiting.do(lambda: self._looker.look(planned, moment, local))

    async def _until_holds(self, planned: PlannedCondition, moment: str, local: Mapping[str, Any], about: str) -> None:
        """Wait until a condition held twice in a row."""
        condition = planned.condition
        self._audience.note(f"waiting: {about}")
        began, held = anyio.current_time(), 0
        while held < HELD_TWICE:
            if anyio.current_time() - began >= condition.deadline:
                raise Stop(Status.STOPPED, f"{about}; waited {condition.deadline:g} s")
            await self._waiting.sleep(condition.every)
            sighting = await self._once(planned, moment, local)
            held = held + 1 if sighting.holds else 0
        await self._session.condition(sighting)
        self._audience.note(f"{condition.name} holds again")

    # all the time

    async def watch(self) -> None:
        """Look at the conditions that must hold all the time, until the run's steps are over."""
        await self._begun.wait()
        async with anyio.create_task_group() as group:
            for planned in self._at("always"):
                group.start_soon(self._guard, planned)

    async def _guard(self, planned: PlannedCondition) -> None:
        condition, held, since = (
            planned.condition,
            HELD_TWICE - 1,
            anyio.current_time(),
        )  # it may begin at the first look
        before: bool | None = None
        known = False
        while not self._over:
            began = anyio.current_time()
            sighting = await self._looker.look(planned, "always", within=condition.every)
            if self._over:
                return
            if not known or sighting.holds != before:
                await self._session.condition(sighting)
            known, before = True, sighting.holds
            held = held + 1 if sighting.holds else 0
            if not sighting.holds:
                since = since if condition.name in self._closed else began
                self._close(planned, sighting, began - since)
            elif held >= HELD_TWICE:
                self._reopen(condition.name)
            await anyio.sleep(max(0.0, began + condition.every - anyio.current_time()))

    def _close(self, planned: PlannedCondition, sighting: Sighting, seconds: float) -> None:
        condition, about = planned.condition, self._about(planned, sighting)
        if condition.follows != "pause" or seconds >= condition.deadline:
            waited = f"; waited {condition.deadline:g} s" if condition.follows == "pause" else ""
            self.undoes = condition.follows == "undo"
            self._run.halt(Ending(Status.STOPPED, f"{about}{waited}"))
            return
        if self._closed.get(condition.name) != about:
            self._audience.note(f"held: {about}")
        self._closed[condition.name] = about
        self._run.hold(about)

    def _reopen(self, name: str) -> None:
        if self._closed.pop(name, "") not in {"", "not looked at yet"}:
            self._audience.note(f"{name} holds again")
        if not self._closed:
            self._set_open()

    def _set_open(self) -> None:
        self._run.release()
        self._open.set()
        self._open = anyio.Event()

    async def _until_open(self) -> None:
        """Wait until all that must hold all the time does."""

        async def wait() -> None:
            while self._closed and not self._over:
                await self._open.wait()

        await self._waiting.do(wait)

    @staticmethod
    def _about(planned: PlannedCondition, sighting: Sighting) -> str:
        of = "" if planned.source == "playbook" else f" (of the {planned.source})"
        says = "does not hold" if sighting.holds is False else "cannot be told"
        return f"condition {planned.name!r}{of} {says}: {sighting.why}"
