"""Maintenance windows and freezes: when they open and close, over summer time, midnight and the year's end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import pytest
from pydantic import ValidationError

from orchestrator.windows import FreezeSpec, Opening, Window, WindowSpec, find_window, freezes_of, instant, until

BERLIN = "Europe/Berlin"


def at(text: str) -> float:
    """Seconds since the epoch of `2026-03-29 01:30+01:00`."""
    return datetime.fromisoformat(text).timestamp()


def window(opens: str, closes: str, *, zone: str | None = BERLIN, **more: object) -> Window:
    """A window as the configuration has it."""
    spec = WindowSpec.model_validate({"from": opens, "to": closes, "zone": zone, **more})
    return find_window("w", {"w": spec})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is in New York."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("opens", "closes", "now", "start", "end"),
    [
        ("01:00", "05:00", "2026-11-28 00:00+01:00", "2026-11-28 01:00+01:00", "2026-11-28 05:00+01:00"),
        ("01:00", "05:00", "2026-11-28 04:59+01:00", "2026-11-28 01:00+01:00", "2026-11-28 05:00+01:00"),
        ("01:00", "05:00", "2026-11-28 05:00+01:00", "2026-11-29 01:00+01:00", "2026-11-29 05:00+01:00"),
        ("23:00", "05:00", "2026-11-28 02:00+01:00", "2026-11-27 23:00+01:00", "2026-11-28 05:00+01:00"),
        ("23:00", "05:00", "2026-12-31 23:30+01:00", "2026-12-31 23:00+01:00", "2027-01-01 05:00+01:00"),
        ("00:00", "00:00", "2026-11-28 12:00+01:00", "2026-11-28 00:00+01:00", "2026-11-29 00:00+01:00"),
        # the night in which 02:00 is followed by 03:00
        ("01:00", "05:00", "2026-03-29 00:00+01:00", "2026-03-29 01:00+01:00", "2026-03-29 05:00+02:00"),
        ("01:00", "02:30", "2026-03-29 00:00+01:00", "2026-03-29 01:00+01:00", "2026-03-29 03:00+02:00"),
        ("02:30", "05:00", "2026-03-29 00:00+01:00", "2026-03-29 03:00+02:00", "2026-03-29 05:00+02:00"),
        ("02:15", "02:45", "2026-03-29 00:00+01:00", "2026-03-30 02:15+02:00", "2026-03-30 02:45+02:00"),
        # the night in which 02:00 to 03:00 comes twice
        ("01:00", "05:00", "2026-10-25 00:00+02:00", "2026-10-25 01:00+02:00", "2026-10-25 05:00+01:00"),
        ("01:00", "02:30", "2026-10-25 00:00+02:00", "2026-10-25 01:00+02:00", "2026-10-25 02:30+02:00"),
        ("02:30", "05:00", "2026-10-25 00:00+02:00", "2026-10-25 02:30+02:00", "2026-10-25 05:00+01:00"),
    ],
)
def test_a_window_opens_and_closes(opens: str, closes: str, now: str, start: str, end: str) -> None:
    """The opening that has not ended comes first; what clocks skip is where they skip, of what comes twice the first."""
    found = next(window(opens, closes).openings(at(now)))
    assert (found.start, found.end) == (at(start), at(end))


def test_a_window_opens_on_its_days() -> None:
    """A window over midnight belongs to the day on which it opens."""
    found = islice(window("23:00", "04:00", days=["fri", "sun"]).openings(at("2026-11-28 12:00+01:00")), 2)
    assert [opening.start for opening in found] == [at("2026-11-29 23:00+01:00"), at("2026-12-04 23:00+01:00")]
    still = next(window("23:00", "04:00", days=["fri"]).openings(at("2026-11-28 03:00+01:00")))
    assert still.covers(at("2026-11-28 03:00+01:00"))


def test_a_freeze_takes_its_days_out_of_a_window() -> None:
    """A freeze lasts from the first second of its first day to the last of its last; what is left of a window stays."""
    freezes = freezes_of(
        [FreezeSpec.model_validate({"from": "2026-12-20", "to": "2027-01-03", "reason": "x", "zone": BERLIN})]
    )
    found = list(islice(window("22:00", "04:00").openings(at("2026-12-19 12:00+01:00"), freezes), 3))
    assert [(opening.start, opening.end) for opening in found] == [
        (at("2026-12-19 22:00+01:00"), at("2026-12-20 00:00+01:00")),
        (at("2027-01-04 00:00+01:00"), at("2027-01-04 04:00+01:00")),
        (at("2027-01-04 22:00+01:00"), at("2027-01-05 04:00+01:00")),
    ]


def test_a_single_window_opens_once() -> None:
    """A day with two times is a window for one night, also over midnight; afterwards it never opens again."""
    single = find_window("2026-11-28 23:00/05:00 Europe/Berlin", {})
    before, after = at("2026-11-01 00:00+01:00"), at("2026-11-29 05:00+01:00")
    assert [(o.start, o.end) for o in single.openings(before)] == [(at("2026-11-28 23:00+01:00"), after)]
    assert list(single.openings(after)) == []


def test_times_without_a_zone_are_those_of_this_machine(here: None) -> None:
    """A window, a freeze and a time of day without a zone go by the machine's own clock, summer time included."""
    found = next(window("01:00", "05:00", zone=None).openings(at("2026-07-01 00:00-04:00")))
    assert (found.start, found.clock(found.end, found.start)) == (at("2026-07-01 01:00-04:00"), "05:00 EDT")
    [freeze] = freezes_of([FreezeSpec.model_validate({"from": "2026-12-24", "to": "2026-12-24", "reason": "x"})])
    assert (freeze.start, freeze.end) == (at("2026-12-24 00:00-05:00"), at("2026-12-25 00:00-05:00"))
    assert instant(datetime.fromisoformat("2026-03-08 02:30"), None) == at("2026-03-08 03:00-04:00")


