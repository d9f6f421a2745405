"""Settling operations that are in doubt: whoever decides, and when, stands in the run file."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from enum import Enum

from orchestrator.outcome import State


class Verdict(Enum):
    """What becomes of an operation of which nobody knows whether it was executed."""

    RETRY = "retry"  # it was not executed, or may be executed twice: send it (again)
    DONE = "done"  # it was executed
    FAILED = "failed"  # it was not, and shall not be


_STATES = {Verdict.RETRY: State.PENDING, Verdict.DONE: State.DONE, Verdict.FAILED: State.FAILED}


def decide(connection: sqlite3.Connection, operations: Sequence[int], verdict: Verdict, why: str) -> int:
    """Settle operations that are in doubt, inside the caller's transaction; returns how many were.

    Args:
        connection: to the run file.
        operations: their numbers in it.
        verdict: what becomes of them.
        why: who decided, or which probe; kept with the operation and as an event.
    """
    state, settled = int(_STATES[verdict]), 0
    for seq in operations:
        changed = connection.execute(
            "UPDATE operation SET state = ? WHERE seq = ? AND state = ?", (state, seq, int(State.IN_DOUBT))
        )
        settled += changed.rowcount
        if changed.rowcount:
            if verdict is Verdict.RETRY:
                _keep_attempts(connection, [seq], f"; decided retry: {why}")
            else:
                connection.execute(
                    "INSERT INTO remark (operation, kind, error) VALUES (?, 'decided', ?)"
                    " ON CONFLICT (operation) DO UPDATE SET kind = 'decided', error = error || '; ' || excluded.error",
                    (seq, f"decided {verdict.value}: {why}"),
                )
            connection.execute(
                "UPDATE step SET state = 'running' WHERE number = (SELECT step FROM operation WHERE seq = ?)", (seq,)
            )
    words = f"{verdict.value} of {settled} in doubt: {why}"
    connection.execute("INSERT INTO event VALUES (?, 'decided', ?)", (time.time_ns() // 1_000_000, words))
    return settled


def mark_applied(connection: sqlite3.Connection, where: str) -> str:
    """Note in a saved plan that it is applied, inside the caller's transaction.

    Args:
        connection: to the plan.
        where: as which run, in which directory.

    Returns:
        As which run it was applied before; empty when this is the first time.
    """
    found = connection.execute("SELECT text FROM event WHERE kind = 'applied'").fetchone()
    if found:
        return str(found[0])
    connection.execute("INSERT INTO event VALUES (?, 'applied', ?)", (time.time_ns() // 1_000_000, where))
    return ""


def retryable(connection: sqlite3.Connection) -> int:
    """How many operations failed or were unreachable, but for what a person decided to be failed."""
    found = connection.execute(
        "SELECT count(*) FROM operation WHERE state > 2 AND state IN (?, ?)"
        " AND seq NOT IN (SELECT operation FROM remark WHERE kind = 'decided')",
        _FAILED,
    )
    return int(found.fetchone()[0])


def reopen(connection: sqlite3.Connection) -> int:
    """Have those operations sent once more, inside the caller's transaction; returns how many."""
    found = connection.execute(
        "SELECT seq FROM operation WHERE state > 2 AND state IN (?, ?)"
        " AND seq NOT IN (SELECT operation FROM remark WHERE kind = 'decided')",
        _FAILED,
    )
    again = [seq for (seq,) in found]
    _keep_attempts(connection, again)
    listed = (json.dumps(again),)
    connection.execute(
        "UPDATE step SET state = 'running' WHERE number IN"
        " (SELECT step FROM operation WHERE seq IN (SELECT value FROM json_each(?)))",
        listed,
    )
    return connection.execute(
        "UPDATE operation SET state = 0 WHERE seq IN (SELECT value FROM json_each(?))", listed
    ).rowcount


def _keep_attempts(connection: sqlite3.Connection, operations: Sequence[int], words: str = "") -> None:
    """Put the last attempts of operations that will be sent again among their earlier ones, with what was said of them."""
    listed = json.dumps(operations)
    connection.execute(
        "INSERT OR IGNORE INTO attempt SELECT o.seq, o.attempts, o.started, coalesce(o.finished, o.started), r.kind,"
        " o.exit_code, r.error || CASE r.evidence WHEN '' THEN '' ELSE '; logged: ' || r.evidence END || ?"
        " FROM operation o JOIN remark r ON r.operation = o.seq"
        " WHERE o.started IS NOT NULL AND o.seq IN (SELECT value FROM json_each(?))",
        (words, listed),
    )
    connection.execute("DELETE FROM remark WHERE operation IN (SELECT value FROM json_each(?))", (listed,))


_FAILED = (int(State.FAILED), int(State.UNREACHABLE))
