"""What a report asks of a run besides how it stands: what happened in it, and sums over operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Happening(NamedTuple):
    """Something that happened to the run as a whole.

    Attributes:
        at: milliseconds since the epoch.
        kind: "decided", "confirmed", "waited", "undoing", "break glass", ...
        text: about it, for people; of "confirmed" and "waited" the key of the step.
    """

    at: int
    kind: str
    text: str


class Retried(NamedTuple):
    """Attempts of a step that were followed by another one, for the same reason."""

    step: str
    error: str
    times: int
    hosts: Sequence[str]


class Shown(NamedTuple):
    """What the answers of a host to a step show of what was changed.

    Attributes:
        rows: how many rows say so, each of one thing.
        counted: the sum of what they count.
        at_least: rows of its answers were not kept, so that there may be more.
    """

    host: str
    rows: int
    counted: int
    at_least: bool


class Details(Protocol):
    """Answered by every reader of a run."""

    def happenings(self) -> list[Happening]:
        """What happened to the run as a whole, in order."""

    def retried(self, limit: int) -> list[Retried]:
        """Attempts that were followed by another one, by reason, the most frequent first."""

    def retries(self) -> Mapping[int, int]:
        """Step -> attempts beyond each operation's first."""

    def shown(self, step: int, column: str, count: str) -> list[Shown]:
        """What a step's answers show, by host in the order of the fleet.

        Args:
            step: its number.
            column: a row with this column is one thing that was changed; empty for none.
            count: the column that says how many things were changed; empty for none.
        """

    def last_before(self, moment: float) -> int | None:
        """When the last attempt before a moment ended, in milliseconds since the epoch; None without one."""
