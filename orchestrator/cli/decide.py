"""decide."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import message

VERDICTS = click.Choice(["retry", "done", "failed"])


@click.command("decide", short_help="Settle operations that are in doubt.")
@click.argument("run")
@click.argument("operations", nargs=-1, required=True)
@click.option("--as", "verdict", type=VERDICTS, required=True, help="What becomes of them.")
@click.pass_obj
def decide(app: App, run: str, operations: tuple[str, ...], verdict: str) -> int:
    """Settle OPERATIONS of RUN that are in doubt: nobody knows whether they were executed.

    retry: they were not, or may be executed twice. done: they were. failed: they were not, and shall not be.
    Who decided, and when, is recorded. `resume` then goes on.

    \b
    Examples:
      orchestrator show last --in-doubt
      orchestrator decide last 2.17 2.18 --as done
    """
    from orchestrator.errors import RunNotFoundError
    from orchestrator.journal.run_file import RunFile
    from orchestrator.outcome import State

    path = app.run_file(run)
    with RunFile(path) as file:
        numbers = []
        doubtful = {seq for seq, _, _ in file.doubtful()}
        for operation in operations:
            seq = file.seq_of(operation)
            if seq is None or seq not in doubtful:
                raise RunNotFoundError(
                    f"{operation!r} is no operation in doubt of run {file.run_id}",
                    hint=f"`orchestrator show {file.run_id} --in-doubt` lists them",
                )
            numbers.append(seq)
    settled = settle(path, numbers, verdict)
    with RunFile(path) as file:
        left = sum(step.counts.get(State.IN_DOUBT, 0) for step in file.steps())
    message(f"{settled} decided as {verdict}; {left} left in doubt")
    message(f"next: {app.program} {'show ' + path.stem + ' --in-doubt' if left else 'resume ' + path.stem}")
    return exit_codes.IN_DOUBT if left else exit_codes.DONE


def settle(path: Path, numbers: Sequence[int], verdict: str) -> int:
    """Settle operations under the run's lock; returns how many."""
    from orchestrator.journal.decide import Verdict
    from orchestrator.journal.decide import decide as decide_in
    from orchestrator.journal.lock import RunLock
    from orchestrator.journal.schema import in_transaction
    from orchestrator.user import login

    who = f"by {login()} on {socket.gethostname()}"
    with RunLock(path):
        return in_transaction(path, lambda connection: decide_in(connection, numbers, Verdict(verdict), who))


COMMANDS = {"decide": decide}
