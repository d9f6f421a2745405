"""Scalars that keep the text that they were written as: 2024.10 is a number where one is wanted, and never 2024.1 as a name.

Whatever makes text of a scalar calls `text_of`; `str`, f-strings and `repr` give the same. Arithmetic gives plain numbers.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import Any, Self

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?\Z")
_MOST_DIGITS = 29  # of a whole number; what is longer is a name


class Written:
    """A number whose own spelling is another one than Python's: +5, -0, 1.50, 1e3.

    Attributes:
        text: as it was written.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


class WrittenInt(Written, int):
    """A whole number and its text."""

    def __new__(cls, text: str) -> Self:
        """The number of a text."""
        number = super().__new__(cls, text)
        number.text = text
        return number


class WrittenFloat(Written, float):
    """A number and its text."""

    def __new__(cls, text: str) -> Self:
        """The number of a text."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def read_number(text: str) -> int | float | str | None:
    """The number that a plain word is to everybody: with its text, where the number has another spelling of its own.

    Returns:
        the text itself where it is longer than any number that is meant; None where it is no number, or not to everybody (012).
    """
    if _INTEGER.match(text):
        if len(text) > _MOST_DIGITS:
            return text
        return int(text) if str(int(text)) == text else WrittenInt(text)
    if not _FLOAT.match(text) or not math.isfinite(float(text)):
        return None
    return float(text) if str(float(text)) == text else WrittenFloat(text)


def plain_number(text: str) -> str:
    """How to write the number of a word in a notation that not everybody reads alike (0x1f, 1_000, 012); empty if unknown."""
    bare = text.replace("_", "")
    sign = "-" if bare.startswith("-") else ""
    digits = bare.lstrip("-+")
    if digits.isdigit():
        return sign + (digits.lstrip("0") or "0")
    with suppress(ValueError):
        return sign + str(int(digits, 0))
    return bare if read_number(bare) is not None else ""


def text_of(value: Any) -> str:
    """The text that a scalar is written as: `true`, `5`, `2024.10`; of a host its name.

    Raises:
        ValueError: nothing, a list, a mapping or an answer, whose text would be Python's and nobody's name.
    """
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        raise ValueError("nothing (null) cannot become text; give a default: | default('...', true)")
    kind: Any = type(value)
    if kind.__str__ is object.__str__:  # a text for programmers alone
        what = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list | tuple) else "an answer"
        raise ValueError(f"{what} cannot become text; join(', ') makes one of a list")
    return str(value)
