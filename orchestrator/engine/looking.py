"""Looks at a condition: asks its question once, and says whether it holds, does not, or whether there is no data.

Three answers, not two: a host that is silent, an answer that makes no sense and an expression that cannot be worked out say
nothing, and nobody takes them for "holds".
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from math import isfinite, isnan
from pathlib import Path
from traceback import walk_tb
from typing import Any

import anyio

from orchestrator.answers import Recorded, collect
from orchestrator.dovecot import catalog
from orchestrator.dovecot.ask import Asker, each
from orchestrator.errors import ExpressionError, InputError
from orchestrator.fleet.address import fault_of_url
from orchestrator.outcome import Kind, Outcome, State
from orchestrator.page import Page
from orchestrator.plan.expand import expand
from orchestrator.plan.steps import CommandStep, Draft, Plan, PlannedCondition, Scope, question_of
from orchestrator.playbook.conditions import Ask, Condition, Keep
from orchestrator.sighting import Sighting
from orchestrator.text.expression import compile_value, names_in, truth
from orchestrator.text.units import parse_duration
from orchestrator.text.watched import seen

Fetch = Callable[[str, float], Awaitable[Page]]
LONGEST = 60.0  # seconds for a page
TRIES = 3  # looks before a condition without data counts as one that does not hold
BETWEEN = 2.0  # seconds between them


async def no_pages(url: str, _timeout: float) -> Page:
    """Reads no page; for those who send nothing."""
    raise ExpressionError(f"{url} is not read here")


class Looker:
    """Asks the questions of conditions.

    Args:
        plan: the run's.
        asker: of the run.
        fetch: reads pages of other services.

    Attributes:
        pages: how many pages it asked for; questions to hosts the asker counts.
    """

    def __init__(self, plan: Plan, asker: Asker, fetch: Fetch = no_pages) -> None:
        self._plan = replace(plan, limited=None)  # a question beside the operations is no part of --limit
        self._asker = asker
        self._fetch = fetch
        self.pages = 0

    async def look(
        self,
        planned: PlannedCondition,
        moment: str,
        local: Mapping[str, Any] | None = None,
        within: float | None = None,
    ) -> Sighting:
        """Look at a condition once.

        Args:
            planned: the condition.
            moment: at what, in words.
            local: names that are known at this moment alone.
            within: seconds, after which there is no data; None for as long as its hosts may take.
        """
        scope = {**self._plan.scope(), **(local or {})}
        at = time.time_ns() // 1_000_000
        found: tuple[bool | None, Any, str] = (None, None, f"no answer within {within or 0:g} s")
        with anyio.move_on_after(within):
            try:
                answered = await self._answered(planned.condition.ask, planned.question, scope, within)
                found = judged(planned, scope, answered, looked_at=self._plan.seen is not None)
            except (ExpressionError, InputError) as error:
                found = None, None, error.message
            except Exception as error:  # noqa: BLE001 - a bug here must not cut off what a run has on the wire
                found = None, None, _bug(error)
        return Sighting(planned.name, moment, at, *found)

    async def value(self, keep: Keep, step: CommandStep, scope: Scope) -> Any:
        """What a step set, as it is now, in JSON's terms.

        Raises:
            ExpressionError: that cannot be told.
        """
        path = (*step.path, "keep", "ask")
        try:
            answered = await self._answered(keep.ask, lambda: question_of(keep.ask, path, step.name), scope)
            return plain(compile_value(keep.value)({**scope, **_read(keep.value, answered)}))
        except ExpressionError:
            raise
        except InputError as error:
            raise ExpressionError(error.message) from None
        except Exception as error:  # noqa: BLE001 - as above
            raise ExpressionError(_bug(error)) from None

    async def _answered(
        self, ask: Ask, question: Callable[[], CommandStep], scope: Scope, within: float | None = None
    ) -> Any:
        if ask.url is not None:
            timeout = _seconds(ask.timeout, scope) or LONGEST
            url = str(compile_value(ask.url)(scope))
            if fault := fault_of_url(url):
                raise ExpressionError(f"cannot read {ask.url}: it {fault}")
            self.pages += 1
            return await self._fetch(url, timeout)
        step = question()
        drafts = [draft for draft in expand(step, self._plan, scope) if not draft.skipped]
        if within and not self._asker.fit(len(drafts), within):
            raise ExpressionError(
                f"the rate allows no {len(drafts)} questions in {within:g} s; ask fewer hosts, or ask less often (every)"
            )
        return collect(await self._sent(step, drafts, scope))

    async def _sent(self, step: CommandStep, drafts: list[Draft], scope: Scope) -> list[Recorded]:
        records: dict[int, Recorded] = {}
        entry = catalog.find(step.command)
        given = _seconds(step.timeout, scope)

        async def one(question: tuple[int, Draft]) -> None:
            number, draft = question
            timeout = given or self._plan.inventory.hosts[draft.host].endpoint.request_timeout
            _, outcome = await self._asker.ask(
                draft.host,
                step.command,
                draft.parameters,
                tag=f"{step.key}.{number}",
                timeout=timeout,
                entry=entry,
                accept=step.accept,
            )
            records[number] = recorded(draft.host, outcome)

        await each(list(enumerate(drafts, 1)), one)
        return [records[number] for number in sorted(records)]


def _seconds(written: Any, scope: Scope) -> float | None:
    """A duration that a question says; None where it says none."""
    try:
        return None if written is None else parse_duration(compile_value(written)(scope))
    except ValueError as error:
        raise ExpressionError(str(error)) from None


def recorded(host: str, outcome: Outcome) -> Recorded:
    """An answer to a question, as answers are collected."""
    state = State.DONE if outcome.kind in {Kind.DONE, Kind.UNCHANGED} else State.FAILED
    return Recorded(host, state, outcome.exit_code, outcome.error, list(outcome.rows))


def _bug(error: Exception) -> str:
    """An error that nobody expected, without its words, which may be anybody's."""
    *_, (frame, line) = walk_tb(error.__traceback__)
    return f"a bug in this program: {type(error).__name__} at {Path(frame.f_code.co_filename).name}:{line}"


