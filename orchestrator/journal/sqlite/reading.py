"""How a run stands, from its file alone; of format 2, and of format 1, whose sessions are told in sentences."""

from __future__ import annotations

import sqlite3

from orchestrator.journal.base import SessionRecord
from orchestrator.journal.sqlite.schema import format_of
from orchestrator.status import Ending, Status

# The only sentences that are read: those that runs of format 1 have in the place of codes.
_OF_FORMAT_1 = {
    "done": Status.DONE,
    "finished with failures": Status.FAILED,
    "failed, and undone": Status.UNDONE,
    "stopped with work left": Status.STOPPED,
    "stopped with operations in doubt": Status.IN_DOUBT,
    "refused": Status.REFUSED,
    "interrupted": Status.INTERRUPTED,
}
CRASHED = "the process crashed or was killed; everything recorded is safe"


def sessions_of(connection: sqlite3.Connection) -> list[SessionRecord]:
    """All sessions, in order."""
    if format_of(connection) == 1:
        return _of_format_1(connection)
    rows = connection.execute("SELECT began, ended, status, reason, who FROM session ORDER BY number")
    return [
        SessionRecord(began, ended, Status(status) if status else Status.RUNNING, reason, who)
        for began, ended, status, reason, who in rows
    ]


def status_in(connection: sqlite3.Connection, *, alive: bool) -> tuple[Status, str]:
    """How a run stands, and why; without looking at its operations, however many there are.

    Args:
        connection: to the run file.
        alive: whether somebody works on it now.
    """
    if alive:
        return Status.RUNNING, ""
    applied = connection.execute("SELECT text FROM event WHERE kind = 'applied'").fetchone()
    if applied:
        return Status.APPLIED, f"as run {applied[0]}"
    sessions = sessions_of(connection)
    if not sessions:
        return Status.PLANNED, ""
    last = sessions[-1]
    return (last.status, last.reason) if last.ended is not None else (Status.CRASHED, CRASHED)


def undoing_in(connection: sqlite3.Connection) -> Ending | None:
    """Why what was done is being undone; None when it is not."""
    if format_of(connection) == 1:
        return None
    found = connection.execute("SELECT status, text FROM event WHERE kind = 'undoing' LIMIT 1").fetchone()
    return Ending(Status(found[0]), found[1]) if found else None


def _of_format_1(connection: sqlite3.Connection) -> list[SessionRecord]:
    sessions: list[SessionRecord] = []
    for at, kind, text in connection.execute("SELECT at, kind, text FROM event ORDER BY rowid"):
        if kind == "started":
            sessions.append(SessionRecord(at, None, Status.RUNNING, "", ""))
        elif kind == "ended" and sessions:
            words, _, reason = text.partition(": ")
            sessions[-1] = sessions[-1]._replace(
                ended=at, status=_OF_FORMAT_1.get(words, Status.STOPPED), reason=reason
            )
    return sessions
