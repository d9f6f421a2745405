"""When work may be done: maintenance windows, freezes, and the instants at which they open and close. Pure.

A window is written in local time and means instants. What the clock skips in spring opens when it has skipped and closes where
it skips; of an hour that comes twice in autumn the first is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from orchestrator.text.document import Strict, Suggested
from orchestrator.text.units import format_duration

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
AHEAD = 400  # days that are searched for the next opening
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_ONCE = re.compile(r"(\d{4}-\d\d-\d\d) +(\d?\d:\d\d) */ *(\d?\d:\d\d)(?: +(\S+))?")
_UNTIL = re.compile(r"(?:(\d{4}-\d\d-\d\d)[ T]+)?(\d?\d:\d\d(?::\d\d)?)")


def read_clock(value: Any) -> time:
    """A time of day from `"01:30"`.

    Raises:
        Suggested: anything else.
    """
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Suggested(f'{value!r} is not a time of day; write "01:30", in quotes')
    return time(int(found[1]), int(found[2]), int(found[3] or 0))


def read_date(value: Any) -> date:
    """A day from `2026-12-20`.

    Raises:
        Suggested: anything else.
    """
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise Suggested(f"{value!r} is not a day; write 2026-12-20") from None


def read_zone(value: Any) -> str:
    """The name of a time zone.

    Raises:
        Suggested: this machine knows none of that name.
    """
    try:
        return ZoneInfo(value).key
    except (TypeError, ValueError, OSError, ZoneInfoNotFoundError):
        raise Suggested(f"{value!r} is not a time zone; write one such as Europe/Berlin or UTC") from None


def _text_of(kind: str, pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": kind})


_PLAIN = PlainSerializer(str, return_type=str)
Clock = Annotated[Any, BeforeValidator(read_clock), _PLAIN, _text_of("a time of day", r"^([01]?\d|2[0-3]):[0-5]\d$")]
DayDate = Annotated[Any, BeforeValidator(read_date), _PLAIN, _text_of("a day", r"^\d{4}-\d\d-\d\d$")]
Zone = Annotated[str, BeforeValidator(read_zone), _text_of("a time zone", r"^\S+$")]


class WindowSpec(Strict):
    """A maintenance window that comes again and again."""

    days: list[Day] = Field(default=list(DAYS), min_length=1, description="Days on which it opens (default: all).")
    from_: Clock = Field(alias="from", description='When it opens, such as "01:00".')
    to: Clock = Field(description='When it closes; when that is not later than "from", on the next day.')
    zone: Zone | None = Field(None, description="The time zone (default: this machine's).")


class FreezeSpec(Strict):
    """Days on which nothing may be changed."""

    from_: DayDate = Field(alias="from", description="The first day.")
    to: DayDate = Field(description="The last day.")
    reason: str = Field(min_length=1, description="Why; shown to whoever is refused.")
    zone: Zone | None = Field(None, description="The time zone (default: this machine's).")


@dataclass(frozen=True)
class Opening:
    """A span of time in which work may be done.

    Attributes:
        window: what it is called; empty for what `--until` says.
        start, end: seconds since the epoch.
        zone: in which its times are told; None for this machine's.
    """

    window: str
    start: float
    end: float
    zone: tzinfo | None = None

    def covers(self, now: float) -> bool:
        """Whether work may be done now."""
        return self.start <= now < self.end

    def clock(self, moment: float, near: float) -> str:
        """A moment as people read it, with its day when it is not within twelve hours."""
        local = _local(moment, self.zone)
        shape = "%H:%M %Z" if abs(moment - near) < 43_200 else "%a %Y-%m-%d %H:%M %Z"
        return local.strftime(shape)

    def words(self, now: float) -> str:
        """What it is called, when it closes, and how long that is."""
        return f"{self.window} until {self.clock(self.end, now)} ({span(self.end - now)} left)".lstrip()

    def closed(self) -> str:
        """That it is over, for the record."""
        called = f"the window {self.window} closed" if self.window else "--until was reached"
        return f"{called} at {self.clock(self.end, self.end)}"

    def text(self) -> str:
        """Its end as `until` reads it, on this machine."""
        return _local(self.end, None).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True)
class Freeze:
    """Days on which nothing may be changed, as instants."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Window:
    """A window, however it was given.

    Attributes:
        name: as the operator gave it; `find_window` reads it again.
        opens, closes: times of day.
        days: on which it opens.
        zone: of these times; None for this machine's.
        only: the single day on which it opens; None for every one of `days`.
    """

    name: str
    opens: time
    closes: time
    days: Sequence[Day] = DAYS
    zone: tzinfo | None = None
    only: date | None = None

    def openings(self, now: float, freezes: Sequence[Freeze] = ()) -> Iterator[Opening]:
        """The openings that have not ended, in order, without what freezes take of them."""
        today = _local(now, self.zone).date()
        days = [self.only] if self.only else [today + timedelta(days=ahead) for ahead in range(-1, AHEAD)]
        for day in days:
            if not self.only and DAYS[day.weekday()] not in self.days:
                continue
            last = day if self.closes > self.opens else day + timedelta(days=1)
            start = instant(datetime.combine(day, self.opens), self.zone)
            end = instant(datetime.combine(last, self.closes), self.zone)
            for opening in _without(Opening(self.name, start, end, self.zone), freezes):
                if opening.end > now:
                    yield opening


