"""decide."""

from __future__ import annotations

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import message

VERDICTS = click.Choice(["retry", "done", "failed"])


@click.command("decide", short_help="Settle operations that are in doubt.")
@click.argument("run")
@click.argument("operations", nargs=-1, required=True)
@click.option(
    "--as", "verdict", type=VERDICTS, required=True, help="Count them as done or failed, or send them again (retry)."
)
@click.pass_obj
def decide(app: App, run: str, operations: tuple[str, ...], verdict: str) -> int:
    """Settle OPERATIONS of RUN that are in doubt: nobody knows whether they were executed.

    retry: they were not, or may be executed twice. done: they were. failed: they were not; count them as failed.
    Who decided, and when, is recorded. `resume` then continues the run.

    \b
    Examples:
      orchestrator show last --in-doubt
      orchestrator decide last 2.17 2.18 --as done
    """
    from orchestrator.journal.base import Verdict
    from orchestrator.runs.settle import left_in_doubt, settle

    found = app.find(run)
    settled = settle(found, operations, Verdict(verdict))
    left = left_in_doubt(found)
    message(f"{settled} decided as {verdict}; {left} left in doubt")
    message(f"next: {app.program} {f'show {found.name} --in-doubt' if left else f'resume {found.name}'}")
    return exit_codes.IN_DOUBT if left else exit_codes.DONE


COMMANDS = {"decide": decide}
