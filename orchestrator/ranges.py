"""How long things take as ranges, and what several of them take together. Pure.

Of each earlier run is known how long it would have taken to do what is planned now; a range is where the next such number is
expected nine times out of ten, and its high end is no less than the longest that was seen: windows rest on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, log, sqrt
from statistics import fmean

WIDEST = 3.0  # a range whose high end is more than so many times its low end is as good as unknown
SHORT = 5.0  # seconds; of what takes no longer nobody wants to know more
USUAL = 0.15  # by what share one run differs from the next, where too few were seen to tell
NINE_IN_TEN = 1.645  # standard deviations to both sides
NEXT_TO_NOTHING = 0.1  # of the mean: a step that one run did not need is no rarely quick one
MOST_NAMED = 3

Span = tuple[float, float]  # seconds: at least, at most
Moment = tuple[str, str]  # a run, and a batch of it


@dataclass(frozen=True)
class Range:
    """How long something takes.

    Attributes:
        low, high: seconds; `high` is None where nobody can say.
        basis: how that is known, for people.
        missing: of what nothing is known, for people; empty where something is.
        answers: how many answers of an operator it waits for, which are not in it.
    """

    low: float = 0.0
    high: float | None = 0.0
    basis: str = ""
    missing: str = ""
    answers: int = 0

    @property
    def known(self) -> bool:
        """Whether it is narrow enough to plan with."""
        return self.high is not None and (self.high <= SHORT or self.high <= WIDEST * self.low)


@dataclass(frozen=True)
class Part:
    """What a step takes.

    Attributes:
        exact: seconds that are certain.
        span: what is expected beyond them, where no earlier run tells; its end is None for unknown.
        past: what it was beyond them in earlier runs.
    """

    exact: float = 0.0
    span: tuple[float, float | None] = (0.0, 0.0)
    past: Mapping[Moment, Span] = field(default_factory=dict)
    basis: str = ""
    missing: str = ""
    answers: int = 0

    @cached_property
    def nights(self) -> Mapping[Moment, Span]:
        """What it was in each run, on average of the run's batches."""
        found: dict[str, list[Span]] = {}
        for (run, _), span in self.past.items():
            found.setdefault(run, []).append(span)
        return {(run, ""): _mean(spans) for run, spans in found.items()}


def together(parts: Sequence[Part], *, by_run: bool = False) -> Range:
    """Parts that come one after the other, as one.

    What varies together in earlier runs, since a night is slow or a host is, is added as it was then; so the whole is narrower
    than the sum of its parts.

    Args:
        parts: they.
        by_run: take runs as a whole, and not each batch of them by itself.
    """
    least, most = _of_past([part.nights if by_run else part.past for part in parts if part.past])
    exact = sum(part.exact for part in parts)
    highs = [part.span[1] for part in parts]
    return Range(
        low=exact + least + sum(part.span[0] for part in parts),
        high=None if None in highs else exact + most + sum(filter(None, highs)),
        basis=_basis(parts),
        missing=_missing(parts),
        answers=sum(part.answers for part in parts),
    )


def _of_past(told: Sequence[Mapping[Moment, Span]]) -> Span:
    """What those parts take together of which earlier runs tell; of the longest of them is asked how many did."""
    if not told:
        return 0.0, 0.0
    moments = sorted({moment for past in told for moment in past})
    spans = [_completed(past, moments) for past in told]
    longest = max(range(len(told)), key=lambda number: sum(most for _, most in spans[number]))
    nights = {run for run, _ in told[longest]}
    return _expected([_sum(at_once) for at_once in zip(*spans, strict=True)], len(nights))


def _sum(spans: Iterable[Span]) -> Span:
    lows, highs = zip(*spans, strict=True)
    return sum(lows), sum(highs)


def _mean(spans: Iterable[Span]) -> Span:
    lows, highs = zip(*spans, strict=True)
    return fmean(lows), fmean(highs)


def _completed(past: Mapping[Moment, Span], moments: Sequence[Moment]) -> list[Span]:
    """What a step took at each moment; where it was not, what it takes on average."""
    usual = _mean(past.values())
    return [past.get(moment, usual) for moment in moments]


def _expected(spans: Sequence[Span], seen: int) -> Span:
    """Between what and what the next such number lies nine times out of ten; at most no less than the longest that was seen.

    Args:
        spans: numbers as they were, or could have been.
        seen: in how many runs; what the batches of one have in common, they do not tell twice.
    """
    lows, highs = zip(*spans, strict=True)
    return _interval(lows, seen)[0], max(_interval(highs, seen)[1], *highs)


def _interval(values: Sequence[float], seen: int) -> Span:
    """Where the next of some times is expected: half as long is as rare as twice as long, unless some are next to nothing."""
    mean = fmean(values)
    if min(values) > mean * NEXT_TO_NOTHING:
        logarithms = [log(value) for value in values]
        middle, far = fmean(logarithms), _deviation(logarithms, USUAL, seen)
        return exp(middle - far), exp(middle + far)
    far = _deviation(values, USUAL * mean, seen)
    return max(0.0, mean - far), mean + far


def _deviation(values: Sequence[float], usual: float, seen: int) -> float:
    """How far from their mean the next of some numbers is, nine times out of ten.

    The prediction interval of a normal distribution; what is usual counts for the fewer, the more were seen.
    """
    mean = fmean(values)
    prior = 4 / seen  # so many numbers with the usual difference
    freedom = prior + seen - 1
    varied = fmean((value - mean) ** 2 for value in values) * seen
    return _student(freedom) * sqrt((prior * usual**2 + varied) / freedom) * sqrt(1 + 1 / seen)


def _student(freedom: float) -> float:
    """The 95th percentile of Student's distribution (Fisher's expansion; within 1 % from four degrees of freedom on)."""
    z = NINE_IN_TEN
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _basis(parts: Sequence[Part]) -> str:
    runs = {run for part in parts for run, _ in part.nights}
    found = [f"{len(runs)} earlier run{'' if len(runs) == 1 else 's'}"] if runs else []
    return ", ".join([*found, *dict.fromkeys(part.basis for part in parts if part.basis)])


def _missing(parts: Sequence[Part]) -> str:
    found = list(dict.fromkeys(part.missing for part in parts if part.missing))
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(found[:MOST_NAMED]) + more
