"""What is done to a run file, each wholly or not at all: jobs for a transaction that somebody else begins and ends."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.dovecot.jsontext import dumps
from orchestrator.errors import RefusedError
from orchestrator.journal.base import AttemptResult, Intent, Start, Verdict
from orchestrator.journal.sqlite.reading import status_in
from orchestrator.journal.sqlite.schema import mark_over
from orchestrator.outcome import State
from orchestrator.plan.steps import Draft
from orchestrator.sighting import Sighting
from orchestrator.status import OVER, Ending, Status

FAILED_STATES = (int(State.FAILED), int(State.UNREACHABLE))
_VERDICTS = {Verdict.RETRY: State.PENDING, Verdict.DONE: State.DONE, Verdict.FAILED: State.FAILED}


def now_ms() -> int:
    """The wall clock, in milliseconds since the epoch; for the record only, never for decisions."""
    return time.time_ns() // 1_000_000


class Timeline:
    """The times of one session: the wall clock as it was when it began, and from then on as long as things really took.

    A clock that is set meanwhile changes neither how long a run nor how long a step took.
    """

    def __init__(self) -> None:
        self._began = now_ms()
        self._mark = self._since_boot()

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._began + self._since_boot() - self._mark

    @staticmethod
    def _since_boot() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000  # which goes on while the machine sleeps


# the run


def begin(connection: sqlite3.Connection, start: Start, who: str, moment: int, *, alive: bool) -> int:
    """Begin a session: what was on the wire when the last one died is in doubt; returns how many operations are.

    Args:
        connection: to the run file.
        start: what is to hold, and to be done first.
        who: the operator and the machine.
        moment: milliseconds since the epoch.
        alive: whether somebody else works on it, which was found out before.

    Raises:
        RefusedError: the run is not what it was when the operator was asked.
    """
    run_id, digest = (_meta(connection, key) for key in ("run_id", "digest"))
    status, _ = status_in(connection, alive=alive)
    if start.digest and digest != start.digest:
        raise RefusedError("the plan is not the one that was shown: it was replaced meanwhile", hint="look again")
    if start.expected is not None and status not in start.expected:
        raise RefusedError(
            f"run {run_id} is {status.word}: another process has worked on it meanwhile",
            hint=f"`orchestrator show {run_id}` shows it",
        )
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('limits', ?)", (json.dumps(dict(start.limits)),))
    for approval in start.approvals:
        event(connection, "approved", approval.to_json())
    mark_over(connection, over=False)
    doubtful = _recover(connection)
    if start.retry:
        reopen_failed(connection)
    connection.execute("INSERT INTO session (began, who) VALUES (?, ?)", (moment, who))
    return doubtful


def _meta(connection: sqlite3.Connection, key: str) -> str:
    return str(connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def _recover(connection: sqlite3.Connection) -> int:
    connection.execute(
        "INSERT OR REPLACE INTO remark (operation, kind, error)"
        " SELECT seq, 'unknown', 'it was being sent when the program ended' FROM operation WHERE state < 2 AND state = ?",
        (int(State.RUNNING),),
    )
    return connection.execute(
        "UPDATE operation SET state = ?, finished = started WHERE state < 2 AND state = ?",
        (int(State.IN_DOUBT), int(State.RUNNING)),
    ).rowcount


def end(connection: sqlite3.Connection, ending: Ending, moment: int) -> None:
    """Record how the session ended, and when: milliseconds since the epoch."""
    connection.execute(
        "UPDATE session SET ended = ?, status = ?, reason = ? WHERE number = (SELECT max(number) FROM session)",
        (moment, ending.status.value, ending.reason),
    )
    mark_over(connection, over=ending.status in OVER)


def event(connection: sqlite3.Connection, kind: str, text: str, status: Status | None = None) -> None:
    """Record something that happened to the run as a whole."""
    connection.execute("INSERT INTO event VALUES (?, ?, ?, ?)", (now_ms(), kind, status and status.value, text))


def condition(connection: sqlite3.Connection, seen: Sighting) -> None:
    """Record what was seen of a condition."""
    connection.execute(
        "INSERT INTO condition VALUES (?, ?, ?, ?, ?, ?)",
        (seen.name, seen.moment, seen.at, _flag(seen.holds), json.dumps(seen.value, ensure_ascii=False), seen.why),
    )


def claim(connection: sqlite3.Connection, where: str) -> str:
    """Note in a saved plan as which run it is about to be applied; returns as which it was before, or empty.

    A process that was killed before it was said that it is (`mark_applied`) has applied nothing: whoever claims the same goes on.
    """
    found = connection.execute("SELECT kind, text FROM event WHERE kind IN ('applying', 'applied')").fetchone()
    if found is None:
        event(connection, "applying", where)
    return "" if found in {None, ("applying", where)} else str(found[1])


def mark_applied(connection: sqlite3.Connection, where: str) -> None:
    """Note in a saved plan that it is applied as a run, which is there now."""
    connection.execute("DELETE FROM event WHERE kind IN ('applying', 'applied')")
    event(connection, "applied", where)


def unclaim(connection: sqlite3.Connection) -> None:
    """Note in a saved plan that it could not be applied."""
    connection.execute("DELETE FROM event WHERE kind = 'applying'")


def skip_rest(connection: sqlite3.Connection, reason: str) -> None:
    """A run that is over leaves nothing pending."""
    connection.execute("UPDATE operation SET state = ? WHERE state = 0", (int(State.SKIPPED),))
    connection.execute(
        "UPDATE step SET state = 'skipped', reason = CASE role WHEN 'undo' THEN 'not needed' ELSE ? END"
        " WHERE state = 'pending'",
        (reason,),
    )


# steps


def expand(connection: sqlite3.Connection, step: int, drafts: Iterator[Draft], hosts: Mapping[str, int]) -> int:
    """Write a step's operations; returns how many."""
    first = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM operation").fetchone()[0]
    pending, skipped = int(State.PENDING), int(State.SKIPPED)
    connection.executemany(
        "INSERT INTO operation (step, host, state, parameters) VALUES (?, ?, ?, ?)",
        ((step, hosts[d.host], skipped if d.skipped else pending, d.parameters) for d in drafts),
    )
    last = connection.execute("SELECT coalesce(max(seq), 0) FROM operation").fetchone()[0]
    connection.execute("UPDATE step SET first = ?, operations = ? WHERE number = ?", (first, last - first + 1, step))
    return int(last - first + 1)


