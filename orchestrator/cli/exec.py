"""exec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App, options_of, working
from orchestrator.cli.output import beside_the_point, emit, emit_json, is_terminal, message
from orchestrator.outcome import Effect

if TYPE_CHECKING:
    from orchestrator.engine.noticed import Noticed
    from orchestrator.journal.base import OperationRecord, Reader
    from orchestrator.runs.planning import Planned

COUNTING = 5.0  # seconds that a question to the operator waits for the number of users


@click.command("exec", short_help="Send one command to hosts.")
@click.argument("selection")
@click.argument("command")
@click.argument("parameters", nargs=-1)
@click.option(
    "--effect",
    type=click.Choice([effect.value for effect in Effect]),
    help="What sending it twice means; for commands that the catalogue lacks.",
)
@click.option("--accept", multiple=True, type=int, metavar="CODE", help="An exit code that counts as done.")
@click.option("--timeout", metavar="DURATION", help="How long to wait for each answer.")
@working
@click.pass_obj
def exec_(
    app: App,
    /,
    selection: str,
    command: str,
    parameters: tuple[str, ...],
    *,
    effect: str | None,
    accept: tuple[int, ...],
    timeout: str | None,
    **working: Any,
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
    from orchestrator.cli.conduct import conduct, confirm
    from orchestrator.runs.work import begin, fresh

    options = options_of(working, quiet=not (working["verbose"] or working["wait"]) and working["form"] == "text")
    step: dict[str, Any] = {
        "name": f"{command} on {selection}",
        "hosts": selection,
        "command": command,
        "parameters": _parameters(command, parameters),
        "register": "answer_of_hosts",
        "on_failure": "continue" if options.choices.max_failed is None else "stop",
    }
    step |= {key: value for key, value in (("effect", effect), ("timeout", timeout)) if value is not None}
    if accept:
        step["accept"] = list(accept)
    planned = _planned(app, command, step)
    with fresh(planned.create(app.store)) as made, made.read() as reader:
        if planned.changes_anything and not options.yes:
            _announce(reader, _notice(planned))
        confirm(planned.plan, reader, yes=options.yes, nothing="nothing was changed")
    report, code = conduct(app, options, lambda how: begin(made, app.store, app.fleet, **how))
    with made.read() as reader, beside_the_point():
        if options.form == "json":
            _print_answers(reader, report.reason)
        for line in _answers(reader, report.reason) if options.form == "text" else ():
            emit(line)
    if code:
        meaning = exit_codes.MEANINGS.get(code, "")
        message(f"exit code {code}: {meaning}; `{app.program} report {made.id}` shows why")
    return code


def _planned(app: App, command: str, step: dict[str, Any]) -> Planned:
    """The plan of a playbook of one step, which nobody has written: its errors have no line."""
    from orchestrator.errors import InputError, Place, Problem
    from orchestrator.playbook.source import Source
    from orchestrator.text.document import dump, parse

    name = f"exec {command}"
    try:
        return app.fleet.plan(Source(parse(dump({"name": name, "steps": [step]}), source=name, folder=Path.cwd())))
    except InputError as error:
        raise InputError(
            [Problem(found.message, Place(found.place.source), found.suggestion) for found in error.problems],
            hint=error.hint,
        ) from None


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
            raise click.UsageError(f"{name}: exec takes values as they are; expressions belong in a playbook")
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


def _notice(planned: Planned) -> Noticed | None:
    """How many will notice it; None where nobody can be asked whether to go on."""
    import anyio

    from orchestrator.runs.live import notice

    return anyio.run(notice, planned, COUNTING) if is_terminal() else None


def _announce(reader: Reader, noticed: Noticed | None) -> None:
    """What is about to be changed, where, and who will notice."""
    from orchestrator.dovecot import catalog
    from orchestrator.fleet.inventory import fold
    from orchestrator.views.words import count, safe

    first = next(reader.operations())
    hosts = list(reader.open_counts(0))
    message(
        f"{first.command} on {fold(hosts)} ({count(len(hosts), 'request')}) {safe(str(dict(first.parameters)), 200)}"
    )
    entry = catalog.find(first.command)
    impact = entry.user_impact_of(first.parameters) if entry else "the catalogue does not know this command"
    if impact:
        message(f"  ! user impact: {impact}")
    for text in noticed.words if noticed else ():
        message(f"  ! {safe(text, 300)}")


def _answers(reader: Reader, reason: str) -> Iterator[str]:
    """Each host's answer: a table of its rows, or what went wrong."""
    from orchestrator.outcome import State
    from orchestrator.views.words import count, safe

    for record, rows, left_out in _answered(reader):
        if record.state is not State.DONE:
            yield f"{record.host}: {record.state.word}: {safe(record.error or reason)}"
            continue
        already = f" (exit code {record.exit_code}: nothing to do)" if record.exit_code else ""
        yield f"{record.host}: done{already}" + (f", {count(len(rows), 'row')}" if rows else "")
        yield from (f"  {line}" for line in table(rows))
        if left_out:
            yield f"  … and {count(left_out, 'more row')}"


def _answered(reader: Reader) -> Iterator[tuple[OperationRecord, list[dict[str, Any]], int]]:
    """Each operation with the rows that its host answered, and how many more there were."""
    for record in reader.operations():
        found = reader.operation(record.id)
        yield record, *(reader.answer_rows(found[0]) if found else ([], 0))


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


def _print_answers(reader: Reader, reason: str) -> None:
    """Each host's answer as a JSON line."""
    from orchestrator.outcome import State

    for record, rows, left_out in _answered(reader):
        error = record.error or ("" if record.state is State.DONE else reason)
        answer = {"host": record.host, "state": record.state.word, "exit_code": record.exit_code, "error": error}
        emit_json({"event": "answer", **answer, "rows": rows, "rows_left_out": left_out})


COMMANDS = {"exec": exec_}
