"""A report for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.base import Cause, SessionRecord, StepRecord
from orchestrator.outcome import State
from orchestrator.report import Report
from orchestrator.status import Status
from orchestrator.views.objects import operation_record, report_object
from orchestrator.views.report_text import report_lines, summary_lines
from orchestrator.views.words import clock, moment
from tests.journal.journals import Sqlite, failed, write

ESCAPE = "\x1b[2J\u202e"


SESSION = SessionRecord(1000, 2500, Status.DONE, "", "jane on mx1, pid 7, orchestrator 1")


def step(**changes: Any) -> StepRecord:
    """A step of a report."""
    usual = StepRecord(0, "1", "step", "Kick them", "kick", "repeatable", "done", "", 1, 3, 1000, 2500, {State.DONE: 3})
    return StepRecord(**{name: changes.get(name, getattr(usual, name)) for name in StepRecord.__slots__})


def report(**changes: Any) -> Report:
    """A report of a good run, but for what is said."""
    usual: dict[str, Any] = {
        "run_id": "r1", "playbook": "P", "given": {"user": "ü"}, "digest": "d1", "config_path": "/c", "status": Status.DONE,
        "reason": "", "steps": [step()], "counts": {State.DONE: 3}, "planned": 3, "unexpanded": 0, "attempts": 3, "retries": 0,
        "emergencies": [], "approvals": [], "started": 1000, "finished": 2500, "causes": [], "found": [], "undoing": False, "holder": "", "resumable": True,
        "next_words": (), "past_words": (), "sessions": [SESSION],
    }  # fmt: skip
    return Report(**{**usual, **changes})


BAD = {
    "status": Status.STOPPED,
    "reason": f"step 1: no {ESCAPE}",
    "steps": [step(state="failed", reason="no", counts={State.DONE: 1, State.FAILED: 2}), step(key="2.undo", role="undo", state="pending", counts={})],
    "counts": {State.DONE: 1, State.FAILED: 2},
    "causes": [Cause("1", State.FAILED, "exit code 64", 1, "b2", f"Panic: {ESCAPE}")],
    "attempts": 5,
    "retries": 2,
    "unexpanded": 1,
    "found": [("1", "1 of 2 names had a session")],
    "next_words": ("retry", "r1"),
}  # fmt: skip


def test_a_good_report_is_short() -> None:
    """A run without trouble says what was done, and that it adds up."""
    found = list(report_lines(report(), "orchestrator"))
    assert found[0] == "Run r1: P"
    assert found[1] == "  done"
    assert found[2] == "  user=ü"
    assert f"  1         done     Kick them  (3 done, 1.5s from {clock(1000)[:8]})" in found
    assert f"  started {moment(1000, zone=True)}, took 1.5s; digest d1" in found
    assert "  by jane on mx1, pid 7, orchestrator 1" in found
    assert "  3 planned = 3 done" in found
    assert not [line for line in found if "next:" in line or "attempt" in line]


def test_a_bad_report_says_why_and_what_next() -> None:
    """What failed is named with host, reason and evidence, what is not listed is counted, and the next command stands there."""
    found = "\n".join(report_lines(report(**BAD), "orchestrator -c x"))
    for part in (
        "  stopped: step 1: no \\x1b[2J", "  1         failed   Kick them  (1 done, 2 failed, 1.5s from ", "  1 failed in step 1 (on b2): exit code 64",
        "    b2 logged: Panic: \\x1b[2J\\x202e", "and 1 more, for other reasons", "step 1: 1 of 2 names had a session", "3 planned = 1 done + 2 failed",
        "1 step not ", "5 attempts", "next: orchestrator -c x retry r1",
    ):  # fmt: skip
        assert part in found
    assert "2.undo" not in found


def test_a_plan_that_was_not_started_says_so() -> None:
    """Nothing was sent, and nothing took any time."""
    found = list(
        report_lines(report(status=Status.PLANNED, started=None, finished=None, counts={State.PENDING: 3}), "o")
    )
    assert "  planned; digest d1; nothing was sent" in found


def test_a_report_names_each_session() -> None:
    """Who worked on the run, from when to when, and how each time ended; one that died has no end."""
    sessions = [
        SessionRecord(1000, 2000, Status.INTERRUPTED, f"Ctrl-C {ESCAPE}", "jane on mx1, pid 7"),
        SessionRecord(3000, None, Status.CRASHED, "", f"joe{ESCAPE} on mx1, pid 8"),
    ]
    found = list(report_lines(report(sessions=sessions), "o"))
    first, second = (line for line in found if line.startswith("  session "))
    assert first.startswith(
        f"  session 1 from {moment(1000)} to {clock(2000)[:8]}, by jane on mx1, pid 7: interrupted: Ctrl-C \\x1b"
    )
    assert second == f"  session 2 from {moment(3000)} to ?, by joe\\x1b[2J\\x202e on mx1, pid 8: crashed"
    objects = report_object(report(sessions=sessions), "o")["sessions"]
    assert (objects[0]["status"], objects[0]["ended_at"], objects[1]["ended_at"]) == ("interrupted", 2000, None)


def test_a_summary_leads_to_the_report() -> None:
    """The end of a run in a few lines has the status, the causes, the sum, and where the rest is."""
    found = list(summary_lines(report(**BAD), "o"))
    assert found[0].startswith("stopped: step 1: no ")
    assert "3 planned = 1 done + 2 failed; 2 retries; took 1.5s" in found
    assert any("`o report r1`" in line for line in found)
    assert found[-1] == "next: o retry r1"
    assert "1 retry;" in "\n".join(summary_lines(report(retries=1), "o"))


def test_a_report_is_an_object() -> None:
    """Programs get codes and numbers, and the next command as it is typed."""
    found = report_object(report(**BAD), "o")
    assert (found["status"], found["planned"], found["counts"]) == ("stopped", 3, {"done": 1, "failed": 2})
    assert found["causes"] == [{"step": "1", "state": "failed", "error": "exit code 64", "count": 1, "host": "b2"}]
    assert found["found"] == [{"step": "1", "text": "1 of 2 names had a session"}]
    assert (found["started_at"], found["finished_at"], found["next"]) == (1000, 2500, "o retry r1")
    assert report_object(report(status=Status.IN_DOUBT), "o")["status"] == "in_doubt"
    json.dumps(found)


@pytest.mark.anyio
async def test_an_operation_is_a_record(tmp_path: Path) -> None:
    """An export has all that is known of an operation, states as words."""
    run = Sqlite(tmp_path).run()
    await write(run, failed(1, exit_code=64))
    with run.read() as reader:
        found = operation_record(next(iter(reader.operations())))
    assert found == {
        "id": "1.1", "step": "1", "host": "b1", "command": "kick", "parameters": {"mask": ["u1"]}, "state": "failed", "exit_code": 64,
        "error": "bad", "attempts": 1, "changed": None, "started_at": 1000, "finished_at": 1005,
    }  # fmt: skip
