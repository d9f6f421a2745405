"""plan."""

from __future__ import annotations

import shlex
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, GIVEN, LIMIT, VERBOSE, App, load_source, parse_given
from orchestrator.cli.output import emit, emit_json, message

if TYPE_CHECKING:
    from orchestrator.plan import Plan
    from orchestrator.survey import Survey


@click.command("plan", short_help="Show all that a playbook would do. Sends nothing.")
@click.argument("playbook")
@GIVEN
@LIMIT
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan.")
@click.option("--live", is_flag=True, help="Ask the hosts read-only questions, to know more.")
@VERBOSE
@FORMAT
@click.pass_obj
def plan(
    app: App,
    playbook: str,
    given: tuple[str, ...],
    limit: str | None,
    output: Path | None,
    *,
    live: bool,
    verbose: int,
    form: str,
) -> int:
    """Show all that PLAYBOOK would do: steps, hosts, requests, who is disturbed. Sends nothing.

    With --live, read-only commands alone are sent, and what follows from their answers is shown too.
    With -o the plan is saved; `orchestrator apply FILE` runs exactly it.

    \b
    Examples:
      orchestrator plan drain-backend -e backend=b1
      orchestrator plan drain-backend -e backend=b1 --live -v
      orchestrator plan kick.yaml -e users=users.txt -o tuesday.plan
    """
    from orchestrator.cli.execute import make_plan, planned_so_far, scratch_run
    from orchestrator.errors import RefusedError
    from orchestrator.journal.create import create
    from orchestrator.journal.run_file import RunFile
    from orchestrator.views.plan_text import plan_lines, plan_objects

    source = load_source(playbook)
    planned, header = make_plan(app, source, parse_given(given), limit)
    if output is not None:
        try:
            run_id, _ = next(app.store.new_names(planned.source.playbook.name))
            create([(f"{run_id}-{token_hex(2)}", output)], planned, header, planned_so_far)  # two of one second differ
        except FileExistsError:
            raise RefusedError(
                f"{output} exists", hint="a saved plan is never overwritten; give another name"
            ) from None
        file = RunFile(output)
    with scratch_run(planned, header) if output is None else file as opened:
        seen = anyio.run(_look, planned) if live else None
        if form == "json":
            for value in plan_objects(planned, opened):
                emit_json(value)
            for value in seen.objects(planned) if seen else ():
                emit_json(value)
        else:
            for line in plan_lines(planned, opened, verbose=bool(verbose), seen=seen):
                emit(line)
            emit(f"{seen.sent} read-only requests were sent, and nothing else." if seen else "Nothing was sent.")
    if output is not None:
        message(f"saved as {output}; `{app.program} apply {shlex.quote(str(output))}` runs exactly this")
    return exit_codes.DONE


async def _look(planned: Plan) -> Survey:
    from orchestrator.dovecot.ask import Asker
    from orchestrator.dovecot.client import Client
    from orchestrator.survey import survey

    async with Client(host.endpoint for host in planned.inventory.hosts.values()) as client:
        return await survey(planned, Asker(client))


COMMANDS = {"plan": plan}
