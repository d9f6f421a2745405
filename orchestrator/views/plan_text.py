"""A plan for people and for programs: every step, its hosts, its requests, whom it disturbs, what is known only later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import command_line, encode_parameters, request_body
from orchestrator.expression import names_in
from orchestrator.inventory import fold
from orchestrator.items import ItemList
from orchestrator.journal.run_file import OperationRecord, RunFile, StepRecord
from orchestrator.outcome import Repeatability, State
from orchestrator.plan import Draft, Plan, PlannedStep, hosts_of
from orchestrator.units import format_duration
from orchestrator.views.words import count, safe

FEW = 3  # requests of a step that are shown without -v

_EFFECTS = {
    Repeatability.READ: "reads",
    Repeatability.REPEATABLE: "CHANGES; repeatable",
    Repeatability.UNREPEATABLE: "CHANGES; NOT REPEATABLE",
}


class Seen(Protocol):
    """What a look at the fleet added (`survey.Survey`)."""

    notes: dict[int, list[str]]
    drafts: dict[int, list[Draft]]


def plan_lines(plan: Plan, file: RunFile, *, verbose: bool, seen: Seen | None = None) -> Iterator[str]:
    """The plan as text.

    Args:
        plan: the plan.
        file: its run file, which has the operations.
        verbose: show all requests, not the first few of each step.
        seen: what read-only questions to the fleet added.
    """
    records = {record.number: record for record in file.steps()}
    yield f"Plan: {plan.source.playbook.name}   (digest {file.meta['digest']})"
    yield f"  playbook {plan.source.document.source}   fleet {file.meta['config_path']}"
    if plan.values:
        yield "  " + "  ".join(f"{name}={_shown(value)}" for name, value in plan.values.items())
    for title, steps in (
        ("", plan.of("step", "verify")),
        ("If a step with on_failure: undo fails, last first:", plan.of("undo")),
        ("At the end, in any case:", plan.of("finally")),
    ):
        if steps and title:
            yield ""
            yield title
        for step in steps:
            yield ""
            yield from _step_lines(plan, file, step, records[step.index], verbose=verbose)
            if seen is not None:
                yield from _seen_lines(step, seen, verbose=verbose)
    yield ""
    yield from (f"WARNING: {safe(warning, 1000)}" for warning in plan.warnings)
    yield from _summary(plan, records)


def _shown(value: Any) -> str:
    if isinstance(value, ItemList):
        return f"{safe(str(value), 100)} ({count(len(value), 'name')})"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(none)"
    return safe(str(value), 100)


def _step_lines(plan: Plan, file: RunFile, step: PlannedStep, record: StepRecord, *, verbose: bool) -> Iterator[str]:
    yield f"{step.key:>9}  {step.name}"
    if record.state == "skipped":
        yield "           skipped: its `when` does not hold"
        return
    if step.role in {"step", "finally"} and step.condition is not None and step.condition_needs:
        yield f"           only when {_known_later(step.condition, step.condition_needs)}"
    if step.step.pause and step.action is None:
        pause = step.step.pause
        yield (
            f"           asks: {pause.confirm}"
            if pause.confirm
            else f"           waits {format_duration(pause.for_ or 0)}"
        )
        return
    if step.action is None:
        for requirement in step.step.require:
            yield f"           refused unless {requirement.that}"
        return
    yield f"           {step.command} {_where(plan, step, record)}   {_EFFECTS[step.effect]}"
    if step.disturbs:
        yield f"           ! disturbs: {step.disturbs}"
    until = getattr(step.action, "until", None)
    if until is not None:
        yield f"           asked again until {until}"
    probe = step.step.probe
    if probe and step.action is step.step:
        yield f"           if an answer is lost, {probe.command} is asked whether it was executed: {probe.done}"
    if record.operations is None:
        yield f"           requests known at run time, from {_givers(step)}"
        yield f"             {_as_written(step)}"
        return
    yield from _requests(file, step, record, verbose=verbose)


def _seen_lines(step: PlannedStep, seen: Seen, *, verbose: bool) -> Iterator[str]:
    for text in seen.notes.get(step.index, ()):
        yield f"           » {safe(text)}"
    drafts = seen.drafts.get(step.index, [])
    for draft in drafts if verbose else drafts[:FEW]:
        yield f"           » as of now: {draft.host}: {safe(draft.parameters, 500)}"
    if len(drafts) > FEW and not verbose:
        yield f"           » … and {count(len(drafts) - FEW, 'more request')} (-v shows all)"


def _known_later(expression: Any, needs: Any) -> str:
    return f"{expression}   (known at run time, from {', '.join(f'`{n}` of step {k}' for n, k in needs.items())})"


def _givers(step: PlannedStep) -> str:
    return (
        ", ".join(f"`{name}` of {'step ' if key[0].isdigit() else ''}{key}" for name, key in step.needs.items())
        or "its step"
    )


def _where(plan: Plan, step: PlannedStep, record: StepRecord) -> str:
    action = step.action
    assert action is not None  # noqa: S101
    if names_in(action.hosts) - set(plan.scope(step)):
        return f"on {action.hosts}"
    hosts = hosts_of(step, plan, plan.scope(step))
    shown = f"on {fold(host.name for host in hosts)}"
    if action.run_once:
        shown += f" (stands for {action.hosts})"
    if record.operations is None:
        return shown
    return f"{shown}, {count(record.operations, 'request')}"


def _as_written(step: PlannedStep) -> str:
    assert step.action is not None  # noqa: S101
    shown = command_line(step.command, catalog.find(step.command), step.action.parameters)
    source = step.step.for_each
    each = f"   for each of {source if isinstance(source, str) else 'the items'}" if source is not None else ""
    return safe(f"{shown}{each if step.action is step.step else ''}")


def _requests(file: RunFile, step: PlannedStep, record: StepRecord, *, verbose: bool) -> Iterator[str]:
    total = record.operations or 0
    entry = catalog.find(step.command)
    for number, operation in enumerate(file.operations(step=step.index)):
        if not verbose and number >= FEW and total > FEW + 1:
            yield f"             … and {count(total - FEW, 'more request')} (-v shows all)"
            return
        body = request_body(step.command, encode_parameters(dict(operation.parameters)), operation.id).decode()
        skipped = "   (skipped: its `when` does not hold)" if operation.state is State.SKIPPED else ""
        yield f"             {operation.host}: {safe(body, 1000)}{skipped}"
        yield f"               = {safe(command_line(step.command, entry, operation.parameters), 1000)}"


def _summary(plan: Plan, records: dict[int, StepRecord]) -> Iterator[str]:
    main = [(step, records[step.index]) for step in plan.of("step", "verify", "finally")]
    known = sum(record.operations or 0 for _, record in main)
    later = sum(1 for step, record in main if step.action and record.operations is None and record.state != "skipped")
    parts = [f"{count(known, 'request')} known"]
    if later:
        parts.append(f"{count(later, 'step')} known at run time")
    changing = [step for step, record in main if step.effect is not Repeatability.READ and record.state != "skipped"]
    parts.append(f"{count(len(changing), 'step')} change{'s' if len(changing) == 1 else ''} something")
    disturbing = [step.key for step in changing if step.disturbs]
    parts.append(f"users are disturbed by step {', '.join(disturbing)}" if disturbing else "no user is disturbed")
    yield "; ".join(parts) + "."


def plan_objects(plan: Plan, file: RunFile) -> Iterator[dict[str, Any]]:
    """The plan as JSON objects: the plan, its steps, then every request."""
    records = {record.number: record for record in file.steps()}
    yield {
        "event": "plan",
        "playbook": plan.source.playbook.name,
        "digest": file.meta["digest"],
        "parameters": {name: _plain(value) for name, value in plan.values.items()},
        "requests": sum(record.operations or 0 for record in records.values()),
        "warnings": list(plan.warnings),
    }
    for step in plan.steps:
        record = records[step.index]
        yield {
            "event": "step",
            "step": step.key,
            "role": step.role,
            "name": step.name,
            "command": step.command,
            "effect": step.effect.value,
            "disturbs": step.disturbs,
            "state": record.state,
            "requests": record.operations,
            "known_from": dict(step.needs) or None,
            "when": step.condition,
            "when_known_from": dict(step.condition_needs) or None,
            "require": [str(requirement.that) for requirement in step.step.require] if step.action is None else None,
            "parameters": dict(step.action.parameters) if step.action else None,
        }
    for operation in file.operations():
        yield {"event": "request", **operation_object(operation)}


def operation_object(operation: OperationRecord) -> dict[str, Any]:
    """What a plan says of an operation."""
    return {
        "id": operation.id,
        "step": operation.step,
        "host": operation.host,
        "command": operation.command,
        "parameters": dict(operation.parameters),
        "doveadm": command_line(operation.command, catalog.find(operation.command), operation.parameters),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
