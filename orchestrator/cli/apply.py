"""apply."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from orchestrator.cli.app import FORMAT, VERBOSE, YES, App, limits, message


@click.command("apply", short_help="Run a saved plan, exactly.")
@click.argument("plan")
@YES
@limits
@VERBOSE
@FORMAT
@click.pass_obj
def apply(
    app: App,
    plan: str,
    *,
    yes: bool,
    in_flight: int | None,
    rate: float | None,
    max_failed: str | None,
    force: bool,
    verbose: int,
    form: str,
) -> int:
    """Run a saved PLAN: a file that `plan -o` wrote, or a run that was planned and not started.

    A plan is refused when the fleet is not the one that it was made for, and when it was applied before.

    \b
    Examples:
      orchestrator apply tuesday.plan
    """
    from orchestrator.cli.execute import Options, confirm, plan_again, work
    from orchestrator.errors import RefusedError
    from orchestrator.journal.run_file import RunFile
    from orchestrator.views.plan_text import plan_lines

    options = Options(form, verbose, in_flight, rate, max_failed, force, yes)
    options.share()
    source = Path(plan) if Path(plan).is_file() else app.store.find(plan)
    with RunFile(source) as file:
        target = app.store.path(file.run_id)
        taken = source.resolve() != target.resolve() and target.exists()
        if taken or file.events():
            raise RefusedError(
                f"this plan was applied before, as run {file.run_id}",
                hint=f"`orchestrator show {file.run_id}` shows it; plan again to do it once more",
            )
        planned = plan_again(app, file)
        if form == "text" and not yes:
            for line in plan_lines(planned, file, verbose=False):
                message(line)
        confirm(planned, file, yes=yes)
    if source.resolve() != target.resolve():
        app.store.prepare()
        shutil.copyfile(source, target)
        target.chmod(0o600)
    return work(app, target, options)


COMMANDS = {"apply": apply}
