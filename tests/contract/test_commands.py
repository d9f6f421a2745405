"""Each case of the contract, against the simulator and against real Dovecot, 2.3 and 2.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract import director_cases, host_cases, payload_cases
from tests.contract.cases import VERSIONS
from tests.contract.exchange import normal, unordered
from tests.contract.targets import targets, token

if TYPE_CHECKING:
    from tests.contract.cases import Scenario, Step
    from tests.contract.targets import Target

SCENARIOS = (*payload_cases.SCENARIOS, *director_cases.SCENARIOS, *host_cases.SCENARIOS)
CASES = [
    pytest.param(*target.values, scenario, marks=target.marks, id=f"{target.id}-{scenario.name}")
    for version in VERSIONS
    for target in targets(version)
    for scenario in SCENARIOS
    if scenario.of(version)
]


@pytest.mark.parametrize(("target", "scenario"), CASES, indirect=["target"], scope="session")
def test_answer_is_that_of_dovecot(target: Target, scenario: Scenario) -> None:
    """The server answers every request of the scenario with exactly these bytes, or with none."""
    fresh = token()
    for step in scenario.of(target.version):
        _check(target, step, fresh)


def _check(target: Target, step: Step, fresh: str) -> None:
    send = target.fill(step.send, fresh) if isinstance(step.send, str) else step.send
    reply = target.ask(step.host, send)
    wanted = step.expected(target.version)
    if wanted is None:
        assert reply.empty, f"{send!r} got {reply.data!r}"
        return
    assert not reply.empty, f"{send!r} got no reply"
    body, expected = normal(reply.body), target.fill(wanted, fresh)
    assert reply.status == step.status, f"{send!r} got {reply.data!r}"
    if step.any_order:
        assert unordered(body) == unordered(expected), send
    else:
        assert body == expected, send
