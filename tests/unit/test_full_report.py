"""All that happened in a run, read out of its run file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest

from orchestrator.full_report import MOST_CAUSES, MOST_DOUBTFUL, FullReport, make_full_report
from orchestrator.journal.base import AttemptResult, Header
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.schema import APPLICATION_ID
from orchestrator.journal.sqlite.statements import finish, mark
from orchestrator.journal.sqlite.store import open_file
from orchestrator.outcome import Kind, Outcome, State
from orchestrator.status import Status
from tests.command_line import ROOT
from tests.strategies import plan

TEXT = """
name: P
description: |
  What it is for.
steps:
  - {name: Kick, hosts: 'b[1-2]', command: kick, parameters: {mask: ['*']}}
  - {name: Look, hosts: b1, command: who}
  - {name: Set, hosts: d1, command: directorUpdate, parameters: {host: 10.0.1.1, vhostCount: '0'},
     undo: {command: directorUpdate, parameters: {host: 10.0.1.1, vhostCount: '100'}}}
  - {name: Many, hosts: b1, command: dictInc, for_each: {items: ITEMS}, parameters: {dictUri: 'file:/x', key: 'shared/{{ item }}', difference: 1}}
""".replace("{items: ITEMS}", str([f"i{number}" for number in range(60)]))


def full(folder: Path, job: Callable[[sqlite3.Connection], Any], holder: str = "") -> FullReport:
    """The full report of a run to which something was done."""
    header = Header(500, {"x": "1"}, "/etc/o/config.yaml", "b*", "CHG-1", "kernel update")
    path = create([("r1", folder / "a.run")], plan(TEXT), header)
    with sqlite3.connect(path) as connection:
        job(connection)
    connection.close()
    with FileReader(path) as reader:
        return make_full_report(reader, holder, name="last")


def session(connection: sqlite3.Connection, began: int, ended: int | None, status: Status = Status.INTERRUPTED) -> None:
    """A session that was."""
    row = (began, ended, status.value if ended else None, "", "op")
    connection.execute("INSERT INTO session (began, ended, status, reason, who) VALUES (?, ?, ?, ?, ?)", row)


def done(connection: sqlite3.Connection, *ends: tuple[int, State, int], error: Callable[[int], str] = str) -> None:
    """Operations that ended: number, state and when."""
    records = [
        AttemptResult(
            *(seq, 1, at - 5, at, Outcome(Kind.DONE if state is State.DONE else Kind.FAILED, error="" if state is State.DONE else error(seq))),
            state,
            '[{"result":"u"}]' if state is State.DONE else "",
        )
        for seq, state, at in ends
    ]  # fmt: skip
    assert finish(connection, records, "")


def test_it_says_what_it_was(tmp_path: Path) -> None:
    """Of a plan that was not begun: the change, the playbook's words, and nothing that happened."""
    found = full(tmp_path, lambda _: None)
    assert (found.report.ticket, found.report.purpose, found.limit) == ("CHG-1", "kernel update", "b*")
    assert (found.description, found.planned, found.name, found.status) == (
        "What it is for.",
        500,
        "last",
        Status.PLANNED,
    )
    happened = (found.ends, found.felt, found.takes_back, found.retried, found.happenings, found.doubtful)
    assert [list(part) for part in happened] == [[]] * 6
    assert found.at_work(found.report.steps[0]) is None


@pytest.mark.parametrize(
    ("sessions", "ends"),
    [
        ([(1000, 2000)], [2000]),
        ([(1000, 2000), (3000, 4000)], [2000, 4000]),
        ([(1000, None), (3000, 4000)], [1500, 4000]),  # it was killed: the last that it did
        ([(1000, None)], [3500]),
        ([(2600, None), (2700, None)], [2600, 3500]),  # it did nothing
        ([(5000, None)], [5000]),
        ([(1000, 9000), (3000, 4000)], [3000, 4000]),  # the clock was set back: no later than the next one began
    ],
)
def test_sessions_have_ends(tmp_path: Path, sessions: list[tuple[int, int | None]], ends: list[int]) -> None:
    """A session whose process died ended when the last thing in it did, and none overlaps the next one."""

    def job(connection: sqlite3.Connection) -> None:
        done(connection, (1, State.DONE, 1500), (2, State.DONE, 3500))
        for began, ended in sessions:
            session(connection, began, ended)

    assert list(full(tmp_path, job).ends) == ends


