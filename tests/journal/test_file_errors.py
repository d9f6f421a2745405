"""What SQLite says is told as an operator needs it; and what is no fault is none: names with odd signs, links, half-done changes."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import pytest

from orchestrator.errors import DamagedRunError, JournalError
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.schema import (
    APPLICATION_ID,
    FORMAT,
    OVER,
    connect,
    connect_still,
    explain,
    format_of,
    is_over,
    is_still,
    mark_over,
)
from orchestrator.outcome import State
from tests.journal.journals import HEADER, KICKS, half_done
from tests.strategies import plan


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run file of six operations on two hosts."""
    return create([("a", tmp_path / "a.run")], plan(KICKS), HEADER)


def pending(path: Path) -> int:
    """How many operations are pending."""
    with FileReader(path) as reader:
        return reader.counts()[State.PENDING]


@pytest.mark.parametrize(
    ("words", "kind", "message", "hint"),
    [
        ("database or disk is full", JournalError, "the disk with the run file a.run is full", "make room"),
        ("database disk image is malformed", DamagedRunError, "the run file a.run is damaged: ", ""),
        ("file is not a database", DamagedRunError, "the run file a.run is damaged: ", ""),
        ("database is locked", JournalError, "a.run is being written by another process", "wait for it"),
        ("attempt to write a readonly database", JournalError, "a.run cannot be written: ", "permissions"),
        ("disk I/O error", JournalError, "the run file a.run cannot be used: disk I/O error", "look at the disk"),
    ],
)
def test_what_sqlite_says_is_told_with_what_to_do(words: str, kind: type, message: str, hint: str) -> None:
    """Each cause has its own words and its own remedy; only damage is called damage."""
    error = explain(sqlite3.OperationalError(words), Path("a.run"))
    assert (type(error), hint in error.hint) == (kind, True)
    assert message in error.message


@pytest.mark.parametrize("name", ["a?mode=memory.run", "a#b.run", "100%25 of them.run", "ä b.run", "file:x.run"])
def test_a_run_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Signs that mean something in SQLite's addresses are names here: that file is opened, and no other."""
    path = create([("a", tmp_path / name)], plan(KICKS), HEADER)
    assert pending(path) == 6
    connect(path, write=True).close()
    connect_still(path).close()
    path.with_name(f"{name}-journal").touch()
    assert pending(path) == 6
    assert {found.name for found in tmp_path.iterdir()} <= {name, f"{name}-journal"}


def test_a_link_to_a_run_file_is_the_file(path: Path) -> None:
    """By a symbolic link it is written under its own name, where its log is looked for."""
    link = path.with_name("link.run")
    link.symlink_to("a.run")
    connection = connect(link, write=True)
    connection.execute("UPDATE operation SET state = 2 WHERE seq = 1")
    assert path.with_name("a.run-wal").exists()
    assert pending(path) == pending(link) == 5
    connection.close()


def test_a_half_done_change_is_undone_before_a_file_is_read(path: Path) -> None:
    """What a process had begun and not ended when it was killed is no part of the run, also for who only looks."""
    half_done(path)
    assert pending(path) == 6
    assert not path.with_name("a.run-journal").exists()


def with_header(path: Path, magic: bytes, version: int, application: int) -> None:
    """Put these into the file's header."""
    content = bytearray(path.read_bytes())
    content[:16] = magic
    struct.pack_into(">I4xI", content, 60, version, application)
    path.write_bytes(content)


MAGIC = b"SQLite format 3\0"


@pytest.mark.parametrize(
    ("magic", "version", "application", "over"),
    [
        (MAGIC, FORMAT, APPLICATION_ID, False),
        (MAGIC, OVER - 1, APPLICATION_ID, False),
        (MAGIC, OVER, APPLICATION_ID, True),
        (MAGIC, OVER + FORMAT, APPLICATION_ID, True),
        (MAGIC, 1, APPLICATION_ID, True),
        (MAGIC, OVER + FORMAT, APPLICATION_ID + 1, False),
        (b"SQLite format 4\0", OVER + FORMAT, APPLICATION_ID, False),
    ],
)
def test_what_a_glance_at_the_header_tells(
    path: Path, magic: bytes, version: int, application: int, over: bool
) -> None:
    """That nothing is left is believed only of a run file that says so in its own place."""
    with_header(path, magic, version, application)
    assert is_over(path) == over


def test_the_mark_changes_no_format(path: Path) -> None:
    """A run that is over and begun again has the format that it had."""
    for over in (True, False):
        connection = connect(path, write=True)
        mark_over(connection, over=over)
        assert format_of(connection) == FORMAT
        connection.close()
        assert is_over(path) == over
        with FileReader(path) as reader:
            assert reader.resumable


def test_what_is_being_written_is_not_still(path: Path) -> None:
    """A log with something in it says so, an empty one does not; a file that is not there is nothing."""
    before = is_still(path)
    assert before is not None
    assert before[1] == path.stat().st_size
    log = path.with_name("a.run-wal")
    log.touch()
    assert is_still(path) == before
    log.write_bytes(b"x")
    assert is_still(path) is None
    assert not is_over(path)
    log.unlink()
    path.unlink()
    assert is_still(path) is None
    assert not is_over(path)


def test_a_look_at_what_is_still_takes_no_lock(path: Path) -> None:
    """It reads while another process has the file for itself, and refuses what is no run file as every other reader does."""
    holding = sqlite3.connect(path, isolation_level=None)
    holding.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; UPDATE operation SET state = 2; ROLLBACK")
    with FileReader(path, connect_still) as reader:
        assert reader.counts() == {State.PENDING: 6}
    holding.close()
    with_header(path, MAGIC, FORMAT, 7)
    with pytest.raises(DamagedRunError, match="is not a run file"):
        connect_still(path)
    with pytest.raises(JournalError, match="there is no run file"):
        connect_still(path.with_name("b.run"))
