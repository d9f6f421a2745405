"""The journal's writer without its thread: what it does takes as long as the schedule says, in the schedule's time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from orchestrator.errors import JournalError
from orchestrator.journal.base import AttemptResult
from orchestrator.journal.sqlite.schema import connect
from orchestrator.journal.sqlite.writer import Writer


class VirtualWriter(Writer):
    """Commits one thing after the other, each after its latency, to a real run file.

    Args:
        latency: seconds that the next commit takes.
        born: told of each writer, so that it can be killed.
    """

    def __init__(
        self,
        path: Path,
        durable: Callable[[int], None],
        failed: Callable[[JournalError], None],
        *,
        latency: Callable[[], float],
        born: Callable[[VirtualWriter], None],
    ) -> None:
        self._path = path
        self._durable = durable
        self._failed = failed
        self._latency = latency
        self._entries: deque[Any] = deque()
        self._busy = False
        self._dead = False
        self.failure: JournalError | None = None
        self.token = ""
        self._connection = connect(path, write=True)
        self._connection.execute("PRAGMA synchronous = OFF")
        born(self)

    def write(self, group: list[AttemptResult]) -> None:
        """Queue a commit."""
        self._put(group)

    def call(self, job: Callable[[sqlite3.Connection], Any]) -> Future[Any]:
        """Queue a job."""
        future: Future[Any] = Future()
        self._put((job, future))
        return future

    def close(self) -> None:
        """Commit all that is queued, and close."""
        while self._entries and not self._dead:
            self._commit_next()
        self._connection.close()

    def kill(self) -> None:
        """The process is gone: what is not committed is lost, and nobody waits for it any more."""
        self._dead = True
        while self._entries:
            self._lose(self._entries.popleft())

    @staticmethod
    def _lose(entry: Any) -> None:
        if isinstance(entry, tuple):  # else a task that is shielded would wait for it for ever
            entry[1].cancel()

    def _put(self, entry: Any) -> None:
        if self._dead:
            self._lose(entry)
            return
        self._entries.append(entry)
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        loop, seconds = asyncio.get_running_loop(), self._latency()
        if seconds:
            loop.call_later(seconds, self._end)
        else:
            loop.call_soon(self._end)

    def _end(self) -> None:
        self._busy = False
        if self._entries and not self._dead:
            self._commit_next()
            if self._entries:
                self._begin()

    def _commit_next(self) -> None:
        entry = self._entries.popleft()
        if isinstance(entry, tuple):
            self._run(*entry)
        elif self.failure is None:
            self._commit(entry)
