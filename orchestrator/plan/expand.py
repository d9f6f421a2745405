"""One step's operations: hosts and items in, requests out, lazily. The same at planning and once earlier answers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import ParameterError, checker, encode_parameters
from orchestrator.errors import ExpressionError, InputError, Place, Problem, RefusedError, nearest
from orchestrator.fleet.inventory import Host, Inventory
from orchestrator.outcome import Effect
from orchestrator.plan.steps import CommandStep, Draft, Plan, PlannedStep, Scope, names_of_items
from orchestrator.playbook import items
from orchestrator.playbook.items import ItemList
from orchestrator.playbook.model import CsvSource, FileSource
from orchestrator.text.expression import compile_value, names_in, truth
from orchestrator.text.reads import members_in
from orchestrator.text.scalar import text_of

MAX_PROBLEMS = 20  # of one list of items; the first few show what is wrong with all of them


def hosts_of(step: CommandStep, plan: Plan, scope: Scope) -> list[Host]:
    """The hosts of a step, in inventory order; one for `run_once`.

    Raises:
        InputError: the selection names no host.
        RefusedError: one of them is protected and the step changes something.
    """
    return _chooser(step, plan)(scope)


def _chooser(step: CommandStep, plan: Plan, origin: ItemList | None = None) -> Callable[[Scope], list[Host]]:
    """Says what `hosts_of` says, once for each item of a million.

    Args:
        step: the step.
        plan: its plan.
        origin: the file that its items come from, if it is one.
    """
    value, by_data = compile_value(step.hosts), _by_data(step, origin)
    changes = step.effect is not Effect.READ

    def place() -> Place:
        return plan.origin.place(*step.path, "hosts")

    def choose(scope: Scope) -> list[Host]:
        hosts = selected(plan, value(scope), place, by_data=by_data)
        if not hosts:
            within = " within --limit" if plan.limited is not None else ""
            raise InputError.at(f"the step {step.name!r} selects no host{within} ({step.hosts})", place())
        chosen = hosts[:1] if step.run_once else hosts
        protected = [host for host in chosen if host.protected] if changes else []
        if protected:
            names, by = ", ".join(host.name for host in protected), protected[0].protected_by
            raise RefusedError(
                f"the step {step.name!r} would change {names}, which the {by} protects",
                hint=f"take the host out of the selection, or out of `protect` in the {by}",
            )
        return chosen

    return choose


def _by_data(step: CommandStep, origin: ItemList | None) -> bool:
    """Whether the hosts of a step follow from a file or from what hosts answered, and not from what people chose.

    People choose hosts by a selection: in a playbook, or by a value that they type and see in the plan.
    """
    names = names_in(step.hosts)
    if "item" in names:
        names |= names_of_items(step.for_each)
    return bool(names & set(step.registered)) or ("item" in names and origin is not None)


def selected(plan: Plan, value: Any, place: Callable[[], Place], *, by_data: bool = False) -> list[Host]:
    """The hosts that a value selects, within --limit, in inventory order.

    Args:
        plan: the plan.
        value: a selection, a host, or a list of them.
        place: where it is written.
        by_data: it comes from a file or from answers, which name hosts one by one: `all` there is no selection.

    Raises:
        InputError: it names something that is not in the inventory.
    """
    hosts = _named(value, plan.inventory, place) if by_data else _select(value, plan.inventory, place)
    return hosts if plan.limited is None else [host for host in hosts if host.name in plan.limited]


def _select(value: Any, inventory: Inventory, place: Callable[[], Place]) -> list[Host]:
    if isinstance(value, Host):
        return [value]
    try:
        if isinstance(value, list | tuple):
            value = ",".join({text_of(host) for host in value})
            if not value:
                return []
        text = text_of(value).strip()  # a YAML block ends with a line end
    except ValueError as error:
        raise InputError.at(f"hosts cannot be read from this: {error}", place()) from None
    host = inventory.by_address(text)  # Dovecot names a user's backend by its address
    if host is not None:
        return [host]
    try:
        return inventory.select(text)
    except InputError as error:
        found = error.problems[0]
        raise InputError([Problem(found.message, place(), found.suggestion)]) from None


def _named(value: Any, inventory: Inventory, place: Callable[[], Place]) -> list[Host]:
    """The hosts whose names or addresses these are; `all`, or several in a text, is none."""
    if not isinstance(value, list | tuple):
        return [_one(value, inventory, place)]
    found = {_one(part, inventory, place).name for part in value}
    return [host for host in inventory.hosts.values() if host.name in found]


def _one(value: Any, inventory: Inventory, place: Callable[[], Place]) -> Host:
    if isinstance(value, Host):
        return value
    try:
        text = text_of(value).strip()
    except ValueError as error:
        raise InputError.at(f"a host cannot be read from this: {error}", place()) from None
    host = inventory.by_address(text) or inventory.hosts.get(text)
    if host is None:
        raise InputError.at(
            f"no host is called {text!r} or has that address; lists and answers name hosts one by one",
            place(),
            suggestion=nearest(text, inventory.hosts),
        )
    return host


def expand(step: CommandStep, plan: Plan, scope: Scope) -> Iterator[Draft]:
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
        raise of_step(step, error) from None


def of_step(step: PlannedStep, error: ExpressionError) -> ExpressionError:
    """An error with the step that it belongs to."""
    return ExpressionError(f"step {step.key} ({step.name}): {error.message}", hint=error.hint)


def _expand(step: CommandStep, plan: Plan, scope: Scope) -> Iterator[Draft]:
    check = checker(catalog.find(step.command), step.parameters)
    parameters = compile_value(step.parameters)
    condition = _item_condition(step)
    per_item = "item" in names_in(step.hosts)
    per_host = "host" in names_in(step.parameters)
    problems: list[Problem] = []
    local = dict(scope)
    origin, numbered = _items(step, plan, scope)
    choose = _chooser(step, plan, origin)
    hosts = [] if per_item else choose(scope)
    for number, item in numbered:
        local["item"] = item
        encoded = ""
        if len(problems) >= MAX_PROBLEMS:
            raise InputError(problems)
        if per_item:
            try:
                hosts = choose(local)
            except InputError as error:
                problems.append(_item_problem(step, error.problems[0], step.hosts, origin, number))
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


def _item_condition(step: CommandStep) -> Callable[[Scope], bool] | None:
    if not step.per_item_condition:
        return None
    evaluate = compile_value(step.when)
    return lambda scope: truth(evaluate(scope))


def _items(step: CommandStep, plan: Plan, scope: Scope) -> tuple[ItemList | None, Iterator[tuple[int, Any]]]:
    """The file that a step's items come from, if it is one, and the items, each with its line there or its number."""
    if step.for_each is None:
        return None, iter([(1, None)])
    value = for_each(step, plan, scope)
    if isinstance(value, ItemList):
        return value, value.numbered()
    return None, enumerate(items.from_value(value), 1)


