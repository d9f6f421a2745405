"""One session of work on a run: what the runner asks of the journal, awaited where it must be durable."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio

from orchestrator.errors import JournalError
from orchestrator.journal.create import insert_operations
from orchestrator.journal.decide import Verdict, decide
from orchestrator.journal.run_file import RunFile
from orchestrator.journal.writer import Finished, Intent, Writer, intend
from orchestrator.outcome import State
from orchestrator.plan import Plan, PlannedStep, Scope

T = TypeVar("T")
GATHER = 0.012  # seconds that a first record waits for others; a commit costs as much as ten requests


def now_ms() -> int:
    """The wall clock, in milliseconds since the epoch; for the record only, never for decisions."""
    return time.time_ns() // 1_000_000


class Session:
    """The writing side of a run, inside an event loop. The caller holds the run's lock.

    Attributes:
        failure: why nothing can be written any more, or None.
        recorded: called with the number of attempts that became durable.
        failed: called when writing failed.

    Args:
        path: the run file.
        writer: who writes; a simulation with a clock of its own brings one without a thread.
    """

    def __init__(self, path: Path, writer: type[Writer] = Writer) -> None:
        self._path = path
        self._writer_type = writer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathered: list[Finished] = []
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self.failure: JournalError | None = None
        self.recorded: Callable[[int], None] = lambda _count: None
        self.failed: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._writer = self._writer_type(self._path, self._durable, self._write_failed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    # attempts

    def record(self, finished: Finished) -> None:
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
        await self._call(lambda connection: intend(connection, intents))

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        """Take back intents of operations that were not sent after all."""
        values = [(intent.attempt - 1, intent.seq) for intent in intents]
        await self._call(
            lambda connection: (
                connection.executemany(
                    "UPDATE operation SET state = 0, attempts = ?, started = NULL WHERE seq = ?", values
                ).rowcount
            )
        )

    async def give_up(self, step: int, host: int, error: str) -> int:
        """Record all pending operations of a step on a host as unreachable; returns how many."""

        def job(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT OR REPLACE INTO remark (operation, kind, error) SELECT seq, 'unreachable', ? FROM operation"
                " WHERE step = ? AND host = ? AND state = 0",
                (error, step, host),
            )
            changed = connection.execute(
                "UPDATE operation SET state = ? WHERE step = ? AND host = ? AND state = 0",
                (int(State.UNREACHABLE), step, host),
            )
            return changed.rowcount

        return await self._call(job)

    async def decide(self, seq: int, verdict: Verdict, why: str) -> None:
        """Settle an operation that is in doubt."""
        await self._call(lambda connection: decide(connection, [seq], verdict, why))

    # steps

    async def expand(self, step: PlannedStep, plan: Plan, scope: Scope, file: RunFile) -> int:
        """Write a step's operations in one transaction; returns how many."""
        return await self._call(lambda c: insert_operations(c, step, plan, scope, file.host_numbers))

    async def mark(self, step: int, state: str, reason: str = "", *, ended: bool = True) -> None:
        """Record where a step stands."""
        moment = now_ms()
        await self._execute(
            "UPDATE step SET state = ?, reason = ?, started = coalesce(started, ?), finished = ? WHERE number = ?",
            (state, reason, None if state == "skipped" else moment, moment if ended else None, step),
        )

    async def reopen(self, step: int) -> None:
        """Have a step's operations sent once more."""
        await self._execute("UPDATE operation SET state = 0 WHERE step = ? AND state != ?", (step, int(State.SKIPPED)))

    # the run

    async def event(self, kind: str, text: str) -> None:
        """Record something that happened to the run as a whole."""
        await self._execute("INSERT INTO event VALUES (?, ?, ?)", (now_ms(), kind, text))

    async def recover(self) -> int:
        """Settle what an earlier session left: unrepeatable operations on the wire are in doubt; returns how many."""

        def job(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT OR REPLACE INTO remark (operation, kind, error)"
                " SELECT seq, 'unknown', 'it was being sent when the program ended' FROM operation WHERE state < 2 AND state = ?",
                (int(State.RUNNING),),
            )
            changed = connection.execute(
                "UPDATE operation SET state = ?, finished = started WHERE state < 2 AND state = ?",
                (int(State.IN_DOUBT), int(State.RUNNING)),
            )
            return changed.rowcount

        return await self._call(job)

    async def skip_rest(self, reason: str) -> None:
        """A run that is over leaves nothing pending."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE operation SET state = ? WHERE state = 0", (int(State.SKIPPED),))
            connection.execute(
                "UPDATE step SET state = 'skipped', reason = CASE role WHEN 'undo' THEN 'not needed' ELSE ? END"
                " WHERE state = 'pending'",
                (reason,),
            )

        await self._call(job)

    # inside

    async def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        await self._call(lambda connection: connection.execute(statement, values).rowcount)

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
        future = asyncio.wrap_future(self._writer.call(job))
        with anyio.CancelScope(shield=True):
            await asyncio.wait([future])
        return future.result()

    def _durable(self, records: Sequence[Finished]) -> None:
        """Called in the writer's thread."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._written, len(records))

    def _write_failed(self, failure: JournalError) -> None:
        """Called in the writer's thread."""
        self.failure = failure
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.failed)
