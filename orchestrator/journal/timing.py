"""How long a step of a run took, as a journal tells it to those who plan the next one."""

from __future__ import annotations

from typing import NamedTuple


class StepTiming(NamedTuple):
    """How long a step took, and what of its operations says how fast its hosts are; of many operations from a sample.

    Attributes:
        operations: how many it has; None while that is not known.
        started, finished: milliseconds since the epoch; None before.
        polled: whether it was polled until a condition held.
        hosts: those that it was sent to.
        busiest: operations of the host that had most of them.
        attempt: seconds of an operation's last attempt, on average; 0 without any that is done.
    """

    key: str
    role: str
    command: str
    state: str
    reason: str
    operations: int | None
    started: int | None
    finished: int | None
    polled: bool
    hosts: tuple[str, ...] = ()
    busiest: int = 0
    attempt: float = 0.0
