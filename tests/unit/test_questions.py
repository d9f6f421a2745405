"""What conditions ask is checked when the plan is made: at night it is too late for a misspelt host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import InputError
from orchestrator.plan.questions import check_questions
from tests.strategies import plan, steps

ENDED = 'that: "{{ rows | length == 0 }}"'
ASKS = [
    ("{hosts: b77, command: who}", "'b77' is not a host, group or tag"),
    ("{hosts: \"{{ 'b77' }}\", command: who}", "'b77' is not a host, group or tag"),
    ("{hosts: b1, command: who, timeout: \"{{ 'soon' }}\"}", "'soon' is not a duration"),
    ('{hosts: b1, command: who, parameters: {mask: "{{ 1 / 0 }}"}}', "division by zero"),
]
URLS = [
    ("{url: \"http://{{ 'x' }}:99999/\"}", "must be an address such as"),
    ("{url: \"{{ 'file:///etc/passwd' }}\"}", "must be an address such as"),
    ("{url: \"http://{{ 'u:hunter2' }}@127.0.0.1/\"}", "must have no user or password"),
    ('{url: "http://127.0.0.1/", timeout: "{{ \'soon\' }}"}', "'soon' is not a duration"),
]
STEP = "hosts: b1, command: reload"


@pytest.mark.parametrize(("ask", "why"), [*((f"{ask}, {ENDED}", why) for ask, why in ASKS), *URLS])
def test_a_condition_that_cannot_be_asked(ask: str, why: str) -> None:
    """It is a mistake of the plan, with its place."""
    with pytest.raises(InputError, match=why) as found:
        plan(f"{steps(STEP)}conditions:\n  - {{name: c, ask: {ask}}}\n")
    assert found.value.problems[0].place.line > 1
    assert "hunter2@" not in found.value.message.partition("\n")[0]


@pytest.mark.parametrize(("ask", "why"), [*ASKS[:3], *URLS])
def test_a_keep_that_cannot_be_asked(ask: str, why: str) -> None:
    """Likewise."""
    with pytest.raises(InputError, match=why):
        plan(steps(f'{STEP}, keep: {{ask: {ask}, value: "{{{{ answer }}}}"}}'))


def test_a_condition_of_the_configuration_is_named() -> None:
    """Its place is not in the playbook."""
    made = plan(f"{steps(STEP)}conditions:\n  - {{name: c, ask: {{hosts: b1, command: who}}, {ENDED}}}\n")
    [own] = made.conditions
    asks = own.condition.ask.model_copy(update={"hosts": "b77"})
    there = replace(own, source="configuration", condition=own.condition.model_copy(update={"ask": asks}))
    with pytest.raises(InputError, match="^configuration: the condition 'c': 'b77' is not a host") as found:
        check_questions(replace(made, conditions=(there,)))
    assert len(found.value.message.splitlines()) == 1


def test_what_is_known_later_is_checked_later() -> None:
    """A question that reads an answer is made in the run."""
    keep = 'keep: {ask: {hosts: "{{ before.answered.rows | column(\'username\') }}", command: who}, value: "{{ rows | length }}"}'
    made = plan(steps("hosts: b1, command: who, register: before", f"{STEP}, {keep}"))
    check_questions(made)
