"""apply."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.app import FORMAT, VERBOSE, YES, App, limits
from orchestrator.cli.output import message

if TYPE_CHECKING:
    from orchestrator.errors import RefusedError
    from orchestrator.journal.run_file import RunFile


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
    from orchestrator.cli.execute import Options, begin, confirm, plan_again, work
    from orchestrator.errors import RefusedError
    from orchestrator.journal.create import adopt
    from orchestrator.journal.run_file import RunFile
    from orchestrator.views.plan_text import plan_lines

    options = Options(form, verbose, in_flight, rate, max_failed, force, yes)
    source = app.run_file(plan)
    with RunFile(source) as file:
        app.use_config(file.meta["config_path"])  # it may say where runs are kept
        target = app.store.path(file.run_id)
        saved = not _same(source, target)
        _refuse_applied(file, elsewhere=saved and target.exists())
        planned = plan_again(app, file)
        if form == "text" and not yes:
            for line in plan_lines(planned, file, verbose=False):
                message(line)
        confirm(planned, file, yes=yes)
        digest = file.meta["digest"]

    def still(now: RunFile) -> None:
        """What the operator said yes to is what is about to be sent, and nobody else has begun it."""
        _refuse_applied(now)
        if now.meta["digest"] != digest:
            raise RefusedError("the plan is not the one that was shown: it was replaced meanwhile", hint="look again")
        if saved:
            _mark(source, now.run_id, str(app.store.folder.resolve()))

    if not saved:
        return work(app, target, options, still=still)
    app.store.prepare()
    try:
        adopt(source, target)
    except FileExistsError:
        raise _applied(target.stem) from None
    return begin(app, target, options, still=still)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _applied(run: str) -> RefusedError:
    from orchestrator.errors import RefusedError

    return RefusedError(
        f"this plan was applied before, as run {run}",
        hint="`orchestrator runs` lists it; plan again to do the same another time",
    )


def _refuse_applied(file: RunFile, *, elsewhere: bool = False) -> None:
    if elsewhere or file.events():
        raise _applied(file.applied() or file.run_id)


def _mark(plan: Path, run_id: str, folder: str) -> None:
    """Note in a saved plan that it is applied, so that it is applied once whatever state directory is used.

    Raises:
        RefusedError: it was marked before, or it cannot be marked.
    """
    from orchestrator.errors import JournalError, RefusedError
    from orchestrator.journal.decide import mark_applied
    from orchestrator.journal.schema import in_transaction

    try:
        before = in_transaction(plan, lambda connection: mark_applied(connection, f"{run_id} in {folder}"))
    except JournalError as error:
        raise RefusedError(
            f"it cannot be noted in {plan} that it is applied: {error.message}",
            hint="a plan is applied once, which must be written in it; copy it to a directory of yours, and apply the copy",
        ) from None
    if before:
        raise _applied(before)


COMMANDS = {"apply": apply}
