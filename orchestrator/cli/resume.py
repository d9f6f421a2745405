"""resume, retry."""

from __future__ import annotations

import shlex
import socket
import time
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.app import App, options_of, working
from orchestrator.cli.decide import VERDICTS
from orchestrator.cli.output import message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.cli.conduct import Options
    from orchestrator.journal.base import Reader
    from orchestrator.journal.sqlite.store import FileRun
    from orchestrator.report import Report
    from orchestrator.runs.work import Choices

MOST_LISTED = 5
TAKE_OVER = click.option(
    "--take-over", is_flag=True, help="Take the run over from a process on another machine that is gone for good."
)


@click.command("resume", short_help="Continue a run that was interrupted or stopped.")
@click.argument("run", required=False)
@click.option("--in-doubt", type=VERDICTS, help="Settle all operations that are in doubt first.")
@TAKE_OVER
@working
@click.pass_obj
def resume(app: App, /, run: str | None, in_doubt: str | None, **working: Any) -> int:
    """Continue RUN (default: the newest unfinished one) exactly where it stopped.

    Without RUN it asks where several runs are unfinished, or where the newest is somebody else's. What was recorded as done
    is not repeated. The run keeps its --rate, --in-flight and --max-failed unless you give others.

    \b
    Examples:
      orchestrator resume
      orchestrator resume 20261123-021503-drain-a-backend
      orchestrator resume --in-doubt done
    """
    from orchestrator.cli.conduct import conduct, confirm_emergency
    from orchestrator.journal.base import Verdict
    from orchestrator.runs import work
    from orchestrator.runs.follow import look
    from orchestrator.runs.settle import settle_all
    from orchestrator.views.words import safe

    options = options_of(working)
    found = app.find(run) if run else _unfinished(app, options)
    if in_doubt:
        message(f"{settle_all(found, Verdict(in_doubt))} operations in doubt decided as {in_doubt}")
    left = work.left(found, take_over=options.choices.take_over)
    with found.read() as reader:
        work.refuse_resume(reader, left.status)
        app.use_config(reader.header.config_path)
        if options.form == "text":
            why = f": {safe(left.reason)}" if left.reason else ""
            message(f"resuming {found.id} ({left.status.word}{why}){_limits(reader, options.choices)}")
            message(f"  {_about(look(found, brief=True))}")
        asked = f"{reader.playbook}: go on with {reader.run_id} in spite of windows, freezes and approvals?"
        confirm_emergency(options, changes=bool(reader.changes()), question=asked)
    _, code = conduct(app, options, lambda how: work.resume(found, app.store, app.fleet, **how))
    return code


@click.command("retry", short_help="Send again what failed in a run.")
@click.argument("run", required=False)
@TAKE_OVER
@working
@click.pass_obj
def retry(app: App, /, run: str | None, **working: Any) -> int:
    """Send again what failed or was unreachable in RUN (default: the newest), and go on.

    Operations that a person decided as failed stay failed.

    \b
    Examples:
      orchestrator retry
    """
    from orchestrator.cli.conduct import conduct, confirm_emergency
    from orchestrator.runs import work
    from orchestrator.views.words import count

    options = options_of(working)
    found = app.find(run)
    left = work.left(found, take_over=options.choices.take_over)
    with found.read() as reader:
        work.refuse_retry(reader, left.status)
        app.use_config(reader.header.config_path)
        if options.form == "text":
            failed = count(reader.retryable(), "operation")
            message(f"{found.id}: retrying {failed}{_limits(reader, options.choices)}")
        asked = f"{reader.playbook}: go on with {reader.run_id} in spite of windows, freezes and approvals?"
        confirm_emergency(options, changes=bool(reader.changes()), question=asked)
    _, code = conduct(app, options, lambda how: work.retry(found, app.store, app.fleet, **how))
    return code


def _limits(reader: Reader, choices: Choices) -> str:
    """The limits that hold, those that the run keeps included, as they are given."""
    kept = choices.with_kept(reader).limits
    words = [f"--{name.replace('_', '-')} {value}" for name, value in kept.items()]
    return f", with {' '.join(words)}" if words else ""


def _unfinished(app: App, options: Options) -> FileRun:
    """The newest run that can be resumed; asked about where it may be another one than is meant.

    Raises:
        RunNotFoundError: there is none.
        RefusedError: it may be another one, and nobody can be asked, or the answer is no.
    """
    from orchestrator.cli.output import is_terminal
    from orchestrator.cli.question import ask
    from orchestrator.errors import RefusedError, RunNotFoundError
    from orchestrator.runs.follow import look

    runs = list(_all_unfinished(app))
    if not runs:
        raise RunNotFoundError(f"no run in {app.store.folder} is unfinished", hint="`orchestrator runs` lists all")
    newest = look(runs[0])
    if newest.holder or options.yes or (len(runs) == 1 and _is_mine(newest)):
        return runs[0]  # one that somebody works on is refused, with who it is
    for report in (newest, *(look(run, brief=True) for run in runs[1:MOST_LISTED])):
        message(f"unfinished: {report.run_id}, {_about(report)}")
    if len(runs) > MOST_LISTED:
        message(f"... and {len(runs) - MOST_LISTED} more; `{app.program} runs` lists all")
    if not is_terminal() or options.form == "json":
        why = "several runs are unfinished" if len(runs) > 1 else "the unfinished run is somebody else's"
        raise RefusedError(why, hint=f"name the one that is meant: orchestrator resume {shlex.quote(runs[0].name)}")
    if not ask(f"Resume {runs[0].name}?"):
        raise RefusedError(
            "not confirmed; nothing was sent", hint="name the one that is meant: orchestrator resume RUN"
        )
    return runs[0]


def _all_unfinished(app: App) -> Iterator[FileRun]:
    """The runs that can be resumed, the newest first."""
    from orchestrator.errors import OrchestratorError
    from orchestrator.runs.follow import standing
    from orchestrator.status import RESUMABLE

    for run in app.store.newest_first():
        if run.is_over():
            continue
        try:
            found = standing(run)
        except OrchestratorError as error:
            message(f"warning: left out: {error.message}")
            continue
        if found.holder or (found.status in RESUMABLE and found.resumable):
            yield run


def _is_mine(report: Report) -> bool:
    """Whether this user, on this machine, worked on it last."""
    from orchestrator.user import login

    return not report.sessions or report.sessions[-1].who.startswith(f"{login()} on {socket.gethostname()},")


def _about(report: Report) -> str:
    """A run in a line: what it is, how it stands, since when, whose it is, and what is left of it."""
    from orchestrator.outcome import State
    from orchestrator.views.words import age, count, safe

    values = " ".join(f"{name}={safe(text, 60)}" for name, text in report.given.items())
    name = f"{report.playbook} ({values})" if values else report.playbook
    by = f", by {safe(report.sessions[-1].who)}" if report.sessions else ""
    left = f"{count(report.left, 'operation')} left, {report.changes_left} of them changes"
    doubtful = report.counts.get(State.IN_DOUBT, 0)
    left += f", {doubtful} in doubt" if doubtful else ""
    unknown = f", and {count(report.unexpanded, 'step')} not begun" if report.unexpanded else ""
    return f"{name}: {report.status.word} {age(report.finished, time.time())}{by}; {left}{unknown}"


COMMANDS = {"resume": resume, "retry": retry}
