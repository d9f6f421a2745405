"""Parts of the product that were broken on purpose: schedules that do not catch them are worth nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from orchestrator.engine.course import to_undo
from orchestrator.engine.pace import Pace
from orchestrator.engine.runner import Runner
from orchestrator.engine.scheduler import Decision, Rules, Scheduler, Wait
from orchestrator.engine.sending import Sending
from orchestrator.fleet.inventory import Inventory
from orchestrator.journal.base import AttemptResult
from orchestrator.journal.sqlite.statements import finish
from orchestrator.operation import Operation
from orchestrator.outcome import Kind, Outcome, State
from orchestrator.plan.kept import Kept, recall
from orchestrator.plan.steps import Plan
from orchestrator.status import Ending, Status
from tests.simulation.schedule import Parts
from tests.simulation.writer import VirtualWriter


class ForgetsPerHost(Scheduler):
    """Sends a host as much at a time as there is."""

    def __init__(self, rules: Rules, pending: Mapping[str, int], **more: Any) -> None:
        super().__init__(replace(rules, per_host=dict.fromkeys(pending, 64), tuned={}), pending, **more)


class ForgetsInFlight(Scheduler):
    """Knows no limit of the whole run."""

    def __init__(self, rules: Rules, pending: Mapping[str, int], **more: Any) -> None:
        super().__init__(replace(rules, in_flight=10_000), pending, **more)


class ForgetsWhatIsUnrecorded(Scheduler):
    """Counts what is on the wire alone: an answer that is not on the disk yet makes room for the next request."""

    def heard(self, operation: Operation, outcome: Outcome, started: float, now: float) -> Decision:
        """As if it were recorded."""
        self.unrecorded -= 1
        return super().heard(operation, outcome, started, now)

    def recorded(self, count: int) -> None:
        """Known already."""


class SendsWhatIsDoneAgain(Scheduler):
    """Puts an operation that is done back into its queue, once."""

    def heard(self, operation: Operation, outcome: Outcome, started: float, now: float) -> Decision:
        """As if it had been asked for a second time."""
        decision = super().heard(operation, outcome, started, now)
        if outcome.kind is Kind.DONE and operation.seq not in self._seen:
            self._seen[operation.seq] = (0, now)
            self.left += 1
            self._lanes[operation.host].queue.append(operation)
            self._list(self._lanes[operation.host])
        return decision


class ForgetsRate(Scheduler):
    """Sends as fast as it can."""

    def __init__(self, rules: Rules, pending: Mapping[str, int], **more: Any) -> None:
        super().__init__(rules, pending, **{**more, "pace": Pace()})


class SleepsThroughItsTurn(Scheduler):
    """Asks for the time twice: a turn that comes in between is nobody's."""

    def next(self, now: float) -> Operation | Wait:
        """As if the clock had been read again before the wait was made."""
        found = super().next(now)
        passed = isinstance(found, Wait) and found.until is not None and found.until - now < 5e-6
        return Wait(None) if passed else found


class SendsUnknownAgain(Scheduler):
    """Takes a lost answer for a proof that nothing was executed."""

    def heard(self, operation: Operation, outcome: Outcome, started: float, now: float) -> Decision:
        """As if a probe had said so."""
        if outcome.kind is Kind.UNKNOWN:
            outcome = replace(outcome, kind=Kind.NOT_EXECUTED)
        return super().heard(operation, outcome, started, now)


class SendsWhatItMeantTo(Scheduler):
    """Looks whether it is held before an operation is taken, and not before it is sent."""

    def next(self, now: float) -> Operation | Wait:
        """Nothing while it is held."""
        return Wait(None) if super().quiet(now) else super().next(now)

    def quiet(self, now: float) -> bool:
        """Only when it was stopped."""
        return bool(self.stopped)


class SendsOnOldNews(Scheduler):
    """What was seen once counts for ever."""

    def release(self, now: float, until: float = inf) -> None:
        """As if somebody had said so for good."""
        super().release(now)


class LosesOne(Scheduler):
    """Drops an operation on the floor when it is fed several."""

    def feed(self, host: str, operations: Sequence[Operation], *, asked: int) -> None:
        """All but the second."""
        super().feed(host, [*operations[:1], *operations[2:]] if len(operations) > 2 else operations, asked=asked)


