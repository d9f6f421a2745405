"""The writer of a run file: one thread, whole commits on the disk, and no more after one that failed."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from orchestrator.errors import DamagedRunError, JournalError
from orchestrator.journal.base import AttemptResult, Start
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.statements import now_ms
from orchestrator.journal.sqlite.writer import Writer
from orchestrator.outcome import State
from tests.journal.journals import HEADER, KICKS, Sqlite, ended, failed
from tests.strategies import plan


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run file of six operations on two hosts."""
    return create([("a", tmp_path / "a.run")], plan(KICKS), HEADER)


class Writing:
    """A writer, and what it said."""

    def __init__(self, path: Path) -> None:
        self.commits: list[int] = []
        self.failures: list[JournalError] = []
        self.writer = Writer(path, self.commits.append, self.failures.append)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def write(self, *records: AttemptResult) -> None:
        """Write records in one group, and wait for them."""
        self.writer.write(list(records))
        self.call(lambda _connection: None)

    def call(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run a job, and wait for it."""
        return self.writer.call(job).result(timeout=30)


def counts(path: Path) -> dict[State, int]:
    """The operations by state."""
    with FileReader(path) as reader:
        return dict(reader.steps()[0].counts)


def alter(path: Path, statement: str) -> None:
    """Somebody else changes the file."""
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_a_commit_is_on_the_disk(path: Path) -> None:
    """The writer waits for the disk in each commit: what it says is durable survives the machine, not only the process."""
    with Writing(path) as writing:
        assert writing.call(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (2,)  # FULL
        assert writing.call(lambda c: c.execute("PRAGMA journal_mode").fetchone()) == ("wal",)


def test_a_group_is_one_commit(path: Path) -> None:
    """What was handed over together is told together, with its number, and read while the writer is at work."""
    with Writing(path) as writing:
        writing.write(ended(1), failed(2), ended(3))
        assert (writing.commits, writing.failures) == ([3], [])
        assert counts(path) == {State.PENDING: 3, State.DONE: 2, State.FAILED: 1}


@pytest.mark.parametrize(
    ("broken", "group"),
    [
        ("DROP TABLE remark", [ended(1), failed(2)]),
        ("DROP TABLE answer", [ended(1, rows=[{"a": "b"}]), ended(2)]),
        ("DROP TABLE attempt", [ended(1), ended(2, state=State.PENDING)]),
        ("SELECT 1", [ended(1), ended(2, rows=[{"a": "b"}])._replace(left_out=2**70)]),  # no number of SQLite's
    ],
)
def test_a_group_is_written_wholly_or_not(path: Path, broken: str, group: list[AttemptResult]) -> None:
    """When a later statement of a group fails nothing of the group is there, and nobody waits for it for ever."""
    alter(path, broken)
    with Writing(path) as writing:
        with pytest.raises(JournalError):
            writing.write(*group)
        assert (writing.commits, len(writing.failures)) == ([], 1)
    assert counts(path) == {State.PENDING: 6}


def test_a_job_is_done_wholly_or_not(path: Path) -> None:
    """When a later statement of a job fails the earlier ones are undone."""

    def job(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE operation SET state = 2")
        connection.execute("INSERT INTO nosuchtable VALUES (1)")

    with Writing(path) as writing, pytest.raises(JournalError, match="nosuchtable"):
        writing.call(job)
    assert counts(path) == {State.PENDING: 6}


def test_a_job_that_raises_is_undone(path: Path) -> None:
    """A job's own exception goes to whoever asked, leaves no trace, and writing goes on."""

    def job(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE operation SET state = 2")
        raise ValueError("mine")

    with Writing(path) as writing:
        with pytest.raises(ValueError, match="mine"):
            writing.call(job)
        writing.write(ended(1))
    assert counts(path) == {State.PENDING: 5, State.DONE: 1}


def test_after_a_failure_nothing_is_written(path: Path) -> None:
    """Once a commit failed, later records and jobs are refused, so that no later one is believed."""
    with Writing(path) as writing:
        with pytest.raises(JournalError):
            writing.call(lambda connection: connection.execute("INSERT INTO nosuchtable VALUES (1)"))
        writing.writer.write([ended(1)])
        with pytest.raises(JournalError):
            writing.call(lambda _connection: None)
        assert (len(writing.failures), writing.commits) == (1, [])
    assert counts(path) == {State.PENDING: 6}


def test_a_full_disk_is_told_with_its_remedy(path: Path) -> None:
    """When there is no room for a commit nothing of it is there, and the error says what to do; what was before is safe."""
    with Writing(path) as writing:
        writing.write(ended(1))
        pages = writing.call(lambda c: c.execute("PRAGMA page_count").fetchone())[0]
        writing.call(lambda c: c.execute(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(JournalError, match=r"the disk with the run file .*a\.run is full") as caught:
            writing.write(ended(2), ended(3, rows=[{"long": "x" * 60_000}]))
        assert "make room, then resume" in caught.value.hint
        assert [failure.message for failure in writing.failures] == [caught.value.message]
    assert counts(path) == {State.PENDING: 5, State.DONE: 1}


def test_a_file_that_cannot_be_written_is_explained(path: Path) -> None:
    """A database error becomes an error of ours that names the file."""
    with Writing(path) as writing:
        writing.call(lambda connection: connection.execute("PRAGMA query_only = ON"))
        with pytest.raises(JournalError, match=r"a\.run cannot be written"):
            writing.write(ended(1))


def test_closing_writes_all_that_is_queued(path: Path) -> None:
    """What was handed over before the end is durable after it, stands in the file itself, and the thread is gone."""
    writing = Writing(path)
    for seq in range(1, 7):
        writing.writer.write([ended(seq)])
    writing.writer.close()
    assert writing.commits == [1] * 6
    assert not [thread for thread in threading.enumerate() if thread.name == "journal"]
    log = path.with_name("a.run-wal")
    assert not log.exists() or not log.stat().st_size
    assert counts(path) == {State.DONE: 6}


def test_jobs_come_after_what_was_queued_before(path: Path) -> None:
    """A job sees all records that were queued before it."""
    with Writing(path) as writing:
        for seq in range(1, 7):
            writing.writer.write([ended(seq)])
        assert writing.call(lambda c: c.execute("SELECT count(*) FROM operation WHERE state = 2").fetchone()[0]) == 6


def test_a_file_of_the_older_format_is_not_written(path: Path) -> None:
    """What an older version wrote can be read, and is refused by whoever would write, with the way on."""
    alter(path, "PRAGMA user_version = 1")
    with pytest.raises(JournalError, match="can be read but not resumed") as caught:
        Writing(path)
    assert not isinstance(caught.value, DamagedRunError)
    assert "plan again" in caught.value.hint


@pytest.mark.parametrize("name", ["a b.run", "a%41.run", "a?mode=memory.run", "a#b.run", "ä.run"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    """Characters that mean something in URLs are part of a name like others."""
    path = create([("a", tmp_path / name)], plan(KICKS), HEADER)
    with Writing(path) as writing:
        writing.write(ended(1))
    assert counts(path) == {State.PENDING: 5, State.DONE: 1}
    assert path.is_file()


def test_while_a_job_is_at_work_nobody_else_writes(path: Path) -> None:
    """A job that reads and then writes is not overtaken between the two."""

    def job(connection: sqlite3.Connection) -> None:
        other = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("UPDATE operation SET state = 3")
        other.close()
        connection.execute("UPDATE operation SET state = 2")

    with Writing(path) as writing:
        writing.call(job)
    assert counts(path) == {State.DONE: 6}


def test_whoever_waits_no_more_stops_nothing(path: Path) -> None:
    """A job that nobody waits for any more, as when the process is being ended, does not end the writer."""
    free = threading.Event()
    with Writing(path) as writing:
        first = writing.writer.call(lambda _connection: free.wait(30))
        given_up = writing.writer.call(lambda _connection: None)
        assert given_up.cancel()
        free.set()
        assert first.result(timeout=30)
        writing.write(ended(1))
        assert writing.failures == []
    assert counts(path) == {State.PENDING: 5, State.DONE: 1}


def test_a_closed_file_says_all_by_itself(path: Path) -> None:
    """Once the writer is closed a copy of the file alone has everything, though somebody still reads the original."""
    with FileReader(path) as reader:
        with Writing(path) as writing:
            writing.write(ended(1))
        copied = Path(shutil.copyfile(path, path.with_name("b.run")))
        assert counts(copied) == dict(reader.steps()[0].counts) == {State.PENDING: 5, State.DONE: 1}


def test_a_closed_writer_leaves_no_file_open(path: Path) -> None:
    """Neither the file nor its log stays open."""
    with Writing(path) as writing:
        writing.write(ended(1))
    opened = {link.readlink().name for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    assert not {name for name in opened if name.startswith("a.run")}


def test_a_process_that_dies_does_not_wait_for_its_journal(path: Path) -> None:
    """The thread that writes keeps no process alive which nobody ended properly."""
    with Writing(path):
        [thread] = [thread for thread in threading.enumerate() if thread.name == "journal"]
        assert thread.daemon


@pytest.mark.anyio
async def test_a_flush_waits_for_no_further_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded is committed at once when nothing more is to come, however long records are gathered otherwise."""
    monkeypatch.setattr("orchestrator.journal.sqlite.session.GATHER", 3600.0)
    run, durable = Sqlite(tmp_path).run(), anyio.Event()
    async with run.work(Start({})) as session:
        session.recorded = lambda _count: durable.set()
        session.record(ended(1))
        session.flush()
        with anyio.fail_after(30):
            await durable.wait()


def test_the_times_of_the_record_are_milliseconds() -> None:
    """They are of the wall clock, since the epoch."""
    assert abs(now_ms() / 1000 - time.time()) < 60
