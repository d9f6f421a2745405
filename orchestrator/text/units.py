"""Durations ("1m30s") and shares ("5%" or 5), as they are written in playbooks and configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
LONGEST = 1e9  # seconds; more is a mistake
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> float:
    """Seconds from `90`, `"90s"`, `"1m30s"` or `"500ms"`.

    Raises:
        ValueError: anything else, or a negative value.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LONGEST:
        return float(value)
    if isinstance(value, str):
        parts = _PART.findall(value)
        if parts and _PART.sub("", value).strip() == "":
            total = sum(float(amount) * _SECONDS[unit] for amount, unit in parts)
            if total < LONGEST:
                return total
        try:
            return parse_duration(float(value))
        except ValueError:
            pass
    raise ValueError(f"{value!r} is not a duration; write 30s, 5m, 1h30m or a number of seconds")


def format_duration(seconds: float) -> str:
    """Seconds in words that `parse_duration` reads: 0.05 is "50ms", 95 is "1m35s"."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{amount}{unit}" for amount, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if amount]
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Share:
    """A number of things, or a percentage of all of them; exactly the number that was written."""

    amount: Decimal | int
    percent: bool = False

    def of(self, total: int) -> int:
        """How many of `total` this is, rounded down: 0.57 % of 10 000 are 57, which they are not in floating point."""
        return int(total * Fraction(self.amount) / 100) if self.percent else int(self.amount)

    def __str__(self) -> str:
        return f"{Decimal(self.amount):f}{'%' if self.percent else ''}"


def parse_share(value: Any) -> Share:
    """A share from `5` or `"5%"`.

    Raises:
        ValueError: anything else, a fraction of a thing, or more than 100 %.
    """
    if isinstance(value, Share):
        return value
    text = str(value).strip()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    if match and not isinstance(value, bool):
        amount, percent = Decimal(match[1]), bool(match[2])
        if (percent and amount <= 100) or (not percent and amount == int(amount)):
            return Share(amount if percent else int(amount), percent)
    raise ValueError(f"{value!r} is not a count or a percentage; write 5 or 5%")


_DURATION_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^(\s*\d+(\.\d+)?\s*(ms|s|m|h|d))+\s*$"},
    ]
}
_SHARE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?%?$"}]}

Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0), WithJsonSchema(_DURATION_SCHEMA)]
ShareField = Annotated[
    Any, BeforeValidator(parse_share), PlainSerializer(str, return_type=str), WithJsonSchema(_SHARE_SCHEMA)
]
