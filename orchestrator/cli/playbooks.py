"""playbooks."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, App, load_source
from orchestrator.cli.output import emit, emit_json

if TYPE_CHECKING:
    from orchestrator.playbook.source import Source


@click.command("playbooks", short_help="What the shipped playbooks do.")
@click.argument("playbook", required=False)
@FORMAT
@click.pass_obj
def playbooks(app: App, playbook: str | None, form: str) -> int:
    """List the shipped playbooks with their required parameters, or describe PLAYBOOK: a shipped one, or a file.

    \b
    Examples:
      orchestrator playbooks
      orchestrator playbooks drain-backend
      orchestrator playbooks my/playbook.yaml
    """
    from orchestrator.playbook.shipped import shipped
    from orchestrator.views.playbook_text import playbook_page, to_give

    if playbook is not None:
        source = load_source(playbook)
        if form == "json":
            emit_json(_record(playbook, source))
            return exit_codes.DONE
        for line in playbook_page(playbook, source.playbook):
            emit(line)
        emit(f"next: {' '.join([app.program, 'plan', shlex.quote(playbook), to_give(source.playbook)])}".rstrip())
        return exit_codes.DONE
    for name in shipped():
        source = load_source(name)
        if form == "json":
            emit_json(_record(name, source))
        else:
            emit(f"{name:<20} {source.playbook.name:<44} {to_give(source.playbook)}".rstrip())
    return exit_codes.DONE


def _record(name: str, source: Source) -> dict[str, Any]:
    from orchestrator.playbook.shipped import find_playbook

    book = source.playbook
    parameters = {given: spec.model_dump() for given, spec in book.parameters.items()}
    about = {"playbook": name, "name": book.name, "description": book.description}
    return {**about, "file": str(find_playbook(name)), "parameters": parameters}


COMMANDS = {"playbooks": playbooks}
