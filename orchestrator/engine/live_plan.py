"""A look at the fleet for a plan: sends the plan's read-only commands once, and says what follows from the answers.

What a step after a change would answer cannot be known; its current answer is used, and marked as such. So the verdict is of
what comes before the first change: whether the run would get that far.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import anyio

from orchestrator.answers import Answer, HostAnswer, Recorded, collect
from orchestrator.dovecot import catalog
from orchestrator.dovecot.ask import Asker, each
from orchestrator.dovecot.mail_servers import mail_servers
from orchestrator.engine.looking import Fetch, Looker, no_pages, recorded
from orchestrator.engine.noticed import MOST, Census, as_written
from orchestrator.engine.rules import Settings, may_fail
from orchestrator.errors import ExpressionError, InputError
from orchestrator.fleet.inventory import fold
from orchestrator.outcome import Effect, State
from orchestrator.plan.expand import expand, known_now
from orchestrator.plan.steps import CommandStep, Draft, Plan, PlannedStep, RequireStep, Scope
from orchestrator.sighting import Sighting
from orchestrator.text.expression import compile_value, names_in, truth
from orchestrator.text.filled import filled
from orchestrator.text.watched import seen as watched


@dataclass
class LivePlan:
    """What was seen.

    Attributes:
        notes: step index -> sentences for the plan.
        drafts: step index -> requests that are known thanks to the answers; of undo steps too.
        answers: step index -> what was answered.
        sent: how many read-only requests were sent.
        took: host, command and seconds of each of them that was answered.
        holding: conditions of `require` that hold.
        later: conditions that depend on what the run does.
        stop: the step at which the run would stop now, and why; None when it would get to its first change.
        sightings: what was seen of the plan's conditions, in their order.
        affected: step index -> how many notice it, where that can be told now: "users" and "sessions".
        requirements: step index -> of each condition of a `require`, whether it holds (None when that cannot be told),
            what it looks at ("users=13"), and what its message says, or why it cannot be told.
        polled: step index -> what its `until` looks at now, each with the hosts on which that is so.
        timeouts: step index -> seconds for each answer, where they depend on answers.
        whens: step index -> whether its `when` is true now.
        gaps: step index -> those of its notes that say what could not be told.
        bounds: step index -> how these numbers differ from what would happen ("at most: ...").
        untold: step index -> why a number of those who notice it is missing.
    """

    notes: dict[int, list[str]] = field(default_factory=dict)
    drafts: dict[int, list[Draft]] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    sent: int = 0
    took: list[tuple[str, str, float]] = field(default_factory=list)
    holding: int = 0
    later: int = 0
    stop: tuple[PlannedStep | None, str] | None = None
    sightings: list[Sighting] = field(default_factory=list)
    affected: dict[int, dict[str, int]] = field(default_factory=dict)
    requirements: dict[int, list[tuple[bool | None, str, str]]] = field(default_factory=dict)
    polled: dict[int, dict[str, list[str]]] = field(default_factory=dict)
    timeouts: dict[int, float] = field(default_factory=dict)
    whens: dict[int, bool | None] = field(default_factory=dict)
    gaps: dict[int, list[str]] = field(default_factory=dict)

    def gap(self, step: PlannedStep, text: str) -> None:
        """Add a sentence about what could not be told of a step."""
        self.note(step, text)
        self.gaps.setdefault(step.index, []).append(text)

    bounds: dict[int, str] = field(default_factory=dict)
    untold: dict[int, str] = field(default_factory=dict)

    def note(self, step: PlannedStep, text: str) -> None:
        """Add a sentence about a step."""
        self.notes.setdefault(step.index, []).append(text)

    @property
    def verdict(self) -> str:
        """Whether the run would get to its first change, in a sentence."""
        if self.stop:
            step, why = self.stop
            if step is None:
                return f"would not start: {why}"
            about = f"step {step.key} ({step.name}): "
            return f"would stop at {why if about in why else about + why}"  # some errors name their step
        late = f"; {self.later} more depend{'s' if self.later == 1 else ''} on what the run does" if self.later else ""
        if not self.holding:
            return f"no condition to look at before the run{late}" if self.later else "every question was answered"
        return f"{'the condition holds' if self.holding == 1 else f'all {self.holding} conditions hold'}{late}"


def reviewed(plan: Plan, seen: LivePlan, at: int) -> Plan:
    """A plan with what was seen of the fleet, which its review shows and its conditions compare with.

    Args:
        plan: that was looked at.
        seen: what was seen.
        at: when, in milliseconds since the epoch.
    """
    values = {sighting.name: sighting.value for sighting in seen.sightings if sighting.holds is not None}
    conditions = tuple(
        replace(planned, seen=True, reviewed=values[planned.name]) if planned.name in values else planned
        for planned in plan.conditions
    )
    keys = {step.index: step.key for step in plan.steps}
    return replace(
        plan,
        conditions=conditions,
        seen={
            "at": at,
            "sent": seen.sent,
            "verdict": seen.verdict,
            "stops": seen.stop is not None,
            "notes": {keys[index]: texts for index, texts in seen.notes.items()},
            "requests": {
                keys[index]: [[draft.host, draft.parameters] for draft in drafts if not draft.skipped]
                for index, drafts in seen.drafts.items()
            },
            "affected": {keys[index]: counts for index, counts in seen.affected.items()},
            "requirements": {keys[index]: [list(found) for found in all_] for index, all_ in seen.requirements.items()},
            "polled": {keys[index]: looked for index, looked in seen.polled.items()},
            "timeouts": {keys[index]: seconds for index, seconds in seen.timeouts.items()},
            "gaps": {keys[index]: texts for index, texts in seen.gaps.items()},
            "whens": {keys[index]: holds for index, holds in seen.whens.items()},
            "bounds": {keys[index]: text for index, text in seen.bounds.items()},
            "untold": {keys[index]: text for index, text in seen.untold.items()},
            "conditions": [[found.name, found.holds, found.value, found.why] for found in seen.sightings],
            "mail_servers": _mail_servers(plan, seen),
            "took": [[host, command, round(seconds, 3)] for host, command, seconds in seen.took],
        },
    )


def _mail_servers(plan: Plan, seen: LivePlan) -> list[dict[str, str]]:
    """The backends as the first director sees them, when the plan asks for that."""
    for step in plan.of("step"):
        if not isinstance(step, CommandStep) or step.index not in seen.answers:
            continue
        for answer in seen.answers[step.index].hosts.values():
            if answer.ok and (found := mail_servers(step.command, step.parameters, answer.answered.rows)):
                return found
    return []


async def look(plan: Plan, asker: Asker, settings: Settings | None = None, fetch: Fetch = no_pages) -> LivePlan:
    """Send the plan's read-only commands, each once, and follow their answers as far as they lead.

    Args:
        plan: the plan.
        asker: sends.
        settings: of configuration and command line: how many hosts may fail.
        fetch: reads pages of other services.
    """
    seen = _Look(plan, asker, settings or Settings())
    looker = Looker(plan, asker, fetch)
    await seen.conditions(looker)
    for step in plan.of("step", "verify", "finally"):
        await seen.step(step)
    for step in plan.of("undo"):  # never asked; what it would send is worth knowing
        scope = seen.scope(step)
        if isinstance(step, CommandStep) and known_now(step, scope):
            seen.drafted(step, scope)
    seen.found.sent = asker.sent + looker.pages
    return seen.found


class _Look:
    """One look, step after step."""

    def __init__(self, plan: Plan, asker: Asker, settings: Settings) -> None:
        self.found = LivePlan()
        self._plan = plan
        self._asker = asker
        self._settings = settings
        self._census = Census(plan, asker)
        self._answers: dict[str, Answer] = {}
        self._sure: set[str] = set()  # steps whose answer is what the run will see too
        self._changed = ""

    def scope(self, step: PlannedStep) -> Scope:
        """What is known for a step."""
        known = {name: self._answers[key] for name, key in step.registered.items() if key in self._answers}
        return self._plan.scope(step) | known

    async def conditions(self, looker: Looker) -> None:
        """Look at what must hold besides what steps require; of batches at the first one."""
        batch = next((step.local for step in self._plan.of("step") if step.local), {})
        for planned in self._plan.conditions:
            at_batch = planned.condition.at == "batch"
            if at_batch and not batch:
                continue
            sighting = await looker.look(planned, "review", batch if at_batch else {})
            self.found.sightings.append(sighting)
            if sighting.holds:
                self.found.holding += 1
            elif self.found.stop is None:
                about = "does not hold" if sighting.holds is False else "cannot be told"
                self.found.stop = None, f"condition {planned.name!r} {about}: {sighting.why}"

    async def step(self, step: PlannedStep) -> None:
        """Look at a step."""
        scope = self.scope(step)
        if self._decide(step, scope) and isinstance(step, CommandStep):
            drafts = self.drafted(step, scope) if known_now(step, scope) else None
            if step.effect is not Effect.READ:
                await self._notice(step, drafts, scope)
            elif drafts is not None:
                await self._ask(step, drafts, scope)
        if isinstance(step, CommandStep) and names_in(step.timeout) & set(scope):
            self._time(step, scope)
        if step.effect is not Effect.READ and not self._changed:
            self._changed = step.key

    async def _notice(self, step: CommandStep, drafts: list[Draft] | None, scope: Scope) -> None:
        """How many notice a step, as of now."""
        if step.affects:
            noticed = as_written(step.affects, scope)
        elif step.user_impact:
            noticed = await self._census.of(step, drafts)
        else:
            return
        if noticed.counts:
            self.found.affected[step.index] = dict(noticed.counts)
        if noticed.but:
            self.found.bounds[step.index] = noticed.but
        if noticed.untold:
            self.found.untold[step.index] = noticed.untold
        for text in noticed.words:
            self.found.note(step, text)

    def _time(self, step: CommandStep, scope: Scope) -> None:
        """How long a step would wait for each answer, as of now."""
        with suppress(ExpressionError, ValueError, TypeError):
            self.found.timeouts[step.index] = float(compile_value(step.timeout)(scope))

    def _stop(self, step: PlannedStep, why: str) -> None:
        """The run would stop here."""
        if self.found.stop is None:
            self.found.stop = step, why

    def _decide(self, step: PlannedStep, scope: Scope) -> bool:
        """Note whether conditions are true; returns whether the step would run."""
        for requirement in step.require if isinstance(step, RequireStep) else ():
            if not names_in(requirement.that) <= set(scope):
                self.found.later += 1
                self.found.requirements.setdefault(step.index, []).append((None, "", "it depends on what the run does"))
                continue
            holds, why = _holds(requirement.that, scope)
            message = str(compile_value(requirement.message)(scope)) if holds is False else ""
            looked_at = watched(requirement.that, scope, frozenset(step.registered))
            self.found.requirements.setdefault(step.index, []).append((holds, looked_at, message or why))
            shown = filled(requirement.that, self._plan.scope(step))
            self.found.note(step, f"{_WORDS[holds]}: {shown}" + (f" - {message}" if message else ""))
            if not {step.registered[name] for name in names_in(requirement.that) & set(step.registered)} <= self._sure:
                self.found.later += 1  # it reads what a step after a change answers
            elif holds:
                self.found.holding += 1
            else:
                self._stop(step, message or why)
        when = step.when
        if when is None or step.per_item_condition or not names_in(when) <= set(scope):
            return True
        holds, _ = _holds(when, scope)
        self.found.whens[step.index] = holds
        self.found.note(step, f"{_WORDS[holds]}: {filled(when, self._plan.scope(step))}")
        return holds is not False

    def drafted(self, step: CommandStep, scope: Scope) -> list[Draft] | None:
        """The requests of a step, as of now; None where they cannot be planned, or are too many."""
        try:
            drafts = list(islice(expand(step, self._plan, scope), MOST + 1))
        except (ExpressionError, InputError) as error:
            self.found.gap(step, f"cannot be planned now: {error.message}")
            if not self._changed:
                self._stop(step, error.message)
            return None
        if len(drafts) > MOST:
            self.found.gap(step, f"more than {MOST} requests; not asked")
            return None
        if step.depends_on:
            self.found.drafts[step.index] = drafts
        return drafts

    async def _ask(self, step: CommandStep, drafts: list[Draft], scope: Scope) -> None:
        records = await self._sent(step, drafts)
        answer = self._answers[step.key] = self.found.answers[step.index] = collect(records)
        failed = [record for record in records if record.error]
        for record in failed:
            self.found.gap(step, f"{record.host}: {record.error}")
        if not self._changed:
            self._sure.add(step.key)
            if len(failed) > may_fail(step, self._plan.terms, self._settings).of(len(records)):
                self._stop(step, f"{failed[0].host}: {failed[0].error}")
        if any(host.ok for host in answer.hosts.values()):
            rows = len(answer.answered.rows)  # of those that did answer; the others were noted
            when = f" (before step {self._changed})" if self._changed else ""
            self.found.note(
                step, f"answers {rows} row{'' if rows == 1 else 's'} now{when}{self._watched(step, answer, scope)}"
            )

    def _watched(self, step: CommandStep, answer: Answer, scope: Scope) -> str:
        """What the step's `until` looks at now."""
        hosts: dict[str, list[str]] = {}
        for name, found in answer.hosts.items() if step.until is not None else ():
            if isinstance(found, HostAnswer):
                local = {"rows": found.rows, "answer": found, "host": self._plan.inventory.hosts[name]}
                hosts.setdefault(watched(step.until, {**scope, **local}), []).append(name)
        if hosts:
            self.found.polled[step.index] = hosts
        return "".join(f"; {text} on {fold(names)}" for text, names in hosts.items() if text)

    async def _sent(self, step: CommandStep, drafts: list[Draft]) -> list[Recorded]:
        """Send the questions; what became of each, in their order."""
        records: dict[int, Recorded] = {}
        entry = catalog.find(step.command)

        async def one(question: tuple[int, Draft]) -> None:
            number, draft = question
            timeout = self._plan.inventory.hosts[draft.host].endpoint.request_timeout
            tag = f"{step.key}.{number}"
            asked = anyio.current_time()
            _, outcome = await self._asker.ask(
                draft.host, step.command, draft.parameters, tag=tag, timeout=timeout, entry=entry, accept=step.accept
            )
            records[number] = recorded(draft.host, outcome)
            if records[number].state is State.DONE:
                self.found.took.append((draft.host, step.command, anyio.current_time() - asked))

        await each([(number, draft) for number, draft in enumerate(drafts) if not draft.skipped], one)
        return [records[number] for number in sorted(records)]


_WORDS = {True: "true now", False: "FALSE now", None: "unknown now"}


def _holds(condition: Any, scope: Scope) -> tuple[bool | None, str]:
    """Whether a condition holds, and why that cannot be said."""
    try:
        return truth(compile_value(condition)(scope)), ""
    except ExpressionError as error:
        return None, error.message
