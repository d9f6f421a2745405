"""resume, retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.app import App, options_of, working
from orchestrator.cli.decide import VERDICTS
from orchestrator.cli.output import message

if TYPE_CHECKING:
    from orchestrator.journal.base import Reader
    from orchestrator.journal.sqlite.store import FileRun
    from orchestrator.runs.work import Choices

TAKE_OVER = click.option(
    "--take-over", is_flag=True, help="From a process on another machine, which you know to be gone for good."
)


@click.command("resume", short_help="Go on with a run that was interrupted.")
@click.argument("run", required=False)
@click.option("--in-doubt", type=VERDICTS, help="Settle all operations that are in doubt first.")
@TAKE_OVER
@working
@click.pass_obj
def resume(app: App, /, run: str | None, in_doubt: str | None, **working: Any) -> int:
    """Go on with RUN (default: the newest unfinished one) exactly where it stopped.

    What was recorded as done is not repeated. The run keeps its --rate, --in-flight and --max-failed until others are given.

    \b
    Examples:
      orchestrator resume
      orchestrator resume 20261123-021503-drain-a-backend
      orchestrator resume --in-doubt done
    """
    from orchestrator.cli.conduct import conduct
    from orchestrator.journal.base import Verdict
    from orchestrator.runs import work
    from orchestrator.runs.settle import settle_all

    options = options_of(working)
    found = app.find(run) if run else _unfinished(app)
    if in_doubt:
        message(f"{settle_all(found, Verdict(in_doubt))} operations in doubt decided as {in_doubt}")
    left = work.left(found, take_over=options.choices.take_over)
    with found.read() as reader:
        work.refuse_resume(reader, left.status)
        app.use_config(reader.header.config_path)
        if options.form == "text":
            why = f": {left.reason}" if left.reason else ""
            message(f"resuming {found.id} ({left.status.word}{why}){_limits(reader, options.choices)}")
    _, code = conduct(app, options, lambda how: work.resume(found, app.store, app.fleet, **how))
    return code


@click.command("retry", short_help="Send again what failed in a run.")
@click.argument("run", required=False)
@TAKE_OVER
@working
@click.pass_obj
def retry(app: App, /, run: str | None, **working: Any) -> int:
    """Send again what failed or was unreachable in RUN (default: the newest), and go on.

    What a person decided to be failed stays so.

    \b
    Examples:
      orchestrator retry
    """
    from orchestrator.cli.conduct import conduct
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
    _, code = conduct(app, options, lambda how: work.retry(found, app.store, app.fleet, **how))
    return code


def _limits(reader: Reader, choices: Choices) -> str:
    """The limits that hold, those that the run keeps included, as they are given."""
    kept = choices.with_kept(reader).limits
    words = [f"--{name.replace('_', '-')} {value}" for name, value in kept.items()]
    return f", with {' '.join(words)}" if words else ""


def _unfinished(app: App) -> FileRun:
    """The newest run that can be resumed."""
    from orchestrator.errors import OrchestratorError, RunNotFoundError
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
            return run  # one that somebody works on is refused, with who it is
    raise RunNotFoundError(f"no run in {app.store.folder} is unfinished", hint="`orchestrator runs` lists all")


COMMANDS = {"resume": resume, "retry": retry}
