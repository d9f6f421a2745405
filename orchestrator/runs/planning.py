"""From a playbook and a fleet to a plan; and from a run back to its plan, where the fleet is still the one that it rests on."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from orchestrator.comparison import fleet_differences
from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import command_line
from orchestrator.errors import RefusedError
from orchestrator.fleet.config import Config, find_config, load_config
from orchestrator.fleet.inventory import Inventory, build_inventory, meant, protect
from orchestrator.journal.base import PlannedHost, Reader, Run, Store
from orchestrator.journal.header import Header
from orchestrator.plan.expand import contents
from orchestrator.plan.kept import recall
from orchestrator.plan.layout import build_plan
from orchestrator.plan.steps import Plan, PlannedCondition, Planning
from orchestrator.playbook.items import Lists
from orchestrator.playbook.source import Source, check_conditions, load_playbook
from orchestrator.playbook.values import given_values
from orchestrator.policy import Policy, load_policy
from orchestrator.user import expand, logins

R = TypeVar("R", bound=Run)
FEW = 5  # differences that are named


@dataclass(frozen=True)
class Fleet:
    """A configuration, and the hosts that it names."""

    config: Config

    @cached_property
    def inventory(self) -> Inventory:
        """The hosts.

        Raises:
            InputError: a host is defined twice or nowhere, or has no authentication.
            InputError, RefusedError: the policy cannot be used; see `policy`.
        """
        return protect(build_inventory(self.config), self.policy.file.protect)

    @cached_property
    def policy(self) -> Policy:
        """What holds on this machine, whatever the configuration says.

        Raises:
            InputError: it has mistakes, each with its place.
            RefusedError: it cannot be read, or others than root could write it.
        """
        policy = load_policy()
        if policy.document is not None:
            check_conditions(policy.document, policy.file.conditions)
        return policy

    @property
    def settings(self) -> str:
        """Limits and retries of the configuration, JSON: what it adds to a plan."""
        file = self.config.file
        limits, retry = (part.model_dump(exclude_unset=True) for part in (file.limits, file.retry))
        per_host = {host.name: host.per_host for host in self.inventory.hosts.values() if host.per_host}
        return json.dumps({"limits": limits, "retry": retry, "per_host": per_host}, sort_keys=True)

    @property
    def state_dir(self) -> str | None:
        """Where the configuration has runs kept; None where it does not say.

        Raises:
            InputError: its `~` means nothing here.
        """
        given = self.config.file.state_dir
        return str(self.config.path.parent / expand(given)) if given else None

    def plan(
        self,
        playbook: str | os.PathLike[str] | Source,
        given: Mapping[str, str] | None = None,
        *,
        limit: str | None = None,
        ticket: str = "",
        reason: str = "",
    ) -> Planned:
        """Plan a playbook. Nothing is sent, and nothing is written.

        Args:
            playbook: a path, the name of a shipped one, or one that was read.
            given: the values of its parameters, as they are typed.
            limit: a selection outside of which nothing is changed, and no step asks.
            ticket: the change that it belongs to.
            reason: why it is done, in the operator's words.

        Raises:
            InputError: playbook, values or selections have mistakes, each with its place.
            RefusedError: a step would change a protected host.
        """
        source = playbook if isinstance(playbook, Source) else load_playbook(os.fspath(playbook))
        lists, given = Lists(), given or {}
        values = given_values(source, given, self.inventory, lists)
        plan = build_plan(source, self.inventory, values, limit=limit, lists=lists, conditions=self._conditions())
        kept = {name: _kept(source, name, text, values[name]) for name, text in given.items()}
        now, path = time.time_ns() // 1_000_000, str(self.config.path)
        header = Header(now, kept, path, limit or "", ticket, reason, policy=self.policy.text, settings=self.settings)
        return Planned(plan, header)

    def _conditions(self) -> Iterator[PlannedCondition]:
        """What must hold for every playbook that changes something."""
        for number, condition in enumerate(self.config.file.conditions):
            yield PlannedCondition(condition=condition, source="configuration", number=number)
        for number, condition in enumerate(self.policy.file.conditions):
            yield PlannedCondition(condition=condition, source="policy", number=number)

    def warnings(self) -> list[str]:
        """What an operator should know of its secrets, its TLS and its policy, a sentence each."""
        nowhere = [part for part in self.policy.file.protect if not meant(self.inventory, part)]
        spared = [f"the policy protects {part!r}, which this configuration does not have" for part in nowhere]
        return sorted({*_warnings(self.inventory), *spared})


def _kept(source: Source, name: str, text: str, value: object) -> str:
    """A parameter's text as it can be read from another directory."""
    return str(value) if source.playbook.parameters[name].type in {"file", "users"} else text


