"""What holds for a step: the limits of configuration, command line, playbook and step, made one. Pure.

Limits of how much and how fast: the lowest holds. How many may fail, and when to retry: the most specific setting wins, and the
command line overrides all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.engine.concurrency import CEILING
from orchestrator.engine.retry import policy
from orchestrator.engine.scheduler import DEFAULT, Polling, Rules
from orchestrator.fleet.inventory import Host
from orchestrator.limits import Limits, Retry
from orchestrator.plan.steps import CommandStep, Terms
from orchestrator.text.units import Share

IN_FLIGHT = 100  # operations sent and not yet recorded, where nobody says otherwise
ALL = Share(100, percent=True)


@dataclass(frozen=True)
class Settings:
    """What configuration and command line say of a run.

    Attributes:
        limits: of the configuration, with what the command line overrides.
        retry: of the configuration.
        max_failed: of the command line.
    """

    limits: Limits = field(default_factory=Limits)
    retry: Retry = field(default_factory=Retry)
    max_failed: Share | None = None


def rate(step: CommandStep | None, terms: Terms, settings: Settings) -> float | None:
    """Requests a second while a step is at work; of no step, what holds for all of them."""
    layers = (settings.limits, terms.limits, *([step.limits] if step else []))
    return min([limit.rate for limit in layers if limit.rate], default=None)


def may_fail(step: CommandStep, terms: Terms, settings: Settings) -> Share:
    """How many of a step's operations may fail before the run stops; of those that take back or come last, all."""
    if step.role in {"undo", "finally"} or step.on_failure == "continue":
        return ALL
    said = (settings.max_failed, step.limits.max_failed, terms.limits.max_failed, settings.limits.max_failed)
    return next((share for share in said if share is not None), Share(0))


def rules(
    step: CommandStep,
    terms: Terms,
    settings: Settings,
    hosts: Mapping[str, Host],
    total: int,
    polling: Polling | None = None,
) -> Rules:
    """What the scheduler goes by.

    Args:
        step: the step.
        terms: of the playbook.
        settings: of configuration and command line.
        hosts: of the fleet.
        total: the step's operations.
        polling: how long it is polled; its expressions were evaluated.
    """
    own = (terms.limits, step.limits)
    ceiling = min([limit.per_host for limit in own if isinstance(limit.per_host, int)], default=None)
    usual = settings.limits.per_host or DEFAULT
    per_host = {host.name: host.per_host or usual for host in hosts.values()}
    in_flight = [limit.in_flight for limit in (settings.limits, *own) if limit.in_flight]
    return Rules(
        in_flight=min(in_flight or [IN_FLIGHT]),
        per_host={name: _lower(limit, ceiling) for name, limit in per_host.items() if limit != "auto"},
        tuned={name: ceiling or CEILING for name, limit in per_host.items() if limit == "auto"},
        allowed_failures=may_fail(step, terms, settings).of(total),
        retry=policy(step.retry, terms.retry, settings.retry),
        effect=step.effect,
        polling=polling,
    )


def _lower(limit: int, ceiling: int | None) -> int:
    return limit if ceiling is None else min(limit, ceiling)
