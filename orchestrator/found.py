"""How many of a list's items were found: what became of a step's operations, counted by item and not by request.

A kick is sent to each backend for each user, and "no session" is what all but one answer. What counts is whether any host
changed something for the item.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """The items of a step.

    Attributes:
        found: something was changed for them, by one host at least.
        absent: every host answered, and none had anything to change.
        unknown: no host changed anything, and at least one did not answer OK, or does not say what it changed.
    """

    found: int
    absent: int
    unknown: int

    @property
    def total(self) -> int:
        """All items that anything was sent for, or is to be."""
        return self.found + self.absent + self.unknown


def found_sentence(counted: Found, had: str) -> str:
    """One sentence for the end of a run; empty where there is nothing to tell.

    Args:
        counted: the items.
        had: what the found have, in words that follow a number: "had a session".
    """
    if not counted.total:
        return ""
    unknown = f"; {counted.unknown} not known" if counted.unknown else ""
    names = "1 name" if counted.total == 1 else f"{counted.total} names"
    if not counted.found and counted.absent and not counted.unknown:
        return f"none of {names} {had}: is the list right, and written as Dovecot has the names (with the domain)?"
    absent = f" ({counted.absent} had none)" if counted.absent else ""
    return f"{counted.found} of {names} {had}{absent}{unknown}"
