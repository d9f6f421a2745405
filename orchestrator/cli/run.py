"""run."""

from __future__ import annotations

import shlex
from typing import Any

import click

from orchestrator.cli.app import (
    GIVEN,
    LIMIT,
    REASON,
    TICKET,
    App,
    load_source,
    options_of,
    parse_given,
    plan_name,
    planned_so_far,
    working,
)
from orchestrator.cli.output import message_folded


@click.command("run", short_help="Plan a playbook, ask, and run it.")
@click.argument("playbook")
@GIVEN
@LIMIT
@TICKET
@REASON
@working
@click.pass_obj
def run(
    app: App,
    /,
    playbook: str,
    given: tuple[str, ...],
    limit: str | None,
    *,
    ticket: str,
    reason: str,
    **working: Any,
) -> int:
    """Plan PLAYBOOK, show the plan, ask, and run it.

    Ctrl-C stops sending and waits for answers; the run can be resumed, also after a crash.

    \b
    Examples:
      orchestrator run drain-backend -e backend=b1
      orchestrator run kick.yaml -e users=users.txt --yes --rate 50 --max-failed 1%
    """
    from orchestrator.cli.conduct import conduct, confirm, confirm_emergency
    from orchestrator.runs.approvals import refuse_at_once
    from orchestrator.runs.estimating import expected
    from orchestrator.runs.work import begin, fresh
    from orchestrator.views.plan_text import plan_lines

    options = options_of(working)
    planned = app.fleet.plan(load_source(playbook), parse_given(given), limit=limit, ticket=ticket, reason=reason)
    file = plan_name(playbook)
    more = [*(("-e", pair) for pair in given), ("--limit", limit), ("--ticket", ticket), ("--reason", reason)]
    words = [word for option, value in more if value for word in (option, value)]
    saving = shlex.join(["orchestrator", "plan", playbook, *words, "-o", file])
    refuse_at_once(planned.plan, options.choices, saving, file)
    with fresh(planned.create(app.store, planned_so_far)) as made, made.read() as reader:
        if options.form == "text" and not options.yes:
            settings = options.choices.settings(app.fleet.config.file)
            estimate = expected(planned.plan, reader, settings, app.store)
            for line in plan_lines(planned.plan, reader, verbose=False, estimate=estimate):
                message_folded(line)
        confirm(planned.plan, reader, yes=options.yes)
        confirm_emergency(options, changes=planned.changes_anything)
    _, code = conduct(app, options, lambda how: begin(made, app.store, app.fleet, **how))
    return code


COMMANDS = {"run": run}
