"""A playbook's steps in the order of running: batches cut, verifies after their steps, undo steps last first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from orchestrator.dovecot import catalog
from orchestrator.errors import InputError
from orchestrator.fleet.inventory import Host, Inventory, fold
from orchestrator.plan.cautions import warnings
from orchestrator.plan.expand import hosts_of, selected
from orchestrator.plan.questions import check_questions
from orchestrator.plan.steps import (
    CommandStep,
    Origin,
    PauseStep,
    Plan,
    PlannedCondition,
    PlannedStep,
    RequireStep,
    Role,
    Terms,
)
from orchestrator.playbook.action import Action, Verify, effect_of, irreversible_of
from orchestrator.playbook.items import Lists
from orchestrator.playbook.model import Batches, OnFailure, Step
from orchestrator.playbook.source import Source
from orchestrator.text.expression import compile_value, names_in
from orchestrator.text.units import Share


def build_plan(
    source: Source,
    inventory: Inventory,
    values: Mapping[str, Any],
    *,
    limit: str | None = None,
    lists: Lists | None = None,
    conditions: Iterable[PlannedCondition] = (),
) -> Plan:
    """Lay out the steps of a playbook.

    Args:
        source: the playbook.
        inventory: the fleet.
        values: of the playbook's parameters.
        limit: a selection outside of which nothing is sent.
        lists: reads the files of `for_each`; those that `values` were read with.
        conditions: that hold for every playbook.

    Raises:
        InputError: a selection that names no host, a question of a condition that cannot be asked, or a file of items that
            cannot be used.
        RefusedError: a step would change a protected host.
    """
    playbook, document = source.playbook, source.document
    blank = Plan(
        terms=Terms(playbook.name, playbook.limits, playbook.retry),
        origin=Origin(document.source, document.folder, document.text),
        inventory=inventory,
        values=values,
        steps=(),
        limited=frozenset(host.name for host in inventory.select(limit)) if limit else None,
        lists=lists or Lists(),
    )
    own = [
        PlannedCondition(condition=condition, source="playbook", number=number)
        for number, condition in enumerate(playbook.conditions)
    ]
    plan = replace(blank, steps=tuple(_Layout(blank, source).planned()))
    if plan.changes_anything:
        own += _others(conditions, {planned.name for planned in own}, source)
    plan = replace(plan, conditions=tuple(own))
    for step in plan.steps:
        if isinstance(step, CommandStep) and not (names_in(step.hosts) - set(plan.scope(step))):
            hosts_of(step, plan, plan.scope(step))
    check_questions(plan)
    return replace(plan, warnings=tuple(dict.fromkeys(warnings(plan))))


@dataclass
class _Around:
    """What surrounds a step of the playbook.

    Attributes:
        registered: names that the steps before it register -> their keys; grows.
        local: names that the steps of a batch alone know.
        label: of which batch it is, for people.
    """

    registered: dict[str, str]
    local: dict[str, Any] = field(default_factory=dict)
    label: str = ""


_PREFIXES = {"verify": "check: ", "undo": "undo: "}


def _others(conditions: Iterable[PlannedCondition], own: set[str], source: Source) -> Iterator[PlannedCondition]:
    """The conditions that hold for every playbook; each has a name of its own, by which reports and reviews know it."""
    for planned in conditions:
        if planned.name in own:
            index = [condition.name for condition in source.playbook.conditions].index(planned.name)
            words = f"the {planned.source} has a condition called {planned.name!r} too; give this one another name"
            raise InputError([source.document.problem(("conditions", index, "name"), words)])
        yield planned


class _Layout:
    """Lays out a playbook's steps in the order of running."""

    def __init__(self, plan: Plan, source: Source) -> None:
        self.plan = plan
        self.playbook = source.playbook
        self.main: list[PlannedStep] = []
        self.undo: list[PlannedStep] = []

    def planned(self) -> Iterator[PlannedStep]:
        around = _Around({"run": "the start of the run"})
        for number, step in enumerate(self.playbook.steps, 1):
            self._step(str(number), "step", step, ("steps", number - 1), around)
        main, self.main = self.main, []
        for number, step in enumerate(self.playbook.finally_, 1):
            self._step(f"finally.{number}", "finally", step, ("finally", number - 1), around)
        for index, planned in enumerate([*main, *reversed(self.undo), *self.main]):
            yield replace(planned, index=index)

    def _step(self, key: str, role: Role, step: Step, path: tuple[str | int, ...], around: _Around) -> None:
        if step.batches:
            self._batches(key, role, step, step.batches, path, around)
            return
        if step.command and step.hosts is None:
            step = step.model_copy(update={"hosts": "{{ batch }}"})
        planned = self._planned(key, role, step, path, around)
        self.main.append(planned)
        if isinstance(planned, CommandStep) and planned.register:
            around.registered[planned.register] = planned.key
        if step.undo:
            self.undo.append(self._belonging(planned, "undo", "undo", _with_hosts(step.undo, step), step, around))
        if step.verify:
            checking: Role = "verify" if role == "step" else role  # a final step's check belongs to the end too
            verify = self._belonging(planned, "verify", checking, _with_hosts(step.verify, step), step, around)
            self.main.append(verify)
            if verify.register:
                around.registered[verify.register] = verify.key

    def _planned(self, key: str, role: Role, step: Step, path: tuple[str | int, ...], around: _Around) -> PlannedStep:
        common: dict[str, Any] = {
            "key": key,
            "role": role,
            "name": f"{around.label}{step.name}",
            "path": path,
            "when": step.when,
            "on_failure": self._on_failure(step),
            "limits": step.limits,
            "takes": step.takes,
            "overrun": step.overrun,
            "registered": dict(around.registered),
            "local": around.local,
        }
        if step.pause:
            return PauseStep(pause=step.pause, **common)
        if step.require:
            return RequireStep(require=tuple(step.require), **common)
        return CommandStep(
            for_each=step.for_each,
            probe=step.probe,
            affects=step.affects,
            irreversible=step.irreversible or ("" if step.undo else irreversible_of(step)),
            verified=step.verified,
            keep=step.keep,
            keep_until=self._until(step, key, path),
            **common,
            **_action(step),
        )

    def _until(self, step: Step, key: str, path: tuple[str | int, ...]) -> str:
        """The key of the step until which what a step sets is kept: that of a later one beside it."""
        if step.keep is None or step.keep.until_step is None:
            return ""
        number = int(path[-1])
        outer = self.playbook.steps if path[0] == "steps" else self.playbook.finally_
        within = outer[int(path[1])].batches
        beside = within.steps if within else outer
        later = next(at for at in range(number + 1, len(beside)) if beside[at].name == step.keep.until_step)
        return f"{key.removesuffix(str(number + 1))}{later + 1}"

    def _belonging(
        self, owner: PlannedStep, suffix: str, role: Role, action: Action, step: Step, around: _Around
    ) -> CommandStep:
        """The verify or the undo of a step."""
        return CommandStep(
            key=f"{owner.key}.{suffix}",
            role=role,
            name=f"{around.label}{_PREFIXES[suffix]}{step.name}",
            owner=owner.key,
            path=(*owner.path, suffix),
            on_failure=owner.on_failure,
            limits=owner.limits,
            registered=dict(around.registered),
            local=around.local,
            **_action(action),
        )

    def _on_failure(self, step: Step) -> OnFailure:
        return step.on_failure or self.playbook.on_failure

    def _batches(
        self, key: str, role: Role, step: Step, batches: Batches, path: tuple[str | int, ...], around: _Around
    ) -> None:
        place = partial(self.plan.origin.place, *path, "batches", "hosts")
        hosts = selected(self.plan, compile_value(batches.hosts)(self.plan.scope()), place)
        if not hosts:
            raise InputError.at(f"the step {step.name!r} selects no host ({batches.hosts})", place())
        groups = list(_cut(hosts, batches.size))
        for number, batch in enumerate(groups, 1):
            inner_around = _Around(
                registered=dict(around.registered),
                local={"batch": batch, "batch_number": number},
                label=f"batch {number} of {len(groups)} ({fold(host.name for host in batch)}): ",
            )
            for inner_number, written in enumerate(batches.steps, 1):
                of_batch = {"when": _both(step.when, written.when), "takes": step.takes, "overrun": step.overrun}
                inner = written.model_copy(update=of_batch)
                inner_path = (*path, "batches", "steps", inner_number - 1)
                self._step(f"{key}[{number}].{inner_number}", role, inner, inner_path, inner_around)
            if batches.soak and number < len(groups):
                soak = Step.model_validate({"name": "soak", "pause": {"for": batches.soak}, "when": step.when})
                self._step(f"{key}[{number}].soak", role, soak, (*path, "batches", "soak"), inner_around)


