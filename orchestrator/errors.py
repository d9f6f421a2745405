"""What can go wrong that is not an operation's outcome.

    OrchestratorError
    +-- InputError            what was asked is wrong: playbook, configuration, selection, values (all problems at once)
    +-- ExpressionError       an expression could not be evaluated with the values at hand
    +-- RefusedError          understood, and refused: a `require` failed, nobody confirmed, the plan is stale
    |   +-- LockedError       another process holds the run
    +-- RunNotFoundError      no run of that name
    +-- JournalError          the run file cannot be read or written
    |   +-- DamagedRunError   it fails its integrity check, or is not a run file
    +-- SecretError           a secret reference cannot be resolved

A failed mailbox operation is not an exception but an `outcome.Outcome`. Every message says what happened and
where; `hint` says what to do next. The table from error to exit code is in `cli/exit_codes.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass


class OrchestratorError(Exception):
    """Root of every error that has a place and a remedy; anything else is a bug of ours.

    Args:
        message: what happened and where, one sentence.
        hint: what to do next, or empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text.

    Attributes:
        source: file name, or a name in angle brackets for text that came from elsewhere.
        line: 1-based; 0 when only the source is known.
        column: 1-based.
        text: the line itself, for the caret.
    """

    source: str
    line: int = 0
    column: int = 1
    text: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input, where it is, and the nearest valid word if there is one."""

    message: str
    place: Place
    suggestion: str = ""

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}"
        if self.suggestion:
            head += f" (did you mean {self.suggestion!r}?)"
        if not self.place.text.strip():
            return head
        shown = self.place.text.replace("\t", " ")
        start = max(0, self.place.column - 1 - 100)  # a minified line of a megabyte is shown around the place
        return f"{head}\n    {shown[start : start + 160]}\n    {' ' * (self.place.column - 1 - start)}^"


class InputError(OrchestratorError):
    """What was asked is wrong. Carries every problem found, in the order of the text."""

    def __init__(self, problems: list[Problem] | tuple[Problem, ...], *, hint: str = "") -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.place.source, p.place.line, p.place.column)))
        super().__init__("\n".join(map(str, self.problems)), hint=hint)

    @classmethod
    def at(cls, message: str, place: Place | str, *, suggestion: str = "", hint: str = "") -> InputError:
        """An InputError of one problem."""
        where = Place(place) if isinstance(place, str) else place
        return cls([Problem(message, where, suggestion)], hint=hint)


class ExpressionError(OrchestratorError):
    """An expression could not be evaluated; the message names the expression."""


class RefusedError(OrchestratorError):
    """The request was understood and is refused for the safety of the fleet."""


class LockedError(RefusedError):
    """Another process works on this run."""


class RunNotFoundError(OrchestratorError):
    """No run file of that name in the state directory."""


class JournalError(OrchestratorError):
    """The run file cannot be read or written (disk full, permissions, input/output error)."""


class DamagedRunError(JournalError):
    """The file is not a run file, or fails its integrity check."""


class SecretError(OrchestratorError):
    """A secret reference cannot be resolved. The message names the reference, never a value."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` most likely meant, or empty: one that is written much alike, or has it as a part."""
    pool = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower(), pool, n=1, cutoff=0.6)
    if not found and len(word) > 2:
        found = sorted((name for name in pool if word.lower() in re.split(r"[\W_]+", name)), key=len)
    return pool[found[0]] if found else ""
