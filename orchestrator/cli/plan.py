"""plan."""

from __future__ import annotations

import shlex
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, GIVEN, LIMIT, VERBOSE, App, load_source, parse_given, planned_so_far
from orchestrator.cli.output import emit, emit_folded, emit_json, message

if TYPE_CHECKING:
    from orchestrator.engine.live_plan import LivePlan
    from orchestrator.plan.steps import Plan
    from orchestrator.runs.planning import Fleet


@click.command("plan", short_help="Show all that a playbook would do. Sends nothing.")
@click.argument("playbook")
@GIVEN
@LIMIT
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Save the plan.")
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
    from orchestrator.errors import RefusedError
    from orchestrator.runs.estimating import expected
    from orchestrator.runs.work import NOTHING_SAID
    from orchestrator.views.objects import live_objects, plan_objects
    from orchestrator.views.plan_text import plan_lines
    from orchestrator.views.words import safe

    proposed = app.fleet.plan(load_source(playbook), parse_given(given), limit=limit)
    planned = proposed.plan
    with TemporaryDirectory(prefix="orchestrator-") as scratch:
        try:
            made = app.store.save(output or f"{scratch}/plan", planned, proposed.header, planned_so_far)
        except FileExistsError:
            raise RefusedError(
                f"{output} exists", hint="a saved plan is never overwritten; give another name"
            ) from None
        with made.read() as reader:
            seen = anyio.run(_look, planned, app.fleet) if live else None
            settings = NOTHING_SAID.settings(app.fleet.config.file)
            estimate = expected(planned, reader, settings, app.store, seen)
            if form == "json":
                for value in plan_objects(planned, reader, estimate):
                    emit_json(value)
                for value in live_objects(planned, seen) if seen else ():
                    emit_json(value)
            else:
                for line in plan_lines(planned, reader, verbose=bool(verbose), seen=seen, estimate=estimate):
                    emit_folded(line)
                emit(f"{seen.sent} read-only requests were sent, and nothing else." if seen else "Nothing was sent.")
    if output is not None:
        output = output if not output.startswith("-") else f"./{output}"
        message(f"saved as {output}; `{app.program} apply {shlex.quote(output)}` runs exactly this")
    if seen and form == "text":
        emit_folded(safe(f"{seen.verdict} ({time.strftime('%H:%M %Z')})", 1000))
    return exit_codes.REFUSED if seen and seen.stop else exit_codes.DONE


async def _look(planned: Plan, fleet: Fleet) -> LivePlan:
    from orchestrator.dovecot.ask import Asker
    from orchestrator.dovecot.client import Client
    from orchestrator.engine.live_plan import look
    from orchestrator.runs.work import NOTHING_SAID

    async with Client(host.endpoint for host in planned.inventory.hosts.values()) as client:
        return await look(planned, Asker(client), NOTHING_SAID.settings(fleet.config.file))


COMMANDS = {"plan": plan}
