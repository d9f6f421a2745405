"""The journals that the contract is held against, and what its cases need of each besides the protocols.

Another journal joins with one line in `JOURNALS`.
"""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from orchestrator.engine.sending import as_kept
from orchestrator.journal.base import AttemptResult, Intent, Reader, Run, Start, Store
from orchestrator.journal.header import Header
from orchestrator.journal.sqlite import schema
from orchestrator.journal.sqlite.owner import Process
from orchestrator.journal.sqlite.store import FileRun, FileStore
from orchestrator.journal.sqlite.writer import Writer
from orchestrator.outcome import Kind, Outcome, State
from tests.simulation.writer import VirtualWriter
from tests.strategies import plan, steps

KICKS = steps(
    "hosts: 'b[1-2]', for_each: [u1, u2, u3], command: kick, parameters: {mask: ['{{ item }}']}, register: kicked"
)
HEADER = Header(1_000, {"user": "ü"}, "/etc/o/config.yaml", "b*", "CHG-1", "a disk is full")
DEAD = replace(Process.this(), pid=2**22 + 1)  # the kernel gives no such number

ELSEWHERE = Process(pid=7, boot="of another machine", host="elsewhere", since="2026-11-23 02:00:00")


class Journal(Protocol):
    """A journal, and what may happen to it from outside.

    Attributes:
        elsewhere: a process on a machine of which nothing can be seen from here.
    """

    store: Store[Any]
    elsewhere: Process

    def run(self, text: str = KICKS) -> Run:
        """A run of a playbook; six operations on two hosts, unless another text is given."""

    async def vanish(self, run: Run, *intents: Intent) -> None:
        """A process began to work on a run, made these intents, and was killed."""

    def usurp(self, run: Run, by: Process) -> None:
        """A process makes itself the owner of a run, whoever is."""

    def owner(self, run: Run) -> str:
        """The process that is noted as the owner of a run, JSON; empty for nobody."""


class Sqlite:
    """Run files.

    Args:
        folder: the state directory.
        writer: who writes them.
    """

    def __init__(self, folder: Path, writer: type[Writer] = Writer) -> None:
        self.store = FileStore(folder, writer)
        self.elsewhere = ELSEWHERE

    def run(self, text: str = KICKS) -> FileRun:
        """A run of a playbook."""
        return self.store.create(plan(text), HEADER)

    async def vanish(self, run: FileRun, *intents: Intent) -> None:
        """What the file has when a process is killed."""
        session = await run.work(Start({})).__aenter__()
        await session.intend(intents)
        session._stack.close()
        self._execute(run, "UPDATE owner SET process = ?", DEAD.to_json())

    def usurp(self, run: FileRun, by: Process) -> None:
        """Another token stands in the file."""
        self._execute(run, "UPDATE owner SET token = 'another', process = ?", by.to_json())

    def owner(self, run: FileRun) -> str:
        """As the file has it."""
        return "".join(self._execute(run, "SELECT process FROM owner WHERE token != ''") or [])

    def _execute(self, run: FileRun, statement: str, *values: Any) -> Any:
        connection = schema.connect(run._path, write=True)
        try:
            return connection.execute(statement, values).fetchone()
        finally:
            connection.close()


JOURNALS: Mapping[str, Callable[[Path], Journal]] = {
    "files": Sqlite,
    "virtual": lambda folder: Sqlite(folder, partial(VirtualWriter, latency=lambda: 0.0, born=id)),  # type: ignore[arg-type]
}


def ended(
    seq: int, kind: Kind = Kind.DONE, state: State = State.DONE, *, attempt: int = 1, limit: int = 65536, **outcome: Any
) -> AttemptResult:
    """An attempt's end."""
    rows = outcome.pop("rows", ())
    answer = as_kept(rows, limit) if rows else ("", 0)
    return AttemptResult(seq, attempt, 1000 * attempt, 1000 * attempt + 5, Outcome(kind, **outcome), state, *answer)


def failed(seq: int, error: str = "bad", **outcome: Any) -> AttemptResult:
    """An attempt that failed for good."""
    return ended(seq, Kind.FAILED, State.FAILED, error=error, **outcome)


def lost(seq: int, error: str = "closed") -> AttemptResult:
    """An attempt of which nobody knows whether it was executed."""
    return ended(seq, Kind.UNKNOWN, State.IN_DOUBT, error=error)


def counts(run: Run, step: int = 0) -> dict[State, int]:
    """The operations of a step, by state."""
    with run.read() as reader:
        return dict(reader.steps()[step].counts)


def states(reader: Reader) -> list[State]:
    """The states of all operations, in order."""
    return [operation.state for operation in reader.operations()]


async def write(run: Run, *records: AttemptResult) -> None:
    """A session that records these ends, and is interrupted before it says how it ended."""
    async with run.work(Start({})) as session:
        for record in records:
            session.record(record)


def with_log(path: Path) -> None:
    """The file and its log as a killed process leaves them, with something in the log."""
    connection = schema.connect(path, write=True)
    connection.execute("UPDATE operation SET state = 2 WHERE seq = 1")
    log = path.with_name(f"{path.name}-wal")
    content, logged = path.read_bytes(), log.read_bytes()
    connection.close()
    path.write_bytes(content)
    log.write_bytes(logged)


def half_done(path: Path) -> None:
    """Leave a run file as a process that was killed in the midst of a change without a log: with all operations done, and a journal."""
    journal = path.with_name(f"{path.name}-journal")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN; UPDATE operation SET state = 2"
    )
    connection.executemany("INSERT INTO list VALUES (?, ?)", [(str(number), b"x" * 5000) for number in range(20)])
    changed, undoing = path.read_bytes(), journal.read_bytes()
    connection.execute("ROLLBACK")
    connection.close()
    path.write_bytes(changed)
    journal.write_bytes(undoing)


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
