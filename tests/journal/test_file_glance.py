"""A look at a run file: it leaves nothing behind, and of thousands of files it takes no time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from orchestrator.journal.base import Reader, Start
from orchestrator.journal.sqlite.schema import APPLICATION_ID, connect
from orchestrator.journal.sqlite.store import FileRun
from orchestrator.outcome import State
from orchestrator.status import OVER, RESUMABLE, Ending, Status
from tests.journal.journals import Sqlite, ended, write
from tests.strategies import steps

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(tmp_path: Path) -> FileRun:
    """A run of six operations on two hosts."""
    return Sqlite(tmp_path).run()


def beside(run: FileRun) -> set[str]:
    """What stands in the directory, by its ending."""
    return {path.name.removeprefix(run.id) for path in run._path.parent.iterdir()}


def done(reader: Reader) -> int:
    """How many operations are done."""
    return reader.counts().get(State.DONE, 0)


@pytest.mark.parametrize("status", sorted(OVER | RESUMABLE - {Status.CRASHED}, key=lambda status: status.value))
async def test_the_header_says_whether_something_is_left(run: FileRun, status: Status) -> None:
    """What `resume` passes over without opening it is what it would refuse; a run that is begun again is not passed over."""
    assert not run.is_over()
    async with run.work(Start({})) as session:
        await session.end(Ending(status))
    assert run.is_over() == (status in OVER)
    with run.read() as reader:
        assert reader.resumable
    async with run.work(Start({})):
        assert not run.is_over()
    assert not run.is_over()  # that session did not say how it ended


async def test_a_process_that_is_gone_left_something(tmp_path: Path) -> None:
    """A run whose process was killed is looked into."""
    journal = Sqlite(tmp_path)
    run = journal.run()
    await journal.vanish(run)
    assert not run.is_over()


def test_a_run_of_format_1_has_nothing_to_resume(tmp_path: Path) -> None:
    """Such a run can only be read."""
    path = tmp_path / "old.run"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; CREATE TABLE meta (x)"
        )
    connection.close()
    assert FileRun(path, "old").is_over()


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"x" * 4096])
def test_what_is_no_run_file_is_looked_into(tmp_path: Path, content: bytes) -> None:
    """A damaged file is never passed over in silence."""
    path = tmp_path / "a.run"
    path.write_bytes(content)
    assert not FileRun(path, "a").is_over()


async def test_looking_leaves_nothing_behind(run: FileRun) -> None:
    """Neither a plan nor a run that ended has a log beside it afterwards, whoever looked at it."""
    with run.read() as reader:
        assert reader.counts() == {State.PENDING: 6}
    assert beside(run) == {".run"}
    await write(run, ended(1))
    with run.read() as reader:
        assert done(reader) == 1
    assert run.glance(done) == 1
    assert beside(run) == {".run", ".run.lock"}


async def test_looking_changes_no_file(run: FileRun) -> None:
    """A run that was killed stays as it was, with its log: looking at it does not make it the one that was worked on last."""
    async with run.work(Start({})) as session:
        session.record(ended(1))
        await session.event("x", "y")
        content, log = run._path.read_bytes(), run._path.with_name(f"{run.id}.run-wal").read_bytes()
    run._path.write_bytes(content)  # as a kill would have left them
    run._path.with_name(f"{run.id}.run-wal").write_bytes(log)
    before = run.modified()
    with run.read() as reader:
        assert done(reader) == 1
    assert run.glance(done) == 1
    assert run.modified() == before
    assert run._path.read_bytes() == content
    assert run._path.with_name(f"{run.id}.run-wal").read_bytes() == log


async def test_a_reader_writes_nothing(run: FileRun) -> None:
    """Whoever only reads could not change a run even by mistake."""
    connection = connect(run._path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("UPDATE operation SET state = 2")
    connection.close()


async def test_a_glance_sees_what_is_being_written(run: FileRun) -> None:
    """Of a run that somebody works on a glance tells what is recorded so far."""
    async with run.work(Start({})) as session:
        session.record(ended(1))
        await session.event("x", "y")
        assert run.glance(done) == 1


async def test_a_glance_that_was_overtaken_is_taken_again(run: FileRun) -> None:
    """What was read while somebody began and ended is not told: it may be half old and half new."""
    seen: list[int] = []

    def question(reader: Reader) -> int:
        if not seen:
            connection = connect(run._path, write=True)
            connection.execute("UPDATE operation SET state = 2 WHERE seq = 1")
            connection.close()
        seen.append(done(reader))
        return seen[-1]

    assert (run.glance(question), len(seen)) == (1, 2)


def work_of_timings(folder: Path, items: int) -> int:
    """How many of SQLite's instructions it takes to learn how long the steps of a run took, in hundreds."""
    listed = ", ".join(f"u{number}" for number in range(items))
    kicks = f"hosts: 'b[1-2]', for_each: [{listed}], command: kick, parameters: {{mask: ['{{{{ item }}}}']}}"
    count = 0

    def one_more() -> int:
        nonlocal count
        count += 1
        return 0

    with Sqlite(folder).run(steps(kicks, "hosts: 'b[1-2]', command: who")).read() as reader:
        reader._connection.set_progress_handler(one_more, 100)
        assert [step.operations for step in reader.timings()] == [2 * items, 2]
    return count


def test_how_long_things_took_is_as_quick_of_many_operations(tmp_path: Path) -> None:
    """Ten times as many operations are no more work: a plan must not wait for the runs that it learns from."""
    few, many = work_of_timings(tmp_path / "few", 600), work_of_timings(tmp_path / "many", 6000)
    assert few > 10
    assert many < few * 1.2