@pytest.mark.parametrize(
    ("said", "now", "end"),
    [
        ("04:30", "2026-11-28 01:00-05:00", "2026-11-28 04:30-05:00"),
        ("04:30", "2026-11-28 04:30-05:00", "2026-11-29 04:30-05:00"),
        ("4:30:15", "2026-11-28 01:00-05:00", "2026-11-28 04:30:15-05:00"),
        ("2026-12-01 04:30", "2026-11-28 01:00-05:00", "2026-12-01 04:30-05:00"),
        ("02:30", "2026-03-08 01:00-05:00", "2026-03-08 03:00-04:00"),
    ],
)
def test_until_is_the_next_such_time(said: str, now: str, end: str, here: None) -> None:
    """A time of day is the next one; its text, kept with the run, means the same moment later."""
    found = until(said, at(now))
    assert found.end == at(end)
    assert until(found.text(), at(now)).end == at(end)


@pytest.mark.parametrize("said", ["", "4", "24:00", "04:60", "half past four", "2026-02-30 04:00", "2026-11-27 04:00"])
def test_until_is_a_time_to_come(said: str) -> None:
    """What is no time, or one that is over, is refused."""
    with pytest.raises(ValueError, match=r"is not a|is over"):
        until(said, at("2026-11-28 00:00+00:00"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("nope", r"no window 'nope' \(of the configuration: w\); a single one is written"),
        ("2026-11-28 01:00/05:00 Europe/Nowhere", "'Europe/Nowhere' is not a time zone"),
        ("2026-11-31 01:00/05:00", "'2026-11-31' is not a day"),
        ("2026-11-28 25:00/05:00", "'25:00' is not a time of day"),
    ],
)
def test_no_such_window(said: str, message: str) -> None:
    """A window that is not there, or not one, is refused, with what can be given."""
    with pytest.raises(ValueError, match=message):
        find_window(said, {"w": WindowSpec.model_validate({"from": "01:00", "to": "02:00"})})


@pytest.mark.parametrize(
    "spec",
    [
        {"from": "1", "to": "02:00"},
        {"from": 90, "to": "02:00"},
        {"from": "01:00", "to": "02:00", "zone": "CET/nope"},
        {"from": "01:00", "to": "02:00", "zone": 3},
        {"from": "01:00", "to": "02:00", "days": []},
        {"from": "01:00", "to": "02:00", "days": ["monday"]},
    ],
)
def test_what_is_no_window(spec: dict[str, object]) -> None:
    """Times of day, days and zones are checked when the configuration is read."""
    with pytest.raises(ValidationError):
        WindowSpec.model_validate(spec)


def test_an_opening_in_words() -> None:
    """People read the name, the end with its zone, and how long that is; a far moment with its day."""
    found = Opening("nightly", at("2026-11-28 01:00+01:00"), at("2026-11-28 05:00+01:00"), window("1:00", "5:00").zone)
    now = at("2026-11-28 02:20:30+01:00")
    assert found.words(now) == "nightly until 05:00 CET (2h39m left)"
    assert found.clock(found.end, at("2026-11-20 00:00+01:00")) == "Sat 2026-11-28 05:00 CET"
    assert found.closed() == "the window nightly closed at 05:00 CET"


def test_work_may_be_done_from_the_first_moment_to_before_the_last() -> None:
    """A window that opens now is open; one that closes now is closed."""
    found = Opening("nightly", 1000.0, 2000.0)
    assert [found.covers(now) for now in (999.9, 1000.0, 1999.9, 2000.0)] == [False, True, True, False]
