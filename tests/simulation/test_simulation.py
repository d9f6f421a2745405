"""Schedules are worth something: they catch broken schedulers, and a seed makes the same schedule every time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.engine.scheduler import Scheduler
from tests.command_line import ROOT
from tests.simulation.__main__ import RATES
from tests.simulation.broken import BROKEN, DEFECTS
from tests.simulation.loop import Stuck
from tests.simulation.schedule import Broken, Parts, play

WITHIN = 1000  # schedules within which each broken scheduler is caught

_FROM_ROOT: dict[str, Any] = {
    "cwd": ROOT,
    "env": {**os.environ, "PYTHONHASHSEED": "0"},
    "capture_output": True,
    "text": True,
    "check": False,
    "timeout": 110,
}
_BROKEN_COMMAND = """
import sys
import tests.simulation.__main__ as command
from tests.simulation import schedule
from tests.simulation.schedule import Parts
from tests.simulation.broken import ForgetsRate

held = schedule.play
command.play = lambda seed, **options: held(seed, parts=Parts(scheduler=ForgetsRate), **options)
sys.exit(command.main())
"""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What task groups wrapped."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error


def test_a_seed_replays_exactly() -> None:
    """The same seed gives the same requests at the same times."""
    for seed in range(1, 31):
        assert play(seed).digest == play(seed).digest


def test_memory_is_as_good_as_a_file() -> None:
    """A run file in memory makes the same schedule as a run file on a disk."""
    for seed in range(1, 61):
        assert play(seed, real=False).digest == play(seed, real=True).digest


def test_a_seed_that_fails_is_named_and_fails_alone() -> None:
    """What the command says of a schedule that fails is the seed that fails again when it is run alone."""
    words = [sys.executable, "-c", _BROKEN_COMMAND]
    many = subprocess.run([*words, "--seeds", "40", "--jobs", "2"], **_FROM_ROOT)
    assert many.returncode == 1, many.stdout + many.stderr
    first = next(line for line in many.stdout.splitlines() if line.startswith("seed "))
    seed = first.removeprefix("seed ").partition(":")[0]
    alone = subprocess.run([*words, "--seeds", "1", "--from", seed], **_FROM_ROOT)
    assert alone.returncode == 1
    assert first in alone.stdout.splitlines()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheduler", BROKEN, ids=lambda scheduler: scheduler.__name__)
def test_a_broken_scheduler_is_caught(scheduler: type[Scheduler]) -> None:
    """A scheduler that was broken on purpose fails one of the first schedules."""
    for seed in range(1, WITHIN + 1):
        try:
            play(seed, parts=Parts(scheduler=scheduler))
        except (Broken, Stuck, BaseExceptionGroup) as found:
            (first, *_) = leaves(found)
            assert isinstance(first, Broken | Stuck), first
            print(f"{scheduler.__name__}: seed {seed}: {first}")
            return
    pytest.fail(f"{WITHIN} schedules found nothing wrong with {scheduler.__name__}")


SOON = 200  # schedules within which each defect of the engine is found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_soon(name: str) -> None:
    """A fence left out, an undo that returns early, a layout matched by index, a wake-up lost: some schedule fails at once."""
    for seed in range(1, SOON + 1):
        try:
            play(seed, parts=DEFECTS[name], cancels=True, rates=RATES if name == "a turn slept through" else None)
        except (Broken, Stuck, BaseExceptionGroup) as found:
            print(f"{name}: seed {seed}: {next(leaves(found))}")
            return
    pytest.fail(f"{SOON} schedules found nothing wrong with {name}")


def test_an_operator_who_loses_patience() -> None:
    """A second signal at any moment ends the session, and the run can be resumed."""
    for seed in range(1, 400):
        play(seed, cancels=True)
