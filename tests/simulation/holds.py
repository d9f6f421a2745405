"""Plays a range of schedules in a process of its own, where sets have the same order every time."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.command_line import ROOT

EACH = 2500  # schedules in each of the four files, which workers of pytest share among themselves


def hold(first: int, count: int = EACH) -> None:
    """Assert that limits, at most once, exactly one end, budgets, no starving and conservation hold in each of them."""
    words = ["-m", "tests.simulation", "--seeds", str(count), "--from", str(first), "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
