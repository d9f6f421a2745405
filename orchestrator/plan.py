"""A playbook, an inventory and values become a plan: steps in order, each with its operations. Pure, and repeatable.

What earlier answers decide is not guessed: such a step stands in the plan as "known at run time", with the names that
it waits for, and is expanded by the same function once they are known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from orchestrator import items
from orchestrator.document import Document
from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import ParameterError, checker, encode_parameters
from orchestrator.errors import ExpressionError, InputError, Place, Problem, RefusedError
from orchestrator.expression import compile_value, is_template, names_in, truth
from orchestrator.inventory import Host, Inventory
from orchestrator.outcome import Repeatability
from orchestrator.playbook import Action, CsvSource, FileSource, Source, Step, Verify, repeatability

Role = Literal["step", "verify", "undo", "finally"]
Scope = dict[str, Any]

MAX_PROBLEMS = 20  # of one list of items; the first few show what is wrong with all of them


@dataclass(frozen=True)
class PlannedStep:
    """A step as it will be run: a command to hosts, or conditions.

    Attributes:
        index: place in the plan, from 0; the run file's key.
        key: how people and operation ids call it: "3", "3.verify", "3.undo", "finally.1".
        role: what it is there for.
        step: the step of the playbook that it comes from.
        action: the command; the step itself, its verify or its undo. None for a step of conditions.
        path: where its action stands in the playbook.
        effect: what sending the command twice means; READ for conditions.
        disturbs: whom the command disturbs, empty for nobody.
        needs: registered names that its operations depend on, with the keys of the steps that give them.
        condition_needs: the same for its `when`.
    """

    index: int
    key: str
    role: Role
    step: Step
    action: Action | None
    path: tuple[str | int, ...]
    effect: Repeatability
    disturbs: str
    needs: Mapping[str, str]
    condition_needs: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name, as reports show it."""
        if self.role == "verify":
            return f"check: {self.step.name}"
        return f"undo: {self.step.name}" if self.role == "undo" else self.step.name

    @property
    def command(self) -> str:
        """The command, or "require"."""
        return (self.action.command or "") if self.action else "require"

    @property
    def register_name(self) -> str | None:
        """The name under which its answers are found."""
        return getattr(self.action, "register_", None)

    @property
    def per_item_condition(self) -> bool:
        """Whether `when` is decided for each operation."""
        return bool(names_in(self.step.when) & {"item", "host"}) and self.role in {"step", "finally"}


class Draft(NamedTuple):
    """An operation to be: the host's name, the parameters as JSON, and whether its `when` already says no."""

    host: str
    parameters: str
    skipped: bool


@dataclass(frozen=True)
class Plan:
    """All that a run will do, as far as it can be known.

    Attributes:
        source: the playbook.
        inventory: the fleet.
        values: of the playbook's parameters.
        steps: in the order of running: steps with their verifies, then undo steps (last first), then finally.
        limited: the only hosts that may be used, or None for all.
    """

    source: Source
    inventory: Inventory
    values: Mapping[str, Any]
    steps: tuple[PlannedStep, ...]
    limited: frozenset[str] | None = None

    def of(self, *roles: Role) -> list[PlannedStep]:
        """The steps of some roles, in order."""
        return [step for step in self.steps if step.role in roles]

    def scope(self) -> Scope:
        """The names that are known without asking any host."""
        groups = {name: [self.inventory.hosts[host] for host in hosts] for name, hosts in self.inventory.groups.items()}
        return {**self.values, "groups": groups}

    @property
    def changes_anything(self) -> bool:
        """Whether any step is more than a question."""
        return any(step.effect is not Repeatability.READ for step in self.of("step", "finally"))


def build_plan(source: Source, inventory: Inventory, values: Mapping[str, Any], *, limit: str | None = None) -> Plan:
    """Lay out the steps of a playbook.

    Args:
        source: the playbook.
        inventory: the fleet.
        values: of the playbook's parameters.
        limit: a selection outside of which nothing is sent.

    Raises:
        InputError: a selection that names no host.
        RefusedError: a step would change a protected host.
    """
    limited = frozenset(host.name for host in inventory.select(limit)) if limit else None
    plan = Plan(source, inventory, values, tuple(_lay_out(source)), limited)
    for step in plan.steps:
        if step.action and not (names_in(step.action.hosts) - set(plan.scope())):
            hosts_of(step, plan, plan.scope())
    return plan