class Request(NamedTuple):
    """A request that is known before anything is sent.

    Attributes:
        id: of its operation, such as "5.17".
        step: the step's name.
    """

    id: str
    step: str
    host: str
    command: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        words = command_line(self.command, catalog.find(self.command), self.parameters)
        return f"{self.id}  {self.host}: {words}"


@dataclass(frozen=True)
class Planned:
    """What was planned and is not written anywhere yet.

    Attributes:
        plan: all steps, as far as they can be known.
        header: what its run will say of itself.
    """

    plan: Plan
    header: Header

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reviewer should know of its lists, a sentence each."""
        return self.plan.warnings

    @property
    def changes_anything(self) -> bool:
        """Whether any step is more than a question."""
        return self.plan.changes_anything

    def requests(self) -> Iterator[Request]:
        """All requests that are known now, in order; those that depend on answers of hosts are not among them.

        Raises:
            InputError, ExpressionError: one of them cannot be made of the values.
        """
        for step, drafts in contents(self.plan):
            for number, draft in enumerate(drafts or (), 1):
                if not draft.skipped:
                    parameters = json.loads(draft.parameters)
                    yield Request(f"{step.key}.{number}", step.name, draft.host, step.command, parameters)

    def create(self, store: Store[R], planned: Planning = lambda _count: None) -> R:
        """Write it as a new run of a store, wholly or not at all; nothing is sent.

        Args:
            store: where.
            planned: told now and then of how many operations there are so far.

        Raises:
            JournalError: it cannot be written.
            InputError, ExpressionError: a request cannot be made of the values; nothing is left behind.
        """
        return store.create(self.plan, self.header, planned)

    def save(self, store: Store[R], target: str, planned: Planning = lambda _count: None) -> R:
        """Write it, with who made it, to a file of its own, to be looked at, approved and applied later; nothing is sent.

        Args:
            store: where it will be a run.
            target: the file's path.
            planned: see `create`.

        Raises:
            RefusedError: the file is there.
            JournalError, InputError, ExpressionError: see `create`.
        """
        authors = tuple(f"{name}@{socket.gethostname()}" for name in logins())
        try:
            return store.save(target, self.plan, replace(self.header, authors=authors), planned)
        except FileExistsError:
            hint = "a saved plan is never overwritten; give another name"
            raise RefusedError(f"{target} exists", hint=hint) from None


def load_fleet(config: str | os.PathLike[str] | None = None) -> Fleet:
    """The fleet of a configuration file, or of the one that is found where one usually is.

    Raises:
        InputError: there is none, or it has mistakes, each with its place.
    """
    found = load_config(find_config(None if config is None else os.fspath(config)))
    check_conditions(found.document, found.file.conditions)
    return Fleet(found)


def _warnings(inventory: Inventory) -> Iterator[str]:
    for host in inventory.hosts.values():
        if warning := host.endpoint.secret.warning():
            yield warning
        if host.endpoint.scheme == "https" and not host.endpoint.tls.verify:
            yield "tls verify is false: any certificate is accepted, so anyone in between can read the secret"


def plan_of(reader: Reader, fleet: Fleet) -> Plan:
    """The plan of a run, exactly as it was made.

    Raises:
        RefusedError: the fleet is not the one that it rests on; says what differs.
        JournalError: an older version wrote it; it can only be read.
    """
    if not reader.resumable:
        raise RefusedError(
            f"run {reader.run_id} was written by an older version, whose runs can be read but not resumed",
            hint="plan again what is left",
        )
    found = list(differences(reader, fleet.inventory))
    if found:
        more = f"; and {len(found) - FEW} more" if len(found) > FEW else ""
        raise RefusedError(
            f"the fleet has changed since run {reader.run_id} was planned: {'; '.join(found[:FEW])}{more}",
            hint="plan again, or give the configuration that it was planned with (-c)",
        )
    return recall(reader.kept(), fleet.inventory)


def differences(reader: Reader, inventory: Inventory) -> Iterator[str]:
    """What a plan rests on and is otherwise now: hosts, addresses, their order, groups, tags, protection."""
    now = [
        PlannedHost(host.name, host.endpoint.url, host.groups, host.tags, host.protected)
        for host in inventory.hosts.values()
    ]
    return fleet_differences(reader.hosts(), reader.groups(), now, inventory.groups)


def plan_again(reader: Reader, fleet: Fleet) -> Planned:
    """The same playbook with the same values, planned for the fleet as it is now.

    Raises:
        InputError: the playbook is gone, or it, its values or its lists have mistakes now.
        RefusedError: a step would change a protected host.
    """
    origin, header = json.loads(reader.kept().origin), reader.header
    beside = Path(origin["folder"]) / Path(origin["source"]).name
    playbook = beside if beside.is_file() else origin["source"]
    return fleet.plan(playbook, header.given, limit=header.limit or None, ticket=header.ticket, reason=header.reason)
