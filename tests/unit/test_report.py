"""How a run stands, read out of its run file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import DamagedRunError
from orchestrator.journal.base import AttemptResult, SessionRecord
from orchestrator.journal.header import Header
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.statements import finish, mark
from orchestrator.outcome import Kind, Outcome, State
from orchestrator.report import Report, _finished, make_report
from orchestrator.status import Ending, Status
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


LASTS = None  # a session without an end


def report(
    folder: Path,
    ended: dict[int, State],
    *sessions: Ending | None,
    holder: str = "",
    job: Callable[[sqlite3.Connection], Any] | None = None,
) -> Report:
    """The report of a run in which operations ended so, and whose sessions did."""
    path = create([("r1", folder / "a.run")], plan(TEXT), Header(500, {"x": "1"}, "/etc/o/config.yaml"))
    with sqlite3.connect(path) as connection:
        records = [
            AttemptResult(seq, 2, 1000, 2000 + seq, Outcome(KINDS.get(state, Kind.DONE), error=_error(state)), state)
            for seq, state in ended.items()
        ]
        assert finish(connection, records, "")
        for number, ending in enumerate(sessions):
            status, reason = (ending.status.value, ending.reason) if ending else (None, "")
            row = (900 + number, ending and 950 + number, status, reason, "op")
            connection.execute("INSERT INTO session (began, ended, status, reason, who) VALUES (?, ?, ?, ?, ?)", row)
        if job:
            job(connection)
    connection.close()
    with FileReader(path) as reader:
        return make_report(reader, holder)


def _error(state: State) -> str:
    return "" if state is State.DONE else f"was {state.word}"


@pytest.mark.parametrize(
    ("ended", "sessions", "status", "command"),
    [
        ({}, [], Status.PLANNED, "orchestrator apply r1"),
        ({1: State.DONE}, [LASTS], Status.CRASHED, "orchestrator resume r1"),
        ({1: State.DONE}, [Ending(Status.INTERRUPTED, "SIGINT")], Status.INTERRUPTED, "orchestrator resume r1"),
        ({1: State.DONE}, [Ending(Status.STOPPED, "not confirmed")], Status.STOPPED, "orchestrator resume r1"),
        ({1: State.FAILED}, [Ending(Status.STOPPED, "x")], Status.STOPPED, "orchestrator retry r1"),
        ({1: State.FAILED}, [Ending(Status.INTERRUPTED, "SIGINT")], Status.INTERRUPTED, "orchestrator resume r1"),
        ({1: State.FAILED}, [LASTS], Status.CRASHED, "orchestrator resume r1"),
        (OVER, [Ending(Status.DONE)], Status.DONE, ""),
        ({**OVER, 2: State.FAILED}, [Ending(Status.FAILED)], Status.FAILED, "orchestrator retry r1"),
        ({1: State.IN_DOUBT}, [Ending(Status.IN_DOUBT, "step 1")], Status.IN_DOUBT, "orchestrator show r1 --in-doubt"),
        ({1: State.DONE}, [Ending(Status.IN_DOUBT, "step 1")], Status.IN_DOUBT, "orchestrator resume r1"),
        ({1: State.DONE}, [Ending(Status.INTERRUPTED), LASTS], Status.CRASHED, "orchestrator resume r1"),
        ({1: State.DONE}, [LASTS, Ending(Status.INTERRUPTED)], Status.INTERRUPTED, "orchestrator resume r1"),
    ],
)
def test_a_run_has_a_status_and_a_next_command(
    tmp_path: Path, ended: dict[int, State], sessions: list[Ending | None], status: Status, command: str
) -> None:
    """From what is in the run follows how it stands, and what to type next."""
    found = report(tmp_path, ended, *sessions)
    assert (found.status, found.next_command("orchestrator")) == (status, command)


@pytest.mark.parametrize(
    ("ended", "status", "command"),
    [
        ({1: State.DONE, 2: State.FAILED}, Status.STOPPED, "orchestrator retry r1 --max-failed 2"),
        ({1: State.FAILED}, Status.STOPPED, "orchestrator retry r1 --max-failed 3"),
        ({1: State.UNREACHABLE}, Status.STOPPED, ""),
        ({1: State.DONE}, Status.STOPPED, ""),
        ({1: State.FAILED}, Status.UNDONE, ""),
    ],
)
def test_a_retry_that_would_stop_again_has_another_beside_it(
    tmp_path: Path, ended: dict[int, State], status: Status, command: str
) -> None:
    """As many may fail as would, if the step went on as it began; what is unreachable is no reason to let more fail."""
    found = report(tmp_path, ended, Ending(status, "step 1"), job=lambda c: mark(c, 0, "failed", "x", 1000, ended=True))
    assert found.past_command("orchestrator") == command


@pytest.mark.parametrize(
    "ending",
    [Ending(Status.REFUSED, "step 1: b1: not so"), Ending(Status.UNDONE, "done: step 2"), Ending(Status.DONE, "")],
)
def test_the_end_has_a_reason(tmp_path: Path, ending: Ending) -> None:
    """The last session says how and why the run ended, whatever stands in the reason."""
    found = report(tmp_path, OVER, LASTS, ending)
    assert (found.status, found.reason) == (ending.status, ending.reason)


def test_a_saved_plan_that_was_applied_says_where(tmp_path: Path) -> None:
    """A plan of which a run was made is neither planned nor to be applied; its reason names the run."""
    found = report(
        tmp_path,
        {},
        job=lambda c: c.execute("INSERT INTO event VALUES (1, 'applied', NULL, 'r2 in /var/lib/o')"),
    )
    assert (found.status, found.reason) == (Status.APPLIED, "as run r2 in /var/lib/o")
    assert found.next_command("orchestrator") == ""


def test_a_run_that_is_worked_on_is_running(tmp_path: Path) -> None:
    """While a process holds the run it is neither crashed nor planned, and there is nothing to type."""
    found = report(tmp_path, {1: State.DONE}, LASTS, holder="pid 5")
    assert (found.status, found.reason, found.holder) == (Status.RUNNING, "", "pid 5")
    assert found.next_command("orchestrator") == ""


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
    assert report(tmp_path, ended, LASTS).conservation == line


@pytest.mark.parametrize(
    "job",
    [
        lambda c: c.execute("DELETE FROM operation WHERE seq = 2"),
        lambda c: c.execute("UPDATE step SET operations = 9 WHERE number = 0"),
    ],
)
def test_a_file_that_does_not_add_up_is_no_report(tmp_path: Path, job: Callable[[sqlite3.Connection], Any]) -> None:
    """A lost or invented operation is never passed over."""
    with pytest.raises(DamagedRunError, match="r1: .* operations were planned, and .* are there"):
        report(tmp_path, {}, LASTS, job=job)


def test_a_report_counts_attempts_and_unexpanded_steps(tmp_path: Path) -> None:
    """Attempts beyond the first are retries; a step that was never expanded is told; times are those of the run."""
    found = report(tmp_path, {1: State.DONE, 2: State.DONE}, Ending(Status.INTERRUPTED))
    assert (found.attempts, found.retries, found.unexpanded) == (4, 2, 1)
    assert (found.started, found.finished) == (900, 950)  # whatever the clock said when attempts ended
    assert (found.run_id, found.given, found.config_path) == ("r1", {"x": "1"}, "/etc/o/config.yaml")


def test_a_run_that_was_never_begun_has_no_times(tmp_path: Path) -> None:
    """Nothing was started, and nothing ended."""
    found = report(tmp_path, {})
    assert (found.started, found.finished) == (None, None)


def test_the_names_that_were_found_are_counted(tmp_path: Path) -> None:
    """Of a step that was begun, a report says how many of the list's names were found; a brief one does not count them."""
    line = "hosts: b1, for_each: [u1, u2], command: kick, parameters: {mask: '{{ item }}'}"
    path = create([("r1", tmp_path / "a.run")], plan(steps(line)), Header(500, {}, "/c"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE operation SET state = ?, changed = seq - 1", (int(State.DONE),))
    with FileReader(path) as reader:
        assert make_report(reader).found == []
    with connection:
        connection.execute("UPDATE step SET state = 'done'")
    connection.close()
    with FileReader(path) as reader:
        assert make_report(reader).found == [("1", "1 of 2 names had a session (1 had none)")]
        assert make_report(reader, brief=True).found == []


def test_causes_name_step_state_and_a_host(tmp_path: Path) -> None:
    """What went wrong is gathered by cause."""
    found = report(tmp_path, {1: State.FAILED, 2: State.FAILED, 4: State.UNREACHABLE}, LASTS)
    assert [(c.step, c.state, c.error, c.count, c.host) for c in found.causes] == [
        ("1", State.FAILED, "was failed", 2, "b1"),
        ("2", State.UNREACHABLE, "was unreachable", 1, "d1"),
    ]


def test_what_is_typed_next_is_quoted(tmp_path: Path) -> None:
    """The next command can be pasted into a shell, with the options that this program was called with."""
    found = report(
        tmp_path, {1: State.DONE}, LASTS, job=lambda c: c.execute("UPDATE meta SET value = 'a b' WHERE key = 'run_id'")
    )
    assert found.next_command("orchestrator -c /x") == "orchestrator -c /x resume 'a b'"


@pytest.mark.parametrize(
    ("sessions", "last_attempt", "expected"),
    [
        ([], None, None),
        ([(100, 900)], 500, 900),
        ([(100, 900)], 1500, 900),  # the clock was set back since
        ([(100, 900), (2000, None)], 2500, 2500),
        ([(100, 900), (2000, None)], 900, 2000),
        ([(100, None)], None, 100),
    ],
)
def test_when_a_run_ended(
    sessions: list[tuple[int, int | None]], last_attempt: int | None, expected: int | None
) -> None:
    """When its last session did; of one that is going on, or whose process is gone, when the last thing in it was."""
    found = [SessionRecord(began, ended, Status.RUNNING, "", "me") for began, ended in sessions]
    assert _finished(found, last_attempt) == expected
