"""The review of a saved plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.approval import signing_command
from orchestrator.errors import RefusedError
from orchestrator.journal.base import Reader, Run, Store
from orchestrator.review.make import make_review
from orchestrator.review.model import Approvals, Review
from orchestrator.runs.approvals import standing
from orchestrator.runs.estimating import expected
from orchestrator.runs.planning import Fleet, plan_of
from orchestrator.runs.signatures import Signature
from orchestrator.runs.work import NOTHING_SAID
from orchestrator.status import Status


def review(
    run: Run,
    store: Store[Any],
    fleet: Fleet,
    name: str,
    signatures: Iterable[Signature] = (),
    program: str = "orchestrator",
) -> Review:
    """Read a plan, and make its review; nothing is sent.

    Args:
        run: a saved plan, or a run that was not started.
        store: whose runs tell how long things take.
        fleet: that it rests on.
        name: what one types for it.
        signatures: of those who approve it.
        program: how this program was called.

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
        reader.verify()
        plan, settings = plan_of(reader, fleet), NOTHING_SAID.settings(fleet.config.file)
        approvals = _approvals(reader, signatures, fleet, signing_command(name, program))
        return make_review(plan, reader, name, settings, expected(plan, reader, settings, store), approvals)


def _approvals(reader: Reader, signatures: Iterable[Signature], fleet: Fleet, command: str) -> Approvals | None:
    terms = fleet.policy.file.approvals
    if terms is None:
        return None
    try:
        found = standing(reader, signatures)
    except RefusedError as error:
        return Approvals(terms.needed, command, (), f"not verified here: {error.message}")
    return None if found is None else Approvals(terms.needed, command, list(map(str, found[0])), found[1])
