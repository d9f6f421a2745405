"""Whether there is time: when a run has to stop, and whether a piece of work that must not be cut still fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from orchestrator.engine.estimate import POLLED, Estimate
from orchestrator.engine.past import kind_of, piece_of
from orchestrator.journal.base import SessionRecord, StepRecord
from orchestrator.journal.timing import StepTiming
from orchestrator.outcome import Effect
from orchestrator.plan.steps import CommandStep, PauseStep, Plan, PlannedStep
from orchestrator.playbook.model import Overrun
from orchestrator.windows import Opening, span

_BATCH = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Hours:
    """The hours in which a run may work.

    Attributes:
        opening: of its window, or up to the next freeze.
        takes: seconds that every piece of work takes at most, as the operator says; None when that was not said.
        took: seconds that pieces of work took before, by what they are called in `kind_of`.
        estimate: of what is left of the run, from all that is known; None where nobody made one.
        asked_for: whether the operator gave them; else they end with a freeze, and a piece of unknown length is started.
    """

    opening: Opening
    takes: float | None = None
    took: Mapping[str, float] = field(default_factory=dict)
    estimate: Estimate | None = None
    asked_for: bool = True

    @property
    def words(self) -> str:
        """What they are, for people."""
        if not self.asked_for:
            return "before the next freeze"
        return f"in the window {self.opening.window}" if self.opening.window else "in the time that was given"

    @property
    def over(self) -> str:
        """That they are over, for the record."""
        end = self.opening.end
        return self.opening.closed() if self.asked_for else f"a freeze began at {self.opening.clock(end, end)}"


class Closing:
    """When the hours are over: a clock that is set back in mid-run does not make them longer.

    Args:
        opening: the hours.
        wall: seconds since the epoch, now.
        steady: seconds of a clock that nobody sets, now.
    """

    def __init__(self, opening: Opening, wall: float, steady: float) -> None:
        self._opening = opening
        self._ends = steady + max(0.0, opening.end - max(wall, opening.start))

    def left(self, wall: float, steady: float) -> float:
        """Seconds that are left; not positive when the hours are over."""
        return min(self._opening.end - wall, self._ends - steady)


@dataclass(frozen=True)
class Piece:
    """Steps that belong together: a batch, or a step with its check.

    Attributes:
        key: "4[2]" for a batch, "3" for a step.
        steps: in order.
    """

    key: str
    steps: tuple[PlannedStep, ...]

    @property
    def is_batch(self) -> bool:
        """Whether it is a batch, which is not left half done."""
        return "[" in self.key and "." not in self.key

    @property
    def overrun(self) -> Overrun | None:
        """What the playbook says of a piece that does not end in time."""
        return next((step.overrun for step in self.steps if step.overrun), None)

    @property
    def needs_room(self) -> bool:
        """Whether it is begun only if it can be ended; of many requests those that there is time for are sent."""
        return self.overrun is None and (
            self.is_batch
            or any(
                isinstance(step, CommandStep) and step.for_each is None and step.effect is not Effect.READ
                for step in self.steps
            )
        )

    @property
    def stops_at_once(self) -> bool:
        """Whether it is cut where the hours end, whatever is left of it."""
        return self.overrun in {"stop", "undo"} or (self.overrun is None and not self.is_batch)

    @property
    def words(self) -> str:
        """What it is, for people."""
        number = _BATCH.search(self.key)
        return f"batch {number[0][1:-1]} of step {self.key[: number.start()]}" if number else f"step {self.key}"


def pieces(steps: Sequence[PlannedStep]) -> Iterator[Piece]:
    """Steps as pieces, in order; the wait between two batches is one by itself."""
    for key, group in groupby(steps, lambda step: piece_of(step.key)):
        yield Piece(key, tuple(group))


@dataclass(frozen=True)
class Need:
    """How long a piece takes at most.

    Attributes:
        seconds: None when that is not known.
        backout: seconds to take it back, where it is taken back when it fails.
        basis: how that is known.
    """

    seconds: float | None
    backout: float = 0.0
    basis: str = ""

    @property
    def total(self) -> float:
        """Seconds with the backout; 0 when not known."""
        return (self.seconds or 0.0) + self.backout


def need(piece: Piece, plan: Plan, hours: Hours, took: Mapping[str, float]) -> Need:
    """How long a piece takes at most: as is said, as others of its kind took, by the estimate's high end, or by its timeouts.

    Args:
        piece: the piece.
        plan: its plan.
        hours: with what is known from before.
        took: seconds that pieces took in this run, by kind.
    """
    kind = kind_of(piece.key)
    said = hours.takes
    if said is None:
        said = next((step.takes for step in piece.steps if step.takes is not None), None)
    before = max((known[kind] for known in (took, hours.took) if kind in known), default=None)
    seconds, basis = (said, "as given") if said is not None else (before, "as before")
    if seconds is None and hours.estimate is not None:
        expected = hours.estimate.over(piece.steps)
        seconds, basis = None if expected.answers else expected.high, f"estimated from {expected.basis}"
    if seconds is None:
        seconds, basis = _bound(piece.steps, plan), "by its timeouts"
    undone = any(step.on_failure == "undo" for step in piece.steps) and any(
        undo.owner in {step.key for step in piece.steps} for undo in plan.of("undo")
    )
    return Need(seconds, (seconds or 0.0) if undone else 0.0, basis)


def _bound(steps: Iterable[PlannedStep], plan: Plan) -> float | None:
    """What steps take at most when nothing is retried; None when that cannot be told."""
    total = 0.0
    for step in steps:
        seconds = _bound_of(step, plan)
        if seconds is None:
            return None
        total += seconds
    return total


def _bound_of(step: PlannedStep, plan: Plan) -> float | None:
    if isinstance(step, PauseStep):
        return step.pause.for_
    if not isinstance(step, CommandStep):
        return 0.0
    if step.for_each is not None:
        return None
    if step.until is not None:
        return _number(step.within, POLLED)
    longest = max((host.endpoint.request_timeout for host in plan.inventory.hosts.values()), default=0.0)
    return _number(step.timeout, longest)


def _number(value: Any, usual: float) -> float | None:
    """A duration that is known before the run; None for one that depends on answers."""
    return usual if value is None else float(value) if isinstance(value, int | float) else None


def no_room(piece: Piece, needed: Need, hours: Hours, left: float) -> str:
    """Why a piece is not begun, or empty when there is time for it."""
    if needed.seconds is None:
        return f"it is not known how long {piece.words} takes" if hours.asked_for else ""
    if needed.total <= left:
        return ""
    backout = f", and {span(needed.backout)} to undo it" if needed.backout else ""
    room = f"{span(max(0.0, left))} left {hours.words}"
    return f"{piece.words} needs {span(needed.seconds)} ({needed.basis}){backout}; {room}"


def took(steps: Iterable[StepRecord | StepTiming], sessions: Sequence[SessionRecord]) -> dict[str, float]:
    """How long the pieces of a run took at most, by kind, in seconds; those that a session's end cut count for nothing.

    Args:
        steps: of the run.
        sessions: of the run.
    """
    found: dict[str, float] = {}
    wanted = [step for step in steps if step.role in {"step", "verify"}]
    for key, group in groupby(wanted, lambda step: step.key.partition(".")[0]):
        parts = [step for step in group if step.state != "skipped" and not step.key.endswith(".soak")]
        if not parts or any(step.state != "done" or step.started is None or step.finished is None for step in parts):
            continue
        start, end = min(step.started or 0 for step in parts), max(step.finished or 0 for step in parts)
        if end < start or any(start < session.began <= end for session in sessions):
            continue  # a clock that was set back, or a night between two sessions
        found[kind_of(key)] = max(found.get(kind_of(key), 0.0), (end - start) / 1000)
    return found
