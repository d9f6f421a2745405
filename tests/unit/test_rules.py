"""Which setting holds for a step: configuration, command line, playbook, step and host."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.engine.rules import Settings, may_fail, rate, rules
from orchestrator.engine.scheduler import Polling, Rules
from orchestrator.limits import Limits, Retry
from orchestrator.outcome import Effect
from orchestrator.plan.steps import CommandStep, Plan
from orchestrator.text.units import Share, parse_share
from tests.strategies import fleet, plan

OWN = """
    defaults: {scheme: http, auth: {password: {env: X}}}
    groups: {backends: {hosts: {b1: 10.0.0.1, b2: {address: 10.0.0.2, limits: {per_host: 9}}, b3: {address: 10.0.0.3, limits: {per_host: auto}}}}}
"""


def planned(playbook: str = "", step: str = "", tail: str = "") -> tuple[Plan, CommandStep]:
    """A plan with these keys of its playbook and of its step, and the step."""
    text = f"name: P\n{playbook}\nsteps:\n  - {{name: S, hosts: all, command: reload{step}}}\n{tail}"
    made = plan(text, inventory=fleet(OWN))
    found = made.steps[-1] if tail else made.steps[0]
    assert isinstance(found, CommandStep)
    return made, found


def settings(**limits: Any) -> Settings:
    """What the configuration says, with what the command line overrides of it."""
    return Settings(Limits(**limits))


def found(settings: Settings, playbook: str = "", step: str = "", total: int = 200) -> Rules:
    """What the scheduler would go by."""
    made, planned_step = planned(playbook, step)
    return rules(planned_step, made.terms, settings, made.inventory.hosts, total)


@pytest.mark.parametrize(
    ("configured", "playbook", "step", "in_flight"),
    [
        (None, "", "", 100),
        (500, "", "", 500),
        (50, "", "", 50),
        (50, "limits: {in_flight: 60}", "", 50),
        (50, "limits: {in_flight: 40}", "", 40),
        (50, "limits: {in_flight: 40}", ", limits: {in_flight: 30}", 30),
        (50, "limits: {in_flight: 40}", ", limits: {in_flight: 45}", 40),
        (None, "", ", limits: {in_flight: 700}", 700),
    ],
)
def test_the_lowest_in_flight_holds(configured: int | None, playbook: str, step: str, in_flight: int) -> None:
    """Of all that is said about operations in flight the lowest holds; where nobody says anything, 100."""
    assert found(settings(in_flight=configured), playbook, step).in_flight == in_flight


@pytest.mark.parametrize(
    ("configured", "playbook", "step", "expected"),
    [
        (None, "", "", None),
        (5, "", "", 5),
        (5, "limits: {rate: 2}", "", 2),
        (5, "limits: {rate: 9}", ", limits: {rate: 7.5}", 5),
        (None, "limits: {rate: 9}", ", limits: {rate: 7.5}", 7.5),
    ],
)
def test_the_lowest_rate_holds(configured: float | None, playbook: str, step: str, expected: float | None) -> None:
    """Of all that is said about requests a second the lowest holds; where nobody says anything there is no limit."""
    made, planned_step = planned(playbook, step)
    assert rate(planned_step, made.terms, settings(rate=configured)) == expected


@pytest.mark.parametrize(
    ("configured", "playbook", "step", "per_host", "tuned"),
    [
        (None, "", "", {"b1": 4, "b2": 9}, {"b3": 16}),
        (2, "", "", {"b1": 2, "b2": 9}, {"b3": 16}),
        ("auto", "", "", {"b2": 9}, {"b1": 16, "b3": 16}),
        (None, "limits: {per_host: 3}", "", {"b1": 3, "b2": 3}, {"b3": 3}),
        (2, "limits: {per_host: 3}", "", {"b1": 2, "b2": 3}, {"b3": 3}),
        (None, "limits: {per_host: 3}", ", limits: {per_host: 1}", {"b1": 1, "b2": 1}, {"b3": 1}),
        (None, "limits: {per_host: 1}", ", limits: {per_host: 3}", {"b1": 1, "b2": 1}, {"b3": 1}),
        (None, "limits: {per_host: auto}", "", {"b1": 4, "b2": 9}, {"b3": 16}),
        ("auto", "limits: {per_host: 2}", "", {"b2": 2}, {"b1": 2, "b3": 2}),
    ],
)
def test_a_host_knows_what_it_bears(
    configured: Any, playbook: str, step: str, per_host: dict[str, int], tuned: dict[str, int]
) -> None:
    """A host's own number overrides the configuration's; playbook and step may lower it, never raise it."""
    holding = found(settings(per_host=configured), playbook, step)
    assert (holding.per_host, holding.tuned) == (per_host, tuned)


@pytest.mark.parametrize(
    ("command_line", "step", "playbook", "configured", "allowed"),
    [
        (None, "", "", None, 0),
        (None, "", "", "5", 5),
        (None, "", "limits: {max_failed: 7}", "5", 7),
        (None, ", limits: {max_failed: 10%}", "limits: {max_failed: 7}", "5", 20),
        (None, ", limits: {max_failed: 0}", "limits: {max_failed: 7}", "5", 0),
        ("1", ", limits: {max_failed: 10%}", "limits: {max_failed: 7}", "5", 1),
        ("0", ", limits: {max_failed: 10%}", "", None, 0),
        ("0", ", on_failure: continue", "", None, 200),
        (None, "", "on_failure: continue", "5", 200),
    ],
)
def test_the_most_specific_share_may_fail(
    command_line: str | None, step: str, playbook: str, configured: str | None, allowed: int
) -> None:
    """The command line overrides the step, that the playbook, that the configuration; where all may fail, none of them counts."""
    said = Settings(Limits(max_failed=configured), max_failed=command_line and parse_share(command_line))
    assert found(said, playbook, step).allowed_failures == allowed


@pytest.mark.parametrize("tail", ["finally: [{name: F, hosts: b1, command: who}]", ""], ids=["finally", "undo"])
def test_what_comes_last_may_fail(tail: str) -> None:
    """A failure of `finally`, or of an undo, does not keep the rest of it from being done, whatever limits say."""
    made, _ = planned("limits: {max_failed: 0}", "" if tail else ", undo: {command: reload}", tail)
    last = made.steps[-1]
    assert isinstance(last, CommandStep)
    assert may_fail(last, made.terms, Settings(max_failed=Share(0))).of(50) == 50


@pytest.mark.parametrize(
    ("configured", "playbook", "step", "expected"),
    [
        ({}, "", "", (6, 1.0, 30.0, 600.0, 2.0)),
        ({"attempts": 3, "base": 2.0}, "", "", (3, 2.0, 30.0, 600.0, 2.0)),
        ({"attempts": 3}, "retry: {attempts: 9, max: 5s}", "", (9, 1.0, 5.0, 600.0, 2.0)),
        ({"attempts": 3, "budget": 1}, "retry: {attempts: 9}", ", retry: {attempts: 1, deadline: 7s}", (1, 1.0, 30.0, 7.0, 1.0)),
    ],
)  # fmt: skip
def test_the_most_specific_retry_holds(
    configured: dict[str, Any], playbook: str, step: str, expected: tuple[float, ...]
) -> None:
    """Each setting of `retry` is the step's, or the playbook's, or the configuration's, or the usual one."""
    retry = found(Settings(retry=Retry(**configured)), playbook, step).retry
    assert (retry.attempts, retry.base, retry.max, retry.deadline, retry.budget) == expected


def test_the_rest_is_the_steps() -> None:
    """What sending twice means, and how long a step is polled, is handed on."""
    made, step = planned("", ", effect: unrepeatable")
    polling = Polling(every=1, within=2)
    holding = rules(step, made.terms, Settings(), made.inventory.hosts, 1, polling)
    assert (holding.effect, holding.polling) == (Effect.UNREPEATABLE, polling)
