"""A look at the fleet for a plan: sends the plan's read-only commands once, and says what follows from the answers.

What a step after a change would answer cannot be known; its answer of now is used, and is called so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from orchestrator.answers import Answer, Recorded, collect
from orchestrator.dovecot import catalog
from orchestrator.dovecot.ask import Asker, each
from orchestrator.errors import ExpressionError, InputError
from orchestrator.outcome import Effect, Kind, Outcome, State
from orchestrator.plan.expand import expand, known_now
from orchestrator.plan.steps import CommandStep, Draft, Plan, PlannedStep, RequireStep, Scope
from orchestrator.text.expression import compile_value, names_in, truth

MOST = 1000  # requests of a step; this is a look, not a run


@dataclass
class LivePlan:
    """What was seen.

    Attributes:
        notes: step index -> sentences for the plan.
        drafts: step index -> requests that are known thanks to the answers.
        sent: how many read-only requests were sent.
    """

    notes: dict[int, list[str]] = field(default_factory=dict)
    drafts: dict[int, list[Draft]] = field(default_factory=dict)
    sent: int = 0

    def note(self, step: PlannedStep, text: str) -> None:
        """Add a sentence about a step."""
        self.notes.setdefault(step.index, []).append(text)


async def look(plan: Plan, asker: Asker) -> LivePlan:
    """Send the plan's read-only commands, each once, and follow their answers as far as they lead."""
    seen = LivePlan()
    answers: dict[str, Answer] = {}
    changed = ""
    for step in plan.of("step", "verify", "finally"):
        scope = plan.scope(step) | {name: answers[key] for name, key in step.registered.items() if key in answers}
        if _decide(step, scope, seen) and isinstance(step, CommandStep) and known_now(step, scope):
            drafts = _drafts(step, plan, scope, seen)
            if step.effect is Effect.READ:
                answer = await _ask(step, plan, asker, drafts, seen)
                answers[step.key] = answer
                if any(host.ok for host in answer.hosts.values()):
                    rows = len(answer.answered.rows)  # of those that did answer; the others were noted
                    when = f" (before step {changed})" if changed else ""
                    seen.note(step, f"answers {rows} row{'' if rows == 1 else 's'} now{when}")
        if step.effect is not Effect.READ and not changed:
            changed = step.key
    return seen


def _decide(step: PlannedStep, scope: Scope, seen: LivePlan) -> bool:
    """Note what conditions say; returns whether the step would be run."""
    for requirement in step.require if isinstance(step, RequireStep) else ():
        if names_in(requirement.that) <= set(scope):
            holds = _holds(requirement.that, scope)
            message = compile_value(requirement.message)(scope) if holds is False else ""
            seen.note(step, f"{_WORDS[holds]}: {requirement.that}" + (f" - {message}" if message else ""))
    when = step.when
    if when is None or step.per_item_condition or not names_in(when) <= set(scope):
        return True
    holds = _holds(when, scope)
    seen.note(step, f"{_WORDS[holds]}: {when}")
    return holds is not False


_WORDS = {True: "holds now", False: "does NOT hold now", None: "cannot be said now"}


def _holds(condition: Any, scope: Scope) -> bool | None:
    try:
        return truth(compile_value(condition)(scope))
    except ExpressionError:
        return None


def _drafts(step: CommandStep, plan: Plan, scope: Scope, seen: LivePlan) -> list[Draft]:
    try:
        drafts = list(islice(expand(step, plan, scope), MOST + 1))
    except (ExpressionError, InputError) as error:
        seen.note(step, f"cannot be laid out now: {error.message}")
        return []
    if len(drafts) > MOST:
        seen.note(step, f"more than {MOST} requests; not asked")
        return []
    if step.depends_on:
        seen.drafts[step.index] = drafts
    return drafts


async def _ask(step: CommandStep, plan: Plan, asker: Asker, drafts: list[Draft], seen: LivePlan) -> Answer:
    records: dict[int, Recorded] = {}
    entry = catalog.find(step.command)

    async def one(question: tuple[int, Draft]) -> None:
        number, draft = question
        timeout = plan.inventory.hosts[draft.host].endpoint.request_timeout
        tag = f"{step.key}.{number}"
        _, outcome = await asker.ask(
            draft.host, step.command, draft.parameters, tag=tag, timeout=timeout, entry=entry, accept=step.accept
        )
        records[number] = _record(draft, outcome)
        seen.sent += 1

    await each([(number, draft) for number, draft in enumerate(drafts) if not draft.skipped], one)
    for record in records.values():
        if record.error:
            seen.note(step, f"{record.host}: {record.error}")
    return collect(records[number] for number in sorted(records))


def _record(draft: Draft, outcome: Outcome) -> Recorded:
    state = State.DONE if outcome.kind in {Kind.DONE, Kind.UNCHANGED} else State.FAILED
    return Recorded(draft.host, state, outcome.exit_code, outcome.error, list(outcome.rows))
