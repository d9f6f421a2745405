"""Lets a run go on while its conditions hold: at the start, before batches and steps, and all the time.

Without data nothing goes on: a condition that cannot be told is closed like one that does not hold. One that is looked at all
the time opens again by itself when it held twice in a row, so that one that flaps does not let a request through each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

import anyio

from orchestrator.dovecot.exchange import ASLEEP
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
_NEVER = object()  # it was not looked at yet


class Sends(Protocol):
    """What is held and released (`runner.Runner`)."""

    def hold(self, reason: str) -> None:
        """Nothing is sent until `release`."""

    def release(self, until: float = inf) -> None:
        """Go on, until a moment of the event loop's clock."""

    def halt(self, ending: Ending) -> bool:
        """End the run before all is done; whether nothing else is ending it already."""


@dataclass
class _Standing:
    """How a condition stands that must hold all the time.

    Attributes:
        since: when it was first seen not to hold, or was to be looked at first; None while it holds.
        why: it does not hold; empty before it was looked at.
        held: looks in a row at which it held.
        good: until when the last of them counts.
    """

    planned: PlannedCondition
    since: float | None
    why: str = ""
    held: int = HELD_TWICE - 1  # the run may begin at the first look
    good: float = inf

    @property
    def closed(self) -> bool:
        """Whether nothing may be sent."""
        return self.since is not None

    def following(self, began: float) -> float:
        """When to look again after a look that began at `began`: a pause ends with a look at its deadline."""
        condition = self.planned.condition
        usual = began + condition.every
        return usual if self.since is None or self.held else min(usual, self.since + condition.deadline)


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
        self._standings: list[_Standing] = []
        self._open = anyio.Event()
        self._begun, self._over = anyio.Event(), False
        self.undoes = False

    # at moments

    async def begin(self) -> None:
        """The run is about to begin, or goes on. Conditions at the start are those of a run that has changed nothing yet.

        Raises:
            Stop: one of them does not hold.
        """
        now = anyio.current_time()
        self._standings = [_Standing(planned, since=now) for planned in self._at("always")]
        self._begun.set()
        at_start = self._at("start")
        if at_start and self._reader.changed_nothing():
            await self._pass("start", at_start, {})

    async def enter(self, piece: Piece) -> None:
        """A piece of work is about to begin.

        Raises:
            Stop: a condition of batches does not hold.
        """
        await self._until_open()
        first = piece.steps[0]
        if piece.is_batch and self._reader.step(first.index)[0] == "pending":
            await self._pass(f"batch {piece.key}", self._at("batch"), first.local)

    async def before(self, step: PlannedStep) -> None:
        """A step is about to begin, or goes on.

        Raises:
            Stop: something does not hold.
        """
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
        self._run.release()
        self._open.set()

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
            left = began + condition.deadline - anyio.current_time()
            if left <= 0 and not held:
                raise Stop(Status.STOPPED, f"{about}; waited {condition.deadline:g} s")
            await self._waiting.sleep(condition.every if held else min(left, condition.every))
            sighting = await self._once(planned, moment, local)
            held = held + 1 if sighting.holds else 0
        await self._session.condition(sighting)
        self._audience.note(f"{condition.name} holds again")

    # all the time

    async def watch(self) -> None:
        """Look at the conditions that must hold all the time, until the run's steps are over."""
        await self._begun.wait()
        async with anyio.create_task_group() as group:
            for standing in self._standings:
                group.start_soon(self._guard, standing)

    async def _guard(self, standing: _Standing) -> None:
        planned, before = standing.planned, _NEVER
        while not self._over:
            began = anyio.current_time()
            sighting = await self._looker.look(planned, "always", within=planned.condition.every)
            if not sighting.holds and not self._over:
                self._close(standing, self._about(planned, sighting), began)  # at once: to write it down takes a moment
            if sighting.holds != before and not self._over:
                await self._session.condition(sighting)
            if self._over:
                return
            before = sighting.holds
            if sighting.holds:
                self._holds(standing, began)
            elif self._ends(standing, began):
                return
            await anyio.sleep(max(0.0, standing.following(began) - anyio.current_time()))

    def _close(self, standing: _Standing, about: str, began: float) -> None:
        if standing.why != about and standing.planned.condition.follows == "pause":
            self._audience.note(f"held: {about}")
        standing.since = began if standing.since is None else standing.since
        standing.why, standing.held = about, 0
        self._run.hold(about)

    def _ends(self, standing: _Standing, began: float) -> bool:
        """End the run if that is what follows; a run that is ending already, because of a signal, ends as it would."""
        condition, waited = standing.planned.condition, ""
        if condition.follows == "pause":
            if began - (standing.since or 0.0) < condition.deadline:
                return False
            waited = f"; waited {condition.deadline:g} s"
        ended = self._run.halt(Ending(Status.STOPPED, f"{standing.why}{waited}"))
        self.undoes = self.undoes or (ended and condition.follows == "undo")
        return True

    def _holds(self, standing: _Standing, began: float) -> None:
        """What was seen counts until the next look must have ended: a program that stood still has to look first."""
        standing.held += 1
        standing.good = began + 2 * standing.planned.condition.every + ASLEEP
        if standing.held >= HELD_TWICE:
            if standing.why:
                self._audience.note(f"{standing.planned.name} holds again")
            standing.since, standing.why = None, ""
        self._release()

    def _release(self) -> None:
        closed = [other for other in self._standings if other.closed]
        if not closed:
            self._run.release(min(other.good for other in self._standings))
            self._open.set()
            self._open = anyio.Event()
        elif reason := next((other.why for other in closed if other.why), ""):
            self._run.hold(reason)

    async def _until_open(self) -> None:
        """Wait until all that must hold all the time does."""

        def shut() -> bool:
            return not self._over and any(standing.closed for standing in self._standings)

        async def wait() -> None:
            while shut():
                await self._open.wait()

        if shut():
            await self._waiting.do(wait)

    @staticmethod
    def _about(planned: PlannedCondition, sighting: Sighting) -> str:
        of = "" if planned.source == "playbook" else f" (of the {planned.source})"
        says = "does not hold" if sighting.holds is False else "cannot be told"
        return f"condition {planned.name!r}{of} {says}: {sighting.why}"
