"""Durations and shares, as they are written and as they are shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from orchestrator.text.units import Duration, Share, ShareField, format_duration, parse_duration, parse_share


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        (0, 0),
        (2.5, 2.5),
        ("90", 90),
        ("90s", 90),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("1m 30s", 90),
        ("1.5h", 5400),
        ("2d", 172800),
        (" 5s ", 5),
        ("5 s", 5),
        ("0s", 0),
    ],
)
def test_durations_are_read(written: Any, seconds: float) -> None:
    """A number is seconds; a text has units, several in a row."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "s", "5x", "-5s", -1, "5s5", "five", True, None, [], "nan", "inf", float("nan"), float("inf"), "1:30", "5s,3s"]
    + [1e9, "1e9", "1000000000s", "9" * 400 + "s", "99999999999s"],
)
def test_other_durations_are_refused(written: Any) -> None:
    """Anything else, negative or endless, is refused with the way to write it."""
    with pytest.raises(ValueError, match="is not a duration; write 30s"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.05, "50ms"),
        (1, "1s"),
        (2.5, "2.5s"),
        (59, "59s"),
        (60, "1m"),
        (95, "1m35s"),
        (3600, "1h"),
        (7325, "2h2m5s"),
    ],
)
def test_durations_are_shown(seconds: float, shown: str) -> None:
    """Durations are shown in the units that people use."""
    assert format_duration(seconds) == shown


@given(st.floats(0, 1e7))
def test_a_shown_duration_is_read_back(seconds: float) -> None:
    """What is shown can be read again, and is off by no more than its last digit."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=0.51 if seconds >= 10 else 0.051)


@pytest.mark.parametrize(
    ("written", "share", "of_200", "of_3"),
    [
        (5, Share(5), 5, 5),
        ("5", Share(5), 5, 5),
        (0, Share(0), 0, 0),
        ("5%", Share(5, percent=True), 10, 0),
        ("100%", Share(100, percent=True), 200, 3),
        ("33.4%", Share(Decimal("33.4"), percent=True), 66, 1),
        (Share(7), Share(7), 7, 7),
    ],
)
def test_shares_are_read(written: Any, share: Share, of_200: int, of_3: int) -> None:
    """A share is a number of things, or a percentage that is rounded down."""
    read = parse_share(written)
    assert (read, read.of(200), read.of(3)) == (share, of_200, of_3)


@pytest.mark.parametrize(
    "written", ["", "-1", -1, "5.5", 5.5, "101%", "%", "5 %%", True, None, [], "many", "nan", "inf"]
)
def test_other_shares_are_refused(written: Any) -> None:
    """A fraction of a thing, more than all, and all else is refused."""
    with pytest.raises(ValueError, match="is not a count or a percentage"):
        parse_share(written)


@given(st.integers(0, 10_000), st.integers(0, 10**7))
@example(57, 10_000)
def test_a_percentage_is_exact(hundredths: int, total: int) -> None:
    """A percentage of a total is exactly what it says, rounded down once, and reads back as written."""
    share = parse_share(f"{hundredths // 100}.{hundredths % 100:02}%")
    assert share.of(total) == total * hundredths // 10_000
    assert parse_share(str(share)) == share


class Written(BaseModel):
    """What a file says."""

    duration: Duration = 0.0
    share: ShareField = Share(0)


def accepts(**written: Any) -> tuple[bool, bool]:
    """Whether the JSON Schema, and whether the program takes it."""
    schema = jsonschema.Draft202012Validator(Written.model_json_schema())
    try:
        Written.model_validate(written)
    except ValidationError:
        return schema.is_valid(written), False
    return schema.is_valid(written), True


@pytest.mark.parametrize(
    "written", [90, 2.5, "90s", "1m 30s", "500ms", " 5s ", "", "s", "5x", "-5s", -1, "five", None, [], "5s5", "1:30"]
)
def test_an_editor_knows_a_duration_as_the_program_does(written: Any) -> None:
    """The schema takes and refuses what the program takes and refuses."""
    assert accepts(duration=written) in {(True, True), (False, False)}


@pytest.mark.parametrize("written", [5, "5", "5%", "2.5%", "100%", -1, "", "%", "5 percent", "-5%", None, []])
def test_an_editor_knows_a_share_as_the_program_does(written: Any) -> None:
    """The schema takes and refuses what the program takes and refuses."""
    assert accepts(share=written) in {(True, True), (False, False)}
