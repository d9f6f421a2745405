"""export."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App, print_json

FIELDS = (
    "id", "step", "host", "command", "parameters", "state", "exit_code", "error", "attempts", "changed", "started_at",
    "finished_at",
)  # fmt: skip


@click.command("export", short_help="Write a run's operations as JSON lines or CSV.")
@click.argument("run", required=False)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", help="The format.")
@click.pass_obj
def export(app: App, run: str | None, form: str) -> int:
    """Write every operation of RUN (default: the newest) to stdout, a line each.

    Fields: id step host command parameters state exit_code error attempts changed started_at finished_at; times are
    milliseconds since the epoch.

    \b
    Examples:
      orchestrator export last --format csv > drain.csv
      orchestrator export | jq 'select(.state == "failed")'
    """
    from orchestrator.cli.show import operation_record
    from orchestrator.journal.run_file import RunFile

    with RunFile(app.store.find(run)) as file:
        records = map(operation_record, file.operations())
        if form == "jsonl":
            for record in records:
                print_json(record)
            return exit_codes.DONE
        writer = csv.writer(sys.stdout)
        writer.writerow(FIELDS)
        for record in records:
            writer.writerow([_cell(record[field]) for field in FIELDS])
    return exit_codes.DONE


def _cell(value: Any) -> Any:
    """A value for a cell; text that a spreadsheet would take for a formula gets a quote before it."""
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value


COMMANDS = {"export": export}
