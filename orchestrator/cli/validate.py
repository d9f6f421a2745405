"""validate, schema."""

from __future__ import annotations

import json

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, load_source
from orchestrator.cli.output import emit, emit_json, message


@click.command("validate", short_help="Check playbooks without a fleet.")
@click.argument("playbooks", nargs=-1, required=True)
@FORMAT
def validate(playbooks: tuple[str, ...], form: str) -> int:
    """Check PLAYBOOKS: keys, types, expressions, commands and their parameters. No fleet is needed.

    A change that nothing takes back, and one that nothing checks, is a warning, unless the playbook says why
    (`irreversible`, `verified`). Warnings do not change the exit code.

    \b
    Examples:
      orchestrator validate playbooks/*.yaml
      orchestrator validate drain-backend
    """
    from orchestrator.errors import InputError
    from orchestrator.playbook.advice import advice

    bad = 0
    for name in playbooks:
        try:
            source = load_source(name)
        except InputError as error:
            bad += 1
            problems = [str(problem) for problem in error.problems]
            if form == "json":
                emit_json({"playbook": name, "valid": False, "problems": problems, "warnings": []})
            else:
                for problem in problems:
                    message(problem)
            continue
        warnings = [str(problem) for problem in advice(source)]
        if form == "json":
            emit_json({"playbook": name, "valid": True, "problems": [], "warnings": warnings})
            continue
        emit(f"{source.document.source}: valid ({source.playbook.name})")
        for warning in warnings:
            message(f"WARNING: {warning}")
    return exit_codes.BAD_INPUT if bad else exit_codes.DONE


@click.command("schema", short_help="Print the JSON Schema of playbooks or of the configuration.")
@click.argument("subject", type=click.Choice(["playbook", "config"]), default="playbook")
def schema(subject: str) -> int:
    """Print the JSON Schema of playbooks, or of the configuration, for editors.

    \b
    Examples:
      orchestrator schema > playbook.schema.json
      orchestrator schema config > config.schema.json
    """
    from orchestrator.fleet.config import ConfigFile
    from orchestrator.playbook.model import Playbook

    model = Playbook if subject == "playbook" else ConfigFile
    emit(json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}, indent=2))
    return exit_codes.DONE


COMMANDS = {"validate": validate, "schema": schema}
