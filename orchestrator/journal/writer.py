"""Writing what happens: one thread, one connection, group commits.

Records queue up while a commit is on its way to the disk, and the next commit takes them all: the more there is to
write, the larger the groups. A record is believed when its commit is durable; the callback then says how many were.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from orchestrator.errors import JournalError
from orchestrator.journal.schema import connect, explain
from orchestrator.outcome import Outcome, State

T = TypeVar("T")
GROUP = 4096  # records of one commit at most


class Finished(NamedTuple):
    """An attempt's end.

    Attributes:
        seq: the operation.
        attempt: its number, from 1.
        started, finished: milliseconds since the epoch.
        state: the operation's new state; PENDING when it will be tried again.
        rows_limit: characters of the answer that are kept.
    """

    seq: int
    attempt: int
    started: int
    finished: int
    outcome: Outcome
    state: State
    rows_limit: int


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
        self._queue: SimpleQueue[Finished | _Job | None] = SimpleQueue()
        self.failure: JournalError | None = None
        self._connection = connect(path, write=True)
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def record(self, finished: Finished) -> None:
        """Queue an attempt's end; it is durable when `durable` has been called with it."""
        self._queue.put(finished)

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
            while (group := self._take()) is not None:
                self._write(group)
        finally:
            self._connection.close()

    def _take(self) -> list[Finished | _Job] | None:
        group: list[Finished | _Job] = []
        entry = self._queue.get()
        while True:
            if entry is None:
                if not group:
                    return None
                self._queue.put(None)  # close after this group
                return group
            group.append(entry)
            if len(group) >= GROUP or not isinstance(entry, Finished):
                return group
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return group

    def _write(self, group: list[Finished | _Job]) -> None:
        records = [entry for entry in group if isinstance(entry, Finished)]
        jobs = [entry for entry in group if not isinstance(entry, Finished)]
        if records and self.failure is None:
            self._guarded(lambda: _insert(self._connection, records))
            if self.failure is None:
                self._durable(records)
        for job, future in jobs:
            self._run(job, future)

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

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run work in a transaction; a database error ends all writing."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            work()
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


def _insert(connection: sqlite3.Connection, records: list[Finished]) -> None:
    connection.executemany(
        "UPDATE operation SET state = ?, attempts = ?, exit_code = ?, changed = ?, started = ?, finished = ? WHERE seq = ?",
        [
            (int(r.state), r.attempt, r.outcome.exit_code, r.outcome.changed, r.started, r.finished, r.seq)
            for r in records
        ],
    )
    again = [r for r in records if r.state is State.PENDING]
    if again:
        connection.executemany(
            "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (r.seq, r.attempt, r.started, r.finished, r.outcome.kind.value, r.outcome.exit_code, r.outcome.error)
                for r in again
            ],
        )
    remarks = [
        (r.seq, r.outcome.kind.value, r.outcome.error, r.outcome.evidence)
        for r in records
        if r.outcome.error and r.state is not State.PENDING
    ]
    if remarks:
        connection.executemany("INSERT OR REPLACE INTO remark VALUES (?, ?, ?, ?)", remarks)
    answers = [(r.seq, *_kept(r)) for r in records if r.outcome.rows and r.state is not State.PENDING]
    if answers:
        connection.executemany("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", answers)


def _kept(record: Finished) -> tuple[str, int]:
    """The rows that are kept, as JSON, and how many were left out."""
    rows = record.outcome.rows
    text = json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"))
    if len(text) <= record.rows_limit:
        return text, 0
    kept: list[Any] = []
    size = 2
    for row in rows:
        size += len(json.dumps(row, ensure_ascii=False, separators=(",", ":"))) + 1
        if size > record.rows_limit:
            break
        kept.append(row)
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")), len(rows) - len(kept)
