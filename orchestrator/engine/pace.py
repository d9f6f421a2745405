"""Requests a second: one pace for the whole run, whatever sends them. Pure.

Operations, questions before a step, probes and readings of a host's log all take their turn here, and the pace goes on from
step to step. A turn that was not used is not saved up; a sender that comes late by a moment loses nothing.
"""

from __future__ import annotations

from math import inf

LATENESS = 0.02  # seconds; timers and event loops are late by about as much, which must not add up


class Pace:
    """When the next request may leave.

    Args:
        rate: requests a second, or None for no limit. It may be changed at any time, for a step that has one of its own.
    """

    __slots__ = ("_last", "rate")

    def __init__(self, rate: float | None = None) -> None:
        self.rate = rate
        self._last = -inf  # when the last request was due to leave

    def free_at(self, now: float) -> float:
        """The earliest time at which a request may leave: `now`, or later."""
        return now if self.rate is None else max(now, self._last + 1.0 / self.rate)

    def take(self, now: float) -> float:
        """Take the next turn, which nobody else gets then; returns when it is: `now`, or later."""
        if self.rate is None:
            return now
        due = self._last + 1.0 / self.rate
        self._last = due if now - due <= LATENESS else now
        return max(now, due)
