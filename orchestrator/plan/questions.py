"""Checks what conditions, and steps with `keep`, ask: what is known when the plan is made is wrong then, and not at night."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from orchestrator.errors import ExpressionError, InputError, Place
from orchestrator.fleet.address import fault_of_url
from orchestrator.plan.expand import expand
from orchestrator.plan.steps import CommandStep, Plan, PlannedCondition, Scope, question_of
from orchestrator.playbook.conditions import Ask
from orchestrator.text.expression import compile_value, names_in
from orchestrator.text.units import parse_duration


def check_questions(plan: Plan) -> None:
    """Check the questions of a plan.

    Raises:
        InputError: one of them can never be asked: no such host, no address, no duration.
    """
    everywhere = replace(plan, limited=None)  # a question is no part of --limit
    batch = next((step.local for step in plan.steps if step.local), {})
    for planned in plan.conditions:
        local = batch if planned.condition.at == "batch" else {}
        try:
            _check(everywhere, planned.condition.ask, planned.question, {**plan.scope(), **local})
        except (ExpressionError, InputError, ValueError) as error:
            raise _of_condition(plan, planned, error) from None
    for step in plan.steps:
        if isinstance(step, CommandStep) and step.keep:
            path = (*step.path, "keep", "ask")
            question = partial(question_of, step.keep.ask, path, step.name)
            try:
                _check(everywhere, step.keep.ask, question, plan.scope(step))
            except (ExpressionError, ValueError) as error:
                raise InputError.at(str(error), plan.origin.place(*path)) from None


def _check(plan: Plan, ask: Ask, question: Callable[[], CommandStep], scope: Scope) -> None:
    def value(written: Any) -> Any:
        return compile_value(written)(scope) if names_in(written) <= set(scope) else None

    if (timeout := value(ask.timeout)) is not None:
        parse_duration(timeout)
    if ask.url is not None:
        if (url := value(ask.url)) is not None and (fault := fault_of_url(str(url))):
            raise ExpressionError(f"{ask.url} {fault}")
    elif names_in([ask.hosts, ask.parameters]) <= set(scope):
        for _ in expand(question(), plan, scope):
            pass


def _of_condition(plan: Plan, planned: PlannedCondition, error: Exception) -> InputError:
    """The error at its place; of what stands in no playbook, with the condition's name."""
    if planned.source == "playbook":
        if isinstance(error, InputError):
            return error
        return InputError.at(str(error), plan.origin.place("conditions", planned.number, "ask"))
    words = error.problems[0].message if isinstance(error, InputError) else str(error)
    return InputError.at(f"the condition {planned.name!r}: {words}", Place(planned.source))
