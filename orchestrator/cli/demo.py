"""demo."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import VERBOSE, App
from orchestrator.cli.output import emit, message

USERS = 400


@click.command("demo", short_help="Drain a backend of a simulated fleet, to see how it works.")
@click.option("--users", type=click.IntRange(1, 20_000), default=USERS, show_default=True, help="Users with a session.")
@click.option("--keep", is_flag=True, help="Keep the run file, and say where it is.")
@VERBOSE
def demo(users: int, *, keep: bool, verbose: int) -> int:
    """Start a simulated fleet, drain one of its backends with the shipped playbook, and show the report.

    Nothing outside this machine is contacted.
    """
    from orchestrator.cli.conduct import Options, conduct
    from orchestrator.report import make_report
    from orchestrator.runs.work import Choices, start
    from orchestrator.simulator import BackgroundFleet, FleetSpec
    from orchestrator.views.plan_text import plan_lines
    from orchestrator.views.report_text import report_lines

    folder = Path(tempfile.mkdtemp(prefix="orchestrator-demo-"))
    spec = FleetSpec(directors=2, backends=4, users=users, accounts=users, time_scale=0.5, faults=(_FAULT,))
    try:
        with BackgroundFleet(spec) as fleet:
            config = folder / "config.yaml"
            config.write_text(fleet.config(folder), encoding="utf-8")
            message(f"A simulated fleet of 2 directors and 4 backends; {users} users are logged in. Draining b1.\n")
            app = App()
            app.take(str(config), str(folder / "runs"))
            planned = app.fleet.plan("drain-backend", {"backend": "b1", "parallel": "20"})
            run = planned.create(app.store)
            with run.read() as reader:
                for line in plan_lines(planned.plan, reader, verbose=False):
                    message(line)
            message("")
            options = Options(Choices(), verbose=verbose, quiet_end=True)
            _, code = conduct(app, options, lambda how: start(run, app.store, app.fleet, **how))
            with run.read() as reader:
                for line in report_lines(make_report(reader), app.program):
                    emit(line)
        if keep:
            emit(f"the run is kept: {app.program} show {run.id}")
        elif code == exit_codes.DONE:
            emit(
                "\nNext: README.md, “A first real run”; or `orchestrator simulate`, and try things on a fleet of your own."
            )
        return code
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


# A little weather, so that a retry is seen: the first two looks at who is connected are answered with exit code 75.
_FAULT = "command=who,first=2,exit=75"

COMMANDS = {"demo": demo}
