"""Writing what happens: one thread, one connection, group commits, each of them only while the run is this process's.

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
from typing import Any, TypeVar

from orchestrator.errors import JournalError, OrchestratorError
from orchestrator.journal.base import AttemptResult
from orchestrator.journal.sqlite.schema import connect, explain
from orchestrator.journal.sqlite.statements import finish, has_row_alone

T = TypeVar("T")
_Job = tuple[Callable[[sqlite3.Connection], Any], Future[Any]]


class Writer:
    """The writing side of an open run file.

    Args:
        path: the run file.
        durable: called in the writer's thread with how many records each commit has put on the disk.
        failed: called in the writer's thread when a commit failed; nothing is written after that.

    Attributes:
        token: of the owner; every commit must find it in the file. Empty until a job made this process the owner.
    """

    def __init__(self, path: Path, durable: Callable[[int], None], failed: Callable[[JournalError], None]) -> None:
        self._path = path
        self._durable = durable
        self._failed = failed
        self._queue: SimpleQueue[list[AttemptResult] | _Job | None] = SimpleQueue()
        self.failure: JournalError | None = None
        self.token = ""
        self._connection = connect(path, write=True)
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def write(self, group: list[AttemptResult]) -> None:
        """Queue the ends of attempts for one commit; they are on the disk when `durable` is called."""
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

    def _commit(self, group: Sequence[AttemptResult]) -> None:
        try:
            self._in_transaction(lambda: self._finish(group), single=all(map(has_row_alone, group)))
        except OrchestratorError as error:
            self._fail(JournalError(error.message, hint=error.hint))
        except Exception as error:  # noqa: BLE001 - a thread that died silently would have the run wait for ever
            self._fail(
                JournalError(f"what happened cannot be written to {self._path}: {type(error).__name__}: {error}")
            )
        if self.failure is None:
            self._durable(len(group))

    def _finish(self, group: Sequence[AttemptResult]) -> None:
        if not finish(self._connection, group, self.token):
            raise self._not_ours()

    def _run(self, job: Callable[[sqlite3.Connection], Any], future: Future[Any]) -> None:
        if self.failure is not None:
            _tell(future, error=self.failure)
            return
        results: list[Any] = []
        try:
            self._in_transaction(lambda: results.append(self._owned(job)), single=job is into_file)
        except Exception as error:  # noqa: BLE001 - whatever the job raises belongs to whoever asked for it
            _tell(future, error=error)
            return
        if self.failure is not None:
            _tell(future, error=self.failure)
        else:
            _tell(future, result=results[0])

    def _owned(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        """A job's result, if the run is ours; the transaction is begun, so it stays so until its end."""
        if self.token and self._connection.execute("SELECT token FROM owner").fetchone()[0] != self.token:
            raise self._fail(self._not_ours())
        return job(self._connection)

    def _not_ours(self) -> JournalError:
        return JournalError(
            f"another process has taken over the run {self._path.stem}; this one writes nothing more",
            hint=f"`orchestrator show {self._path.stem}` says who works on it",
        )

    def _fail(self, failure: JournalError) -> JournalError:
        self.failure = failure
        self._failed(failure)
        return failure

    def _in_transaction(self, work: Callable[[], None], *, single: bool) -> None:
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
            self._fail(explain(error, self._path))
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the commit's own error is the one that is told


def into_file(connection: sqlite3.Connection) -> None:
    """Have what the log says stand in the file itself too, as far as readers allow: a copy of the file alone says it then."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _tell(future: Future[Any], *, result: Any = None, error: BaseException | None = None) -> None:
    """Whoever waits is told; nobody may wait any more, when a process is being ended."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