def mark(connection: sqlite3.Connection, step: int, state: str, reason: str, moment: int, *, ended: bool) -> None:
    """Record where a step stands at a moment; one that was refused before it sent anything is not begun."""
    connection.execute(
        "UPDATE step SET state = ?, reason = ?, started = coalesce(started, ?), finished = ? WHERE number = ?",
        (state, reason, None if state in {"skipped", "failed"} else moment, moment if ended else None, step),
    )


def reopen(connection: sqlite3.Connection, step: int) -> None:
    """Have a step's operations sent again; what was said of their last attempts goes to the earlier ones."""
    rows = connection.execute("SELECT seq FROM operation WHERE step = ? AND state != ?", (step, int(State.SKIPPED)))
    _open_again(connection, [seq for (seq,) in rows])


# operations


def intend(connection: sqlite3.Connection, intents: Sequence[Intent]) -> None:
    """Note that unrepeatable operations are about to be sent."""
    connection.executemany(
        "UPDATE operation SET state = ?, attempts = ?, started = ? WHERE seq = ?",
        [(int(State.RUNNING), intent.attempt, intent.started, intent.seq) for intent in intents],
    )


def withdraw(connection: sqlite3.Connection, intents: Sequence[Intent]) -> None:
    """Take back intents of operations that were not sent after all."""
    connection.executemany(
        "UPDATE operation SET state = 0, attempts = ?, started = NULL WHERE seq = ?",
        [(intent.attempt - 1, intent.seq) for intent in intents],
    )


def mark_unreachable(connection: sqlite3.Connection, step: int, host: int, error: str) -> int:
    """Record all pending operations of a step on a host as unreachable; returns how many."""
    connection.execute(
        "INSERT OR REPLACE INTO remark (operation, kind, error) SELECT seq, 'unreachable', ? FROM operation"
        " WHERE step = ? AND host = ? AND state = 0",
        (error, step, host),
    )
    return connection.execute(
        "UPDATE operation SET state = ? WHERE step = ? AND host = ? AND state = 0",
        (int(State.UNREACHABLE), step, host),
    ).rowcount


