"""A playbook, an inventory and values become a plan: steps in order, each with its operations. Pure, and repeatable.

What earlier answers decide is not guessed: such a step stands in the plan as "known at run time", with the names that
it waits for, and is expanded by the same function once they are known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from orchestrator import items
from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import ParameterError, checker, encode_parameters
from orchestrator.errors import ExpressionError, InputError, Place, Problem, RefusedError, nearest
from orchestrator.expression import compile_value, names_in, truth
from orchestrator.inventory import Host, Inventory, fold
from orchestrator.items import ItemList, Lists
from orchestrator.outcome import Repeatability
from orchestrator.playbook import Action, Batches, CsvSource, FileSource, Step, Verify, repeatability
from orchestrator.reads import members_in
from orchestrator.scalar import text_of
from orchestrator.source import Source
from orchestrator.units import Share

Role = Literal["step", "verify", "undo", "finally"]
Scope = dict[str, Any]

MAX_PROBLEMS = 20  # of one list of items; the first few show what is wrong with all of them


@dataclass(frozen=True)
class PlannedStep:
    """A step as it will be run: a command to hosts, conditions, or a pause.

    Attributes:
        index: place in the plan, from 0; the run file's key.
        key: how people and operation ids call it: "3", "3.verify", "4[2].1", "3.undo", "finally.1".
        role: what it is there for.
        step: the step of the playbook that it comes from.
        action: the command; the step itself, its verify or its undo. None for conditions and pauses.
        path: where its action stands in the playbook.
        effect: what sending the command twice means; READ where nothing is sent.
        disturbs: whom the command disturbs, empty for nobody.
        givers: names that earlier steps register -> the keys of those steps.
        local: names that it alone knows: `batch`, `batch_number`.
        label: of which batch it is, for people.
    """

    index: int
    key: str
    role: Role
    step: Step
    action: Action | None
    path: tuple[str | int, ...]
    effect: Repeatability
    disturbs: str
    givers: Mapping[str, str]
    local: Mapping[str, Any]
    label: str = ""

    @property
    def name(self) -> str:
        """Its name, as reports show it."""
        prefix = {"verify": "check: ", "undo": "undo: "}.get(self.key.rpartition(".")[2], "")
        return f"{self.label}{prefix}{self.step.name}"

    @property
    def command(self) -> str:
        """The command, "require" or "pause"."""
        if self.action:
            return self.action.command or ""
        return "pause" if self.step.pause else "require"

    @property
    def register_name(self) -> str | None:
        """The name under which its answers are found."""
        return getattr(self.action, "register_", None)

    @property
    def condition(self) -> Any:
        """Its `when`, where it has one of its own."""
        return self.step.when if self.role in {"step", "finally"} else None

    @property
    def per_item_condition(self) -> bool:
        """Whether `when` is decided for each operation."""
        return bool(names_in(self.condition) & {"item", "host"})

    @property
    def needs(self) -> dict[str, str]:
        """Registered names that its operations depend on, with the keys of the steps that give them."""
        needed = names_in([self.action.hosts, self.action.parameters]) if self.action else frozenset()
        if self.action is self.step:
            needed |= _names_of_items(self.step.for_each)
        if self.per_item_condition:
            needed |= names_in(self.condition)
        return {name: self.givers[name] for name in sorted(needed & set(self.givers))}

    @property
    def condition_needs(self) -> dict[str, str]:
        """The same for its `when`."""
        return {name: self.givers[name] for name in sorted(names_in(self.condition) & set(self.givers))}


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
        lists: the files that its steps take items from.
        warnings: what a reviewer should know of these, a sentence each.
    """

    source: Source
    inventory: Inventory
    values: Mapping[str, Any]
    steps: tuple[PlannedStep, ...]
    limited: frozenset[str] | None = None
    lists: Lists = field(default_factory=Lists)
    warnings: tuple[str, ...] = ()

    def of(self, *roles: Role) -> list[PlannedStep]:
        """The steps of some roles, in order."""
        return [step for step in self.steps if step.role in roles]

    def scope(self, step: PlannedStep | None = None) -> Scope:
        """The names that are known without asking any host; with those that a step alone knows."""
        groups = {name: [self.inventory.hosts[host] for host in hosts] for name, hosts in self.inventory.groups.items()}
        return {**self.values, "groups": groups, **(step.local if step else {})}

    @property
    def changes_anything(self) -> bool:
        """Whether any step is more than a question."""
        return any(step.effect is not Repeatability.READ for step in self.of("step", "finally"))


