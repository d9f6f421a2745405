"""From a saved plan to its review."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from orchestrator.dovecot import catalog
from orchestrator.dovecot.curl import header_command
from orchestrator.dovecot.mail_servers import drained, emptied, restored, serves, users, users_of
from orchestrator.engine.estimate import Estimate
from orchestrator.engine.hours import pieces
from orchestrator.engine.rules import IN_FLIGHT, Settings
from orchestrator.fleet.inventory import Host, fold
from orchestrator.journal.base import Reader
from orchestrator.plan.affected import batch_of, in_all
from orchestrator.plan.kept import description
from orchestrator.plan.steps import CommandStep, Plan
from orchestrator.playbook.items import ItemList
from orchestrator.review.checks import backouts, checks
from orchestrator.review.model import Approvals, BatchImpact, Review, ReviewedStep, Room, Schedule, Target, Verdict
from orchestrator.review.steps import Steps
from orchestrator.text.expression import compile_value, names_in
from orchestrator.text.scalar import text_of

A_WHILE = 1.0  # seconds


def make_review(
    plan: Plan,
    reader: Reader,
    file: str,
    settings: Settings | None = None,
    estimate: Estimate | None = None,
    approvals: Approvals | None = None,
) -> Review:
    """The review of a plan.

    Args:
        plan: as it was saved.
        reader: of its file.
        file: what one types for it.
        settings: of the configuration: how many operations may fail.
        estimate: how long it takes.
        approvals: that the policy wants; None where it wants none.
    """
    with reader.moment():
        files = _header_files(plan)
        steps = Steps(plan, reader, settings or Settings(), {host: name for host, (name, _) in files.items()}).all()
        changes = reader.changes()
        seen = plan.seen
        drains = _drains(plan, steps)
        impacts = list(_impacts(plan, steps, drains))
        rooms = list(_rooms(plan, drains))
        return Review(
            name=plan.terms.name,
            file=file,
            digest=reader.digest,
            about=description(reader.kept()),
            targets=[_target(name, value) for name, value in plan.values.items()],
            verdict=Verdict(seen["at"], seen["sent"], seen["stops"], seen["verdict"]) if seen else None,
            affected=_sum(impact.affected for impact in impacts),
            by_batch=[impact for impact in impacts if impact.batch],
            fleet_users=users_of(seen["mail_servers"]) if seen and seen["mail_servers"] else None,
            emptied=fold(dict.fromkeys(_named(plan, address) for drain in drains for address in drain.addresses)),
            rooms=rooms,
            changed=(fold(name for name in plan.inventory.hosts if name in changes), len(changes)),
            hosts=len(plan.inventory.hosts),
            steps=steps,
            pace=_pace(plan, settings or Settings()),
            checks=list(checks(plan, steps)),
            backouts=list(backouts(plan, steps)),
            warnings=plan.warnings,
            unchecked=list(_unchecked(plan, steps, rooms)),
            header_files=dict(files.values()),
            planned=reader.header.created,
            playbook=plan.origin.source,
            config=reader.header.config_path,
            limit=reader.header.limit,
            ticket=reader.header.ticket,
            reason=reader.header.reason,
            applied=reader.applied(),
            authors=reader.header.authors,
            version=reader.header.version,
            schedule=_schedule(plan, estimate) if estimate else None,
            approvals=approvals,
        )


def _schedule(plan: Plan, estimate: Estimate) -> Schedule:
    lasting = []
    for piece in pieces(plan.of("step", "verify", "finally")):
        found = estimate.over(piece.steps)
        if found.high is None or found.high >= A_WHILE:
            lasting.append((piece.key, found))
    return Schedule(estimate.whole, lasting)


def _pace(plan: Plan, settings: Settings) -> str:
    """How many requests are sent at a time; a step may have lower limits of its own."""
    layers = (settings.limits, plan.terms.limits)
    at_a_time = min([layer.in_flight for layer in layers if layer.in_flight], default=IN_FLIGHT)
    rate = min([layer.rate for layer in layers if layer.rate], default=None)
    return f"at most {at_a_time} requests at a time" + (f", {rate:g} a second" if rate else "")


def _header_files(plan: Plan) -> dict[str, tuple[str, str]]:
    """Host -> the file with which `curl` authenticates there, and the command that makes it; one file for each secret."""
    known: dict[tuple[str, str], str] = {}
    found: dict[str, tuple[str, str]] = {}
    for host in plan.inventory.hosts.values():
        secret = host.endpoint.scheme_of_auth, str(host.endpoint.secret)
        name = known.setdefault(secret, f"doveadm{len(known) + 1 if known else ''}.header")
        found[host.name] = name, header_command(host.endpoint, name)
    return found


def _target(name: str, value: Any) -> Target:
    if isinstance(value, ItemList):
        names = f"({len(value)} name{'' if len(value) == 1 else 's'})"
        return Target(name, f"{value} {names}", f"{str(value).rpartition('/')[2]} {names}", len(value))
    if isinstance(value, Host):
        return Target(name, _host(value), _host(value))
    if isinstance(value, list):
        hosts = [part for part in value if isinstance(part, Host)]
        if len(hosts) == 1:
            return Target(name, _host(hosts[0]), _host(hosts[0]))
        text = fold(host.name for host in hosts) if hosts else ", ".join(map(text_of, value)) or "(none)"
        return Target(name, text, text if hosts else "")
    return Target(name, text_of(value))


def _host(host: Host) -> str:
    return f"{host.name} ({host.address})" if host.name != host.address else host.name


class _Drain(NamedTuple):
    """What a batch does to backends: those that it empties, and whether it lets them serve again; its key is empty for none."""

    batch: str
    addresses: list[str]
    restores: bool


def _drains(plan: Plan, steps: Sequence[ReviewedStep]) -> list[_Drain]:
    """What each batch empties, in order."""
    found = []
    skipped = {step.key for step in steps if step.skipped}
    done = [step for step in plan.of("step") if step.key not in skipped]
    for batch, members in groupby(done, lambda step: batch_of(step.key)):
        addresses: list[str] = []
        restores = False
        for step in members:
            if isinstance(step, CommandStep):
                parameters = _known(step, plan)
                restores |= bool(batch) and restored(step.command, parameters)
                addresses += filter(None, [emptied(step.command, parameters)])
        if addresses:
            found.append(_Drain(batch, list(dict.fromkeys(addresses)), restores))
    return found


def _known(step: CommandStep, plan: Plan) -> dict[str, Any]:
    """A step's parameters, as far as they are known."""
    scope = plan.scope(step)
    written = {name: value for name, value in step.parameters.items() if names_in(value) <= set(scope)}
    return {name: compile_value(value)(scope) for name, value in written.items()}


