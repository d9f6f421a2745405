"""Ranges of time: what several take together, and that the next one lies within as often as is said."""

from __future__ import annotations

from math import log, sqrt
from random import Random

import pytest

from orchestrator.ranges import Part, Range, together


def runs(*seconds: float, prefix: str = "r") -> dict[tuple[str, str], tuple[float, float]]:
    """What a step took in some runs."""
    return {(f"{prefix}{number}", ""): (taken, taken) for number, taken in enumerate(seconds)}


@pytest.mark.parametrize(
    ("low", "high", "known"),
    [(10.0, 30.0, True), (10.0, 30.1, False), (0.0, 5.0, True), (0.0, 5.1, False), (10.0, None, False)],
)
def test_what_is_narrow_enough(low: float, high: float | None, known: bool) -> None:
    """One to three is known, more is not, unless it is short in any case."""
    assert Range(low, high).known is known


def test_what_is_certain_has_no_width() -> None:
    """Pauses and rates are added as they are, to a range and without one."""
    assert together([Part(exact=20.0, basis="its pauses"), Part(exact=5.0)]) == Range(25.0, 25.0, "its pauses")
    past = together([Part(past=runs(10.0, 12.0, 11.0))])
    assert past.high is not None
    longer = together([Part(past=runs(10.0, 12.0, 11.0)), Part(exact=100.0)])
    assert (longer.low, longer.high) == pytest.approx((past.low + 100, past.high + 100))


def test_what_is_not_known_at_all() -> None:
    """One part of which nobody knows how long it takes leaves the end open; the least that it takes is known."""
    found = together([Part(span=(2.0, None), missing="kick"), Part(span=(1.0, 2.0), basis="B"), Part(answers=1)])
    assert found == Range(3.0, None, "B", "kick", answers=1)
    many = [Part(span=(0.0, None), missing=name) for name in ("a", "b", "b", "c", "d", "e")]
    assert together(many).missing == "a, b, c and 2 more"
    assert together(many[:4]).missing == "a, b, c"


def test_one_run_tells_about_how_long() -> None:
    """Of a single run the next may differ as is usual; of the same number many times over, hardly."""
    one = together([Part(past=runs(100.0))])
    assert one.known
    assert one.low < 75
    assert (one.high or 0) > 130
    many = together([Part(past=runs(*[100.0] * 20))])
    assert many.low > 95
    assert (many.high or 0) < 105
    assert (one.basis, many.basis) == ("1 earlier run", "20 earlier runs")


@pytest.mark.parametrize(
    ("seen", "freedom", "student"),
    [
        (1, 4, 2.132),
        (2, 3, 2.353),
        (4, 4, 2.132),
        (10, 9.4, 1.825),
        (20, 19.2, 1.728),
    ],  # from a table of Student's t, 95 %
)
def test_how_wide_a_range_is(seen: int, freedom: float, student: float) -> None:
    """Runs that took the same time: the usual difference counts as four of them, shared by all; below as far as above."""
    found = together([Part(past=runs(*[100.0] * seen))])
    spread = sqrt(4 / seen * 0.15**2 / freedom) * sqrt(1 + 1 / seen)
    assert log((found.high or 0) / 100) == pytest.approx(student * spread, rel=0.02)
    assert log(100 / found.low) == pytest.approx(student * spread, rel=0.02)


@pytest.mark.parametrize(
    ("seconds", "low", "high"),
    [
        ((10, 10, 10, 1), 0.5, 60),  # rarely quick
        ((10, 10, 10, 0.5), 0, 20),  # one run did not need it
        ((10, 10, 10, 0), 0, 20),
        ((0, 0, 0, 0), 0, 0),
    ],
)
def test_what_was_not_always_needed(seconds: tuple[float, ...], low: float, high: float) -> None:
    """A step that some runs did not need takes between nothing and what it took; its logarithm would say anything."""
    found = together([Part(past=runs(*seconds))])
    assert found.low == pytest.approx(low, abs=0.3)
    assert found.high == pytest.approx(high, rel=0.15)


def test_the_longest_part_says_how_many_runs_tell() -> None:
    """A long step of one run makes a range as wide as one run does, however many tell of a short one."""
    long, short = Part(past=runs(1000.0)), Part(past=runs(*[1.0] * 20))
    alone, both = together([long]), together([short, long])
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high), rel=0.05)


def test_it_may_take_as_long_as_it_ever_took() -> None:
    """The longest of many runs is within the range, however rare it is; the shortest need not be."""
    found = together([Part(past=runs(*[10.0] * 19, 60.0))])
    assert (found.high or 0) >= 60.0
    assert together([Part(past=runs(*[10.0] * 19, 1.0))]).low > 1.0


def test_what_varies_together_is_added_together() -> None:
    """Two steps that are slow in the same nights vary by twice as much; those that are slow in turns, not at all."""
    slow, fast = runs(10, 20, 10, 20, 10, 20), runs(20, 10, 20, 10, 20, 10)
    same, turns = together([Part(past=slow), Part(past=slow)]), together([Part(past=slow), Part(past=fast)])
    assert same.low <= 20
    assert (same.high or 0) >= 40
    assert turns.low > 25
    assert (turns.high or 0) < 35


def test_the_batches_of_a_run_are_one_night() -> None:
    """For a whole plan the batches of a run count as their mean; for one batch each counts by itself."""
    past = {("r1", f"[{n}]"): (float(n), float(n)) for n in range(1, 10)}
    past |= {("r2", f"[{n}]"): (float(n), float(n)) for n in range(1, 10)}
    whole, piece = together([Part(past=past)], by_run=True), together([Part(past=past)])
    assert whole.low > 2
    assert piece.low < 1.5
    assert (piece.high or 0) >= 9


def test_nine_batches_of_one_night_tell_as_much_as_one() -> None:
    """How much nights differ, batches of the same night do not show, however many there are."""
    past = {("r0", f"[{number}]"): (100.0, 100.0) for number in range(9)}
    assert together([Part(past=past)]) == together([Part(past=runs(100.0))])


def test_a_step_that_a_run_did_not_have_is_as_usual() -> None:
    """A step of which other runs tell is taken as it is on average in the runs that did not have it."""
    found = together([Part(past=runs(10.0, 10.0, 10.0)), Part(past=runs(5.0, 5.0, prefix="other"))])
    assert found.low < 15 < (found.high or 0)
    assert found.basis == "5 earlier runs"


@pytest.mark.parametrize(
    ("spread", "seen"),
    [(0.05, 10), (0.05, 20), (0.15, 1), *((spread, seen) for spread in (0.15, 0.25) for seen in (2, 3, 5, 10, 20))],
)
def test_nine_times_out_of_ten(spread: float, seen: int) -> None:
    """Of nights that differ by chance, the next lies within the range in 80 to 97 % of cases, after few nights and after many."""
    dice, hits, cases = Random(f"{seen} {spread}"), 0, 1500
    for _ in range(cases):
        nights = [60 * dice.lognormvariate(0.0, spread) for _ in range(seen + 1)]
        found = together([Part(past=runs(*nights[:-1]))])
        hits += found.low <= nights[-1] <= (found.high or 0)
    assert 0.80 <= hits / cases <= 0.97
