"""Thousands of schedules of troubles, kills and interruptions: what must always hold, holds in each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from orchestrator.scheduler import Scheduler
from tests.command_line import ROOT
from tests.simulation.broken import BROKEN
from tests.simulation.loop import Stuck
from tests.simulation.schedule import Broken, play

SCHEDULES = 1500
WITHIN = 1000  # schedules within which each broken scheduler is caught


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What task groups wrapped."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error


@pytest.mark.timeout(600)
def test_schedules_hold() -> None:
    """Limits, at most once, exactly one end, budgets, no starving, conservation: in every one of many schedules."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", str(SCHEDULES), "--from", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_replays_exactly() -> None:
    """The same seed gives the same requests at the same times."""
    for seed in range(1, 31):
        assert play(seed).digest == play(seed).digest


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheduler", BROKEN, ids=lambda scheduler: scheduler.__name__)
def test_a_broken_scheduler_is_caught(scheduler: type[Scheduler]) -> None:
    """A scheduler that was broken on purpose fails one of the first schedules."""
    for seed in range(1, WITHIN + 1):
        try:
            play(seed, scheduler=scheduler)
        except (Broken, Stuck, BaseExceptionGroup) as found:
            (first, *_) = leaves(found)
            assert isinstance(first, Broken | Stuck), first
            print(f"{scheduler.__name__}: seed {seed}: {first}")
            return
    pytest.fail(f"{WITHIN} schedules found nothing wrong with {scheduler.__name__}")


def test_an_operator_who_loses_patience() -> None:
    """A second signal at any moment ends the session, and the run can be resumed."""
    for seed in range(1, 400):
        play(seed, cancels=True)
