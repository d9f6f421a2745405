"""Reality lies within the estimate as often as is said: nights of shipped playbooks, in the simulator, in a time that only jumps.

A sample of what `python -m tests.simulation.nights` plays.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.simulation.nights import WIDEST, coverage, play

KICKS = 1000

kicks = cache(lambda: play("kick", 60, KICKS))


@pytest.mark.parametrize("work", ["drain", "reload", "kick"])
def test_nights_take_as_long_as_was_estimated(work: str) -> None:
    """From the run files of nights before, 80 to 97 % of the next ones lie within a range that is at most 1 : 3 wide."""
    played = kicks() if work == "kick" else play(work, {"drain": 60, "reload": 30}[work], KICKS)
    assert 0.80 <= coverage(played) <= 0.97
    assert max(night.width for night in played) <= WIDEST
    assert all(night.expected.known for night in played)


def test_a_look_tells_how_long_a_drain_takes() -> None:
    """Where no earlier run is known, the model of directorFlush and the users that were just counted tell it."""
    played = play("drain", 20, KICKS, live=True)
    assert coverage(played) >= 0.80
    assert max(night.width for night in played) <= WIDEST


def test_the_first_night_is_unknown() -> None:
    """Without an earlier run and without a look nobody knows how long kicks or a drain take."""
    for work in ("drain", "kick"):
        [night] = play(work, 1, KICKS, first=True)
        assert (night.expected.high, night.expected.known) == (None, False)
        assert night.expected.missing


def test_what_is_too_optimistic_is_found() -> None:
    """A range that is half as wide is wrong too often: the nights do tell a good estimate from a bad one."""
    narrow = 0
    for night in kicks():
        low, high = night.expected.low, night.expected.high or 0.0
        narrow += 0.75 * low + 0.25 * high <= night.took <= 0.25 * low + 0.75 * high
    assert narrow / len(kicks()) < 0.80