def build_plan(
    source: Source,
    inventory: Inventory,
    values: Mapping[str, Any],
    *,
    limit: str | None = None,
    lists: Lists | None = None,
) -> Plan:
    """Lay out the steps of a playbook.

    Args:
        source: the playbook.
        inventory: the fleet.
        values: of the playbook's parameters.
        limit: a selection outside of which nothing is sent.
        lists: reads the files of `for_each`; those that `values` were read with.

    Raises:
        InputError: a selection that names no host, or a file of items that cannot be used.
        RefusedError: a step would change a protected host.
    """
    limited = frozenset(host.name for host in inventory.select(limit)) if limit else None
    blank = Plan(source, inventory, values, (), limited, lists or Lists())
    plan = replace(blank, steps=tuple(_Layout(blank).planned()))
    for step in plan.steps:
        if step.action and not (names_in(step.action.hosts) - set(plan.scope(step))):
            hosts_of(step, plan, plan.scope(step))
    return replace(plan, warnings=tuple(dict.fromkeys(_warnings(plan))))


def _warnings(plan: Plan) -> Iterator[str]:
    """Read each file of items, also of steps whose requests are known later, and say what is odd about it."""
    looked_at = set()  # the steps of batches stand in the plan once for each batch
    for step in plan.steps:
        scope = plan.scope(step)
        source = step.step.for_each
        if source is None or step.action is not step.step or skipped_now(step, scope):
            continue
        if _names_of_items(source) <= set(scope):
            try:
                found = _for_each(step, plan, scope)
            except ExpressionError as error:
                raise _of_step(step, error) from None
            if isinstance(found, ItemList) and (step.path, found.source) not in looked_at:
                looked_at.add((step.path, found.source))
                yield from _warnings_of(step, plan, found)


def _warnings_of(step: PlannedStep, plan: Plan, found: ItemList) -> Iterator[str]:
    _check_columns(step, plan, found)
    yield from found.warnings
    if not found.count:
        yield f"{found.source} has no items: step {step.key} ({step.name}) sends 0 requests"
    if not found.checked:
        yield from _patterns(step, found)


def _check_columns(step: PlannedStep, plan: Plan, found: ItemList) -> None:
    action = step.step
    read = members_in([action.hosts, action.parameters, action.when], "item")
    if read and not found.columns:
        place = plan.source.document.place((*step.path, "for_each"))
        words = f"the lines of a file have no columns, and the step reads item.{min(read)}"
        raise InputError.at(words, place, hint="columns are those of for_each: {csv: FILE}")
    missing = sorted(read - set(found.columns))
    if missing:
        words = (
            f"no column {', '.join(map(repr, missing))}, which step {step.key} ({step.name}) reads; the columns are "
        )
        words += ", ".join(map(repr, found.columns))
        folded = {column.lower().strip(): column for column in found.columns}
        raise InputError.at(
            words,
            found.place(found.header),
            suggestion=folded.get(missing[0].lower(), "") or nearest(missing[0], found.columns),
            hint="columns are divided by commas, semicolons or tabs, and capitals count",
        )


def _patterns(step: PlannedStep, found: ItemList) -> Iterator[str]:
    """A warning of items that a step sends as masks, and that mean more than one user there."""
    entry = catalog.find(step.command)
    for name, spec in entry.parameters.items() if entry else ():
        written = step.step.parameters.get(name)
        if spec.format in {"mask", "pattern"} and "item" in names_in(written):
            columns = members_in(written, "item") & set(found.columns)
            for column in columns or {""}:
                values = ((line, item[column] if column else item) for line, item in found.numbered())
                yield from items.wide_masks(found.source, values, addresses=spec.format == "mask")


