"""Small words that all views share: times, counts, what a host says made safe for a terminal."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.outcome import State
from orchestrator.plan.affected import in_all
from orchestrator.ranges import Range

# What moves the cursor, colours, or changes the direction of text; and what some terminals take for a line's end.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Text in which nothing does anything to a terminal: control characters are written out in hexadecimal."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def safe(text: str, limit: int = 400) -> str:
    """Text from elsewhere for one line of a terminal: harmless, line ends as blanks, and not too long."""
    text = harmless(text.replace("\n", " ").replace("\t", " "))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def json_text(value: Mapping[str, Any], encoding: str | None) -> str:
    """A value as one line of JSON: as it is for UTF-8, with escapes where a locale has another encoding.

    What would do something to a terminal is escaped too, since JSON itself escapes only what is below U+0020.
    """
    text = json.dumps(value, ensure_ascii=(encoding or "utf8").lower().replace("-", "") != "utf8")
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def count(number: int, word: str) -> str:
    """A number of things: 1 request, 17 requests."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def retries(number: int) -> str:
    """A number of retries: 1 retry, 12 retries."""
    return f"{number} {'retry' if number == 1 else 'retries'}"


def states(counts: Mapping[State, int] | None) -> str:
    """Operations by state: 2 done, 1 failed."""
    shown = [f"{number} {state.word.replace('_', ' ')}" for state, number in sorted((counts or {}).items()) if number]
    return ", ".join(shown)


def moment(milliseconds: int | None, *, zone: bool = False) -> str:
    """A time of the record in local time, with the zone's name where that is wanted."""
    if milliseconds is None:
        return "-"
    return time.strftime(f"%Y-%m-%d %H:%M:%S{' %Z' if zone else ''}", time.localtime(milliseconds / 1000))


def age(milliseconds: int | None, now: float) -> str:
    """How long ago that was, in the largest unit that fits: 3 minutes ago.

    Args:
        milliseconds: since the epoch.
        now: seconds since the epoch.
    """
    if milliseconds is None:
        return "never begun"
    seconds = int(now - milliseconds / 1000)
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count(seconds // size, word)} ago"
    return "just now"


def lasts(low: float, high: float) -> str:
    """A range of seconds in the unit that fits, never narrower than it is: 40 to 75 s, 1.5 to 4 min, at most 3 s."""
    if high < 1:
        return "less than 1 s"
    size, unit = next((size, unit) for limit, size, unit in _UNITS if high < limit)
    least, most = _down(low / size, size), -_down(-high / size, size)
    if not least:
        return f"at most {most:g} {unit}"
    return f"about {least:g} {unit}" if least == most else f"{least:g} to {most:g} {unit}"


_UNITS = ((100.0, 1, "s"), (6000.0, 60, "min"), (math.inf, 3600, "h"))


def _down(value: float, size: int) -> float:
    """Rounded down: to tenths where there are few minutes or hours."""
    return math.floor(value * 10) / 10 if size > 1 and abs(value) < 10 else float(math.floor(value))


def clock(milliseconds: int) -> str:
    """A time of day with milliseconds, for attempts."""
    return time.strftime("%H:%M:%S", time.localtime(milliseconds / 1000)) + f".{milliseconds % 1000:03d}"


def amount(number: int) -> str:
    """A number that can be read: 38 811."""
    return f"{number:,}".replace(",", " ") if number >= 10_000 else str(number)


def many(number: int, word: str) -> str:
    """A number of things that may be large: 38 811 users."""
    return f"{amount(number)} {word}{'' if number == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """A part of a whole: 3.1 %."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def paragraphs(text: str) -> list[str]:
    """A description's paragraphs: an empty line divides them, and so does a sentence that begins on a line of its own."""
    found: list[str] = []
    begins = True
    for line in (line.strip() for line in text.splitlines()):
        if begins or (found[-1].endswith(".") and line[:1].isupper()):
            found.append(line)
        elif line:
            found[-1] += f" {line}"
        begins = not line
    return [paragraph for paragraph in found if paragraph]


def takes(found: Range) -> str:
    """How long something takes, and how that is known: 3 to 7 min (from 5 earlier runs)."""
    if found.high is None:
        return f"unknown; no earlier run tells of {found.missing}"
    basis = f" (from {found.basis})" if found.basis else ""
    question = f", and the time for {count(found.answers, 'answer')}" if found.answers else ""
    return f"{lasts(found.low, found.high)}{'' if found.known else ', a rough guess'}{basis}{question}"


def noticed(seen: Mapping[str, Any] | None) -> str:
    """How many notice a plan, as the look at the fleet for its review saw it: "; 1204 users, 300 sessions (Tue 14:02 CET)"."""
    found = in_all((seen or {}).get("affected", {}))
    words = ", ".join(many(number, kind.removesuffix("s")) for kind, number in found.items() if number)
    return f"; {words} ({moment((seen or {})['at'], zone=True)})" if words else ""
