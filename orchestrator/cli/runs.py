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
    from orchestrator.cli.execute import report_object
    from orchestrator.errors import OrchestratorError
    from orchestrator.journal.lock import holder
    from orchestrator.journal.run_file import RunFile
    from orchestrator.report import make_report
    from orchestrator.views.words import moment, states

    ids = app.store.ids()
    for run_id in ids:
        path = app.store.path(run_id)
        try:
            with RunFile(path) as file:
                report = make_report(file, holder(path), brief=True)
        except OrchestratorError as error:
            if form == "json":
                emit_json({"run": run_id, "status": "damaged", "reason": error.message})
            else:
                emit(f"{run_id}  damaged: {error.message}")
            continue
        if form == "json":
            emit_json(report_object(report, app.program))
        else:
            about = states(dict(report.counts)) or "nothing sent"
            emit(f"{run_id:<50} {report.status:<11} {moment(report.started)}  {about}")
    if not ids and form == "text":
        emit(f"no runs in {app.store.folder}")
    return exit_codes.DONE


COMMANDS = {"runs": runs}