@pytest.mark.parametrize(
    ("started", "finished", "worked"),
    [(1100, 1400, 300), (1500, 3500, 1000), (1500, None, 1500), (2100, 2200, 0), (3500, 1000, 0)],
)
def test_a_step_is_worked_on_in_sessions(tmp_path: Path, started: int, finished: int | None, worked: int) -> None:
    """The time between two sessions is not the step's, and a clock that was set back makes it no shorter than nothing."""

    def job(connection: sqlite3.Connection) -> None:
        session(connection, 1000, 2000)
        session(connection, 3000, 4000)
        connection.execute("UPDATE step SET started = ?, finished = ? WHERE number = 0", (started, finished))

    found = full(tmp_path, job)
    assert found.at_work(found.report.steps[0]) == worked


def test_it_says_what_users_noticed(tmp_path: Path) -> None:
    """Of steps that were begun and that users notice: what the hosts' answers say, by host."""

    def job(connection: sqlite3.Connection) -> None:
        done(connection, (1, State.DONE, 1500), (2, State.DONE, 1600), (3, State.DONE, 1700))
        for step in (0, 1):
            mark(connection, step, "running", "", 1400, ended=False)

    [felt] = full(tmp_path, job).felt
    assert (felt.step.key, felt.row, felt.counted) == ("1", "user", "connection")
    assert [(shown.host, shown.rows, shown.counted) for shown in felt.shown] == [("b1", 1, 0), ("b2", 1, 0)]
    assert "mail clients reconnect" in felt.impact


def test_it_says_what_takes_a_step_back(tmp_path: Path) -> None:
    """Of steps that were begun and change something: their undo, or the command that the catalogue knows for it."""

    def job(connection: sqlite3.Connection) -> None:
        for step in (0, 1, 2, 3):
            mark(connection, step, "running", "", 1400, ended=False)

    back = [(b.step.key, b.by and b.by.key, b.inverse) for b in full(tmp_path, job).takes_back]
    assert back == [
        ("1", None, ""),
        ("3", "3.undo", "directorUpdate with the old vhostCount, so read directorStatus before"),
        ("4", None, "dictInc with the negative difference"),
    ]


def test_what_is_read_of_operations_is_bounded(tmp_path: Path) -> None:
    """However many fail, each for a reason of its own, or are in doubt: the first are there, and the numbers of all."""

    def job(connection: sqlite3.Connection) -> None:
        done(connection, *((seq, State.IN_DOUBT, 1500) for seq in range(5, 35)), error=lambda _: "closed")
        done(connection, *((seq, State.FAILED, 1500) for seq in range(35, 65)), error=lambda seq: f"no key {seq}")

    found = full(tmp_path, job)
    assert (len(found.report.causes), len(found.doubtful)) == (MOST_CAUSES, MOST_DOUBTFUL)
    assert (found.report.counts[State.FAILED], found.report.counts[State.IN_DOUBT]) == (30, 30)
    assert found.report.causes[0].count == 30


def test_one_of_an_older_version_is_told_as_far_as_it_is_kept(tmp_path: Path) -> None:
    """A run file of format 1 has no layout: nothing is said of users and of undo, and all else is there."""
    path = tmp_path / "20261101-020000-kick.run"
    with sqlite3.connect(path) as connection:
        connection.executescript((ROOT / "tests/data/format-1.sql").read_text(encoding="utf-8"))
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    connection.close()
    with open_file(str(path)).read() as reader:
        found = make_full_report(reader)
        assert reader.last_before(inf) is not None
    assert found.report.conservation == "5 planned = 3 pending + 1 done + 1 failed"
    assert (len(found.ends), list(found.felt), found.description) == (2, [], "")
