"""What earlier runs tell of how long steps take. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from orchestrator.journal.base import SessionRecord
from orchestrator.journal.timing import StepTiming

NOT_WANTED = "its condition is false"  # as a run records why a step was skipped
FEW = 8  # operations of a host; fewer say little about how many a second it does

_BATCH = re.compile(r"\[\d+\]")


def kind_of(key: str) -> str:
    """What pieces or steps that do the same have in common: all batches of a step are of one kind."""
    return _BATCH.sub("[]", key)


def piece_of(key: str) -> str:
    """The key of the piece that a step belongs to; the wait between two batches is one by itself."""
    return key if key.endswith(".soak") else key.partition(".")[0]


class Timed(NamedTuple):
    """A step of an earlier run.

    Attributes:
        run, batch: its run's id, and "[2]" in the second batch of a step.
        playbook, kind: whose it is, and which step of it.
        hosts: to which it was sent.
        operations, busiest: all of them, and those of the host that had most.
        seconds: from the end of the step before it.
        attempt: seconds of one attempt, on average.
    """

    run: str
    batch: str
    playbook: str
    kind: str
    command: str
    polled: bool
    hosts: frozenset[str]
    operations: int
    busiest: int
    seconds: float
    attempt: float


class Past:
    """Steps of earlier runs, found again by what they did.

    Args:
        steps: they.
    """

    def __init__(self, steps: Iterable[Timed] = ()) -> None:
        self.steps = tuple(steps)
        self._own: dict[tuple[str, str, str, bool], list[Timed]] = {}
        self._sent: dict[tuple[str, bool], list[Timed]] = {}
        for step in self.steps:
            self._own.setdefault((step.playbook, step.kind, step.command, step.polled), []).append(step)
            if step.operations:
                self._sent.setdefault((step.command, step.polled), []).append(step)

    def own(self, playbook: str, kind: str, command: str, *, polled: bool) -> list[Timed]:
        """The same step of the same playbook."""
        return self._own.get((playbook, kind, command, polled), [])

    def sent(self, command: str, *, polled: bool) -> list[Timed]:
        """All steps that sent a command."""
        return self._sent.get((command, polled), [])


def timed(
    run: str, playbook: str, steps: Iterable[StepTiming], sessions: Sequence[SessionRecord], rate: float | None
) -> Iterator[Timed]:
    """The steps of a run from which something can be learned: those that were done in one go, and those that were not wanted.

    Args:
        run: its id.
        playbook: its name.
        steps: how long they took.
        sessions: of the run.
        rate: requests a second that its command line allowed; what this held back says nothing of how fast hosts are.
    """
    before: int | None = None  # when the step before ended, in milliseconds
    for step in steps:
        batch = _BATCH.search(step.key)
        names = run, batch[0] if batch else "", playbook, kind_of(step.key), step.command, step.polled
        if step.state == "skipped" and step.reason == NOT_WANTED:
            yield Timed(*names, frozenset(), 0, 0, 0.0, 0.0)
        if step.role == "undo" or step.started is None or step.finished is None:
            continue
        begun = step.started if before is None or any(before < s.began for s in sessions) else before
        before = step.finished
        if step.state != "done" or any(step.started < s.began <= step.finished for s in sessions):
            continue  # of another end, or with a night between two sessions in it
        seconds = (step.finished - min(begun, step.started)) / 1000
        operations = step.operations or 0
        held_back = rate is not None and operations > FEW and operations > 0.8 * rate * seconds
        if seconds >= 0 and not held_back:  # else the clock was set back
            yield Timed(*names, frozenset(step.hosts), operations, step.busiest, seconds, step.attempt)
