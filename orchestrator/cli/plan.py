"""plan."""

from __future__ import annotations

import shlex
import sys
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import (
    FORMAT,
    GIVEN,
    LIMIT,
    REASON,
    TICKET,
    VERBOSE,
    App,
    load_source,
    parse_given,
    planned_so_far,
)
from orchestrator.cli.output import emit, emit_folded, emit_json, message, write, write_utf8
from orchestrator.views.words import harmless

if TYPE_CHECKING:
    from orchestrator.engine.estimate import Estimate
    from orchestrator.engine.live_plan import LivePlan
    from orchestrator.journal.base import Reader
    from orchestrator.plan.steps import Plan


@click.command("plan", short_help="Show all that a playbook would do. Sends nothing.")
@click.argument("playbook")
@GIVEN
@LIMIT
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Save the plan.")
@TICKET
@REASON
@click.option("--manifest", is_flag=True, help="Print the text that approvers sign, whose SHA-256 is the digest.")
@click.option("--live", is_flag=True, help="Send the read-only requests and show what follows from the answers.")
@VERBOSE
@FORMAT
@click.pass_obj
def plan(
    app: App,
    playbook: str,
    given: tuple[str, ...],
    limit: str | None,
    output: str | None,
    *,
    ticket: str,
    reason: str,
    manifest: bool,
    live: bool,
    verbose: int,
    form: str,
) -> int:
    """Show all that PLAYBOOK would do: steps, hosts, requests, user impact, how long it takes. Sends nothing.

    With --live, only read-only commands are sent, and what follows from their answers is shown too. The last line says
    whether all conditions hold; exit code 5 if the run would stop at one.
    With -o the plan is saved; `orchestrator apply FILE` runs exactly that plan.

    \b
    Examples:
      orchestrator plan drain-backend -e backend=b1
      orchestrator plan drain-backend -e backend=b1 --live -v
      orchestrator plan kick.yaml -e users=users.txt -o tuesday.plan
    """
    from orchestrator.runs.estimating import expected
    from orchestrator.runs.live import look
    from orchestrator.runs.work import NOTHING_SAID
    from orchestrator.views.words import safe

    if manifest and live and output is None:
        raise click.UsageError("a manifest has what was seen of the fleet only when the plan is saved: give -o too")
    proposed = app.fleet.plan(load_source(playbook), parse_given(given), limit=limit, ticket=ticket, reason=reason)
    reviewed, seen = anyio.run(look, proposed, app.fleet) if live else (proposed, None)
    if output is not None:  # a plan that nobody keeps is the same whatever was seen, and so is its digest
        proposed = reviewed
    with TemporaryDirectory(prefix="orchestrator-") as scratch:
        if output is not None:
            made = proposed.save(app.store, output, planned_so_far)
        else:
            made = app.store.save(f"{scratch}/plan", proposed.plan, proposed.header, planned_so_far)
        with made.read() as reader:
            estimate = expected(reviewed.plan, reader, NOTHING_SAID.settings(app.fleet.config.file), app.store)
            form = "manifest" if manifest else form
            show_plan(proposed.plan, reader, form=form, verbose=bool(verbose), seen=seen, estimate=estimate)
    if output is not None:
        say_saved(app, output, changes=proposed.changes_anything)
    if seen and form == "text":
        emit_folded(safe(f"{seen.verdict} ({time.strftime('%H:%M %Z')})", 1000))
    return exit_codes.REFUSED if seen and seen.stop else exit_codes.DONE


def show_plan(
    planned: Plan,
    reader: Reader,
    *,
    form: str,
    verbose: bool = False,
    seen: LivePlan | None = None,
    estimate: Estimate | None = None,
) -> None:
    """Print a plan: as text, as JSON lines, or as its manifest."""
    from orchestrator.views.objects import live_objects, plan_objects
    from orchestrator.views.plan_text import plan_lines

    if form == "manifest":
        emit_manifest(reader)
    elif form == "json":
        for value in plan_objects(planned, reader, estimate):
            emit_json(value)
        for value in live_objects(planned, seen) if seen else ():
            emit_json(value)
    else:
        for line in plan_lines(planned, reader, verbose=verbose, seen=seen, estimate=estimate):
            emit_folded(line)
        emit(f"{seen.sent} read-only requests were sent, and nothing else." if seen else "Nothing was sent.")


def emit_manifest(reader: Reader) -> None:
    """Print a manifest, exactly: its SHA-256 is the digest. Only on a terminal it is shown so that it does nothing to it."""
    write_utf8()
    shown = sys.stdout is not None and sys.stdout.isatty()
    for part in reader.manifest():
        text = part.decode()
        write(harmless(text) if shown else text, flush=False)


def say_saved(app: App, output: str, *, changes: bool) -> None:
    """Say where a plan was saved, and what is to be typed next."""
    from orchestrator.approval import signing_command

    output = output if not output.startswith("-") else f"./{output}"
    name = shlex.quote(output)
    message(
        f"saved as {output}; `{app.program} review {name}` shows it to others, `{app.program} apply {name}` runs exactly this"
    )
    terms = app.fleet.policy.file.approvals
    if terms is not None and changes:
        message(f"it must be approved by {terms.needed} of {terms.signers}; who approves it types:")
        message(signing_command(output, app.program))


COMMANDS = {"plan": plan}
