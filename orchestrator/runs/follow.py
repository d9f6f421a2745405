"""How a run stands: now, and while it is worked on, in this process or in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple, TypeVar

import anyio

from orchestrator.full_report import FullReport, make_full_report
from orchestrator.journal.base import Reader, Run
from orchestrator.outcome import State
from orchestrator.report import Report, make_report, status_of
from orchestrator.status import Status

GOING_ON = frozenset({Status.PLANNED, Status.RUNNING})


class Standing(NamedTuple):
    """How a run stands, without a look at its operations, however many there are.

    Attributes:
        holder: who works on it, or empty.
        resumable: of this version; what an older one wrote can only be read.
    """

    status: Status
    reason: str
    holder: str
    resumable: bool


def standing(run: Run) -> Standing:
    """How a run stands now.

    Raises:
        DamagedRunError, JournalError: it cannot be read.
    """
    return _surely(run, lambda reader, holder: Standing(*status_of(reader, holder), holder, reader.resumable))


class Line(NamedTuple):
    """A run in a list of many.

    Attributes:
        started: milliseconds since the epoch; None when it was not.
        counts: its operations by state.
    """

    status: Status
    started: int | None
    counts: Mapping[State, int]


def line(run: Run) -> Line:
    """How a run stands now, in a list of thousands.

    Raises:
        DamagedRunError, JournalError: it cannot be read.
    """
    found = run.glance(_line)
    return run.glance(_line) if found.status is Status.CRASHED else found


def _line(reader: Reader) -> Line:
    sessions = reader.sessions()
    return Line(status_of(reader, reader.holder())[0], sessions[0].began if sessions else None, reader.counts())


def look(run: Run, *, brief: bool = False) -> Report:
    """A report of how a run stands now.

    Args:
        run: the run.
        brief: leave out what takes a look at every operation.

    Raises:
        DamagedRunError, JournalError: it cannot be read.
    """
    return _surely(run, lambda reader, holder: make_report(reader, holder, name=run.name, brief=brief))


def look_fully(run: Run) -> FullReport:
    """How a run stands now, and all that happened in it.

    Raises:
        DamagedRunError, JournalError: it cannot be read.
    """
    return _surely(run, lambda reader, holder: make_full_report(reader, holder, name=run.name))


T = TypeVar("T", Standing, Line, Report, FullReport)


def _surely(run: Run, see: Callable[[Reader, str], T]) -> T:
    """Look a second time at what seems to have crashed: it may have been begun after it was asked who works on it."""
    found = _seen(run, see)
    return _seen(run, see) if found.status is Status.CRASHED else found


def _seen(run: Run, see: Callable[[Reader, str], T]) -> T:
    with run.read() as reader, reader.moment():
        return see(reader, reader.holder())


async def follow(run: Run, every: float = 1.0) -> AsyncIterator[Report]:
    """How a run stands, now and then, until it was started and nobody works on it any more.

    Args:
        run: in whatever process it is worked on.
        every: seconds.

    Raises:
        DamagedRunError, JournalError: it cannot be read.
    """
    while True:
        report = look(run, brief=True)
        yield report
        if report.status not in GOING_ON:
            return
        await anyio.sleep(every)
