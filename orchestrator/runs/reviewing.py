"""The review of a saved plan."""

from __future__ import annotations

from orchestrator.errors import RefusedError
from orchestrator.journal.base import Run
from orchestrator.review.make import make_review
from orchestrator.review.model import Review
from orchestrator.runs.planning import Fleet, plan_of
from orchestrator.runs.work import NOTHING_SAID
from orchestrator.status import Status


def review(run: Run, fleet: Fleet, name: str) -> Review:
    """Read a plan, and make its review; nothing is sent.

    Args:
        run: a saved plan, or a run that was not started.
        fleet: that it rests on.
        name: what one types for it.

    Raises:
        RefusedError: it was started, or the fleet is not the one that it rests on.
        JournalError: an older version wrote it.
    """
    with run.read() as reader:
        status, _ = reader.status()
        if run.holder() or status not in {Status.PLANNED, Status.APPLIED}:
            raise RefusedError(
                f"{name} was started: there is no plan to review any more",
                hint=f"`orchestrator report {run.name}` tells what was done",
            )
        return make_review(plan_of(reader, fleet), reader, name, NOTHING_SAID.settings(fleet.config.file))
