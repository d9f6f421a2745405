"""What was seen of a condition at one moment: a value that the engine makes, the journal keeps, and reports show."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sighting(NamedTuple):
    """What was seen of a condition.

    Attributes:
        name: the condition's.
        moment: at what it was looked at: "start", "batch 4[2]", "step 5", "always"; "left by step 5" for what that step set.
        at: milliseconds since the epoch.
        holds: None when there was no data.
        value: what it had, in JSON's terms; None without one.
        why: why it does not hold, or why there is no data; empty otherwise.
    """

    name: str
    moment: str
    at: int
    holds: bool | None
    value: Any
    why: str
