"""Settling operations that are in doubt: a person says what became of them, and that stands in the run."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from orchestrator.errors import RunNotFoundError
from orchestrator.journal.base import Run, Verdict
from orchestrator.outcome import State
from orchestrator.user import login


def settle(run: Run, operations: Sequence[str], verdict: Verdict) -> int:
    """Settle operations that are in doubt, by their ids; returns how many.

    Raises:
        RunNotFoundError: one of them is no operation in doubt.
        LockedError: somebody works on the run.
    """
    with run.read() as reader:
        doubtful = {seq for seq, _, _ in reader.doubtful()}
        seqs = []
        for operation in operations:
            found = reader.operation(operation)
            if found is None or found[0] not in doubtful:
                raise RunNotFoundError(
                    f"{operation!r} is no operation in doubt of run {reader.run_id}",
                    hint=f"`orchestrator show {reader.run_id} --in-doubt` lists them",
                )
            seqs.append(found[0])
    return run.settle(seqs, verdict, who())


def settle_all(run: Run, verdict: Verdict) -> int:
    """Settle all operations that are in doubt; returns how many."""
    with run.read() as reader:
        seqs = [seq for seq, _, _ in reader.doubtful()]
    return run.settle(seqs, verdict, who())


def who() -> str:
    """Who decides, for the record."""
    return f"by {login()} on {socket.gethostname()}"


def left_in_doubt(run: Run) -> int:
    """How many operations of a run are in doubt."""
    with run.read() as reader:
        return sum(step.counts.get(State.IN_DOUBT, 0) for step in reader.steps())
