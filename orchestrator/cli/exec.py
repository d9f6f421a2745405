"""exec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, VERBOSE, YES, App, limits
from orchestrator.cli.output import beside_the_point, emit, emit_json, message

if TYPE_CHECKING:
    from orchestrator.journal.run_file import RunFile


@click.command("exec", short_help="Send one command to hosts.")
@click.argument("selection")
@click.argument("command")
@click.argument("parameters", nargs=-1)
@click.option("--repeatable/--unrepeatable", "repeatable", default=None, help="For commands that the catalogue lacks.")
@click.option("--accept", multiple=True, type=int, metavar="CODE", help="An exit code that counts as done.")
@click.option("--timeout", metavar="DURATION", help="How long to wait for each answer.")
@YES
@limits
@VERBOSE
@FORMAT
@click.pass_obj
def exec_(
    app: App,
    selection: str,
    command: str,
    parameters: tuple[str, ...],
    *,
    repeatable: bool | None,
    accept: tuple[int, ...],
    timeout: str | None,
    yes: bool,
    in_flight: int | None,
    rate: float | None,
    max_failed: str | None,
    force: bool,
    verbose: int,
    form: str,
) -> int:
    """Send COMMAND with PARAMETERS (name=value; a list is name=a name=b) to each host of SELECTION.

    It is a run of one step: limits, retries, run file and exit codes are those of `run`.

    \b
    Examples:
      orchestrator exec backends who
      orchestrator exec backends who separateConnections=true --format json
      orchestrator exec d1 directorStatus user=jane@example.com
      orchestrator exec b1 kick mask=jane@example.com
    """
    from orchestrator.cli.execute import Options, begin, confirm, make_plan, planned_run
    from orchestrator.document import dump, parse
    from orchestrator.journal.run_file import RunFile
    from orchestrator.source import Source

    quiet = not verbose and form == "text"
    options = Options(form, verbose, in_flight, rate, max_failed, force, quiet=quiet)
    step: dict[str, Any] = {
        "name": f"{command} on {selection}",
        "hosts": selection,
        "command": command,
        "parameters": _parameters(command, parameters),
        "register": "answer_of_hosts",
        "on_failure": "continue" if max_failed is None else "stop",
    }
    step |= {key: value for key, value in (("repeatable", repeatable), ("timeout", timeout)) if value is not None}
    if accept:
        step["accept"] = list(accept)
    text = dump({"name": f"exec {command}", "steps": [step]})
    source = Source(parse(text, source=f"exec {command}", folder=Path.cwd()))
    planned, header = make_plan(app, source, {})
    with planned_run(app, planned, header) as path, RunFile(path) as file:
        if planned.changes_anything and not yes:
            _announce(file)
        confirm(planned, file, yes=yes)
    code = begin(app, path, options)
    with RunFile(path) as file, beside_the_point():
        if form == "json":
            _print_answers(file)
        for line in _answers(file) if form == "text" else ():
            emit(line)
    if code:
        message(f"exit code {code}: {exit_codes.MEANINGS.get(code, '')}; `{app.program} report {path.stem}` shows why")
    return code


def _parameters(command: str, words: tuple[str, ...]) -> dict[str, Any]:
    """name=value words as the command's parameters."""
    from orchestrator.dovecot import catalog

    entry = catalog.find(command)
    values: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            raise click.UsageError(f"{word!r} is not name=value")
        if "{{" in value:
            raise click.UsageError(f"{name}: exec takes values as they are; expressions belong into a playbook")
        spec = entry.parameters.get(name) if entry else None
        if value == "[]" and name not in values and spec and spec.types() == {"array"}:
            values[name] = []  # authCacheFlush user=[]: everybody
            continue
        if name in values or (spec and spec.types() == {"array"}):
            before = values.get(name, [])
            values[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            values[name] = value
    return values


def _announce(file: RunFile) -> None:
    """What is about to be changed, where, and who will notice."""
    from orchestrator.dovecot import catalog
    from orchestrator.inventory import fold
    from orchestrator.views.words import count, safe

    first = next(file.operations())
    hosts = list(file.open_counts(0))
    message(
        f"{first.command} on {fold(hosts)} ({count(len(hosts), 'request')}) {safe(str(dict(first.parameters)), 200)}"
    )
    entry = catalog.find(first.command)
    disturbs = entry.disturbs(first.parameters) if entry else "the catalogue does not know this command"
    if disturbs:
        message(f"  ! disturbs: {disturbs}")


def _answers(file: RunFile) -> Iterator[str]:
    """Each host's answer: a table of its rows, or what went wrong."""
    from orchestrator.outcome import State
    from orchestrator.report import status_of
    from orchestrator.views.words import count, safe

    _, reason = status_of(file)
    for record in file.operations():
        seq = file.seq_of(record.id)
        rows, left_out = file.answer_rows(seq) if seq else ([], 0)
        if record.state is not State.DONE:
            yield f"{record.host}: {record.state.word}: {safe(record.error or reason)}"
            continue
        already = f" (exit code {record.exit_code}: nothing to do)" if record.exit_code else ""
        yield f"{record.host}: done{already}" + (f", {count(len(rows), 'row')}" if rows else "")
        yield from (f"  {line}" for line in table(rows))
        if left_out:
            yield f"  … and {count(left_out, 'more row')}"


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Rows as aligned columns."""
    from orchestrator.views.words import safe

    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [
        [safe(key, 60) for key in columns],
        *([safe(str(row.get(key, "")), 60) for key in columns] for row in rows),
    ]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells if rows else []:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _print_answers(file: RunFile) -> None:
    """Each host's answer as a JSON line."""
    from orchestrator.outcome import State
    from orchestrator.report import status_of

    _, reason = status_of(file)
    for record in file.operations():
        seq = file.seq_of(record.id)
        rows, left_out = file.answer_rows(seq) if seq else ([], 0)
        error = record.error or ("" if record.state is State.DONE else reason)
        answer = {"host": record.host, "state": record.state.word, "exit_code": record.exit_code, "error": error}
        emit_json({"event": "answer", **answer, "rows": rows, "rows_left_out": left_out})


COMMANDS = {"exec": exec_}
