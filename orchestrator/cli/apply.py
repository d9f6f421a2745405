"""apply."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.app import App, options_of, working
from orchestrator.cli.output import message_folded


@click.command("apply", short_help="Run a saved plan, exactly.")
@click.argument("plan")
@working
@click.pass_obj
def apply(app: App, /, plan: str, **working: Any) -> int:
    """Run a saved PLAN: a file that `plan -o` wrote, or a run that was planned and not started.

    A plan is refused if the fleet has changed since it was made, or if it was already applied.

    \b
    Examples:
      orchestrator apply tuesday.plan
    """
    from orchestrator.cli.conduct import conduct, confirm
    from orchestrator.runs import work
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
        planned, run_id, digest = plan_of(reader, app.fleet), reader.run_id, reader.digest
        if options.form == "text" and not options.yes:
            settings = options.choices.settings(app.fleet.config.file)
            estimate = expected(planned, reader, settings, app.store)
            for line in plan_lines(planned, reader, verbose=False, estimate=estimate):
                message_folded(line)
        confirm(planned, reader, yes=options.yes)
    if elsewhere:
        work.refuse_replaced(saved, run_id, digest)
        target = app.store.adopt(saved)
    _, code = conduct(app, options, lambda how: work.start(target, app.store, app.fleet, digest=digest, **how))
    return code


COMMANDS = {"apply": apply}
