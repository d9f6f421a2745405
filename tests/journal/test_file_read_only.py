"""Run files where nothing can be written: not by this user, or because the disk takes no more. What is there is read all the same."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.errors import JournalError
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.schema import is_still, mark_over
from orchestrator.journal.sqlite.store import FileRun
from orchestrator.outcome import State
from tests.journal.journals import HEADER, KICKS, full_disk, half_done, with_log
from tests.strategies import plan

NOBODY = 65534


@pytest.fixture
def path() -> Iterator[Path]:
    """A run file of six operations, where other users may look for it."""
    folder = Path(tempfile.mkdtemp())
    yield create([("a", folder / "a.run")], plan(KICKS), HEADER)
    folder.chmod(0o700)
    shutil.rmtree(folder)


@contextmanager
def as_another_user(path: Path) -> Iterator[None]:
    """This process as one who owns nothing; whoever is not root is bound by modes as it is."""
    if os.getuid():
        yield
        return
    entered = [folder for folder in path.parents if folder.stat().st_mode & 0o001 == 0]
    if entered != [path.parent][: len(entered)]:
        pytest.skip(f"nobody else can enter {entered[-1]}")
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def pending(path: Path) -> int:
    """How many operations are pending."""
    with FileReader(path) as reader:
        return reader.counts()[State.PENDING]


def names_beside(path: Path) -> list[str]:
    """The files of its directory."""
    return sorted(found.name for found in path.parent.iterdir())


@pytest.mark.parametrize(("file", "folder"), [(0o444, 0o555), (0o666, 0o555)])
def test_what_one_may_only_read_is_read(path: Path, file: int, folder: int) -> None:
    """A run of somebody else can be looked at, with nothing left beside it."""
    path.chmod(file)
    path.parent.chmod(folder)
    with as_another_user(path):
        assert pending(path) == 6
    assert names_beside(path) == ["a.run"]


def test_a_log_that_cannot_be_read_is_not_passed_over(path: Path) -> None:
    """Where a part of the run is in a log that this user cannot work with, half of it is not shown for all of it."""
    with_log(path)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    with as_another_user(path), pytest.raises(JournalError) as caught:
        FileReader(path)
    assert caught.value.message == (
        f"{path} cannot be read in a directory that you cannot write to: part of it is in a.run-wal"
    )
    assert caught.value.hint == "copy both to a directory of your own and read it there, or read it as its owner"


def test_a_half_done_change_that_one_cannot_undo_is_not_shown(path: Path) -> None:
    """Whoever may not write the file is told so, rather than what a killed process had not ended."""
    half_done(path)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    with as_another_user(path), pytest.raises(JournalError, match="cannot be opened: attempt to write a readonly"):
        FileReader(path)


def test_what_one_may_not_read_is_told(path: Path) -> None:
    """The file's mode is in the way, not the disk and not the file."""
    path.chmod(0o200)
    path.parent.chmod(0o555)
    with as_another_user(path), pytest.raises(JournalError, match=r"a\.run cannot be read: permission denied"):
        FileReader(path)


def test_on_a_full_disk_a_run_is_read(path: Path) -> None:
    """Whoever looks where there is no room left needs none; what is still in a log cannot be read then, and that is told."""
    with full_disk():
        assert pending(path) == 6
    with_log(path)
    with full_disk(), pytest.raises(JournalError, match="disk I/O error"):
        FileReader(path)
    assert pending(path) == 5


def test_what_a_killed_process_left_half_done_is_looked_into(path: Path) -> None:
    """A change that is not complete is no state of the run: the header alone is not believed, and a reader undoes it first."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        mark_over(connection, over=True)
    connection.close()
    assert (FileRun(path, "a").is_over(), is_still(path) is None) == (True, False)
    path.with_name("a.run-journal").touch()
    assert (FileRun(path, "a").is_over(), is_still(path) is None) == (False, True)