class TriesForEver(Scheduler):
    """Never gives up on an operation."""

    def _pause(self, operation: Operation, outcome: Outcome, started: float, now: float) -> float | None:
        pause = super()._pause(operation, outcome, started, now)
        temporary = outcome.kind in {Kind.TEMPORARY, Kind.UNREACHABLE}
        return 0.01 if pause is None and temporary and not self._unrepeatable() else pause

    def _unrepeatable(self) -> bool:
        return self.rules.effect.value == "unrepeatable"


class NeverStops(Scheduler):
    """Counts failures, and goes on."""

    def _count_failures(self, count: int) -> None:
        self.failed += count


class OneHostAfterTheOther(Scheduler):
    """Has every host wait until the one before it is through."""

    def next(self, now: float) -> Operation | Wait:
        """Only of the first host that is not through."""
        self._fire(now)
        lanes = (lane for lane in self._lanes.values() if lane.queue or lane.in_flight or lane.waiting)
        first = next(lanes, None)
        if first is None or first not in self._ready or not first.can_send(now):
            return self._wait()
        self._ready.remove(first)
        self._ready.appendleft(first)
        return super().next(now)


class CallsFailuresDone(Scheduler):
    """Records as done what was refused."""

    def heard(self, operation: Operation, outcome: Outcome, started: float, now: float) -> Decision:
        """Whatever failed is done."""
        decision = super().heard(operation, outcome, started, now)
        return decision._replace(state=State.DONE) if outcome.kind is Kind.FAILED else decision


class ForgetsToWakeUp(Sending):
    """Nobody is told when an attempt's end is on the disk."""

    def _recorded(self, count: int) -> None:
        """Counted, and that is all."""
        self._scheduler.recorded(count)


class GoesOnWithoutTelling(Sending):
    """Nobody is told that the run is not held any more."""

    def release(self, until: float) -> None:
        """Said, and that is all."""
        self._scheduler.release(self._edge.clock(), until)


class ForgetsTheFence(VirtualWriter):
    """Writes whoever owns the run."""

    def _owned(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        """As if it were its own."""
        return job(self._connection)

    def _finish(self, group: Sequence[AttemptResult]) -> None:
        """As if it were its own."""
        (token,) = self._connection.execute("SELECT token FROM owner").fetchone()
        finish(self._connection, group, token)


class UndoesOneStep(Runner):
    """Ends when the first step was taken back."""

    async def _undo(self, failed: Ending) -> Ending:
        """One alone."""
        wanted, _ = to_undo(self._plan.of("undo"), self._reader.begun())
        for step in wanted[:1]:
            await self._step(step)
        return Ending(Status.UNDONE, failed.reason)


class FailsSilentlyInFinally(Runner):
    """Takes whatever becomes of `finally` for good."""

    async def _finally(self, ending: Ending) -> Ending:
        """As before it."""
        await super()._finally(ending)
        return ending


def matched_by_index(kept: Kept, inventory: Inventory) -> Plan:
    """The plan of a run whose steps are found by their place, after one was put in front."""
    plan = recall(kept, inventory)
    if len(plan.steps) < 2:
        return plan
    first, second, *rest = plan.steps
    return replace(plan, steps=(replace(second, index=first.index), replace(first, index=second.index), *rest))


DEFECTS: dict[str, Parts] = {
    "a wake-up lost": Parts(sending=ForgetsToWakeUp),
    "a hold after the intent": Parts(scheduler=SendsWhatItMeantTo),
    "news grown old": Parts(scheduler=SendsOnOldNews),
    "a release that nobody hears": Parts(sending=GoesOnWithoutTelling),
    "a turn slept through": Parts(scheduler=SleepsThroughItsTurn),
    "a fence left out": Parts(writer=ForgetsTheFence),
    "an undo that returns early": Parts(runner=UndoesOneStep),
    "a layout matched by index": Parts(recall=matched_by_index),
    "a failure in finally forgotten": Parts(runner=FailsSilentlyInFinally),
}

BROKEN: tuple[type[Scheduler], ...] = (
    ForgetsPerHost,
    ForgetsInFlight,
    ForgetsWhatIsUnrecorded,
    SendsWhatIsDoneAgain,
    ForgetsRate,
    SleepsThroughItsTurn,
    SendsUnknownAgain,
    LosesOne,
    TriesForEver,
    NeverStops,
    OneHostAfterTheOther,
    CallsFailuresDone,
)