class _Layout:
    """Lays out a playbook's steps in the order of running."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.main: list[PlannedStep] = []
        self.undo: list[PlannedStep] = []

    def planned(self) -> Iterator[PlannedStep]:
        playbook = self.plan.source.playbook
        givers = {"run": "the start of the run"}
        for number, step in enumerate(playbook.steps, 1):
            self._step(str(number), "step", step, ("steps", number - 1), givers, {}, "")
        main, self.main = self.main, []
        for number, step in enumerate(playbook.finally_, 1):
            self._step(f"finally.{number}", "finally", step, ("finally", number - 1), givers, {}, "")
        for index, planned in enumerate([*main, *reversed(self.undo), *self.main]):
            yield replace(planned, index=index)

    def _step(
        self,
        key: str,
        role: Role,
        step: Step,
        path: tuple[str | int, ...],
        givers: dict[str, str],
        local: dict[str, Any],
        label: str,
    ) -> None:
        if step.batches:
            self._batches(key, role, step, step.batches, path, givers)
            return
        if step.command and step.hosts is None:
            step = step.model_copy(update={"hosts": "{{ batch }}"})

        def add(suffix: str, role: Role, action: Action | None) -> PlannedStep:
            where = (*path, suffix) if suffix else path
            planned = _planned(f"{key}.{suffix}" if suffix else key, role, step, action, where, givers, local, label)
            if planned.register_name:
                givers[planned.register_name] = planned.key
            return planned

        self.main.append(add("", role, step if step.command else None))
        if step.undo:
            self.undo.append(add("undo", "undo", _with_hosts(step.undo, step)))
        if step.verify:
            checking: Role = "verify" if role == "step" else role  # a final step's check belongs to the end too
            self.main.append(add("verify", checking, _with_hosts(step.verify, step)))

    def _batches(
        self,
        key: str,
        role: Role,
        step: Step,
        batches: Batches,
        path: tuple[str | int, ...],
        givers: dict[str, str],
    ) -> None:
        place = self.plan.source.document.place((*path, "batches", "hosts"))
        hosts = _within(self.plan, _select(compile_value(batches.hosts)(self.plan.scope()), self.plan.inventory, place))
        if not hosts:
            raise InputError.at(f"the step {step.name!r} selects no host ({batches.hosts})", place)
        groups = list(_cut(hosts, batches.size))
        for number, batch in enumerate(groups, 1):
            label = f"batch {number} of {len(groups)} ({fold(host.name for host in batch)}): "
            local = {"batch": batch, "batch_number": number}
            inner_givers = dict(givers)
            for inner_number, written in enumerate(batches.steps, 1):
                inner = written.model_copy(update={"when": _both(step.when, written.when)})
                inner_path = (*path, "batches", "steps", inner_number - 1)
                self._step(f"{key}[{number}].{inner_number}", role, inner, inner_path, inner_givers, local, label)
            if batches.soak and number < len(groups):
                soak = Step.model_validate({"name": "soak", "pause": {"for": batches.soak}, "when": step.when})
                self._step(f"{key}[{number}].soak", role, soak, (*path, "batches", "soak"), inner_givers, local, label)


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


def _planned(
    key: str,
    role: Role,
    step: Step,
    action: Action | None,
    path: tuple[str | int, ...],
    givers: Mapping[str, str],
    local: Mapping[str, Any],
    label: str,
) -> PlannedStep:
    entry = catalog.find(action.command or "") if action else None
    return PlannedStep(
        index=-1,  # given when all are laid out
        key=key,
        role=role,
        step=step,
        action=action,
        path=path,
        effect=repeatability(action, action.parameters) if action else Repeatability.READ,
        disturbs=entry.disturbs(action.parameters) if entry and action else "",
        givers=dict(givers),
        local=local,
        label=label,
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
    hosts = _within(plan, _select(compile_value(action.hosts)(scope), plan.inventory, place))
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


def _within(plan: Plan, hosts: list[Host]) -> list[Host]:
    return hosts if plan.limited is None else [host for host in hosts if host.name in plan.limited]


def _select(value: Any, inventory: Inventory, place: Place) -> list[Host]:
    if isinstance(value, Host):
        return [value]
    try:
        if isinstance(value, list | tuple):
            value = ",".join({text_of(host) for host in value})
            if not value:
                return []
        text = text_of(value).strip()  # a YAML block ends with a line end
    except ValueError as error:
        raise InputError.at(f"hosts cannot be read from this: {error}", place) from None
    host = inventory.by_address(text)  # Dovecot names a user's backend by its address
    if host is not None:
        return [host]
    try:
        return inventory.select(text)
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
        raise _of_step(step, error) from None


def _of_step(step: PlannedStep, error: ExpressionError) -> ExpressionError:
    return ExpressionError(f"step {step.key} ({step.name}): {error.message}", hint=error.hint)


def _expand(step: PlannedStep, plan: Plan, scope: Scope) -> Iterator[Draft]:
    action = step.action
    assert action is not None, "a step of conditions has no operations"  # noqa: S101
    check = checker(catalog.find(action.command or ""), action.parameters)
    parameters = compile_value(action.parameters)
    condition = _item_condition(step)
    per_item = "item" in names_in(action.hosts)
    hosts = [] if per_item else hosts_of(step, plan, scope)
    per_host = "host" in names_in(action.parameters)
    problems: list[Problem] = []
    local = dict(scope)
    origin, numbered = _items(step, plan, scope)
    for number, item in numbered:
        local["item"] = item
        encoded = ""
        if len(problems) >= MAX_PROBLEMS:
            raise InputError(problems)
        if per_item:
            try:
                hosts = hosts_of(step, plan, local)
            except InputError as error:
                problems.append(_item_problem(step, error.problems[0], action.hosts, origin, number))
                continue
        for host in hosts:
            local["host"] = host
            skipped = condition is not None and not condition(local)
            try:
                if per_host or not encoded:
                    encoded = encode_parameters(check(parameters(local)))
            except ParameterError as error:
                problems.append(_parameter_problem(step, plan, error, origin, number))
                break
            if not problems:
                yield Draft(host.name, encoded, skipped)
    if problems:
        raise InputError(problems)


def _item_condition(step: PlannedStep) -> Callable[[Scope], bool] | None:
    if not step.per_item_condition:
        return None
    evaluate = compile_value(step.condition)
    return lambda scope: truth(evaluate(scope))


def _items(step: PlannedStep, plan: Plan, scope: Scope) -> tuple[ItemList | None, Iterator[tuple[int, Any]]]:
    """The file that a step's items come from, if it is one, and the items, each with its line there or its number."""
    if step.step.for_each is None or step.action is not step.step:
        return None, iter([(1, None)])
    value = _for_each(step, plan, scope)
    if isinstance(value, ItemList):
        return value, value.numbered()
    return None, enumerate(items.from_value(value), 1)