def _action(action: Action) -> dict[str, Any]:
    """What a command step has of a playbook's action."""
    command = action.command or ""
    entry = catalog.find(command)
    polled = {name: getattr(action, name, None) for name in ("until", "every", "within", "stall")}
    return {
        "sends": command,
        "hosts": action.hosts or "",
        "run_once": action.run_once,
        "parameters": action.parameters,
        "timeout": action.timeout,
        "accept": tuple(action.accept),
        "retry": action.retry,
        "register": getattr(action, "register_", None) or "",
        "effect": effect_of(action, action.parameters),
        "user_impact": entry.user_impact_of(action.parameters) if entry else "",
        **polled,
    }


def _both(outer: Any, inner: Any) -> Any:
    """The condition of batches and that of a step within them, as one."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    texts = [str(part).lower() if isinstance(part, bool) else part.strip()[2:-2].strip("-") for part in (outer, inner)]
    return f"{{{{ ({texts[0]}) and ({texts[1]}) }}}}"


def _cut(hosts: list[Host], sizes: list[Share]) -> Iterator[list[Host]]:
    """Hosts in batches; the last size goes on until all are in one."""
    start, number = 0, 0
    while start < len(hosts):
        size = max(1, sizes[min(number, len(sizes) - 1)].of(len(hosts)))
        yield hosts[start : start + size]
        start, number = start + size, number + 1


def _with_hosts(action: Any, step: Step) -> Any:
    """A verify or undo without hosts of its own goes to the step's hosts (a run_once undo to the same one)."""
    if action.hosts is not None:
        return action
    changes: dict[str, Any] = {"hosts": step.hosts}
    if not isinstance(action, Verify):
        changes["run_once"] = step.run_once
    return action.model_copy(update=changes)
