"""apply."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.app import App, options_of, working
from orchestrator.cli.output import message_folded

if TYPE_CHECKING:
    from orchestrator.journal.sqlite.store import FileRun
    from orchestrator.runs.signatures import Signature


@click.command("apply", short_help="Run a saved plan, exactly.")
@click.argument("plan")
@click.option(
    "--approval",
    "approvals",
    multiple=True,
    metavar="FILE",
    help="A signature of the plan (default: PLAN.sig, PLAN.*.sig).",
)
@working
@click.pass_obj
def apply(app: App, /, plan: str, approvals: tuple[str, ...], **working: Any) -> int:
    """Run a saved PLAN: a file that `plan -o` wrote, or a run that was planned and not started.

    A plan is refused if it or the fleet has changed since it was made, if it was already applied, or if it is not approved
    where the policy of this machine wants that.

    \b
    Examples:
      orchestrator apply tuesday.plan
    """
    from orchestrator.cli.conduct import conduct, confirm, confirm_emergency
    from orchestrator.runs import work
    from orchestrator.runs.approvals import allowed
    from orchestrator.runs.estimating import expected
    from orchestrator.runs.planning import plan_of
    from orchestrator.views.plan_text import plan_lines

    options = options_of(working)
    saved = app.find(plan)
    with saved.read() as reader:
        app.use_config(reader.header.config_path)  # it may say where runs are kept
        target = app.store.target_of(saved)
        elsewhere = not saved.is_same(target)
        work.refuse_applied(reader, target if elsewhere else None)
        if reader.resumable:
            reader.verify()
        planned, run_id, digest = plan_of(reader, app.fleet), reader.run_id, reader.digest
        signatures = signatures_of(app, saved, plan, approvals)
        allowed(reader, planned, options.choices, app.fleet, signatures, plan)
        if options.form == "text" and not options.yes:
            settings = options.choices.settings(app.fleet.config.file)
            estimate = expected(planned, reader, settings, app.store)
            for line in plan_lines(planned, reader, verbose=False, estimate=estimate):
                message_folded(line)
        confirm(planned, reader, yes=options.yes)
        confirm_emergency(options, changes=planned.changes_anything)
    if elsewhere:
        work.refuse_replaced(saved, run_id, digest)
        target = app.store.adopt(saved)
    start = partial(work.start, target, app.store, app.fleet, digest=digest, signatures=signatures)
    _, code = conduct(app, options, lambda how: start(**how))
    return code


def signatures_of(app: App, saved: FileRun, plan: str, given: tuple[str, ...]) -> list[Signature]:
    """The signatures that were named, or those beside the plan.

    Raises:
        RefusedError: one of them cannot be read.
    """
    from pathlib import Path

    from orchestrator.runs.signatures import beside, read_signature

    file = Path(plan) if saved.name == plan and Path(plan).is_file() else app.store.folder / f"{saved.id}.run"
    return [read_signature(path) for path in (map(Path, given) if given else beside(file))]


COMMANDS = {"apply": apply}