def _for_each(step: PlannedStep, plan: Plan, scope: Scope) -> Any:
    source = step.step.for_each
    if isinstance(source, FileSource):
        value = compile_value(source.file)(scope)
        return value if isinstance(value, ItemList) else plan.lists.lines(_path(value, plan))
    if isinstance(source, CsvSource):
        return plan.lists.table(_path(compile_value(source.csv)(scope), plan))
    return compile_value(source)(scope)


def _path(value: Any, plan: Plan) -> str:
    try:
        return str(plan.source.document.folder / text_of(value))
    except ValueError as error:
        raise ExpressionError(f"the items' file is none: {error}") from None


def _parameter_problem(
    step: PlannedStep, plan: Plan, error: ParameterError, origin: ItemList | None, number: int
) -> Problem:
    assert step.action is not None  # noqa: S101
    written = step.action.parameters.get(error.parameter)
    where = (*step.path, "parameters", error.parameter)
    problem = Problem(str(error), plan.source.document.place(where), error.suggestion)
    return _item_problem(step, problem, written, origin, number)


def _item_problem(step: PlannedStep, found: Problem, written: Any, origin: ItemList | None, number: int) -> Problem:
    """What is wrong with an item: at its line of the file that it comes from, or at the step, with its number."""
    if origin is not None:
        columns = ", ".join(map(repr, sorted(members_in(written, "item"))))
        words = f"{f'column {columns}: ' if columns else ''}{found.message} (step {step.key}, {step.name})"
        return Problem(words, origin.place(number), found.suggestion)
    has_items = step.step.for_each is not None and step.action is step.step
    prefix = f"item {number}: " if has_items and not isinstance(step.step.for_each, list) else ""
    return replace(found, message=f"{prefix}{found.message}")


def known_now(step: PlannedStep, scope: Mapping[str, Any]) -> bool:
    """Whether all names that a step's operations depend on are in the scope."""
    return set(step.needs) <= set(scope)


def skipped_now(step: PlannedStep, scope: Scope) -> bool:
    """Whether a step's `when` is known and says no."""
    when = step.condition
    if when is None or step.per_item_condition or not set(step.condition_needs) <= set(scope):
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
        for path, content in sorted(plan.lists.contents.items()):
            self._hash.update(f"\0{path} {len(content)} ".encode() + content)

    def add(self, step: PlannedStep, draft: Draft) -> None:
        """Take an operation into the fingerprint."""
        self._hash.update(f"\0{step.key} {draft.host} {draft.parameters} {draft.skipped:d}".encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()
