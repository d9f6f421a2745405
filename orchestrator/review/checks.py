"""What a plan checks, in words and with what was seen when it was made; and what takes each step back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.dovecot import catalog
from orchestrator.fleet.inventory import fold
from orchestrator.plan.affected import batch_of
from orchestrator.plan.steps import CommandStep, Plan, PlannedCondition, RequireStep, Scope
from orchestrator.playbook.conditions import Ask, Moment, Otherwise
from orchestrator.review.model import Backout, Check, ReviewedStep
from orchestrator.text.scalar import text_of
from orchestrator.text.spoken import spoken, spoken_value
from orchestrator.text.units import format_duration

_MOMENTS: Mapping[Moment, str] = {
    "start": "at the start",
    "batch": "before each batch",
    "step": "before each step that changes something",
    "always": "all the time",
}
_OTHERWISE: Mapping[Otherwise, str] = {
    "refuse": "the run does not start",
    "pause": "the run waits",
    "stop": "the run stops",
    "undo": "the run stops and takes back what it can, as the table of the backout says",
}


def checks(plan: Plan, steps: Sequence[ReviewedStep]) -> Iterator[Check]:
    """All that must hold: conditions, then the checks of steps in their order."""
    seen = plan.seen or {}
    for planned in plan.conditions:
        yield _condition(planned, plan, seen)
    reviewed = {step.key: step for step in steps}
    for step in plan.steps:
        if reviewed[step.key].skipped or step.role == "undo":
            continue
        if isinstance(step, RequireStep):
            yield from _requirements(step, plan.scope(step), seen, reviewed[step.key].name)
        elif isinstance(step, CommandStep) and step.until is not None:
            yield _polled(step, plan.scope(step), seen, reviewed[step.key])
        if isinstance(step, CommandStep) and step.keep is not None:
            yield _kept(step, plan)


def _condition(planned: PlannedCondition, plan: Plan, seen: Mapping[str, Any]) -> Check:
    condition = planned.condition
    scope = plan.scope() | ({"reviewed": planned.reviewed} if planned.seen else {})
    what = "the page answers 2xx" if condition.that is None else spoken(condition.that, scope, {})
    if condition.value is not None:
        what += f" (the value: {spoken_value(condition.value, scope, {})})"
    looked = next((found for found in seen.get("conditions", []) if found[0] == planned.name), None)
    holds = looked[1] if looked else None
    shown = (
        [] if looked is None or looked[2] is None else [text_of(looked[2]) if _is_plain(looked[2]) else str(looked[2])]
    )
    why = [looked[3]] if looked and looked[3] else []
    source = "" if planned.source == "playbook" else f" (of the {planned.source})"
    pause = f", at most {format_duration(condition.deadline)}" if condition.follows == "pause" else ""
    message = f": {condition.message}" if condition.message else ""
    return Check(
        _MOMENTS[condition.at],
        planned.name + source,
        what,
        _asked(condition.ask, scope),
        ": ".join(shown + why),
        holds,
        f"{_OTHERWISE[condition.follows]}{pause}{message}",
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _asked(ask: Ask, scope: Scope) -> str:
    if ask.url:
        return f"the page {spoken_value(ask.url, scope, {})}"
    first = "the first of " if ask.run_once else ""
    return f"{ask.command} on {first}{spoken_value(ask.hosts, scope, {})}"


def _requirements(step: RequireStep, scope: Scope, seen: Mapping[str, Any], name: str) -> Iterator[Check]:
    found = seen.get("requirements", {}).get(step.key, [])
    for number, requirement in enumerate(step.require):
        holds, looked_at, why = found[number] if number < len(found) else (None, "", "")
        message = spoken_value(requirement.message, scope, step.registered)
        yield Check(
            f"step {step.key}",
            name,
            spoken(requirement.that, scope, step.registered),
            "",
            "; ".join(part for part in (looked_at, why) if part and part != message and not part.startswith("agree=")),
            holds,
            f"the run stops{': ' if message else ''}{message}",
            batch_of(step.key),
        )


def _polled(step: CommandStep, scope: Scope, seen: Mapping[str, Any], reviewed: ReviewedStep) -> Check:
    looked = seen.get("polled", {}).get(step.key, {})
    now = "; ".join(f"{text or 'answered'} on {fold(hosts)}" for text, hosts in looked.items())
    what = "any answer" if step.until is True else spoken(step.until, scope, step.registered)
    within = "" if reviewed.waits is None else f" for at most {format_duration(reviewed.waits)}"
    stall = (
        f", or until nothing changes for {format_duration(step.stall)}" if isinstance(step.stall, int | float) else ""
    )
    moment = f"after step {step.owner}" if step.owner else f"step {step.key}"
    return Check(
        moment,
        reviewed.name.removeprefix("check: "),
        what,
        f"{step.command} on {reviewed.hosts}, polled{within}{stall}",
        now,
        None,  # what it must be after the change says nothing of now
        reviewed.follows,
        batch_of(step.key),
    )


def _kept(step: CommandStep, plan: Plan) -> Check:
    keep, scope = step.keep, plan.scope(step)
    assert keep is not None  # noqa: S101 - its caller looked
    end = f"until step {step.keep_until}" if step.keep_until else "until the end"
    return Check(
        f"after step {step.key}, before each later change, {end}",
        f"nobody else changes what step {step.key} set",
        f"{spoken_value(keep.value, scope, step.registered)} stays as this step left it",
        _asked(keep.ask, scope),
        "known when the step is done",
        None,
        "the run stops, and says what was changed",
        batch_of(step.key),
    )


def backouts(plan: Plan, steps: Sequence[ReviewedStep]) -> Iterator[Backout]:
    """What takes each changing step back, in the order of the steps."""
    planned = {step.key: step for step in plan.steps}
    undone = {step.owner: step for step in steps if step.role == "undo"}
    will_undo = {step.key for step in plan.steps if step.on_failure == "undo"}
    for step in steps:
        owner = planned[step.key]
        if step.role == "undo" or not step.changes or step.skipped or not isinstance(owner, CommandStep):
            continue
        by = undone.get(step.key)
        undo = planned[by.key] if by else None
        restores = list(_restores(owner, undo, plan)) if isinstance(undo, CommandStep) else []
        yield Backout(step, by, restores, "" if by else _inverse(step.command), bool(will_undo) and by is not None)


def _inverse(command: str) -> str:
    entry = catalog.find(command)
    if entry is None or entry.inverse is None:
        return ""
    return " ".join(filter(None, [entry.inverse.command, entry.inverse.note and f"({entry.inverse.note})"]))


def _restores(step: CommandStep, undo: CommandStep, plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Parameters that the undo sets to something else than the step does: name, what is set, what it is set back to."""
    if step.command != undo.command:
        return
    found = {tuple(request) for request in (plan.seen or {}).get("requests", {}).get(undo.key, [])}
    back = json.loads(next(iter(found))[1]) if len(found) == 1 else {}
    scope = plan.scope(step)
    for name, value in undo.parameters.items():
        set_to = step.parameters.get(name)
        if value == set_to:
            continue
        before = back.get(name)
        old = text_of(before) if _is_plain(before) else spoken_value(value, scope, undo.registered)
        new = spoken_value(set_to, scope, step.registered) if set_to is not None else ""
        yield name, new, old