def _impacts(plan: Plan, steps: Sequence[ReviewedStep], drains: Sequence[_Drain]) -> Iterator[BatchImpact]:
    """How many notice each batch, and the steps in none; where steps do not say, the users of the backends that are emptied."""
    servers = (plan.seen or {}).get("mail_servers", [])
    empty: dict[str, list[str]] = {}
    for drain in drains:
        empty.setdefault(drain.batch, []).extend(drain.addresses)
    for batch, members in groupby((step for step in steps if step.role != "undo"), lambda step: step.batch):
        of_batch = list(members)
        found = in_all({step.key: step.affected for step in of_batch if step.affected})
        known = {row["mail server ip"] for row in servers} & set(empty.get(batch, ()))
        if "users" not in found and known:
            found = {"users": _users_on(servers, known), **found}
        yield BatchImpact(batch, of_batch[0].batch_hosts, found)


def _users_on(servers: Iterable[Mapping[str, str]], addresses: Collection[str]) -> int:
    return users_of(row for row in servers if row["mail server ip"] in addresses)


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for count in counts:
        for kind, number in count.items():
            found[kind] = found.get(kind, 0) + number
    return found


def _named(plan: Plan, address: str) -> str:
    host = plan.inventory.by_address(address)
    return host.name if host else address


def _rooms(plan: Plan, drains: Sequence[_Drain]) -> Iterator[Room]:
    """Where users go while each batch is worked on, one batch after the other; who has moved stays where he is."""
    servers = (plan.seen or {}).get("mail_servers", [])
    gone: set[str] = set()
    for drain in drains:
        empty = gone | set(drain.addresses)
        after = drained(servers, empty)
        for then, now in zip(servers, after, strict=True):
            if serves(then, empty):
                host = plan.inventory.by_address(then["mail server ip"])
                name, capacity = (host.name, host.capacity) if host else (then["mail server ip"], None)
                yield Room(name, users(then), users(now), capacity, drain.batch, _users_on(servers, drain.addresses))
        servers = after
        gone = gone if drain.restores else empty


def _unchecked(plan: Plan, steps: Sequence[ReviewedStep], rooms: Sequence[Room]) -> Iterator[str]:
    """What this program cannot check, or does not."""
    done = [step for step in steps if not step.skipped and step.role != "undo"]
    changing = [step for step in done if step.changes]
    places = {step.key: step.index for step in plan.steps}
    main = plan.of("step", "verify", "finally")
    last = max((step.index for step in main if isinstance(step, CommandStep) and step.until is not None), default=-1)
    if blind := [step for step in changing if places[step.key] >= last]:  # no check of it, or after it
        yield f"{_keys(blind)}: no check sees whether the change took effect; there is only what the hosts answer."
    if unknown := dict.fromkeys(step.command for step in changing if catalog.find(step.command) is None):
        yield f"{', '.join(unknown)}: the catalogue does not know this command, so its user impact is not known either."
    if late := [step for step in done if step.total is None]:
        yield f"{_keys(late)}: how many requests there will be is known at run time."
    if as_of_now := [step for step in done if step.now]:
        yield f"{_keys(as_of_now)}: the requests are those of the moment when the plan was made; the run asks again."
    if unsaid := list(dict.fromkeys(room.host for room in rooms if room.capacity is None)):
        yield f"Whether {fold(unsaid)} can take more users: the configuration has no capacity there."
    if plan.seen is None:
        yield "Nobody looked at the fleet when this plan was made (plan --live): no number here comes from a host."
        return
    yield from (f"Step {step.key}: how many notice it is not known: {step.untold}." for step in changing if step.untold)
    for step in steps:
        yield from (f"Step {step.key}, when the plan was made: {text}." for text in plan.seen["gaps"].get(step.key, ()))


def _keys(steps: Sequence[ReviewedStep]) -> str:
    """Steps by their keys; of batches those of the first one."""
    shown = [step.key for step in steps if not step.batch or step.batch.endswith("[1]")] or [steps[0].key]
    more = ", and in the other batches" if len(shown) < len(steps) else ""
    return f"Step {', '.join(shown)}{more}"