def _without(opening: Opening, freezes: Sequence[Freeze]) -> list[Opening]:
    """What is left of an opening."""
    left = [opening] if opening.start < opening.end else []
    for freeze in freezes:
        cut = []
        for part in left:
            cut.append(replace(part, end=min(part.end, freeze.start)))
            cut.append(replace(part, start=max(part.start, freeze.end)))
        left = [part for part in cut if part.start < part.end]
    return left


def instant(wall: datetime, zone: tzinfo | None) -> float:
    """The moment at which clocks show a local time, or skip it, in seconds since the epoch.

    Args:
        wall: the time that they show.
        zone: where; None for this machine's.
    """
    early, late = sorted(wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if early == late or _local(early, zone).replace(tzinfo=None) == wall:
        return early
    return _skip(early, late, zone)


def _skip(early: float, late: float, zone: tzinfo | None) -> float:
    """The second at which the clocks of a zone skip, between two moments."""
    before = _local(early, zone).utcoffset()
    low, high = int(early), int(late)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _local(middle, zone).utcoffset() == before else (low, middle)
    return float(high)


def _local(moment: float, zone: tzinfo | None) -> datetime:
    """What clocks show at a moment; of this machine's zone, with its offset at that moment."""
    return datetime.fromtimestamp(moment, UTC).astimezone(zone)


def freezes_of(specs: Sequence[FreezeSpec]) -> list[Freeze]:
    """Freezes as instants: from the start of their first day to the end of their last."""
    found = []
    for spec in specs:
        zone = ZoneInfo(spec.zone) if spec.zone else None
        start = instant(datetime.combine(spec.from_, time()), zone)
        end = instant(datetime.combine(spec.to + timedelta(days=1), time()), zone)
        found.append(Freeze(start, end, spec.reason))
    return found


def span(seconds: float) -> str:
    """A length of time for people: seconds matter when there are few of them."""
    return format_duration(seconds if seconds < 600 else seconds // 60 * 60)


def find_window(said: str, specs: Mapping[str, WindowSpec]) -> Window:
    """The window that an operator means.

    Args:
        said: the name of one in the configuration, or `2026-11-28 01:00/05:00 Europe/Berlin` (without a zone: this machine's).
        specs: those of the configuration.

    Raises:
        ValueError: neither; says what can be given.
    """
    if spec := specs.get(said):
        return Window(said, spec.from_, spec.to, spec.days, ZoneInfo(spec.zone) if spec.zone else None)
    if once := _ONCE.fullmatch(said.strip()):
        zone = ZoneInfo(read_zone(once[4])) if once[4] else None
        return Window(said.strip(), read_clock(once[2]), read_clock(once[3]), zone=zone, only=read_date(once[1]))
    known = f"of the configuration: {', '.join(specs)}" if specs else "the configuration has none"
    raise ValueError(f"no window {said!r} ({known}); a single one is written '2026-11-28 01:00/05:00 Europe/Berlin'")


def until(said: str, now: float) -> Opening:
    """From now to a time of day (the next one), or to a day's.

    Args:
        said: `04:30`, or `2026-11-28 04:30`, of this machine's time zone.
        now: seconds since the epoch.

    Raises:
        ValueError: neither, or that is over.
    """
    found = _UNTIL.fullmatch(said.strip())
    if found is None:
        raise ValueError(f"{said!r} is not a time; write 04:30, or 2026-11-28 04:30")
    clock, today = read_clock(found[2]), _local(now, None).date()
    if found[1]:
        end = instant(datetime.combine(read_date(found[1]), clock), None)
        if end <= now:
            raise ValueError(f"{said!r} is over")
    else:
        ends = (instant(datetime.combine(today + timedelta(days=ahead), clock), None) for ahead in (0, 1, 2))
        end = next(end for end in ends if end > now)
    return Opening("", now, end)
