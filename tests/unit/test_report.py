"""How a run stands, read out of its run file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestrator.journal.create import Header, create
from orchestrator.journal.run_file import RunFile
from orchestrator.journal.writer import Finished, Writer

from orchestrator.outcome import Kind, Outcome, State
from orchestrator.report import Report, make_report
from tests.strategies import plan, steps

TEXT = steps(
    "hosts: 'b[1-3]', command: reload",
    "hosts: d1, command: directorStatus, register: s",
    "hosts: '{{ s.failed }}', command: who",
)
KINDS = {
    State.DONE: Kind.DONE,
    State.FAILED: Kind.FAILED,
    State.UNREACHABLE: Kind.UNREACHABLE,
    State.IN_DOUBT: Kind.UNKNOWN,
}
OVER = {1: State.DONE, 2: State.DONE, 3: State.DONE, 4: State.DONE}


def report(
    folder: Path, ended: dict[int, State], *events: tuple[str, str], holder: str = "", job: Any = None
) -> Report:
    """The report of a run in which operations ended so, and that was told so."""
    path = folder / "a.run"
    create([("r1", path)], plan(TEXT), Header(500, {"x": "1"}, "/etc/o/config.yaml"))
    writer = Writer(path, lambda _records: None, lambda failure: pytest.fail(str(failure)))
    for seq, state in ended.items():
        outcome = Outcome(KINDS.get(state, Kind.DONE), error="" if state is State.DONE else f"was {state.word}")
        writer.write([Finished(seq, 2, 1000, 2000 + seq, outcome, state)])
    for number, (kind, text) in enumerate(events):
        writer.call(
            lambda c, at=900 + number, kind=kind, text=text: c.execute(
                "INSERT INTO event VALUES (?, ?, ?)", (at, kind, text)
            )
        )
    writer.call(job or (lambda _connection: None)).result(timeout=30)
    writer.close()
    with RunFile(path) as file:
        return make_report(file, holder)


@pytest.mark.parametrize(
    ("ended", "events", "status", "command"),
    [
        ({}, [], "planned", "orchestrator apply r1"),
        ({1: State.DONE}, [("started", "")], "crashed", "orchestrator resume r1"),
        ({1: State.DONE}, [("started", ""), ("ended", "interrupted: SIGINT")], "interrupted", "orchestrator resume r1"),
        (
            {1: State.DONE},
            [("started", ""), ("ended", "stopped with work left: not confirmed")],
            "stopped",
            "orchestrator resume r1",
        ),
        (
            {1: State.FAILED},
            [("started", ""), ("ended", "stopped with work left: x")],
            "stopped",
            "orchestrator retry r1",
        ),
        (OVER, [("started", ""), ("ended", "done")], "done", ""),
        (
            {**OVER, 2: State.FAILED},
            [("started", ""), ("ended", "finished with failures")],
            "failed",
            "orchestrator retry r1",
        ),
        (
            {1: State.IN_DOUBT},
            [("started", ""), ("ended", "stopped with operations in doubt: step 1")],
            "in doubt",
            "orchestrator show r1 --in-doubt",
        ),
        ({1: State.DONE}, [("ended", "interrupted"), ("started", "")], "crashed", "orchestrator resume r1"),
    ],
)
def test_a_run_has_a_status_and_a_next_command(
    tmp_path: Path, ended: dict[int, State], events: list[tuple[str, str]], status: str, command: str
) -> None:
    """From what is in the file follows how the run stands, and what to type next."""
    found = report(tmp_path, ended, *events)
    assert (found.status, found.next_command("orchestrator")) == (status, command)


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("refused: step 1: b1: not so", "refused", "step 1: b1: not so"),
        ("failed, and undone: step 2", "undone", "step 2"),
        ("done", "done", ""),
    ],
)
def test_the_end_has_a_reason(tmp_path: Path, text: str, status: str, reason: str) -> None:
    """The last event says how and why the run ended, whatever stands in the reason."""
    found = report(tmp_path, OVER, ("started", ""), ("ended", text))
    assert (found.status, found.reason) == (status, reason)


def test_a_run_that_is_worked_on_is_running(tmp_path: Path) -> None:
    """While a process holds the run it is neither crashed nor planned, and there is nothing to type."""
    found = report(tmp_path, {1: State.DONE}, ("started", ""), holder="pid 5")
    assert (found.status, found.holder, found.next_command("orchestrator")) == ("running", "pid 5", "")


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        ({}, "4 planned = 4 pending + 0 done"),
        (OVER, "4 planned = 4 done"),
        (
            {1: State.DONE, 2: State.FAILED, 3: State.UNREACHABLE, 4: State.IN_DOUBT},
            "4 planned = 1 done + 1 failed + 1 unreachable + 1 in doubt",
        ),
        ({1: State.DONE, 2: State.PENDING}, "4 planned = 3 pending + 1 done"),
    ],
)
def test_operations_add_up(tmp_path: Path, ended: dict[int, State], line: str) -> None:
    """Planned operations are the sum of all states, which is written out."""
    assert report(tmp_path, ended, ("started", "")).conservation == line


@pytest.mark.parametrize(
    "job",
    [
        lambda c: c.execute("DELETE FROM operation WHERE seq = 2"),
        lambda c: c.execute("UPDATE step SET operations = 9 WHERE number = 0"),
    ],
)
def test_a_file_that_does_not_add_up_is_no_report(tmp_path: Path, job: Callable[[sqlite3.Connection], Any]) -> None:
    """A lost or invented operation is never passed over."""
    with pytest.raises(AssertionError, match="operations were planned, but"):
        report(tmp_path, {}, ("started", ""), job=job)


def test_a_report_counts_attempts_and_unexpanded_steps(tmp_path: Path) -> None:
    """Attempts beyond the first are retries; a step that was never expanded is told; times are those of the run."""
    found = report(tmp_path, {1: State.DONE, 2: State.DONE}, ("started", ""), ("ended", "interrupted"))
    assert (found.attempts, found.retries, found.unexpanded) == (4, 2, 1)
    assert (found.started, found.finished) == (900, 2002)
    assert (found.run_id, found.given, found.config_path) == ("r1", {"x": "1"}, "/etc/o/config.yaml")


def test_causes_name_step_state_and_a_host(tmp_path: Path) -> None:
    """What went wrong is gathered by cause."""
    found = report(tmp_path, {1: State.FAILED, 2: State.FAILED, 4: State.UNREACHABLE}, ("started", ""))
    assert [(c.step, c.state, c.error, c.count, c.host) for c in found.causes] == [
        ("1", State.FAILED, "was failed", 2, "b1"),
        ("2", State.UNREACHABLE, "was unreachable", 1, "d1"),
    ]
