"""How many users and sessions notice a step, counted before it is sent: as its playbook says, or with the catalogue's questions.

A number is told only where it was counted. Where a host does not answer, or nobody knows what to ask, that is said instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from orchestrator.answers import Recorded
from orchestrator.dovecot import catalog
from orchestrator.dovecot.ask import Asker, each
from orchestrator.dovecot.command import encode_parameters
from orchestrator.dovecot.impact import Impact, Question
from orchestrator.engine.looking import recorded
from orchestrator.errors import ExpressionError
from orchestrator.plan.steps import CommandStep, Draft, Plan, Scope
from orchestrator.playbook.conditions import Affects
from orchestrator.text.expression import compile_value, names_in

MOST = 1000  # questions of a step; this is a look, not a run
ROWS = 2_000_000  # of answers that are gone through for a step, once for each request that needs them; some seconds

_UNITS = ("users", "sessions")


@dataclass(frozen=True)
class Noticed:
    """How many notice a step.

    Attributes:
        counts: "users" and "sessions", as far as they can be told.
        but: how these numbers differ from what happens ("at most: ..."); empty where they do not.
        untold: why there is no number, in a sentence; empty where nothing is missing.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    but: str = ""
    untold: str = ""

    @property
    def words(self) -> list[str]:
        """All of it for people, a sentence each."""
        found = []
        if self.counts:
            numbers = ", ".join(
                f"{self.counts[unit]} {unit[:-1] if self.counts[unit] == 1 else unit}"
                for unit in _UNITS
                if unit in self.counts
            )
            found.append(f"user impact now: {numbers}{f' ({self.but})' if self.but else ''}")
        if self.untold:
            found.append(f"user impact cannot be counted: {self.untold}")
        return found


def as_written(affects: Affects, scope: Scope) -> Noticed:
    """How many notice a step whose playbook says how that is counted.

    Args:
        affects: what it says.
        scope: what is known now.
    """
    counts: dict[str, int] = {}
    untold = ""
    for unit, written in (("users", affects.users), ("sessions", affects.sessions)):
        if written is None:
            continue
        if missing := sorted(names_in(written) - set(scope)):
            untold = f"there is no `{missing[0]}` yet"
            continue
        try:
            counts[unit] = _number(compile_value(written)(scope))
        except ExpressionError as error:
            untold = error.message
    return Noticed(counts, untold=untold)


def _number(value: Any) -> int:
    if isinstance(value, list | tuple):
        return len(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    raise ExpressionError(f"{value!r} is neither a number nor a list")


class Census:
    """Asks the catalogue's questions about steps; none of them twice.

    Args:
        plan: whose hosts are asked.
        asker: sends.
    """

    def __init__(self, plan: Plan, asker: Asker) -> None:
        self._plan, self._asker = plan, asker
        self._answers: dict[_Asked, Recorded] = {}
        self._numbers = count(1)

    async def of(self, step: CommandStep, drafts: Sequence[Draft] | None) -> Noticed:
        """How many notice a step now.

        Args:
            step: with user impact.
            drafts: its requests; None where they are not known, or too many.
        """
        if drafts is None:
            return Noticed(untold=f"its requests are not known now, or are more than {MOST}")
        entry = catalog.find(step.command)
        impact = entry.affects if entry else None
        if impact is None:
            return Noticed(untold=f"the catalogue has no question for {step.command}; a playbook can (`affects`)")
        operations = [_Operation(draft.host, json.loads(draft.parameters)) for draft in drafts if not draft.skipped]
        questions: list[tuple[_Operation, Question, _Asked]] = []
        for operation in operations:
            fitting = [question for question in impact.questions if question.fits(operation.parameters)]
            if not fitting:
                return Noticed(untold=f"{step.command} with these parameters has no question that counts it")
            questions += [(operation, question, _asked(operation, question)) for question in fitting]
        new = list(dict.fromkeys(asked for *_, asked in questions if asked not in self._answers))
        if len(new) > MOST:
            return Noticed(untold=f"that would take {len(new)} questions, more than {MOST}")
        await each(new, self._ask)
        failed = next((self._answers[asked] for *_, asked in questions if self._answers[asked].error), None)
        if failed is not None:
            return Noticed(untold=f"{failed.host}: {failed.error}")
        if sum(len(self._answers[asked].rows) for *_, asked in questions) > ROWS:
            return Noticed(untold="that would take too long, with so many requests and so many sessions")
        return self._counted(impact, questions)

    async def _ask(self, asked: _Asked) -> None:
        timeout = self._plan.inventory.hosts[asked.host].endpoint.request_timeout
        _, outcome = await self._asker.ask(
            asked.host,
            asked.command,
            asked.parameters,
            tag=f"impact.{next(self._numbers)}",
            timeout=timeout,
            entry=catalog.find(asked.command),
        )
        self._answers[asked] = recorded(asked.host, outcome)

    def _counted(self, impact: Impact, questions: Iterable[tuple[_Operation, Question, _Asked]]) -> Noticed:
        users, sessions = _Sum(impact.of_ring, everywhere=True), _Sum(impact.of_ring, everywhere=False)
        try:
            for operation, question, asked in questions:
                scope = {"rows": self._answers[asked].rows, "parameters": operation.parameters}
                users.add(operation.host, question.users, scope)
                sessions.add(operation.host, question.sessions, scope)
        except ExpressionError as error:
            return Noticed(untold=error.message)
        found = {"users": users.value, "sessions": sessions.value}
        return Noticed({unit: number for unit, number in found.items() if number is not None}, impact.but)


@dataclass(frozen=True)
class _Operation:
    """What would be sent to a host."""

    host: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class _Asked:
    """A question to a host; two operations that need the same one share its answer."""

    host: str
    command: str
    parameters: str


def _asked(operation: _Operation, question: Question) -> _Asked:
    return _Asked(operation.host, question.ask, encode_parameters(question.parameters_for(operation.parameters)))


class _Sum:
    """A number of those who notice a step: lists are united, so that nobody counts twice; numbers are added up.

    Args:
        of_ring: each host's number is of them all.
        everywhere: whether the same one on two hosts is one (a user), or two (a session).
    """

    def __init__(self, of_ring: bool, everywhere: bool) -> None:
        self._of_ring, self._everywhere = of_ring, everywhere
        self._listed: dict[str, Counter[str]] = {}
        self._numbers: dict[str, int] = {}

    def add(self, host: str, written: str, scope: Mapping[str, Any]) -> None:
        """Count what an answer says.

        Raises:
            ExpressionError: that cannot be told.
        """
        if not written:
            return
        value = compile_value(written)(scope)
        if isinstance(value, list | tuple):
            place = "" if self._everywhere else host
            found = Counter(json.dumps(part, sort_keys=True) for part in value)
            # Of equal rows in one answer each is a session; the same ones in another answer are the same sessions.
            self._listed[place] = self._listed.get(place, Counter()) | (
                Counter(set(found)) if self._everywhere else found
            )
        else:
            self._numbers[host] = self._numbers.get(host, 0) + _number(value)

    @property
    def value(self) -> int | None:
        """The number; None where nothing counts it."""
        if not self._listed and not self._numbers:
            return None
        numbers = self._numbers.values()
        return sum(map(Counter.total, self._listed.values())) + (
            max(numbers, default=0) if self._of_ring else sum(numbers)
        )
