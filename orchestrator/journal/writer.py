"""Writing what happens: one thread, one connection, group commits.

A record is believed when its commit is on the disk; the callback then says so.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from orchestrator.dovecot.jsontext import dumps
from orchestrator.errors import JournalError
from orchestrator.journal.schema import connect, explain
from orchestrator.outcome import Outcome, State

T = TypeVar("T")


class Finished(NamedTuple):
    """An attempt's end.

    Attributes:
        seq: the operation.
        attempt: its number, from 1.
        started, finished: milliseconds since the epoch.
        outcome: without its rows.
        state: the operation's new state; PENDING when it will be tried again.
        answer: the answer's rows as they are kept, JSON; empty when there are none.
        left_out: how many rows of the answer are not kept.
    """

    seq: int
    attempt: int
    started: int
    finished: int
    outcome: Outcome
    state: State
    answer: str = ""
    left_out: int = 0


class Intent(NamedTuple):
    """An unrepeatable operation is about to be sent."""

    seq: int
    attempt: int
    started: int


_Job = tuple[Callable[[sqlite3.Connection], Any], Future[Any]]


class Writer:
    """The writing side of an open run file.

    Args:
        path: the run file.
        durable: called in the writer's thread with the records of each commit that is on the disk.
        failed: called in the writer's thread when a commit failed; nothing is written after that.
    """

    def __init__(
        self, path: Path, durable: Callable[[Sequence[Finished]], None], failed: Callable[[JournalError], None]
    ) -> None:
        self._path = path
        self._durable = durable
        self._failed = failed
        self._queue: SimpleQueue[list[Finished] | _Job | None] = SimpleQueue()
        self.failure: JournalError | None = None
        self._connection = connect(path, write=True)
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def write(self, group: list[Finished]) -> None:
        """Queue the ends of attempts for one commit; they are on the disk when `durable` is called with them."""
        self._queue.put(group)

    def call(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run a job in a transaction of its own, after all that is queued; the future is done when it is durable."""
        future: Future[T] = Future()
        self._queue.put((job, future))
        return future

    def close(self) -> None:
        """Write all that is queued, and close."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (entry := self._queue.get()) is not None:
                if isinstance(entry, tuple):
                    self._run(*entry)
                elif self.failure is None:
                    self._commit(entry)
        finally:
            with contextlib.suppress(sqlite3.Error):  # so that the file says all by itself, also when it is copied
                self._connection.execute("PRAGMA busy_timeout = 1000")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    def _commit(self, group: Sequence[Finished]) -> None:
        try:
            self._guarded(lambda: _insert(self._connection, group), single=all(map(_has_row_alone, group)))
        except Exception as error:  # noqa: BLE001 - a thread that died without a word would have the run wait for ever
            self.failure = JournalError(
                f"what happened cannot be written to {self._path}: {type(error).__name__}: {error}"
            )
            self._failed(self.failure)
        if self.failure is None:
            self._durable(group)

    def _run(self, job: Callable[[sqlite3.Connection], Any], future: Future[Any]) -> None:
        if self.failure is not None:
            future.set_exception(self.failure)
            return
        results: list[Any] = []
        try:
            self._guarded(lambda: results.append(job(self._connection)))
        except Exception as error:  # noqa: BLE001 - whatever the job raises belongs to whoever asked for it
            future.set_exception(error)
            return
        if self.failure is not None:
            future.set_exception(self.failure)
        else:
            future.set_result(results[0])

    def _guarded(self, work: Callable[[], None], *, single: bool = False) -> None:
        """Run work in a transaction; a database error ends all writing.

        A single statement is a transaction by itself. Each statement has this thread and the one that sends wait for
        each other, so the fewer the better.
        """
        try:
            if not single:
                self._connection.execute("BEGIN IMMEDIATE")
            work()
            if not single:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            self.failure = explain(error, self._path)
            self._failed(self.failure)
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the commit's own error is the one that is told


def intend(connection: sqlite3.Connection, intents: Sequence[Intent]) -> None:
    """Note that unrepeatable operations are about to be sent; a job for `Writer.call`."""
    connection.executemany(
        "UPDATE operation SET state = ?, attempts = ?, started = ? WHERE seq = ?",
        [(int(State.RUNNING), intent.attempt, intent.started, intent.seq) for intent in intents],
    )


# One statement for a whole group: SQLite takes it apart without the interpreter, which has requests to send meanwhile.
_UPDATE = """
UPDATE operation SET
    state = json_extract(v.value, '$[1]'),
    attempts = json_extract(v.value, '$[2]'),
    exit_code = json_extract(v.value, '$[3]'),
    changed = json_extract(v.value, '$[4]'),
    started = json_extract(v.value, '$[5]'),
    finished = json_extract(v.value, '$[6]')
FROM json_each(?) AS v WHERE operation.seq = json_extract(v.value, '$[0]')
"""


def _has_row_alone(record: Finished) -> bool:
    """Whether there is nothing to be said of an attempt's end but what stands in the operation's own row."""
    return not (record.state is State.PENDING or record.outcome.error or record.answer)


def _insert(connection: sqlite3.Connection, records: Sequence[Finished]) -> None:
    rows = [
        (r.seq, int(r.state), r.attempt, r.outcome.exit_code, _flag(r.outcome.changed), r.started, r.finished)
        for r in records
    ]
    connection.execute(_UPDATE, (dumps(rows),))
    again = [r for r in records if r.state is State.PENDING]
    if again:
        connection.executemany(
            "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (r.seq, r.attempt, r.started, r.finished, r.outcome.kind.value, r.outcome.exit_code, r.outcome.error)
                for r in again
            ],
        )
    ended = [r for r in records if r.state is not State.PENDING and not _has_row_alone(r)]
    if not ended:
        return
    connection.executemany(
        "INSERT OR REPLACE INTO remark VALUES (?, ?, ?, ?)",
        [(r.seq, r.outcome.kind.value, r.outcome.error, r.outcome.evidence) for r in ended if r.outcome.error],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", [(r.seq, r.answer, r.left_out) for r in ended if r.answer]
    )


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def as_kept(rows: Sequence[Any], limit: int) -> tuple[str, int]:
    """An answer's rows as JSON of no more than `limit` characters, and how many rows were left out for that."""
    fit = list(rows[: limit // 3 + 1])  # {}, is the shortest row
    text = dumps(fit)
    if len(text) <= limit and len(fit) == len(rows):
        return text, 0
    kept: list[Any] = []
    size = 2
    for row in fit:
        size += len(dumps(row)) + 1
        if size > limit:
            break
        kept.append(row)
    return dumps(kept), len(rows) - len(kept)
