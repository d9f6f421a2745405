"""show."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, App
from orchestrator.cli.output import emit, emit_folded, emit_json, message

if TYPE_CHECKING:
    from orchestrator.journal.base import OperationRecord, Reader
    from orchestrator.journal.sqlite.store import FileRun
    from orchestrator.outcome import State

LISTED = 50


@click.command("show", short_help="Show a run, or one of its operations.")
@click.argument("run", required=False)
@click.argument("operation", required=False)
@click.option("--failed", is_flag=True, help="List what failed or was unreachable.")
@click.option("--in-doubt", is_flag=True, help="List what is in doubt.")
@click.option("--all", "everything", is_flag=True, help="List all operations.")
@click.option("--manifest", is_flag=True, help="Print what was planned: the text that approvers sign.")
@FORMAT
@click.pass_obj
def show(
    app: App,
    run: str | None,
    operation: str | None,
    *,
    failed: bool,
    in_doubt: bool,
    everything: bool,
    manifest: bool = False,
    form: str,
) -> int:
    """Show RUN (default: the newest): its steps, failures and what to do next.

    With an OPERATION, such as 5.17: its request, every attempt with time and code, and its answer.

    \b
    Examples:
      orchestrator show
      orchestrator show last --failed
      orchestrator show last 5.17
      orchestrator show tuesday.plan --manifest | sha256sum
    """
    from orchestrator.cli.plan import emit_manifest
    from orchestrator.errors import RefusedError
    from orchestrator.outcome import State
    from orchestrator.runs.follow import look
    from orchestrator.views.objects import report_object
    from orchestrator.views.report_text import report_lines

    found = app.find(run)
    with found.read() as reader:
        if manifest and not reader.resumable:
            raise RefusedError(f"run {reader.run_id} was written by an older version, and has no manifest")
        planned = reader.resumable and not reader.sessions()
        if manifest or planned:
            reader.verify()
        if manifest:
            emit_manifest(reader)
            return exit_codes.DONE
        if operation is not None:
            return _operation(reader, operation, form)
        chosen: tuple[State, ...] = tuple(State) if everything else ()
        chosen += (State.FAILED, State.UNREACHABLE) if failed else ()
        chosen += (State.IN_DOUBT,) if in_doubt else ()
        if chosen:
            _list(reader, chosen, form)
            if in_doubt and form == "text":
                _how_to_decide(app, found.name, reader)
            return exit_codes.DONE
    report = look(found)
    if form == "json":
        emit_json(report_object(report, app.program))
        return exit_codes.DONE
    for line in report_lines(report, app.program):
        emit_folded(line)
    if report.holder:
        emit(f"being worked on by {report.holder}")
    if planned:
        _show_approvals(app, found, run or "")
    return exit_codes.DONE


def _show_approvals(app: App, plan: FileRun, typed: str) -> None:
    """Who has approved a plan so far, where the policy wants that."""
    from orchestrator.cli.apply import signatures_of
    from orchestrator.errors import OrchestratorError
    from orchestrator.runs.approvals import standing
    from orchestrator.views.words import safe

    with plan.read() as reader:
        try:
            if (found := standing(reader, signatures_of(app, plan, typed, ()))) is not None:
                approved, lacking = found
                by = f"approved by {', '.join(map(str, approved))}" if approved else ""
                emit(safe("; ".join(part for part in (by, lacking) if part), 2000))
        except OrchestratorError as error:
            message(f"warning: approvals cannot be verified: {error.message}")


def _list(reader: Reader, states: tuple[State, ...], form: str) -> None:
    from orchestrator.views.objects import operation_record
    from orchestrator.views.words import safe

    for number, record in enumerate(reader.operations(states)):
        if form == "json":
            emit_json(operation_record(record))
            continue
        if number == LISTED:
            emit("… and more; `orchestrator export` writes all of them")
            return
        error = f": {safe(record.error)}" if record.error else ""
        parameters = safe(json.dumps(dict(record.parameters), ensure_ascii=False), 160)
        emit(f"{record.id:<10} {record.state.word:<11} {record.command} on {record.host} {parameters}{error}")


def _how_to_decide(app: App, name: str, reader: Reader) -> None:
    """What to type once it is known what became of them."""
    from orchestrator.outcome import State

    first = next(reader.operations((State.IN_DOUBT,)), None)
    if first is None:
        message("nothing is in doubt")
        return
    words = f"{app.program} decide {shlex.quote(name)} {shlex.quote(first.id)}"
    message("look on the hosts what became of them, then say it: of some of them, or of all that are left")
    message(f"next: {words} --as done|retry|failed")
    message(f"next: {app.program} resume {shlex.quote(name)} --in-doubt done|retry|failed")


def _operation(reader: Reader, operation: str, form: str) -> int:
    from orchestrator.errors import RunNotFoundError
    from orchestrator.views.objects import operation_record

    found = reader.operation(operation)
    if found is None:
        raise RunNotFoundError(f"run {reader.run_id} has no operation {operation!r}", hint="--all lists them")
    seq, record = found
    if form == "json":
        attempts = [attempt._asdict() for attempt in reader.attempts(seq)]
        rows, left_out = reader.answer_rows(seq)
        kept = {"evidence": reader.evidence(seq), "rows": rows, "rows_left_out": left_out}
        emit_json({**operation_record(record), "attempt_list": attempts, **kept})
        return exit_codes.DONE
    for line in _operation_lines(reader, record, seq):
        emit(line)
    return exit_codes.DONE


def _operation_lines(reader: Reader, record: OperationRecord, seq: int) -> Iterator[str]:
    from orchestrator.dovecot import catalog
    from orchestrator.dovecot.command import command_line, encode_parameters, request_body
    from orchestrator.views.words import clock, safe

    yield f"{record.id}  {record.command} on {record.host}: {record.state.word}"
    body = request_body(record.command, encode_parameters(dict(record.parameters)), record.id).decode()
    yield f"  {safe(body, 2000)}"
    yield f"  = {safe(command_line(record.command, catalog.find(record.command), record.parameters), 2000)}"
    for attempt in reader.attempts(seq):
        code = f", exit code {attempt.exit_code}" if attempt.exit_code is not None else ""
        took = (
            f", {attempt.finished - attempt.started} ms"
            if attempt.finished and attempt.finished >= attempt.started
            else ""
        )
        error = f": {safe(attempt.error)}" if attempt.error else ""
        yield f"  attempt {attempt.number} at {clock(attempt.started)}{took}: {attempt.kind}{code}{error}"
    if evidence := reader.evidence(seq):
        yield f"  {record.host} logged: {safe(evidence, 2000)}"
    rows, left_out = reader.answer_rows(seq)
    for row in rows:
        yield "  " + safe("  ".join(f"{key}={value}" for key, value in row.items()), 400)
    if left_out:
        yield f"  … and {left_out} more rows, which were not kept"


COMMANDS = {"show": show}
