"""export."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import write, write_utf8

if TYPE_CHECKING:
    from orchestrator.errors import DamagedRunError
    from orchestrator.journal.base import OperationRecord
    from orchestrator.journal.sqlite.store import FileRun

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
    milliseconds since the epoch. The encoding is UTF-8 in every locale. Of a damaged run file the operations that can be
    read are written; exit code 3.

    \b
    Examples:
      orchestrator export last --format csv > drain.csv
      orchestrator export | jq 'select(.state == "failed")'
    """
    from orchestrator.errors import DamagedRunError

    found = app.find(run)
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(found.read())
            reader.check()  # before anything is written: no operation is written twice
        except DamagedRunError as error:
            _salvage(found, form, error)
        _write(reader.operations(), form)
    return exit_codes.DONE


def _salvage(run: FileRun, form: str, damage: DamagedRunError) -> NoReturn:
    """Write what can be read of a damaged run, and end with the damage."""
    from orchestrator.errors import DamagedRunError

    try:
        count = run.salvage(lambda operations: _write(operations, form))
    except DamagedRunError:  # not even of its copy
        raise damage from None
    raise DamagedRunError(damage.message, hint=f"the {count} operations that can be read were written") from None


def _write(operations: Iterable[OperationRecord], form: str) -> int:
    from orchestrator.views.objects import operation_record
    from orchestrator.views.words import json_text

    count = 0
    write_utf8()
    writer = csv.writer(_Rows())
    if form == "csv":
        writer.writerow(FIELDS)
    for count, record in enumerate(map(operation_record, operations), 1):  # noqa: B007 - the count is what is wanted
        if form == "csv":
            writer.writerow([_cell(record[field]) for field in FIELDS])
        else:
            write(json_text(record, "utf-8") + "\n", flush=False)
    return count


class _Rows:
    """Where the CSV writer writes to."""

    def write(self, text: str) -> None:
        write(text, flush=False)


def _cell(value: Any) -> Any:
    """A value for a cell, harmless for terminals; text that a spreadsheet would take for a formula gets a quote before it."""
    from orchestrator.views.words import harmless

    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        value = harmless(value)
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value


COMMANDS = {"export": export}
