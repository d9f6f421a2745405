"""What a plan is about, in a word to type: a host that the operator named, the hosts that it changes, or its playbook."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from orchestrator.fleet.inventory import Host, fold
from orchestrator.plan.steps import Plan

LONGEST = 24  # characters that somebody types without a mistake at night


def target(plan: Plan, changed: Collection[str]) -> str:
    """The word that whoever confirms a plan types.

    Args:
        plan: the plan.
        changed: the hosts that it may change.
    """
    given = fold(host.name for host in _given(plan) if host.name in changed)
    for word in (given, fold(name for name in plan.inventory.hosts if name in changed)):
        if word and len(word) <= LONGEST:
            return word
    return plan.origin.source.rpartition("/")[2].partition(".")[0]


def _given(plan: Plan) -> Iterator[Host]:
    for value in plan.values.values():
        yield from (part for part in (value if isinstance(value, list) else [value]) if isinstance(part, Host))
