"""The limit of a host with `per_host: auto`, against hosts that are simulated with a virtual clock."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from orchestrator.engine.concurrency import CEILING, ROUND, SETTLED, Tuner
from orchestrator.outcome import Kind


def throughput(workers: int, limit: Tuner | int, *, answers: int = 4000, seed: int = 1, uneven: bool = False) -> float:
    """Answers a second of a host with so many workers, 13 ms an answer, under a limit.

    Args:
        workers: how many it works on at a time.
        limit: how many it is sent at a time.
        answers: after which it ends.
        seed: of the dice.
        uneven: whether some answers take many times as long as others.
    """
    dice = random.Random(seed)

    def length() -> float:
        return 0.013 * (dice.expovariate(1) if uneven else dice.uniform(0.8, 1.2))

    now, under_way, waiting, free = 0.0, 0, 0, workers
    ends: list[float] = []
    for _ in range(answers):
        while under_way < (limit if isinstance(limit, int) else limit.limit):
            under_way += 1
            if free:
                free -= 1
                heapq.heappush(ends, now + length())
            else:
                waiting += 1
        now = heapq.heappop(ends)
        under_way -= 1
        if waiting:
            waiting -= 1
            heapq.heappush(ends, now + length())
        else:
            free += 1
        if isinstance(limit, Tuner):
            limit.heard(Kind.DONE, now)
            assert 1 <= limit.limit <= CEILING
    return answers / now


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 6, 8, 12])
def test_close_to_the_best_fixed_limit(workers: int) -> None:
    """Whatever a host can take, the limit that is found brings at least 90 % of the best fixed one."""
    best = max(throughput(workers, fixed) for fixed in range(1, CEILING + 1))
    assert throughput(workers, Tuner()) >= 0.9 * best


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 6, 8, 12, 16])
@pytest.mark.parametrize("seed", range(3))
def test_uneven_answers_do_not_mislead(workers: int, seed: int) -> None:
    """Though a round's rate says little when answers differ much, 2000 of them come as quickly as with a fixed limit."""
    best = max(throughput(workers, fixed, answers=2000, seed=seed, uneven=True) for fixed in (1, 2, 4, 8, 16))
    assert throughput(workers, Tuner(), answers=2000, seed=seed, uneven=True) >= 0.9 * best


def settled(tuner: Tuner, rates: Mapping[int, float], now: float = 0.0) -> tuple[set[int], float]:
    """The limits that a host works with at which so many answers a second come; and the time after 2000 answers."""
    seen = Counter[int]()
    for _ in range(2000):
        now += 1 / rates[tuner.limit]
        seen[tuner.limit] += 1
        tuner.heard(Kind.DONE, now)
    return {limit for limit, count in seen.items() if count > 500}, now


def test_a_limit_that_brings_nothing_does_not_hide_a_better_one() -> None:
    """A host that gains nothing from 8 at a time may gain from 16, and one that gains nothing from either stays low."""
    assert settled(Tuner(), {1: 70, 2: 80, 4: 100, 8: 101, 16: 160})[0] == {16}
    assert settled(Tuner(), {1: 70, 2: 80, 4: 100, 8: 101, 16: 102})[0] == {4}


def test_a_host_that_becomes_slower_is_relieved() -> None:
    """When more at a time brings nothing any more, the limit comes down again, also without any error."""
    tuner = Tuner()
    found, now = settled(tuner, {1: 10, 2: 20, 4: 40, 8: 80, 16: 160})
    assert found == {16}
    for _ in range(5):
        _, now = settled(tuner, dict.fromkeys((1, 2, 4, 8, 16), 10.0), now)
    assert tuner.limit <= 2


def test_never_above_the_ceiling() -> None:
    """A host without end is still not sent more than 16 at a time, though the playbook allows more, or what it allows."""
    generous, spoilt, strict = Tuner(), Tuner(64), Tuner(3)
    for tuner in (generous, spoilt, strict):
        throughput(100, tuner)
    assert (generous.limit, spoilt.limit) == (CEILING, CEILING)
    assert strict.limit <= 3


@pytest.mark.parametrize("kind", [Kind.TEMPORARY, Kind.UNKNOWN, Kind.UNREACHABLE])
def test_trouble_halves_at_once(kind: Kind) -> None:
    """Exit code 75 and lost answers halve the limit at once, down to 1."""
    tuner = Tuner()
    throughput(12, tuner)
    before = tuner.limit
    tuner.heard(kind, 1e6)
    assert tuner.limit == max(1, before // 2)
    for _ in range(10):
        tuner.heard(kind, 1e6)
    assert tuner.limit == 1


def test_after_trouble_a_host_is_left_in_peace() -> None:
    """What was found too much is not tried again at once, but after some thirty rounds: else trouble would follow trouble."""
    tuner = Tuner()
    settled(tuner, {1: 10, 2: 20, 4: 40, 8: 80, 16: 160})
    tuner.heard(Kind.TEMPORARY, 1e6)
    reached, now = tuner.limit, 1e6
    answers = 0
    while tuner.limit == reached and answers < 5000:
        answers += 1
        now += 1 / (10 * tuner.limit)
        tuner.heard(Kind.DONE, now)
    assert (reached, tuner.limit) == (8, 4)  # and then it is tried from below
    assert answers >= SETTLED * ROUND * reached


def answers(tuner: Tuner, count: int, rates: Mapping[int, float], now: float) -> float:
    """So many answers come, at the rate of the limit that holds; returns when the last one came."""
    for _ in range(count):
        now += 1 / rates[tuner.limit]
        tuner.heard(Kind.DONE, now)
    return now


def test_a_round_is_measured_from_answer_to_answer() -> None:
    """The first answer begins the measuring and does not count; a round of 5 answers for each request at a time follows."""
    tuner = Tuner()
    now = answers(tuner, 20, {4: 100.0}, 50.0)
    assert tuner.limit == 4
    now = answers(tuner, 1, {4: 100.0}, now)
    assert tuner.limit == 8
    answers(tuner, 39, {8: 200.0}, now)
    assert tuner.limit == 8
    answers(tuner, 1, {8: 200.0}, now)
    assert tuner.limit == 16


def test_answers_of_one_moment_say_nothing_of_a_rate() -> None:
    """However many answers come at the same moment, the limit stays until time has passed."""
    tuner = Tuner()
    for _ in range(200):
        tuner.heard(Kind.DONE, 7.0)
    assert tuner.limit == 4
    tuner.heard(Kind.DONE, 7.5)
    assert tuner.limit == 8


def test_trouble_is_followed_by_rest() -> None:
    """After trouble the limit stays for 30 rounds; then it is tried from below."""
    tuner = Tuner()
    tuner.heard(Kind.TEMPORARY, 0.0)
    now = answers(tuner, 30 * 16 - 1, {2: 100.0}, 0.0)
    assert tuner.limit == 2
    answers(tuner, 1, {2: 100.0}, now)
    assert tuner.limit == 1


def test_only_two_higher_limits_are_tried_in_vain() -> None:
    """When two higher limits in a row bring nothing, it goes back and tries no third."""
    tuner = Tuner()
    for moment in (0.0, 0.0):
        tuner.heard(Kind.UNREACHABLE, moment)
    now, seen = 0.0, set[int]()
    for _ in range(3000):
        now = answers(tuner, 1, dict.fromkeys((1, 2, 4, 8, 16), 100.0), now)
        seen.add(tuner.limit)
    assert seen == {1, 2, 4}
