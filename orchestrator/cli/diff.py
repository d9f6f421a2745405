"""diff."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, App
from orchestrator.cli.output import emit, emit_folded, emit_json

if TYPE_CHECKING:
    from orchestrator.journal.base import Reader

DIFFERS = 1  # as of diff(1)


@click.command("diff", short_help="Show how two saved plans differ, or a plan from now.")
@click.argument("plan")
@click.argument("other", required=False)
@click.option(
    "--live", is_flag=True, help="Without OTHER: also send the read-only requests, and compare what they answer."
)
@FORMAT
@click.pass_obj
def diff(app: App, plan: str, other: str | None, *, live: bool, form: str) -> int:
    """Show how the saved PLAN differs from OTHER; without OTHER, from what the same playbook and values give now.

    Exit code 0 if they are the same, 1 if they differ.

    \b
    Examples:
      orchestrator diff tuesday.plan thursday.plan
      orchestrator diff tuesday.plan --live
    """
    from orchestrator.comparison import compare
    from orchestrator.views.words import safe

    if other is not None and live:
        raise click.UsageError("--live compares a plan with now; it takes no OTHER")
    with ExitStack() as stack:
        then = stack.enter_context(app.find(plan).read())
        now = stack.enter_context(app.find(other).read()) if other else _now(app, then, stack, live=live)
        found, subject = False, ""
        for difference in compare(then, now):
            found = True
            if form == "json":
                emit_json({"event": "difference", **difference._asdict()})
                continue
            if difference.subject != subject:
                subject = difference.subject
                emit(f"{subject}:")
            emit_folded(f"  {safe(difference.text, 1000)}")
    if not found and form == "text":
        emit("no difference")
    return DIFFERS if found else exit_codes.DONE


def _now(app: App, then: Reader, stack: ExitStack, *, live: bool) -> Reader:
    """The same as a plan of now, in a file that nobody keeps."""
    from orchestrator.runs.live import look
    from orchestrator.runs.planning import plan_again

    app.use_config(then.header.config_path)
    proposed = plan_again(then, app.fleet)
    if live:
        proposed, _ = anyio.run(look, proposed, app.fleet)
    scratch = stack.enter_context(TemporaryDirectory(prefix="orchestrator-"))
    return stack.enter_context(app.store.save(f"{scratch}/plan", proposed.plan, proposed.header).read())


COMMANDS = {"diff": diff}
