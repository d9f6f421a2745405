"""What can become of one request, and one table that says what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any


class Effect(Enum):
    """What sending a command twice means. Only the catalogue, or the playbook's `effect`, knows."""

    READ = "read"
    REPEATABLE = "repeatable"  # twice leaves the same state as once
    UNREPEATABLE = "unrepeatable"


class Kind(Enum):
    """What happened to one attempt."""

    DONE = "done"
    UNCHANGED = "unchanged"  # an answer that means "already so"; done, with nothing changed
    NOT_YET = "not_yet"  # answered, and the step's `until` does not hold yet
    TEMPORARY = "temporary"  # exit code 75
    FAILED = "failed"
    UNREACHABLE = "unreachable"  # nothing was sent
    NOT_EXECUTED = "not_executed"  # sent, and without effect: it was turned away (HTTP 429), or a probe says so
    UNKNOWN = "unknown"  # sent, and no complete answer
    LATE = "late"  # sent, and no answer in time: the host may still be executing it
    CANCELLED = "cancelled"  # sent, and not waited for: the run was stopped


class State(IntEnum):
    """Where an operation stands; the numbers are part of the run file's format."""

    PENDING = 0
    RUNNING = 1
    DONE = 2
    FAILED = 3
    UNREACHABLE = 4
    IN_DOUBT = 5
    SKIPPED = 6

    @property
    def word(self) -> str:
        """The state as people and exports read it."""
        return self.name.lower()


OPEN_STATES = (State.PENDING, State.RUNNING)
BAD_STATES = (State.FAILED, State.UNREACHABLE, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's end.

    Attributes:
        kind: what happened.
        rows: the answer's rows.
        exit_code: doveadm's, when it gave one.
        changed: whether the command changed anything, where that can be told.
        error: what is wrong and what to do about it, one line; empty for done.
        evidence: what the host logged about it, or empty.
        wait: seconds before which the host wants no retry (Retry-After); 0 when it did not say.
    """

    kind: Kind
    rows: Sequence[dict[str, Any]] = ()
    exit_code: int | None = None
    changed: bool | None = None
    error: str = ""
    evidence: str = ""
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Follow:
    """What follows from an attempt's kind.

    Attributes:
        state: the operation's state when it is not retried.
        again: whether it may be retried.
    """

    state: State
    again: bool = field(default=False)


_AFTER: dict[Kind, Follow] = {
    Kind.DONE: Follow(State.DONE),
    Kind.UNCHANGED: Follow(State.DONE),
    Kind.NOT_YET: Follow(State.FAILED, again=True),
    Kind.TEMPORARY: Follow(State.FAILED, again=True),
    Kind.FAILED: Follow(State.FAILED),
    Kind.UNREACHABLE: Follow(State.UNREACHABLE, again=True),
    Kind.NOT_EXECUTED: Follow(State.FAILED, again=True),
    Kind.UNKNOWN: Follow(State.FAILED, again=True),
    Kind.LATE: Follow(State.FAILED, again=True),
    Kind.CANCELLED: Follow(State.PENDING),  # whoever resumes the run sends it again
}
_AFTER_UNREPEATABLE: dict[Kind, Follow] = {
    **_AFTER,
    # 75 can mean that the change was applied all the same (2.3.19.1: a ring that did not answer for 30 s).
    Kind.TEMPORARY: Follow(State.IN_DOUBT),
    Kind.UNKNOWN: Follow(State.IN_DOUBT),
    Kind.LATE: Follow(State.IN_DOUBT),
    Kind.CANCELLED: Follow(State.IN_DOUBT),
}


def follow(kind: Kind, effect: Effect) -> Follow:
    """What follows from `kind` for a command of that effect."""
    return (_AFTER_UNREPEATABLE if effect is Effect.UNREPEATABLE else _AFTER)[kind]
