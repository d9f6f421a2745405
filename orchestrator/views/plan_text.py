"""A plan for people and for programs: every step, its hosts, its requests, its user impact, what is known only later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from orchestrator.answers import Answer
from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import command_line, encode_parameters, request_body
from orchestrator.fleet.inventory import fold
from orchestrator.journal.base import Reader, StepRecord
from orchestrator.outcome import Effect, State
from orchestrator.plan.expand import hosts_of
from orchestrator.plan.manifest import short
from orchestrator.plan.steps import CommandStep, PauseStep, Plan, PlannedStep, RequireStep, Scope
from orchestrator.playbook.items import ItemList
from orchestrator.ranges import Range
from orchestrator.text.expression import names_in
from orchestrator.text.filled import filled
from orchestrator.text.units import format_duration
from orchestrator.views.objects import Estimate, Seen
from orchestrator.views.words import count, moment, safe, takes

FEW = 3  # requests of a step that are shown without -v
ROWS = 6  # of what was answered
HOSTS = 12  # whose requests are counted one by one

_EFFECTS = {
    Effect.READ: "reads",
    Effect.REPEATABLE: "CHANGES; repeatable",
    Effect.UNREPEATABLE: "CHANGES; NOT REPEATABLE",
}


def plan_lines(
    plan: Plan, reader: Reader, *, verbose: bool, seen: Seen | None = None, estimate: Estimate | None = None
) -> Iterator[str]:
    """The plan as text.

    Args:
        plan: the plan.
        reader: of its run, which has the operations.
        verbose: show all requests, not the first few of each step.
        seen: what read-only questions to the fleet added.
        estimate: how long it takes, where that was asked.
    """
    records = {record.number: record for record in reader.steps()}
    yield f"Plan: {plan.terms.name}   (digest {short(reader.digest)})"
    planned = moment(reader.header.created, zone=True)
    yield f"  playbook {plan.origin.source}   fleet {reader.header.config_path}   planned {planned}"
    if plan.values:
        yield "  " + "  ".join(f"{name}={_shown(value)}" for name, value in plan.values.items())
    yield from _conditions(plan, seen)
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
            yield from _step_lines(plan, reader, step, records[step.index], verbose=verbose)
            if estimate is not None and isinstance(step, CommandStep) and step.role != "undo":
                yield from _lasting(estimate.step(step), whole=estimate.whole)
            if seen is not None:
                yield from _seen_lines(step, seen, verbose=verbose)
    yield ""
    yield from (f"WARNING: {safe(warning, 1000)}" for warning in plan.warnings)
    yield from _by_host(reader, records)
    if estimate is not None:
        yield _sum_of_time(estimate.whole, looked=seen is not None)
    yield from _summary(plan, records)


_MOMENTS = {
    "start": "at the start",
    "batch": "before each batch",
    "step": "before each step that changes something",
    "always": "all the time",
}
_OTHERWISE = {
    "refuse": "the run is not started",
    "pause": "it waits",
    "stop": "it stops",
    "undo": "it stops and undoes",
}


def _conditions(plan: Plan, seen: Seen | None) -> Iterator[str]:
    """What must hold besides what steps require."""
    if not plan.conditions:
        return
    yield ""
    yield "Conditions:"
    sightings = {sighting.name: sighting for sighting in seen.sightings} if seen else {}
    for planned in plan.conditions:
        condition, asked = planned.condition, planned.condition.ask
        of = "" if planned.source == "playbook" else f" (of the {planned.source})"
        yield f"           {condition.name}{of}: {_MOMENTS[condition.at]}; otherwise {_OTHERWISE[condition.follows]}"
        scope = plan.scope()
        what = (
            f"the page {filled(asked.url, scope)}" if asked.url else f"{asked.command} on {filled(asked.hosts, scope)}"
        )
        that = "it answers 2xx" if condition.that is None else filled(condition.that, scope)
        yield f"             {what}: {that}"
        if (sighting := sightings.get(planned.name)) is not None:
            words = {True: "holds now", False: "DOES NOT HOLD now", None: "NO DATA now"}[sighting.holds]
            value = "" if sighting.value is None else f" ({safe(str(sighting.value), 200)})"
            yield f"           » {words}{value}" + (f": {safe(sighting.why, 300)}" if sighting.why else "")


def _shown(value: Any) -> str:
    if isinstance(value, ItemList):
        return f"{safe(str(value), 100)} ({count(len(value), 'name')})"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(none)"
    return safe(str(value), 100)


def _step_lines(plan: Plan, reader: Reader, step: PlannedStep, record: StepRecord, *, verbose: bool) -> Iterator[str]:
    yield f"{step.key:>9}  {step.name}"
    if record.state == "skipped":
        yield "           skipped: its `when` is false"
        return
    scope = plan.scope(step)
    if step.when is not None and step.condition_depends_on:
        yield f"           only when {_known_later(filled(step.when, scope), step.condition_depends_on)}"
    if isinstance(step, CommandStep):
        yield from _command_lines(plan, reader, step, record, verbose=verbose)
    else:
        yield from _asking_lines(step, scope)


def _lasting(found: Range, *, whole: Range) -> Iterator[str]:
    """How long a step takes, unless that is nothing to wait for; where nothing is known of any, the sum says it once."""
    if found.high is None and whole.basis:
        yield "           takes: unknown"
    elif found.high is not None and found.high >= 1:
        yield f"           takes {takes(found)}"


def _sum_of_time(found: Range, *, looked: bool) -> str:
    """How long all of it takes; what that sum lacks, and how to come by it."""
    if found.high is not None:
        return f"Takes {takes(found)}, if nothing fails."
    hint = "" if looked else "--live may tell; "
    return f"Takes: unknown; no earlier run tells of {found.missing}. {hint}`takes: 15m` in the playbook says it."


def _asking_lines(step: PauseStep | RequireStep, scope: Scope) -> Iterator[str]:
    if isinstance(step, RequireStep):
        for requirement in step.require:
            yield f"           stops unless {filled(requirement.that, scope)}"
    elif step.pause.confirm:
        yield f"           asks: {filled(step.pause.confirm, scope)}"
    else:
        yield f"           waits {format_duration(step.pause.for_ or 0)}"


def _command_lines(
    plan: Plan, reader: Reader, step: CommandStep, record: StepRecord, *, verbose: bool
) -> Iterator[str]:
    scope = plan.scope(step)
    yield f"           {step.command} {_where(plan, step, record)}   {_EFFECTS[step.effect]}"
    if step.user_impact:
        yield f"           ! user impact: {step.user_impact}"
    if step.until is not None:
        yield f"           polled until {filled(step.until, scope)}"
    if step.probe:
        done = filled(step.probe.done, scope)
        yield f"           if an answer is lost, {step.probe.command} is asked whether it was executed: {done}"
    if record.operations is None:
        yield f"           requests known at run time; they depend on {_depends_on(step)}"
        yield f"             {_as_written(step, scope)}"
        return
    yield from _requests(reader, step, record, verbose=verbose)


def _seen_lines(step: PlannedStep, seen: Seen, *, verbose: bool) -> Iterator[str]:
    for text in seen.notes.get(step.index, ()):
        yield f"           » {safe(text)}"
    if step.index in seen.answers and isinstance(step, CommandStep) and step.until is None:
        yield from _answered(seen.answers[step.index], verbose=verbose)
    drafts = seen.drafts.get(step.index, [])
    for draft in drafts if verbose else drafts[:FEW]:
        yield f"           » as of now: {draft.host}: {safe(draft.parameters, 500)}"
    if len(drafts) > FEW and not verbose:
        yield f"           » … and {count(len(drafts) - FEW, 'more request')} (-v shows all)"


def _answered(answer: Answer, *, verbose: bool) -> Iterator[str]:
    """The rows that hosts answered, each once with those who answered it."""
    hosts: dict[str, list[str]] = {}
    for host, found in answer.answered.hosts.items():
        for columns in found.rows:
            hosts.setdefault("  ".join(f"{key}={value}" for key, value in columns.items()), []).append(host)
    for number, (row, names) in enumerate(hosts.items()):
        if number >= ROWS and not verbose:
            yield f"           »   … and {count(len(hosts) - ROWS, 'more row')} (-v shows all)"
            return
        yield f"           »   {fold(dict.fromkeys(names))}: {safe(row, 200)}"


def _known_later(expression: Any, needs: Any) -> str:
    return f"{expression}   (known at run time; depends on {', '.join(f'`{n}` of step {k}' for n, k in needs.items())})"


def _depends_on(step: CommandStep) -> str:
    return (
        ", ".join(f"`{name}` of {'step ' if key[0].isdigit() else ''}{key}" for name, key in step.depends_on.items())
        or "its step"
    )


def _where(plan: Plan, step: CommandStep, record: StepRecord) -> str:
    if names_in(step.hosts) - set(plan.scope(step)):
        return f"on {step.hosts}"
    hosts = hosts_of(step, plan, plan.scope(step))
    shown = f"on {fold(host.name for host in hosts)}"
    if step.run_once:
        everybody = hosts_of(replace(step, run_once=False), plan, plan.scope(step))
        named = step.hosts if step.hosts in plan.inventory.groups else fold(host.name for host in everybody)
        shown += f" (sent once, for all {named})"
    if record.operations is None:
        return shown
    return f"{shown}, {count(record.operations, 'request')}"


def _as_written(step: CommandStep, scope: Scope) -> str:
    """A command whose requests are known later, with what is known of it."""
    parameters = {name: _filled(value, scope) for name, value in step.parameters.items()}
    shown = command_line(step.command, catalog.find(step.command), parameters)
    source = step.for_each
    each = f"   for each of {source if isinstance(source, str) else 'the items'}" if source is not None else ""
    return safe(f"{shown}{each}")


def _filled(value: Any, scope: Scope) -> Any:
    if isinstance(value, list | tuple):
        return [_filled(part, scope) for part in value]
    return filled(value, scope) if isinstance(value, str) else value


def _requests(reader: Reader, step: CommandStep, record: StepRecord, *, verbose: bool) -> Iterator[str]:
    total = record.operations or 0
    entry = catalog.find(step.command)
    for number, operation in enumerate(reader.operations(step=step.index)):
        if not verbose and number >= FEW and total > FEW + 1:
            yield f"             … and {count(total - FEW, 'more request')} (-v shows all)"
            return
        body = request_body(step.command, encode_parameters(dict(operation.parameters)), operation.id).decode()
        skipped = "   (skipped: its `when` is false)" if operation.state is State.SKIPPED else ""
        yield f"             {operation.host}: {safe(body, 1000)}{skipped}"
        yield f"               = {safe(command_line(step.command, entry, operation.parameters), 1000)}"


def _by_host(reader: Reader, records: dict[int, StepRecord]) -> Iterator[str]:
    """How many of the known requests go to each host; of many hosts, between which numbers that is."""
    hosts: dict[str, int] = {}
    for record in records.values():
        for host, number in reader.open_counts(record.number).items() if record.operations else ():
            hosts[host] = hosts.get(host, 0) + number
    if len(hosts) > HOSTS:
        yield f"Requests by host: from {min(hosts.values())} to {max(hosts.values())} on each of {len(hosts)} hosts."
    elif len(hosts) > 1:
        yield f"Requests by host: {', '.join(f'{host} {number}' for host, number in hosts.items())}."


def _summary(plan: Plan, records: dict[int, StepRecord]) -> Iterator[str]:
    main = [(step, records[step.index]) for step in plan.of("step", "verify", "finally")]
    known = sum(record.operations or 0 for _, record in main)
    later = sum(
        1
        for step, record in main
        if isinstance(step, CommandStep) and record.operations is None and record.state != "skipped"
    )
    parts = [f"{count(known, 'request')} known"]
    if later:
        parts.append(f"{count(later, 'step')} known at run time")
    changing = [step for step, record in main if step.effect is not Effect.READ and record.state != "skipped"]
    parts.append(f"{count(len(changing), 'step')} change{'s' if len(changing) == 1 else ''} something")
    felt = [step.key for step in changing if step.user_impact]
    parts.append(f"user impact in step{'s' if len(felt) > 1 else ''} {', '.join(felt)}" if felt else "no user impact")
    yield "; ".join(parts) + "."
