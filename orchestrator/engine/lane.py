"""One host's operations as the scheduler has them: what waits, what is on the wire, and whether the host may be sent anything."""

from __future__ import annotations

from collections import deque

from orchestrator.engine.concurrency import Tuner
from orchestrator.operation import Operation

BREAKER_AFTER = 5  # attempts in a row without an answer that open a host's circuit breaker


class Lane:
    """One host's operations."""

    __slots__ = (
        "after", "exhausted", "held_until", "in_flight", "limit", "listed", "name", "open_until", "paused_at", "queue",
        "silent", "silent_since", "tuner", "unreachable", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, limit: int, tuner: Tuner | None) -> None:
        self.name = name
        self.limit = tuner.limit if tuner else limit
        self.tuner = tuner
        self.queue: deque[Operation] = deque()
        self.after = 0  # the last operation that was fed
        self.exhausted = False  # the run file has no further ones
        self.in_flight = 0
        self.waiting = 0  # operations that wait for their next attempt
        self.listed = False  # in the scheduler's list of lanes that have something to send
        self.silent = 0  # attempts in a row without an answer
        self.silent_since = 0.0
        self.paused_at = 0.0  # when the last pause was begun
        self.open_until = 0.0  # nothing is sent before this
        self.held_until = 0.0  # nor before this: the host asked to wait
        self.unreachable = False

    @property
    def tripped(self) -> bool:
        """Whether the host's circuit breaker is open, or half open: it gets one request at a time, after a pause."""
        return self.silent >= BREAKER_AFTER

    def can_send(self, now: float) -> bool:
        """Whether an operation may go to this host now."""
        if self.unreachable or not self.queue or now < max(self.open_until, self.held_until):
            return False
        return self.in_flight < (1 if self.tripped else self.limit)
