"""What views are told, and the view that has nothing to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.outcome import Outcome, State


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands now.

    Attributes:
        step, steps: place of the current step among all that will run, from 1.
        name: the step's name.
        total, done, failed, skipped: of the step's operations.
        in_flight: requests on the wire.
        waiting: operations that wait for their next attempt.
        rate: operations that ended in the last seconds, per second.
        left: seconds until the step is through, at this rate; None when that cannot be told.
        elapsed: seconds since the run (or its resumption) began.
        reason: what is being waited for; empty when all is as it should be.
    """

    step: int
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
    reason: str


class Ended(NamedTuple):
    """One attempt of an operation.

    Attributes:
        id: the operation's id.
        attempt: from 1.
        state: the operation's state now; PENDING when it will be tried again.
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


class View:
    """A watcher that says nothing; views override what they show."""

    interval = 1.0  # seconds between two calls of `progress`

    def step_started(self, key: str, name: str, command: str, hosts: str, total: int) -> None:
        """A step begins: its key, name, command, hosts in short, and number of operations."""

    def attempt_ended(self, ended: Ended) -> None:
        """An attempt ended. Called for each one, so it must be quick."""

    def step_ended(
        self, key: str, name: str, state: str, reason: str, counts: dict[State, int], seconds: float
    ) -> None:
        """A step ended, was skipped, or stopped."""

    def progress(self, progress: Progress) -> None:
        """How the run stands; called every `interval` seconds."""

    def note(self, text: str) -> None:
        """Something that the operator should know."""

    def close(self) -> None:
        """The run is over; the display is to be left as it is."""
