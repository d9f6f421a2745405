"""What happens in a run, as values, and who is told of it: displays, logs, other programs.

An observer only watches. One that raises, or whose output is gone, is told nothing more, and the run goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from orchestrator.outcome import Outcome, State


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins.

    Attributes:
        hosts: in short, such as "b[1-3]".
        total: operations that are to be sent.
    """

    step: str
    name: str
    command: str
    hosts: str
    total: int


class AttemptEnded(NamedTuple):
    """One attempt of an operation; told for each one, so whoever hears it must be quick.

    Attributes:
        id: the operation's id.
        attempt: from 1.
        state: the operation's state now; PENDING when it will be retried.
        pause: seconds until then.
        seconds: how long the attempt took.
    """

    id: str
    step: str
    host: str
    command: str
    parameters: str
    attempt: int
    outcome: Outcome
    state: State
    pause: float
    seconds: float


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step ended, was skipped, or stopped ("running": with work left)."""

    step: str
    name: str
    state: str
    reason: str
    counts: Mapping[State, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands now; told every `interval` seconds of the observer that asks most often.

    Attributes:
        number, steps: place of the current step among all that will run, from 1.
        name: the step's name.
        total, done, failed, skipped: of the step's operations.
        in_flight: requests on the wire.
        waiting: operations that wait for their next attempt.
        rate: operations that ended in the last seconds, per second.
        left: seconds until the step is through, at this rate; None when that cannot be told.
        elapsed: seconds since the run (or its resumption) began.
        of_step: seconds since the step began to send.
        reason: what is being waited for; empty when all is as it should be.
    """

    number: int
    steps: int
    name: str
    total: int
    done: int
    failed: int
    skipped: int
    in_flight: int
    waiting: int
    rate: float
    left: float | None
    elapsed: float
    of_step: float
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the operator should know, in a sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """The operator is about to be asked something, where displays stand now."""

    text: str


Event = StepStarted | AttemptEnded | StepEnded | Progress | Note | Question


class Observer(Protocol):
    """Who watches a run; only `tell` has to be written, by whoever derives from it."""

    @property
    def interval(self) -> float:
        """Seconds between two `Progress` that it wants."""
        return 1.0

    def tell(self, event: Event) -> None:
        """Something happened. Be quick; whatever this raises ends the watching, not the run."""
        ...

    def close(self) -> None:
        """The run is over, or the observer is not told anything more."""
        return None  # noqa: RET501 - else type checkers take it for something that has to be written


class Audience:
    """All who watch a run, as one observer. Telling them never fails.

    Attributes:
        lost: why observers were detached, in the order of their loss.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = list(observers)
        self.lost: list[Exception] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def interval(self) -> float:
        """Seconds between two `Progress`."""
        return min((observer.interval for observer in self._observers), default=1.0)

    def tell(self, event: Event) -> None:
        """Tell all of an event."""
        lost: list[tuple[Observer, Exception]] = []
        for observer in self._observers:
            try:
                observer.tell(event)
            except Exception as error:  # noqa: BLE001 - whatever it is: output is no reason to stop
                lost.append((observer, error))
        if lost:
            self._detach(lost)

    def note(self, text: str) -> None:
        """Tell all a sentence."""
        self.tell(Note(text))

    def close(self) -> None:
        """Nothing more will be told."""
        for observer in self._observers:
            with contextlib.suppress(Exception):
                observer.close()
        self._observers = []

    def _detach(self, lost: list[tuple[Observer, Exception]]) -> None:
        """Tell these observers nothing more, and then the others that they are gone."""
        self._observers = [other for other in self._observers if all(other is not observer for observer, _ in lost)]
        for observer, error in lost:
            self.lost.append(error)
            with contextlib.suppress(Exception):
                observer.close()
        for _, error in lost:
            self.note(f"a display was lost ({str(error) or type(error).__name__}); the run goes on")