def for_each(step: CommandStep, plan: Plan, scope: Scope) -> Any:
    """What a step takes its items from: a file's, or a list.

    Raises:
        InputError: the file cannot be used.
        ExpressionError: the values do not allow the expression.
    """
    source = step.for_each
    if isinstance(source, FileSource):
        value = compile_value(source.file)(scope)
        return value if isinstance(value, ItemList) else plan.lists.lines(_path(value, plan))
    if isinstance(source, CsvSource):
        return plan.lists.table(_path(compile_value(source.csv)(scope), plan))
    return compile_value(source)(scope)


def _path(value: Any, plan: Plan) -> str:
    try:
        return str(plan.origin.folder / text_of(value))
    except ValueError as error:
        raise ExpressionError(f"the file of items is not a path: {error}") from None


def _parameter_problem(
    step: CommandStep, plan: Plan, error: ParameterError, origin: ItemList | None, number: int
) -> Problem:
    written = step.parameters.get(error.parameter)
    problem = Problem(str(error), plan.origin.place(*step.path, "parameters", error.parameter), error.suggestion)
    return _item_problem(step, problem, written, origin, number)


def _item_problem(step: CommandStep, found: Problem, written: Any, origin: ItemList | None, number: int) -> Problem:
    """What is wrong with an item: at its line of the file that it comes from, or at the step, with its number."""
    if origin is not None:
        columns = ", ".join(map(repr, sorted(members_in(written, "item"))))
        words = f"{f'column {columns}: ' if columns else ''}{found.message} (step {step.key}, {step.name})"
        return Problem(words, origin.place(number), found.suggestion)
    prefix = f"item {number}: " if step.for_each is not None and not isinstance(step.for_each, list) else ""
    return replace(found, message=f"{prefix}{found.message}")


def known_now(step: CommandStep, scope: Mapping[str, Any]) -> bool:
    """Whether all names that a step's operations depend on are in the scope."""
    return set(step.depends_on) <= set(scope)


def skipped_now(step: PlannedStep, scope: Scope) -> bool:
    """Whether a step's `when` is known and says no."""
    if step.when is None or step.per_item_condition or not set(step.condition_depends_on) <= set(scope):
        return False
    return not truth(compile_value(step.when)(scope))


def contents(plan: Plan) -> Iterator[tuple[PlannedStep, Iterator[Draft] | None]]:
    """What is known of each step before anything is sent: its operations, or None of one that is skipped for certain.

    Steps that only the run will know, and those that take back, do not occur.
    """
    skipped: set[str] = set()
    for step in plan.of("step", "verify", "finally"):
        scope = plan.scope(step)
        if step.owner in skipped or skipped_now(step, scope):
            skipped.add(step.key)
            yield step, None
        elif isinstance(step, CommandStep) and known_now(step, scope):
            yield step, expand(step, plan, scope)


def changed_hosts(plan: Plan) -> set[str]:
    """The hosts that a plan may change; all of them where only the run will know."""
    found: set[str] = set()
    for step in plan.steps:
        if not isinstance(step, CommandStep) or step.effect is Effect.READ:
            continue
        scope = plan.scope(step)
        if names_in(step.hosts) - set(scope):
            return set(plan.inventory.hosts)
        found |= {host.name for host in hosts_of(step, plan, scope)}
    return found
