"""Following a run that is worked on, in this process or in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from orchestrator.journal.base import Run
from orchestrator.report import Report, make_report
from orchestrator.status import Status


async def follow(run: Run, every: float = 1.0) -> AsyncIterator[Report]:
    """How a run stands, now and then, while somebody works on it; at last how it stands when nobody does any more.

    Args:
        run: in whatever process it is worked on.
        every: seconds.
    """
    while True:
        with run.read() as reader:
            report = make_report(reader, run.holder(), brief=True)
        yield report
        if report.status is not Status.RUNNING:
            return
        await anyio.sleep(every)
