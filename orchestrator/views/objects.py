"""Plans, runs and operations as JSON objects: the one home of all their shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

from orchestrator.answers import Answer
from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import command_line
from orchestrator.full_report import Felt, FullReport
from orchestrator.journal.base import OperationRecord, Reader
from orchestrator.plan.steps import CommandStep, Draft, Plan, PlannedStep, RequireStep
from orchestrator.ranges import Range
from orchestrator.report import Report
from orchestrator.review.model import Review
from orchestrator.sighting import Sighting


class Estimate(Protocol):
    """How long a plan takes (`engine.estimate`)."""

    @property
    def whole(self) -> Range:
        """All of it, when nothing fails."""

    def step(self, step: PlannedStep) -> Range:
        """One step."""


def plan_objects(plan: Plan, reader: Reader, estimate: Estimate | None = None) -> Iterator[dict[str, Any]]:
    """The plan as JSON objects: the plan, its steps, then every request.

    Args:
        plan: the plan.
        reader: of its run, which has the operations.
        estimate: how long it takes, where that was asked.
    """
    records = {record.number: record for record in reader.steps()}
    yield {
        "event": "plan",
        "playbook": plan.terms.name,
        "digest": reader.digest,
        "parameters": {name: _plain(value) for name, value in plan.values.items()},
        "requests": sum(record.operations or 0 for record in records.values()),
        "warnings": list(plan.warnings),
        "takes": _range(estimate.whole) if estimate else None,
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
            "user_impact": step.user_impact,
            "state": record.state,
            "requests": record.operations,
            "known_from": (dict(step.depends_on) or None) if isinstance(step, CommandStep) else None,
            "when": step.when,
            "when_known_from": dict(step.condition_depends_on) or None,
            "require": [str(part.that) for part in step.require] if isinstance(step, RequireStep) else None,
            "parameters": dict(step.parameters) if isinstance(step, CommandStep) else None,
            "takes": _range(estimate.step(step)) if estimate else None,
        }
    for planned in plan.conditions:
        yield {
            "event": "condition",
            "name": planned.name,
            "source": planned.source,
            "at": planned.condition.at,
            "that": None if planned.condition.that is None else str(planned.condition.that),
            "otherwise": planned.condition.follows,
            "reviewed": planned.reviewed,
        }
    for operation in reader.operations():
        yield {"event": "request", **operation_object(operation)}


def _range(found: Range) -> dict[str, Any]:
    """How long something takes, in seconds."""
    return {
        "low": round(found.low, 3),
        "high": None if found.high is None else round(found.high, 3),
        "known": found.known,
        "basis": found.basis,
        "missing": found.missing,
        "answers": found.answers,
    }


class Seen(Protocol):
    """What a look at the fleet added (`engine.live_plan`)."""

    notes: dict[int, list[str]]
    drafts: dict[int, list[Draft]]
    answers: dict[int, Answer]
    holding: int
    later: int
    stop: tuple[PlannedStep | None, str] | None
    sightings: list[Sighting]
    affected: dict[int, dict[str, int]]
    bounds: dict[int, str]
    untold: dict[int, str]

    @property
    def verdict(self) -> str:
        """Whether the run would get to its first change, in a sentence."""


def live_objects(plan: Plan, seen: Seen) -> Iterator[dict[str, Any]]:
    """What was seen of the fleet, as JSON objects."""
    for sighting in seen.sightings:
        yield {"event": "condition_seen", **sighting._asdict()}
    for step in plan.steps:
        for text in seen.notes.get(step.index, ()):
            yield {"event": "seen", "step": step.key, "text": text}
        if step.index in seen.affected or step.index in seen.untold:
            counts = seen.affected.get(step.index, {})
            yield {
                "event": "affected",
                "step": step.key,
                "users": counts.get("users"),
                "sessions": counts.get("sessions"),
                "but": seen.bounds.get(step.index, ""),
                "untold": seen.untold.get(step.index, ""),
            }
        for draft in seen.drafts.get(step.index, ()):
            yield {
                "event": "request_as_of_now",
                "step": step.key,
                "host": draft.host,
                "parameters": draft.parameters,
            }
    yield {
        "event": "verdict",
        "would_stop": seen.stop is not None,
        "step": seen.stop[0].key if seen.stop and seen.stop[0] else None,
        "reason": seen.stop[1] if seen.stop else "",
        "conditions_hold": seen.holding,
        "conditions_later": seen.later,
        "text": seen.verdict,
    }


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


def operation_record(record: OperationRecord) -> dict[str, object]:
    """An operation as exports write it."""
    return {
        "id": record.id,
        "step": record.step,
        "host": record.host,
        "command": record.command,
        "parameters": dict(record.parameters),
        "state": record.state.word,
        "exit_code": record.exit_code,
        "error": record.error,
        "attempts": record.attempts,
        "changed": record.changed,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
    }


def full_report_object(full: FullReport, program: str) -> dict[str, Any]:
    """A full report as plain values: those of `report_object`, and what happened."""
    usual = report_object(full.report, program)
    steps = {step.key: step for step in full.report.steps}
    felt = {felt.step.key: felt for felt in full.felt}
    return {
        **usual,
        "planned_at": full.planned,
        "description": full.description,
        "limit": full.limit,
        "window": full.window,
        "config": full.report.config_path,
        "steps": [
            {
                **step,
                "role": steps[step["step"]].role,
                "effect": steps[step["step"]].effect,
                "planned": steps[step["step"]].operations,
                "retries": full.retries.get(steps[step["step"]].number, 0),
                "users_noticed": _felt(felt[step["step"]]) if step["step"] in felt else None,
            }
            for step in usual["steps"]
        ],
        "causes": [
            {**said, "hosts": list(cause.hosts), "evidence": cause.evidence}
            for said, cause in zip(usual["causes"], full.report.causes, strict=True)
        ],
        "retried": [{"step": r.step, "error": r.error, "times": r.times, "hosts": list(r.hosts)} for r in full.retried],
        "in_doubt": [operation_record(record) for record in full.doubtful],
        "conditions": [seen._asdict() for seen in full.sightings],
        "happened": [{"at": at, "kind": kind, "text": text} for at, kind, text in full.happenings],
        "takes_back": [
            {
                "step": back.step.key,
                "undo": back.by.key if back.by else None,
                "state": back.by.state if back.by else None,
                "inverse": back.inverse,
            }
            for back in full.takes_back
        ],
    }


def _felt(felt: Felt) -> dict[str, Any]:
    return {
        "impact": felt.impact,
        "hosts": [
            {
                "host": shown.host,
                **({f"{felt.row}s": shown.rows} if felt.row else {}),
                **({f"{felt.counted}s": shown.counted} if felt.counted else {}),
                "at_least": shown.at_least,
            }
            for shown in felt.shown
        ],
    }


def report_object(report: Report, program: str) -> dict[str, Any]:
    """A report as plain values."""
    return {
        "run": report.run_id,
        "playbook": report.playbook,
        "status": report.status.value,
        "reason": report.reason,
        "digest": report.digest,
        "parameters": dict(report.given),
        "ticket": report.ticket,
        "purpose": report.purpose,
        "break_glass": [{"at": at, "reason": why} for at, why in report.emergencies],
        "approvals": [
            {"people": list(one.people), "key": one.key, "signature": one.signature, "at": one.at}
            for one in report.approvals
        ],
        "planned": report.planned,
        "counts": {state.word: number for state, number in report.counts.items()},
        "attempts": report.attempts,
        "retries": report.retries,
        "started_at": report.started,
        "finished_at": report.finished,
        "steps": [
            {
                "step": step.key,
                "name": step.name,
                "command": step.command,
                "state": step.state,
                "reason": step.reason,
                "started_at": step.started,
                "finished_at": step.finished,
                "counts": {state.word: number for state, number in step.counts.items()},
            }
            for step in report.steps
        ],
        "causes": [
            {"step": c.step, "state": c.state.word, "error": c.error, "count": c.count, "host": c.host}
            for c in report.causes
        ],
        "found": [{"step": step, "text": text} for step, text in report.found],
        "sessions": [
            {
                "began_at": session.began,
                "ended_at": session.ended,
                "status": session.status.value,
                "reason": session.reason,
                "who": session.who,
            }
            for session in report.sessions
        ],
        "next": report.next_command(program),
        "next_past_failures": report.past_command(program),
    }


def review_object(review: Review) -> dict[str, Any]:
    """A review as plain values."""
    value: dict[str, Any] = _values(review)
    return {"event": "review", **value, "requests": review.requests, "longest": review.longest}


def _values(value: Any) -> Any:
    """A value of dataclasses and named tuples as objects of their fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: _values(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _values(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: _values(part) for key, part in value.items()}
    return [_values(part) for part in value] if isinstance(value, list | tuple) else value
