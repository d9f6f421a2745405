"""10 000 schedules of troubles, kills and interruptions hold: the second quarter."""

from __future__ import annotations

import pytest

from tests.simulation.holds import EACH, hold


@pytest.mark.timeout(600)
def test_schedules_hold() -> None:
    """Limits, at most once, exactly one end, budgets, no starving, conservation: in every one of 2500 schedules."""
    hold(1 * EACH + 1)
