"""run."""

from __future__ import annotations

import click

from orchestrator.cli.app import FORMAT, GIVEN, LIMIT, VERBOSE, YES, App, limits, load_source, parse_given
from orchestrator.cli.output import message


@click.command("run", short_help="Plan a playbook, ask, and run it.")
@click.argument("playbook")
@GIVEN
@LIMIT
@YES
@limits
@VERBOSE
@FORMAT
@click.pass_obj
def run(
    app: App,
    playbook: str,
    given: tuple[str, ...],
    limit: str | None,
    *,
    yes: bool,
    in_flight: int | None,
    rate: float | None,
    max_failed: str | None,
    force: bool,
    verbose: int,
    form: str,
) -> int:
    """Plan PLAYBOOK, show the plan, ask, and run it.

    Ctrl-C stops sending and waits for answers; the run can be resumed. After a crash too.

    \b
    Examples:
      orchestrator run drain-backend -e backend=b1
      orchestrator run kick.yaml -e users=users.txt --yes --rate 50 --max-failed 1%
    """
    from orchestrator.cli.execute import Options, begin, confirm, make_plan, planned_run
    from orchestrator.journal.run_file import RunFile
    from orchestrator.views.plan_text import plan_lines

    options = Options(form, verbose, in_flight, rate, max_failed, force, yes)
    source = load_source(playbook)
    planned, header = make_plan(app, source, parse_given(given), limit)
    with planned_run(app, planned, header) as path, RunFile(path) as file:
        if form == "text" and not yes:
            for line in plan_lines(planned, file, verbose=False):
                message(line)
        confirm(planned, file, yes=yes)
    return begin(app, path, options)


COMMANDS = {"run": run}
