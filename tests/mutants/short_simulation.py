"""A few of the simulation's schedules, for runs that have no minutes."""

from __future__ import annotations

import pytest

from tests.simulation.schedule import play

SEEDS = 60
EACH = 10


@pytest.mark.parametrize("first", range(1, SEEDS, EACH))
def test_schedules_hold(first: int) -> None:
    """Limits, at most once, exactly one end, budgets, no starving, conservation: in the first schedules."""
    for seed in range(first, first + EACH):
        play(seed)