def decide(connection: sqlite3.Connection, operations: Sequence[int], verdict: Verdict, why: str) -> int:
    """Settle operations that are in doubt; returns how many were.

    Args:
        connection: to the run file.
        operations: their numbers in it.
        verdict: what becomes of them.
        why: who decided, or which probe; kept with the operation and as an event.
    """
    state, settled = int(_VERDICTS[verdict]), 0
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
    event(connection, "decided", f"{verdict.value} of {settled} in doubt: {why}")
    return settled


RETRYABLE = (
    "FROM operation WHERE state > 2 AND state IN (?, ?)"
    " AND seq NOT IN (SELECT operation FROM remark WHERE kind = 'decided')"
)


def reopen_failed(connection: sqlite3.Connection) -> int:
    """Have what failed sent again, but for what a person decided to be failed; returns how many."""
    again = [seq for (seq,) in connection.execute(f"SELECT seq {RETRYABLE}", FAILED_STATES)]
    connection.execute(
        "UPDATE step SET state = 'running' WHERE number IN"
        " (SELECT step FROM operation WHERE seq IN (SELECT value FROM json_each(?)))",
        (json.dumps(again),),
    )
    return _open_again(connection, again)


def _open_again(connection: sqlite3.Connection, operations: Sequence[int]) -> int:
    _keep_attempts(connection, operations)
    listed = (json.dumps(operations),)
    connection.execute("DELETE FROM answer WHERE operation IN (SELECT value FROM json_each(?))", listed)
    return connection.execute(
        "UPDATE operation SET state = 0 WHERE seq IN (SELECT value FROM json_each(?))", listed
    ).rowcount


def _keep_attempts(connection: sqlite3.Connection, operations: Sequence[int], words: str = "") -> None:
    """Put the last attempts of operations that will be sent again among their earlier ones, with what was said of them."""
    listed = json.dumps(operations)
    connection.execute(
        "INSERT OR IGNORE INTO attempt SELECT o.seq, o.attempts, o.started, coalesce(o.finished, o.started),"
        " coalesce(r.kind, 'done'), o.exit_code,"
        " coalesce(r.error || CASE r.evidence WHEN '' THEN '' ELSE '; logged: ' || r.evidence END, '') || ?"
        " FROM operation o LEFT JOIN remark r ON r.operation = o.seq"
        " WHERE o.started IS NOT NULL AND o.seq IN (SELECT value FROM json_each(?))",
        (words, listed),
    )
    connection.execute("DELETE FROM remark WHERE operation IN (SELECT value FROM json_each(?))", (listed,))


# One statement for a whole group: SQLite takes it apart without the interpreter, which has requests to send meanwhile.
_UPDATE = """
UPDATE operation SET
    state = json_extract(v.value, '$[1]'),
    attempts = json_extract(v.value, '$[2]'),
    exit_code = json_extract(v.value, '$[3]'),
    changed = json_extract(v.value, '$[4]'),
    started = json_extract(v.value, '$[5]'),
    finished = json_extract(v.value, '$[6]')
FROM json_each(?) AS v
WHERE operation.seq = json_extract(v.value, '$[0]') AND (SELECT token FROM owner) = ?
"""


def has_row_alone(record: AttemptResult) -> bool:
    """Whether there is nothing to be said of an attempt's end but what stands in the operation's own row."""
    return not (record.state is State.PENDING or record.outcome.error or record.answer)


def finish(connection: sqlite3.Connection, records: Sequence[AttemptResult], token: str) -> bool:
    """Record the ends of attempts; returns whether the run is still the token's."""
    rows = {  # an operation may have ended twice within a moment: the last time is what its row says
        r.seq: (r.seq, int(r.state), r.attempt, r.outcome.exit_code, _flag(r.outcome.changed), r.started, r.finished)
        for r in records
    }
    if connection.execute(_UPDATE, (dumps(list(rows.values())), token)).rowcount != len(rows):
        return False
    again = [r for r in records if r.state is State.PENDING]
    if again:
        connection.executemany(
            "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (r.seq, r.attempt, r.started, r.finished, r.outcome.kind.value, r.outcome.exit_code, r.outcome.error)
                for r in again
            ],
        )
    ended = [r for r in records if r.state is not State.PENDING and not has_row_alone(r)]
    if ended:
        connection.executemany(
            "INSERT OR REPLACE INTO remark VALUES (?, ?, ?, ?)",
            [(r.seq, r.outcome.kind.value, r.outcome.error, r.outcome.evidence) for r in ended if r.outcome.error],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", [(r.seq, r.answer, r.left_out) for r in ended if r.answer]
        )
    return True


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)
