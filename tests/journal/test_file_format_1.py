"""Run files of format 1: read, shown and exported, and not worked on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from orchestrator.errors import JournalError, RefusedError
from orchestrator.journal.base import Start, Verdict
from orchestrator.journal.sqlite.schema import APPLICATION_ID
from orchestrator.journal.sqlite.store import FileRun, open_file
from orchestrator.outcome import State
from orchestrator.report import make_report
from orchestrator.runs.planning import Fleet, plan_of
from orchestrator.status import Status
from tests.command_line import ROOT
from tests.strategies import config

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(tmp_path: Path) -> FileRun:
    """A run whose second session crashed, as the older version wrote it."""
    path = tmp_path / "20261101-020000-kick.run"
    with sqlite3.connect(path) as connection:
        connection.executescript((ROOT / "tests/data/format-1.sql").read_text(encoding="utf-8"))
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    connection.close()
    return open_file(str(path))


def test_it_is_reported(run: FileRun) -> None:
    """All that the report of a run says is there; there is nothing to type next, since it cannot be resumed."""
    with run.read() as reader:
        report = make_report(reader, run.holder())
        assert (report.run_id, report.playbook, report.given) == ("20261101-020000-kick", "P", {"user": "ü"})
        assert (report.status, report.resumable, report.next_command("o")) == (Status.CRASHED, False, "")
        assert report.conservation == "5 planned = 3 pending + 1 done + 1 failed"
        assert (report.started, report.attempts) == (2000, 2)
        assert [(c.error, c.host) for c in report.causes] == [("bad: b", "b2")]


def test_its_sessions_are_told(run: FileRun) -> None:
    """The sentences that stood in the place of codes are understood, with reasons that have colons of their own."""
    with run.read() as reader:
        first, second = reader.sessions()
        assert (first.began, first.ended, first.status) == (2000, 3000, Status.STOPPED)
        assert first.reason == "step 1 (S1): an operation failed"
        assert (second.began, second.ended, second.status) == (4000, None, Status.RUNNING)
        assert reader.undoing() is None


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("done", Status.DONE, ""),
        ("finished with failures", Status.FAILED, ""),
        ("failed, and undone: step 2", Status.UNDONE, "step 2"),
        ("stopped with operations in doubt: step 1", Status.IN_DOUBT, "step 1"),
        ("stopped with work left: not confirmed", Status.STOPPED, "not confirmed"),
        ("refused: step 1: b1: not so", Status.REFUSED, "step 1: b1: not so"),
        ("interrupted: SIGINT", Status.INTERRUPTED, "SIGINT"),
    ],
)
def test_each_end_has_its_status(run: FileRun, text: str, status: Status, reason: str) -> None:
    """Every way in which a run of the older version ended is one of today's."""
    with sqlite3.connect(run._path) as connection:
        connection.execute("INSERT INTO event VALUES (5000, 'ended', ?)", (text,))
    connection.close()
    with run.read() as reader:
        assert reader.status() == (status, reason)


def test_its_operations_are_exported(run: FileRun) -> None:
    """Operations, attempts and answers are read as they were."""
    with run.read() as reader:
        assert [(op.id, op.state) for op in reader.operations()] == [
            ("1.1", State.DONE),
            ("1.2", State.FAILED),
            ("1.3", State.PENDING),
            ("1.4", State.PENDING),
            ("2.1", State.PENDING),
        ]
        assert (reader.answer_rows(1), reader.attempts(2)[0].error) == (([{"result": "u1"}], 0), "bad: b")
        reader.check()


async def test_nobody_works_on_it(run: FileRun) -> None:
    """Work, a verdict, and its plan are refused, each with what to do instead; the file stays as it is."""
    before = run._path.read_bytes()
    with pytest.raises(JournalError, match="can be read but not resumed") as caught:
        async with run.work(Start({})):
            pass
    assert "plan again" in caught.value.hint
    with pytest.raises(JournalError, match="can be read but not resumed"):
        run.settle([2], Verdict.DONE, "x")
    with run.read() as reader, pytest.raises(RefusedError, match="written by an older version"):
        plan_of(reader, Fleet(config()))
    assert run._path.read_bytes() == before
