"""The limit of a host with `per_host: auto`, against hosts that are simulated with a virtual clock."""

from __future__ import annotations

import heapq
import random

import pytest

from orchestrator.outcome import Kind
from orchestrator.tuning import CEILING, Tuner


def throughput(workers: int, limit: Tuner | int, *, answers: int = 4000, seed: int = 1) -> float:
    """Answers a second of a host with so many workers, 13 ms an answer, under a limit."""
    dice = random.Random(seed)
    now, under_way, waiting, free = 0.0, 0, 0, workers
    ends: list[float] = []
    for _ in range(answers):
        while under_way < (limit if isinstance(limit, int) else limit.limit):
            under_way += 1
            if free:
                free -= 1
                heapq.heappush(ends, now + dice.uniform(0.8, 1.2) * 0.013)
            else:
                waiting += 1
        now = heapq.heappop(ends)
        under_way -= 1
        if waiting:
            waiting -= 1
            heapq.heappush(ends, now + dice.uniform(0.8, 1.2) * 0.013)
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


def test_never_above_the_ceiling() -> None:
    """A host without end is still not sent more than 16 at a time, or what the playbook allows."""
    generous, strict = Tuner(), Tuner(3)
    throughput(100, generous)
    throughput(100, strict)
    assert generous.limit <= CEILING
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
