"""One owner's work on a run file, inside an event loop: awaited where it must be durable."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

from orchestrator.errors import JournalError
from orchestrator.journal.base import AttemptResult, Intent, Start, Verdict
from orchestrator.journal.sqlite import owner, statements
from orchestrator.journal.sqlite.lock import RunLock
from orchestrator.journal.sqlite.writer import Writer, into_file
from orchestrator.plan.steps import Draft
from orchestrator.sighting import Sighting
from orchestrator.status import Ending
from orchestrator.version import __version__

T = TypeVar("T")
GATHER = 0.012  # seconds that a first record waits for others; a commit costs as much as ten requests


class FileSession:
    """The writing side of a run.

    Args:
        path: the run file.
        start: what is to hold, and to be done first.
        writer: who writes; a simulation with a clock of its own brings one without a thread.

    Attributes:
        doubtful: how many operations were being sent when the last session died.

    Raises (on entry):
        LockedError: another process works on the run.
        RefusedError: the run is not as `start` expects it.
        JournalError: it cannot be written.
    """

    def __init__(self, path: Path, start: Start, writer: type[Writer] = Writer) -> None:
        self._path = path
        self._start = start
        self._writer_type = writer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathered: list[AttemptResult] = []
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._stack = ExitStack()
        self.doubtful = 0
        self.failure: JournalError | None = None
        self.recorded: Callable[[int], None] = lambda _count: None
        self.failed: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            stack.enter_context(RunLock(self._path))
            self._writer = self._writer_type(self._path, self._durable, self._write_failed)
            stack.callback(self._writer.close)
            await self._call(self._take)
            await self._call(into_file)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        if self._writer.token and self.failure is None:
            self._writer.call(owner.give_back)
        self._stack.close()

    def _take(self, connection: sqlite3.Connection) -> None:
        """In one transaction: nobody else owns the run, it is as expected, and it is ours."""
        run_id = connection.execute("SELECT value FROM meta WHERE key = 'run_id'").fetchone()[0]
        token = owner.take(connection, run_id, by_force=self._start.take_over)
        process = owner.Process.this()
        who = f"{process.login} on {process.host}, pid {process.pid}, orchestrator {__version__}"
        self._time = statements.Timeline()
        self.doubtful = statements.begin(connection, self._start, who, self._time.now_ms(), alive=False)
        numbers = connection.execute("SELECT name, number FROM host").fetchall()
        self._hosts: Mapping[str, int] = dict(numbers)
        self._writer.token = token

    # attempts

    def record(self, finished: AttemptResult) -> None:
        """Queue an attempt's end; `recorded` tells when it is durable.

        What ends within a moment is committed together: the more there is to write, the larger the groups.
        """
        self._gathered.append(finished)
        if not self._writing and self._timer is None:
            self._gather()

    def flush(self) -> None:
        """Wait for no further records."""
        if not self._writing:
            self._flush()

    async def intend(self, intents: Sequence[Intent]) -> None:
        """Make durable that unrepeatable operations are about to be sent."""
        await self._call(lambda connection: statements.intend(connection, intents))

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        """Take back intents of operations that were not sent after all."""
        await self._call(lambda connection: statements.withdraw(connection, intents))

    async def mark_unreachable(self, step: int, host: str, error: str) -> int:
        """Record all pending operations of a step on a host as unreachable; returns how many."""
        return await self._call(
            lambda connection: statements.mark_unreachable(connection, step, self._hosts[host], error)
        )

    async def decide(self, seqs: Sequence[int], verdict: Verdict, why: str) -> int:
        """Settle operations that are in doubt; returns how many."""
        return await self._call(lambda connection: statements.decide(connection, seqs, verdict, why))

    # steps

    async def expand(self, step: int, drafts: Iterator[Draft]) -> int:
        """Write a step's operations in one transaction; returns how many."""
        return await self._call(lambda connection: statements.expand(connection, step, drafts, self._hosts))

    async def mark(self, step: int, state: str, reason: str = "", *, ended: bool = True) -> None:
        """Record where a step stands."""
        moment = self._time.now_ms()
        await self._call(lambda connection: statements.mark(connection, step, state, reason, moment, ended=ended))

    async def reopen(self, step: int) -> None:
        """Have a step's operations sent again, as if none had been."""
        await self._call(lambda connection: statements.reopen(connection, step))

    # the run

    async def event(self, kind: str, text: str) -> None:
        """Record something that happened to the run as a whole."""
        await self._call(lambda connection: statements.event(connection, kind, text))

    async def condition(self, seen: Sighting) -> None:
        """Record what was seen of a condition."""
        await self._call(lambda connection: statements.condition(connection, seen))

    async def undoing(self, ending: Ending) -> None:
        """Record that what was done is being undone from now on, and why."""
        await self._call(lambda connection: statements.event(connection, "undoing", ending.reason, ending.status))

    async def skip_rest(self, reason: str) -> None:
        """A run that is over leaves nothing pending."""
        await self._call(lambda connection: statements.skip_rest(connection, reason))

    async def end(self, ending: Ending) -> None:
        """Record how the session ended, and give the run back."""
        moment = self._time.now_ms()

        def job(connection: sqlite3.Connection) -> None:
            statements.end(connection, ending, moment)
            owner.give_back(connection)

        await self._call(job)
        self._writer.token = ""

    # inside

    def _gather(self) -> None:
        if self._loop:
            self._timer = self._loop.call_later(GATHER, self._flush)

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._gathered and self.failure is None:
            group, self._gathered, self._writing = self._gathered, [], True
            self._writer.write(group)

    def _written(self, count: int) -> None:
        self._writing = False
        self.recorded(count)
        if self._gathered and self._timer is None:
            self._gather()

    async def _call(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Have a job done. What was handed to the writer is heard of: a cancellation waits until it is durable."""
        self._flush()
        future: asyncio.Future[Any] = asyncio.wrap_future(self._writer.call(job))
        with anyio.CancelScope(shield=True):
            await asyncio.wait([future])
        result: T = future.result()
        return result

    def _durable(self, count: int) -> None:
        """Called in the writer's thread."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._written, count)

    def _write_failed(self, failure: JournalError) -> None:
        """Called in the writer's thread."""
        self.failure = failure
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.failed)
