"""runs."""

from __future__ import annotations

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, App
from orchestrator.cli.output import emit, emit_json


@click.command("runs", short_help="List runs.")
@FORMAT
@click.pass_obj
def runs(app: App, form: str) -> int:
    """List the runs in the state directory, oldest first.

    \b
    Examples:
      orchestrator runs
    """
    from orchestrator.errors import OrchestratorError
    from orchestrator.runs.follow import line, look
    from orchestrator.views.objects import report_object
    from orchestrator.views.words import moment, states

    runs = app.store.runs()
    for run in runs:
        try:
            if form == "json":
                emit_json(report_object(look(run, brief=True), app.program))
            else:
                found = line(run)
                about = states(found.counts) or "nothing sent"
                emit(f"{run.id:<50} {found.status.word:<11} {moment(found.started)}  {about}")
        except OrchestratorError as error:
            if form == "json":
                emit_json({"run": run.id, "status": "damaged", "reason": error.message})
            else:
                emit(f"{run.id}  damaged: {error.message}")
    if not runs and form == "text":
        emit(f"no runs in {app.store.folder}")
    return exit_codes.DONE


COMMANDS = {"runs": runs}
