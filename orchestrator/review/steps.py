"""The steps of a plan as a reviewer sees them: in words, with their requests as far as they are known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import command_line, encode_parameters, request_body
from orchestrator.dovecot.curl import curl_line
from orchestrator.engine.rules import Settings, may_fail
from orchestrator.errors import ExpressionError
from orchestrator.fleet.inventory import fold
from orchestrator.journal.base import Reader, StepRecord
from orchestrator.outcome import Effect, State
from orchestrator.plan.affected import batch_of
from orchestrator.plan.expand import hosts_of
from orchestrator.plan.steps import CommandStep, PauseStep, Plan, PlannedStep, RequireStep, Scope
from orchestrator.playbook.model import OnFailure
from orchestrator.review.model import OnHosts, Request, ReviewedStep
from orchestrator.text.expression import compile_value, is_template, names_in
from orchestrator.text.filled import filled
from orchestrator.text.spoken import spoken, spoken_value
from orchestrator.text.units import format_duration

LISTED = 100  # requests of a step that are listed whole; of more the first and the last
LISTED_IN_ALL = 1000
POLLED = 60.0  # seconds that a check is polled where its `within` is not given
UNKNOWN = "…"  # stands in a command line for what only the run will know

_FOLLOWS: Mapping[OnFailure, str] = {
    "stop": "the run stops; what was done stays done",
    "undo": "the run stops and takes back what it can, as the table of the backout says",
    "continue": "the run goes on, and its report tells what failed",
}


class Steps:
    """Makes reviewed steps of a plan's.

    Args:
        plan: the plan.
        reader: of its run, which has the operations.
        settings: of the configuration.
        header_files: host -> the file with which `curl` authenticates there.
    """

    def __init__(self, plan: Plan, reader: Reader, settings: Settings, header_files: Mapping[str, str]) -> None:
        self._plan = plan
        self._reader = reader
        self._settings = settings
        self._files = header_files
        self._seen: Mapping[str, Any] = plan.seen or {}
        self._room = LISTED_IN_ALL
        self._longest = max((host.endpoint.request_timeout for host in plan.inventory.hosts.values()), default=0.0)

    def all(self) -> list[ReviewedStep]:
        """All of them, in the order of running; then what takes back, and what comes last."""
        records = {record.number: record for record in self._reader.steps()}
        return [self._step(step, records[step.index]) for step in self._plan.steps]

    def _step(self, step: PlannedStep, record: StepRecord) -> ReviewedStep:
        batch_hosts = fold(host.name for host in step.local.get("batch", ()))
        made = ReviewedStep(
            key=step.key,
            name=step.name.partition(f" ({batch_hosts}): ")[2] or step.name if batch_hosts else step.name,
            role=step.role,
            owner=step.owner,
            command=step.command,
            does=_does(step, self._plan.scope(step)),
            changes=step.effect is not Effect.READ,
            repeatable=step.effect is not Effect.UNREPEATABLE,
            batch=batch_of(step.key),
            batch_hosts=batch_hosts,
            skipped=self._skipped(step, record),
            when=self._when(step),
            impact=step.user_impact,
            affected=self._seen.get("affected", {}).get(step.key, {}),
            bound=self._seen.get("bounds", {}).get(step.key, ""),
            untold=self._seen.get("untold", {}).get(step.key, ""),
            waits=self._waits(step, record),
        )
        return self._with_requests(made, step, record) if isinstance(step, CommandStep) and not made.skipped else made

    def _skipped(self, step: PlannedStep, record: StepRecord) -> str:
        if record.state == "skipped":
            return "its condition is false with these values"
        return "its condition is false as of now" if self._seen.get("whens", {}).get(step.key) is False else ""

    def _when(self, step: PlannedStep) -> str:
        if step.when is None or not (step.condition_depends_on or step.per_item_condition):
            return ""
        return spoken(step.when, self._plan.scope(step), step.registered)

    def _waits(self, step: PlannedStep, record: StepRecord) -> float | None:
        if isinstance(step, PauseStep):
            return step.pause.for_
        if not isinstance(step, CommandStep):
            return 0.0
        scope = self._plan.scope(step)
        if step.until is not None:
            return _number(step.within, scope, POLLED)
        if step.for_each is not None and (record.operations or 0) != 1:
            return None
        seen: float | None = self._seen.get("timeouts", {}).get(step.key)
        return seen if seen is not None else _number(step.timeout, scope, self._longest)

    def _with_requests(self, made: ReviewedStep, step: CommandStep, record: StepRecord) -> ReviewedStep:
        listed, left_out, now = self._listed(step, record)
        hosts, through = self._hosts(step, [request.host for request in listed])
        drafts = self._drafts(step)
        return replace(
            made,
            hosts=hosts,
            through=through,
            total=record.operations if record.operations is not None else (len(drafts) if now else None),
            on=list(self._on(self._counts(step, record))),
            listed=listed,
            left_out=left_out,
            now=now,
            later=list(self._later(step)) if record.operations is None else (),
            later_from=", ".join(dict.fromkeys(step.depends_on.values())) if record.operations is None else "",
            irreversible=step.irreversible,
            polled=step.until is not None,
            follows=self._follows(step, record),
        )

    def _follows(self, step: CommandStep, record: StepRecord) -> str:
        """What follows when too many of its requests fail."""
        if step.role in {"undo", "finally"}:
            return _FOLLOWS["continue"]
        may = may_fail(step, self._plan.terms, self._settings)
        tolerated = may.of(record.operations or 1)
        allowed = f" if more than {may} fail" if tolerated and step.on_failure != "continue" else ""
        return _FOLLOWS[step.on_failure] + allowed

    def _hosts(self, step: CommandStep, now: Sequence[str]) -> tuple[str, str]:
        """Where it goes: to which hosts, and through which one if that stands for all of them."""
        scope = self._plan.scope(step)
        if names_in(step.hosts) - set(scope):
            if now:
                return fold(dict.fromkeys(now)), ""
            return spoken_value(step.hosts, scope, step.registered), ""
        everybody = fold(host.name for host in hosts_of(replace(step, run_once=False), self._plan, scope))
        first = hosts_of(step, self._plan, scope)[0].name
        return everybody, first if step.run_once else ""

    def _drafts(self, step: CommandStep) -> list[tuple[str, Mapping[str, Any]]]:
        """What the look at the fleet made known of its requests: host and parameters of each."""
        found = self._seen.get("requests", {}).get(step.key, [])
        return [(host, json.loads(parameters)) for host, parameters in found]

    def _listed(self, step: CommandStep, record: StepRecord) -> tuple[list[Request], int, bool]:
        """Requests to be listed, how many are not, and whether they are those as of now."""
        if self._room <= 0 and step.local.get("batch_number", 1) > 1:  # as the first batch does
            return [], record.operations or 0, False
        if record.operations is None:
            drafts = self._drafts(step)
            if drafts:
                made = [
                    self._request(step, host, values, f"{step.key}.{n}") for n, (host, values) in enumerate(drafts, 1)
                ]
                shown = self._some(made)
                return shown, len(made) - len(shown), True
            return self._as_written(step), 0, False
        total = record.operations
        all_of_them = total <= min(LISTED, self._room)
        first = list(islice(self._reader.operations(step=step.index), total if all_of_them else 2))
        last = self._reader.operation(f"{step.key}.{total}") if not all_of_them and total > len(first) else None
        records = [*first, *([last[1]] if last else [])]
        self._room -= len(records)
        sent = [record for record in records if record.state is not State.SKIPPED]
        listed = [self._request(step, found.host, found.parameters, found.id) for found in sent]
        return listed, total - len(records), False

    def _some(self, requests: list[Request]) -> list[Request]:
        if len(requests) <= min(LISTED, self._room):
            self._room -= len(requests)
            return requests
        return [*requests[:2], requests[-1]]

    def _request(self, step: CommandStep, host: str, values: Mapping[str, Any], tag: str) -> Request:
        body = request_body(step.command, encode_parameters(dict(values)), tag)
        endpoint = self._plan.inventory.hosts[host].endpoint
        doveadm = command_line(step.command, catalog.find(step.command), values)
        return Request(tag, host, doveadm, curl_line(endpoint, body, self._files[host]))

    def _as_written(self, step: CommandStep) -> list[Request]:
        """A request of which parts are not known."""
        known = {name: self._known(value, step) for name, value in step.parameters.items()}
        scope = self._plan.scope(step)
        hosts = [] if names_in(step.hosts) - set(scope) else hosts_of(step, self._plan, scope)
        host = fold(host.name for host in hosts) or UNKNOWN
        return [Request("", host, command_line(step.command, catalog.find(step.command), known), "")]

    def _known(self, value: Any, step: CommandStep) -> Any:
        """A parameter's value, or what stands for it while it is not known."""
        scope = self._plan.scope(step)
        if isinstance(value, list | tuple):
            return [self._known(part, step) for part in value]
        if not is_template(value):
            return value
        return UNKNOWN if names_in(value) - set(scope) else compile_value(value)(scope)

    def _later(self, step: CommandStep) -> Iterator[tuple[str, str]]:
        """What only the run will know, and where from."""
        scope = self._plan.scope(step)
        parts: list[tuple[str, Any]] = [("the hosts", step.hosts), *step.parameters.items()]
        if step.for_each is not None:
            parts.insert(0, ("one request for each of", step.for_each))
        for name, value in parts:
            texts = value if isinstance(value, list | tuple) else [value]
            for text in texts:
                if names_in(text) & set(step.registered):
                    yield name, spoken_value(text, scope, step.registered)

    def _counts(self, step: CommandStep, record: StepRecord) -> dict[str, int]:
        if record.operations:
            return self._reader.open_counts(step.index)
        counts: dict[str, int] = {}
        for host, _ in self._drafts(step) if record.operations is None else ():
            counts[host] = counts.get(host, 0) + 1
        return counts

    def _on(self, counts: Mapping[str, int]) -> Iterator[OnHosts]:
        """Counts by the first group of each host."""
        groups: dict[str, dict[str, int]] = {}
        for host, number in counts.items():
            groups.setdefault(self._plan.inventory.hosts[host].groups[0], {})[host] = number
        for group, hosts in groups.items():
            numbers = hosts.values()
            yield OnHosts(group, fold(hosts), len(hosts), sum(numbers), min(numbers), max(numbers))


def _does(step: PlannedStep, scope: Scope) -> str:
    """What it does, for who does not know the command."""
    if isinstance(step, RequireStep):
        return "stops the run unless its conditions hold"
    if isinstance(step, PauseStep):
        asked = step.pause.confirm
        return (
            f"asks the operator: {filled(asked, scope)}" if asked else f"waits {format_duration(step.pause.for_ or 0)}"
        )
    entry = catalog.find(step.command)
    return entry.summary if entry else "a command that the catalogue does not know"


def _number(value: Any, scope: Scope, usual: float) -> float | None:
    """A duration; None for one that depends on answers."""
    if value is None:
        return usual
    if is_template(value):
        try:
            value = compile_value(value)(scope)
        except ExpressionError:
            return None
    return float(value) if isinstance(value, int | float) else None
