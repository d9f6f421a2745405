"""resume, retry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.app import FORMAT, VERBOSE, YES, App, limits
from orchestrator.cli.decide import VERDICTS, settle
from orchestrator.cli.output import message

if TYPE_CHECKING:
    from orchestrator.cli.execute import Options
    from orchestrator.journal.run_file import RunFile


@click.command("resume", short_help="Go on with a run that was interrupted.")
@click.argument("run", required=False)
@click.option("--in-doubt", type=VERDICTS, help="Settle all operations that are in doubt first.")
@YES
@limits
@VERBOSE
@FORMAT
@click.pass_obj
def resume(
    app: App,
    run: str | None,
    *,
    in_doubt: str | None,
    yes: bool,
    in_flight: int | None,
    rate: float | None,
    max_failed: str | None,
    force: bool,
    verbose: int,
    form: str,
) -> int:
    """Go on with RUN (default: the newest unfinished one) exactly where it stopped.

    What was recorded as done is not repeated. The run keeps its --rate, --in-flight and --max-failed until others are given.

    \b
    Examples:
      orchestrator resume
      orchestrator resume 20261123-021503-drain-a-backend
      orchestrator resume --in-doubt done
    """
    from orchestrator.cli.execute import Options, work
    from orchestrator.errors import RefusedError
    from orchestrator.journal.run_file import RunFile
    from orchestrator.report import RESUMABLE

    options = Options(form, verbose, in_flight, rate, max_failed, force, yes)
    path = app.run_file(run) if run else _unfinished(app)
    if in_doubt:
        with RunFile(path) as file:
            numbers = [seq for seq, _, _ in file.doubtful()]
        message(f"{settle(path, numbers, in_doubt)} operations in doubt decided as {in_doubt}")
    status, reason = _status(path)
    if status not in RESUMABLE:
        hint = f"`orchestrator show {path.stem}` shows it; plan again to do it once more"
        if status == "planned":
            hint = f"it was planned and never started: `orchestrator apply {path.stem}` shows the plan and asks"
        raise RefusedError(f"run {path.stem} is {status}; there is nothing to resume", hint=hint)
    if form == "text":
        message(f"resuming {path.stem} ({status}{': ' + reason if reason else ''}){_limits(path, options)}")
    return work(app, path, options, still=_still(RESUMABLE))


@click.command("retry", short_help="Send again what failed in a run.")
@click.argument("run", required=False)
@YES
@limits
@VERBOSE
@FORMAT
@click.pass_obj
def retry(
    app: App,
    run: str | None,
    *,
    yes: bool,
    in_flight: int | None,
    rate: float | None,
    max_failed: str | None,
    force: bool,
    verbose: int,
    form: str,
) -> int:
    """Send again what failed or was unreachable in RUN (default: the newest), and go on.

    What a person decided to be failed stays so.

    \b
    Examples:
      orchestrator retry
    """
    from orchestrator.cli.execute import Options, work
    from orchestrator.errors import RefusedError
    from orchestrator.journal.decide import reopen
    from orchestrator.journal.run_file import RunFile
    from orchestrator.report import RESUMABLE, make_report
    from orchestrator.views.words import count

    options = Options(form, verbose, in_flight, rate, max_failed, force, yes)
    path = app.run_file(run)
    with RunFile(path) as file:
        report = make_report(file)
        bad, undoing = file.retryable(), file.undoing()
    if undoing and report.status in RESUMABLE:
        raise RefusedError(
            f"run {report.run_id} is {report.status}, and is being undone", hint=f"orchestrator resume {report.run_id}"
        )
    if not bad or report.status in {"undone", "refused"}:
        raise RefusedError(f"run {report.run_id} is {report.status}; nothing in it can be retried")
    if form == "text":
        message(f"{report.run_id}: retrying {count(bad, 'operation')}{_limits(path, options)}")
    return work(app, path, options, prepare=reopen, still=_still((report.status,)))


def _still(statuses: Collection[str]) -> Callable[[RunFile], None]:
    """Another process may have worked on the run between the look at it and the lock."""
    from orchestrator.errors import RefusedError
    from orchestrator.report import status_of

    def check(file: RunFile) -> None:
        status, _ = status_of(file)
        if status not in statuses:
            raise RefusedError(f"run {file.run_id} is {status} meanwhile", hint=f"orchestrator show {file.run_id}")

    return check


def _limits(path: Path, options: Options) -> str:
    """The limits that hold, those that the run keeps included, as they are given."""
    from orchestrator.journal.run_file import RunFile

    with RunFile(path) as file:
        kept = options.with_kept(file.limits).limits
    words = [f"--{name.replace('_', '-')} {value}" for name, value in kept.items()]
    return f", with {' '.join(words)}" if words else ""


def _status(path: Path) -> tuple[str, str]:
    from orchestrator.journal.run_file import RunFile
    from orchestrator.report import status_of

    with RunFile(path) as file:
        return status_of(file)


def _unfinished(app: App) -> Path:
    """The newest run that can be resumed."""
    from orchestrator.errors import LockedError, OrchestratorError, RunNotFoundError
    from orchestrator.journal.lock import holder
    from orchestrator.report import RESUMABLE

    paths = sorted(map(app.store.path, app.store.ids()), key=lambda path: -path.stat().st_mtime_ns)
    for path in paths:
        try:
            status, _ = _status(path)
        except OrchestratorError as error:
            message(f"warning: left out: {error.message}")
            continue
        if holder(path):
            raise LockedError(f"the newest unfinished run, {path.stem}, is being worked on by {holder(path)}")
        if status in RESUMABLE:
            return path
    raise RunNotFoundError(f"no run in {app.store.folder} is unfinished", hint="`orchestrator runs` lists all")


COMMANDS = {"resume": resume, "retry": retry}
