"""How a run, or one session of it, stands. The codes stand in run files and in JSON, and never change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How a run stands; the last eight are how a session of it ended."""

    PLANNED = "planned"
    APPLIED = "applied"  # a saved plan, as a run of its own
    RUNNING = "running"
    CRASHED = "crashed"  # its process is gone, and did not say how it ended
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"  # it failed, and what was done was taken back
    STOPPED = "stopped"  # with work left
    IN_DOUBT = "in_doubt"  # stopped with operations in doubt
    NOT_STARTED = "not_started"  # a condition did not hold at the start; nothing was changed, and it can be tried again
    REFUSED = "refused"
    INTERRUPTED = "interrupted"

    @property
    def word(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")


OVER = frozenset({Status.DONE, Status.FAILED, Status.UNDONE, Status.REFUSED})  # nothing is left to resume
RESUMABLE = frozenset({Status.STOPPED, Status.NOT_STARTED, Status.INTERRUPTED, Status.CRASHED, Status.IN_DOUBT})


@dataclass(frozen=True)
class Ending:
    """How a session ended and, when it was not a good end, why."""

    status: Status
    reason: str = ""
