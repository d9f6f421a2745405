"""Looks at the fleet for a plan: its read-only requests are sent, and the plan keeps what was seen for its review."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice

import anyio

from orchestrator.dovecot.ask import Asker
from orchestrator.dovecot.client import Client
from orchestrator.engine import live_plan
from orchestrator.engine.live_plan import LivePlan
from orchestrator.engine.noticed import MOST, Census, Noticed
from orchestrator.plan.expand import expand
from orchestrator.plan.steps import CommandStep
from orchestrator.runs.pages import fetch
from orchestrator.runs.planning import Fleet, Planned
from orchestrator.runs.work import NOTHING_SAID


async def look(planned: Planned, fleet: Fleet) -> tuple[Planned, LivePlan]:
    """Send a plan's read-only requests, and nothing else.

    Returns:
        the plan with what was seen, and what was seen.

    Raises:
        InputError, ExpressionError: a request cannot be made of the values; nothing was sent.
        SecretError: a secret cannot be had; nothing was sent.
    """
    for _ in planned.requests():  # what is wrong with the plan is told before anybody is asked
        pass
    plan = planned.plan
    async with Client(host.endpoint for host in plan.inventory.hosts.values()) as client:
        seen = await live_plan.look(plan, Asker(client), NOTHING_SAID.settings(fleet.config.file), fetch)
    reviewed = live_plan.reviewed(plan, seen, time.time_ns() // 1_000_000)
    return replace(planned, plan=reviewed), seen


async def notice(planned: Planned, within: float) -> Noticed:
    """How many users and sessions notice the one step of a plan, before anybody is asked whether to send it.

    Args:
        planned: a plan of one step, all of whose requests are known.
        within: seconds; what is not known then is not waited for.

    Raises:
        InputError, ExpressionError: a request cannot be made of the values; nothing was sent.
        SecretError: a secret cannot be had; nothing was sent.
    """
    plan = planned.plan
    step = plan.steps[0]
    if not isinstance(step, CommandStep) or not step.user_impact:
        return Noticed()
    drafts = list(islice(expand(step, plan, plan.scope(step)), MOST + 1))
    found = Noticed(untold=f"no answer within {within:g} s")
    async with Client(host.endpoint for host in plan.inventory.hosts.values()) as client:
        with anyio.move_on_after(within):
            found = await Census(plan, Asker(client)).of(step, drafts if len(drafts) <= MOST else None)
    return found