def judged(
    planned: PlannedCondition, scope: Scope, answered: Any, *, looked_at: bool = False
) -> tuple[bool | None, Any, str]:
    """Whether a condition holds, its value, and why it does not hold or cannot be told.

    Args:
        planned: the condition.
        scope: what its expressions may read besides the answer.
        answered: the answer.
        looked_at: whether somebody looked at the fleet for the plan's review.

    Raises:
        ExpressionError: there is no data.
    """
    condition = planned.condition
    written = [condition.that, condition.value, condition.message]
    empty = condition.empty or ("no_data" if isinstance(answered, Page) and "rows" in names_in(written) else None)
    if empty and not answered.rows:
        return (True, None, "") if empty == "holds" else (None, None, "the answer has no rows")
    scope = {**scope, **_read(written, answered)}
    if empty == "holds" and "rows" in scope:
        scope["rows"] = list(scope["rows"])  # a metric that is not there has no rows either
    value = None if condition.value is None else plain(compile_value(condition.value)(scope))
    scope["now"] = value
    if planned.seen:
        scope["reviewed"] = planned.reviewed
    elif "reviewed" in names_in(condition.that):
        if looked_at:
            raise ExpressionError("there was no data when the plan was reviewed; make a new plan")
        return True, value, ""  # nobody has reviewed anything: there is nothing to compare with
    if _holds(condition, answered, scope):
        return True, value, ""
    return False, value, _why(planned, scope, answered)


def _holds(condition: Condition, answered: Any, scope: Scope) -> bool:
    return bool(answered.ok) if condition.that is None else truth(compile_value(condition.that)(scope))


def _why(planned: PlannedCondition, scope: Scope, answered: Any) -> str:
    condition = planned.condition
    words = []
    if condition.value is not None:
        reviewed = f", {shown(planned.reviewed)} when it was reviewed" if planned.seen else ""
        words.append(f"{shown(scope['now'])} now{reviewed}")
    elif looked_at := seen(condition.that, scope):
        words.append(looked_at)
    elif isinstance(answered, Page):
        words.append(f"HTTP status {answered.status}")
    if condition.message and names_in(condition.message) <= set(scope):
        words.append(str(compile_value(condition.message)(scope)))
    return "; ".join(words) or "it is false"


def _read(written: Any, answered: Any) -> Scope:
    """What expressions may read of an answer; rows only where they are read, since they may be missing."""
    return {"answer": answered, **({"rows": answered.rows} if "rows" in names_in(written) else {})}


def plain(value: Any) -> Any:
    """A value in JSON's own terms.

    Raises:
        ExpressionError: it is no number, though it should be one: nothing could be compared with it.
    """
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, float) and isnan(value):
        raise ExpressionError("the value is not a number (NaN)")
    if isinstance(value, int | float):
        return json.loads(json.dumps(value)) if isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value)


def shown(value: Any) -> str:
    """A value as people read it in a sentence."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
