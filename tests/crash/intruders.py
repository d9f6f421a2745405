"""A second process that wants to work on a run while the first one does, by every way to reach the same file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Way = Callable[[Path, Path], tuple[str, Path]]


@dataclass(frozen=True)
class Intruder:
    """How a second process reaches a run.

    Attributes:
        name: for the table.
        target: what it is told to work on.
        state: its state directory.
    """

    name: str
    target: str
    state: Path


def _by_path(run: Path, _elsewhere: Path) -> tuple[str, Path]:
    return str(run), run.parent


def _by_symlink(run: Path, elsewhere: Path) -> tuple[str, Path]:
    link = elsewhere / run.name
    link.symlink_to(run)
    return str(link), run.parent


def _by_hard_link(run: Path, elsewhere: Path) -> tuple[str, Path]:
    link = elsewhere / run.name
    os.link(run, link)
    return str(link), run.parent


def _without_lock(run: Path, _elsewhere: Path) -> tuple[str, Path]:
    run.with_name(run.name + ".lock").unlink(missing_ok=True)
    return run.stem, run.parent


def _copy(run: Path, elsewhere: Path) -> tuple[str, Path]:
    for suffix in ("", "-wal"):
        path = run.with_name(run.name + suffix)
        if path.exists():
            shutil.copy(path, elsewhere / path.name)
    return run.stem, elsewhere


def _copy_without_log(run: Path, elsewhere: Path) -> tuple[str, Path]:
    shutil.copy(run, elsewhere / run.name)
    return run.stem, elsewhere


WITHOUT_LOCK = "no lock file"
WAYS: dict[str, Way] = {
    "path": _by_path,
    "symlink": _by_symlink,
    "hard link": _by_hard_link,
    WITHOUT_LOCK: _without_lock,
    "copy": _copy,
    "copy without log": _copy_without_log,
}
COPIES = frozenset({"copy", "copy without log"})


@contextmanager
def intruder(way: str, run: Path) -> Iterator[Intruder]:
    """A way to a run, which is cleared away at the end."""
    elsewhere = run.parent.parent / "elsewhere"
    elsewhere.mkdir()
    try:
        target, state = WAYS[way](run, elsewhere)
        yield Intruder(way, target, state)
    finally:
        shutil.rmtree(elsewhere)
