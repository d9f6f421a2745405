"""export."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import write, write_utf8

if TYPE_CHECKING:
    from orchestrator.errors import DamagedRunError
    from orchestrator.journal.base import OperationRecord
    from orchestrator.journal.sqlite.store import FileRun

    Writer = Callable[[Iterable[OperationRecord]], int]

FIELDS = (
    "id", "step", "host", "command", "parameters", "state", "exit_code", "error", "attempts", "changed", "started_at",
    "finished_at",
)  # fmt: skip

STATES = click.Choice(["pending", "running", "done", "failed", "unreachable", "in_doubt", "skipped"])
FAILED = ("failed", "unreachable")


@click.command("export", short_help="Write a run's operations as JSON lines or CSV.")
@click.argument("run", required=False)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", help="The format.")
@click.option("--failed", is_flag=True, help="Only what failed or was unreachable.")
@click.option(
    "--state", "states", type=STATES, multiple=True, help="Only operations in this state; may be given again."
)
@click.option(
    "--column",
    metavar="NAME",
    help="Only one field, or a parameter such as user: its values, one a line, each once.",
)
@click.pass_obj
def export(app: App, run: str | None, form: str, *, failed: bool, states: tuple[str, ...], column: str | None) -> int:
    """Write every operation of RUN (default: the newest) to stdout, one per line.

    Fields: id step host command parameters state exit_code error attempts changed started_at finished_at; times are
    milliseconds since the epoch. The encoding is UTF-8 in every locale. Of a damaged run file the operations that can be
    read are written; exit code 3.

    \b
    Examples:
      orchestrator export last --format csv > drain.csv
      orchestrator export | jq 'select(.state == "failed")'
      orchestrator export --failed --column user > again.txt
    """
    from orchestrator.errors import DamagedRunError

    wanted = frozenset({*states, *(FAILED if failed else ())})
    write_all = partial(_column, column=column) if column else partial(_write, form=form)

    def chosen(operations: Iterable[OperationRecord]) -> int:
        return write_all(record for record in operations if not wanted or record.state.word in wanted)

    found = app.find(run)
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(found.read())
            reader.check()  # before anything is written: no operation is written twice
        except DamagedRunError as error:
            _salvage(found, chosen, error)
        chosen(reader.operations())
    return exit_codes.DONE


def _salvage(run: FileRun, write_all: Writer, damage: DamagedRunError) -> NoReturn:
    """Write what can be read of a damaged run, and end with the damage."""
    from orchestrator.errors import DamagedRunError

    try:
        count = run.salvage(write_all)
    except DamagedRunError:  # not even of its copy
        raise damage from None
    raise DamagedRunError(damage.message, hint=f"wrote the {count} operations that can be read") from None


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


def _column(operations: Iterable[OperationRecord], column: str) -> int:
    """One field or parameter, a value a line and each once: a list for the next run.

    Raises:
        InputError: no operation has it, or a value is not one line.
    """
    from orchestrator.errors import InputError, nearest
    from orchestrator.views.objects import operation_record

    write_utf8()
    count, known, seen = 0, set(FIELDS), set[str]()
    for count, operation in enumerate(operations, 1):  # noqa: B007 - the count is what is wanted
        parameters, record = operation.parameters, operation_record(operation)
        fields = {**parameters, **record, **{f"parameters.{name}": value for name, value in parameters.items()}}
        known |= set(fields)
        for value in _values(fields.get(column)):
            if "\n" in value or "\r" in value:
                raise InputError.at(f"a value of {column!r} has several lines", operation.id, hint="use --format jsonl")
            if value not in seen:
                seen.add(value)
                write(f"{value}\n", flush=False)
    if count and column not in known:
        raise InputError.at(
            f"no operation has a field or parameter {column!r}; there are {', '.join(sorted(known))}",
            "--column",
            suggestion=nearest(column, known),
        )
    return count


def _values(value: Any) -> Iterator[str]:
    """A value as texts: of a list each, of nothing none."""
    for part in value if isinstance(value, list) else [value]:
        if part is not None:
            yield part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)


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
