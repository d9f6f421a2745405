"""Plays schedules: `python -m tests.simulation --seeds 10000 --from 1`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.simulation.schedule import Story, play

CHUNK = 25
SHOWN = 10  # failures


RATES = (3.0, 17.0, 40.0, 100.0, 300.0)  # requests a second, for --rates


def _told(seed: int, options: dict[str, Any]) -> str:
    """What is wrong with a schedule; empty when it holds."""
    try:
        play(seed, **options)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a schedule ends with belongs to its seed
        return f"seed {seed}: {type(error).__name__}: {error}"
    return ""


def _several(seeds: range, options: dict[str, Any]) -> list[str]:
    gc.collect()
    return [words for seed in seeds if (words := _told(seed, options))]


def run(seeds: range, jobs: int, options: dict[str, Any]) -> Iterator[str]:
    """Run all schedules, in some processes; yields what is wrong."""
    if jobs == 1:
        yield from (words for seed in seeds if (words := _told(seed, options)))
        return
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        found: Iterable[list[str]] = pool.map(_several, chunks, [options] * len(chunks))
        for words in found:
            yield from words


def _show(seed: int, options: dict[str, Any]) -> int:
    """One schedule, with its story or its traceback."""
    try:
        story: Story = play(seed, **options)
    except Exception:  # noqa: BLE001 - to be shown
        traceback.print_exc()
        return 1
    print(story)
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Runs schedules, one a seed.")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many schedules")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="SEED", help="the first seed")
    parser.add_argument("--seed", type=int, help="one schedule alone, shown in full")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--cancels", action="store_true", help="with operators who send a second signal")
    parser.add_argument("--rates", action="store_true", help="every schedule with a rate")
    given = parser.parse_args()
    options = {"cancels": given.cancels, "rates": RATES if given.rates else None}
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of host names are gone through in the order of their hashes
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    if given.seed is not None:
        return _show(given.seed, options)
    begun = time.monotonic()
    count = 0
    for words in run(range(given.first, given.first + given.seeds), given.jobs, options):
        count += 1
        if count <= SHOWN:
            print(words, flush=True)
    seconds = time.monotonic() - begun
    print(f"{given.seeds} schedules in {seconds:.0f} s, {given.seeds / seconds * 60:.0f} a minute; {count} failed")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