def _lay_out(source: Source) -> Iterator[PlannedStep]:
    givers: dict[str, str] = {"run": "the start of the run"}
    planned: list[PlannedStep] = []

    def add(key: str, role: Role, step: Step, action: Action | None, path: tuple[str | int, ...]) -> None:
        planned.append(_planned(len(planned), key, role, step, action, path, givers))
        name = getattr(action, "register_", None)
        if name:
            givers[name] = key

    playbook = source.playbook
    for number, step in enumerate(playbook.steps, 1):
        path: tuple[str | int, ...] = ("steps", number - 1)
        add(str(number), "step", step, step if step.command else None, path)
        if step.verify:
            add(f"{number}.verify", "verify", step, _with_hosts(step.verify, step), (*path, "verify"))
    for number, step in reversed(list(enumerate(playbook.steps, 1))):
        if step.undo:
            add(f"{number}.undo", "undo", step, _with_hosts(step.undo, step), ("steps", number - 1, "undo"))
    for number, step in enumerate(playbook.finally_, 1):
        add(f"finally.{number}", "finally", step, step if step.command else None, ("finally", number - 1))
    return iter(planned)


def _with_hosts(action: Any, step: Step) -> Any:
    """A verify or undo without hosts of its own goes to the step's hosts (a run_once undo to the same one)."""
    if action.hosts is not None:
        return action
    changes: dict[str, Any] = {"hosts": step.hosts}
    if not isinstance(action, Verify):
        changes["run_once"] = step.run_once
    return action.model_copy(update=changes)


def _planned(
    index: int,
    key: str,
    role: Role,
    step: Step,
    action: Action | None,
    path: tuple[str | int, ...],
    givers: Mapping[str, str],
) -> PlannedStep:
    needed = names_in([action.hosts, action.parameters]) if action else frozenset()
    if action is step:
        needed |= _names_of_items(step.for_each)
    condition = names_in(step.when) if role in {"step", "finally"} else frozenset()
    if step.for_each is not None and condition & {"item", "host"}:
        needed |= condition
    entry = catalog.find(action.command or "") if action else None
    return PlannedStep(
        index=index,
        key=key,
        role=role,
        step=step,
        action=action,
        path=path,
        effect=repeatability(action, action.parameters) if action else Repeatability.READ,
        disturbs=entry.disturbs(action.parameters) if entry and action else "",
        needs={name: givers[name] for name in sorted(needed & set(givers))},
        condition_needs={name: givers[name] for name in sorted(condition & set(givers))},
    )


def _names_of_items(source: Any) -> frozenset[str]:
    if isinstance(source, FileSource):
        return names_in(source.file)
    if isinstance(source, CsvSource):
        return names_in(source.csv)
    return names_in(source)


def hosts_of(step: PlannedStep, plan: Plan, scope: Mapping[str, Any]) -> list[Host]:
    """The hosts of a step, in inventory order; one for `run_once`.

    Raises:
        InputError: the selection names no host.
        RefusedError: one of them is protected and the step changes something.
    """
    action = step.action
    if action is None or action.hosts is None:
        return []
    place = plan.source.document.place((*step.path, "hosts"))
    hosts = _select(compile_value(action.hosts)(scope), plan.inventory, place)
    if plan.limited is not None:
        hosts = [host for host in hosts if host.name in plan.limited]
    if not hosts:
        within = " within --limit" if plan.limited is not None else ""
        raise InputError.at(f"the step {step.name!r} selects no host{within} ({action.hosts})", place)
    chosen = hosts[:1] if action.run_once else hosts
    guarded = [host.name for host in chosen if host.protected]
    if guarded and step.effect is not Repeatability.READ:
        raise RefusedError(
            f"the step {step.name!r} would change {', '.join(guarded)}, which the configuration protects",
            hint="take the host out of the selection, or out of `protect` in the configuration",
        )
    return chosen


def _select(value: Any, inventory: Inventory, place: Place) -> list[Host]:
    if isinstance(value, Host):
        return [value]
    if isinstance(value, list | tuple):
        names = {host.name if isinstance(host, Host) else str(host) for host in value}
        value = ",".join(names)
        if not names:
            return []
    try:
        return inventory.select(str(value))
    except InputError as error:
        found = error.problems[0]
        raise InputError([Problem(found.message, place, found.suggestion)]) from None


def expand(step: PlannedStep, plan: Plan, scope: Scope) -> Iterator[Draft]:
    """The operations of a step, lazily, in the order item by item and within an item host by host.

    Args:
        step: a step with a command.
        plan: its plan.
        scope: all names that it needs.

    Raises:
        InputError: items or parameters that cannot be sent, the first of them with item number and reason.
        ExpressionError: an expression that the values do not allow; names the step.
    """
    try:
        yield from _expand(step, plan, scope)
    except ExpressionError as error:
        raise ExpressionError(f"step {step.key} ({step.name}): {error.message}", hint=error.hint) from None


def _expand(step: PlannedStep, plan: Plan, scope: Scope) -> Iterator[Draft]:
    action = step.action
    assert action is not None, "a step of conditions has no operations"  # noqa: S101
    check = checker(catalog.find(action.command or ""), action.parameters)
    parameters = compile_value(action.parameters)
    condition = _item_condition(step)
    hosts = hosts_of(step, plan, scope)
    per_host = "host" in names_in(action.parameters)
    problems: list[Problem] = []
    local = dict(scope)
    for number, item in enumerate(_items(step, plan, scope), 1):
        local["item"] = item
        encoded = ""
        for host in hosts:
            local["host"] = host
            skipped = condition is not None and not condition(local)
            try:
                if per_host or not encoded:
                    encoded = encode_parameters(check(parameters(local)))
            except ParameterError as error:
                problems.append(_parameter_problem(step, plan, error, number))
                if len(problems) >= MAX_PROBLEMS:
                    raise InputError(problems) from None
                break
            if not problems:
                yield Draft(host.name, encoded, skipped)
    if problems:
        raise InputError(problems)


def _item_condition(step: PlannedStep) -> Callable[[Scope], bool] | None:
    if not step.per_item_condition:
        return None
    evaluate = compile_value(step.step.when)
    return lambda scope: truth(evaluate(scope))


def _items(step: PlannedStep, plan: Plan, scope: Scope) -> Iterator[Any]:
    source = step.step.for_each if step.action is step.step else None
    if source is None:
        return iter([None])
    if isinstance(source, FileSource):
        return items.from_lines(_path(source.file, plan.source.document, scope))
    if isinstance(source, CsvSource):
        return items.from_csv(_path(source.csv, plan.source.document, scope))
    return items.from_value(compile_value(source)(scope))


def _path(text: str, document: Document, scope: Scope) -> Path:
    return document.folder / str(compile_value(text)(scope))


def _parameter_problem(step: PlannedStep, plan: Plan, error: ParameterError, number: int) -> Problem:
    where = plan.source.document.place((*step.path, "parameters", error.parameter))
    has_items = step.step.for_each is not None and step.action is step.step
    prefix = f"item {number}: " if has_items and not isinstance(step.step.for_each, list) else ""
    return Problem(f"{prefix}{error}", where, error.suggestion)


def known_now(step: PlannedStep, scope: Mapping[str, Any]) -> bool:
    """Whether all names that a step's operations depend on are in the scope."""
    return set(step.needs) <= set(scope)


def skipped_now(step: PlannedStep, scope: Scope) -> bool:
    """Whether a step's `when` is known and says no."""
    when = step.step.when
    if when is None or step.per_item_condition or not set(step.condition_needs) <= set(scope):
        return False
    if step.role == "undo":
        return False
    return not truth(compile_value(when)(scope))


class Digest:
    """A short fingerprint of everything that a plan would send, to compare a reviewed plan with one at hand."""

    def __init__(self, plan: Plan) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._hash.update(plan.source.document.text.encode())
        for host in plan.inventory.hosts.values():
            self._hash.update(f"\0{host.name} {host.endpoint.url}".encode())
        for name, value in sorted(plan.values.items()):
            self._hash.update(f"\0{name}={value}".encode())

    def add(self, step: PlannedStep, draft: Draft) -> None:
        """Take an operation into the fingerprint."""
        self._hash.update(f"\0{step.key} {draft.host} {draft.parameters} {draft.skipped:d}".encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()


def templated(action: Action) -> dict[str, Any]:
    """The parameters of an action as written, for showing requests that are not known yet."""
    return {key: value for key, value in action.parameters.items() if value is not None}


__all__ = ["Digest", "Draft", "Plan", "PlannedStep", "build_plan", "expand", "hosts_of", "is_template", "known_now"]
