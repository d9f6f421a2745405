"""A playbook and the text that it came from: every mistake is found, with its place, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import problems_of_names
from orchestrator.errors import ExpressionError, InputError, Problem, nearest
from orchestrator.fleet.inventory import Host
from orchestrator.outcome import Effect
from orchestrator.playbook.action import BATCH, BUILTIN, Action, Polled, effect_of, fault_of_name
from orchestrator.playbook.conditions import Ask, Condition, Keep
from orchestrator.playbook.habits import why_unknown
from orchestrator.playbook.model import CsvSource, FileSource, Parameter, Playbook, Step, steps_of
from orchestrator.playbook.shipped import find_playbook
from orchestrator.text.document import Document, M, build, load
from orchestrator.text.expression import is_template, names_in
from orchestrator.text.reads import ColumnUse, column_uses, members_in, row_origins

Known = Mapping[str, frozenset[str] | None]
"""The names that an expression may read; with the columns of their rows, where they have rows and the columns are known."""

_COMMAND_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 /_-]*\Z")


class Source:
    """A playbook and the text that it came from.

    Attributes:
        document: text and places; the run file keeps the text.
        playbook: the values.

    Raises:
        InputError: every problem with its place: keys, types, names in expressions, commands, parameters.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        try:
            self.playbook = build(Playbook, document)
        except InputError as error:
            raise InputError([*error.problems, *_problems_of_the_rest(document)]) from None
        checker = _Checker(document, self.playbook.parameters, list(steps_of(self.playbook)))
        problems = [*checker.conditions(self.playbook.conditions), *checker.problems()]
        if problems:
            raise InputError(problems)


def _problems_of_the_rest(document: Document) -> Iterator[Problem]:
    """What else is wrong with a playbook that has wrong keys or types: the steps that can be read are checked all the same."""
    raw = document.value if isinstance(document.value, dict) else {}
    parameters = _readable(Parameter, raw.get("parameters"))
    steps: list[tuple[tuple[str | int, ...], Step]] = []
    for part in ("steps", "finally"):
        listed = raw.get(part)
        found = _readable(Step, dict(enumerate(listed)) if isinstance(listed, list) else None)
        steps += [((part, index), step) for index, step in found.items()]
    names = {name for listed in (raw.get("steps"), raw.get("finally")) for name in _registered(listed)}
    yield from _Checker(document, parameters, steps, names).problems()


def _readable(model: type[M], values: Any) -> dict[Any, M]:
    found = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        with suppress(ValidationError):
            found[key] = model.model_validate(value)
    return found


def _registered(value: Any) -> Iterator[str]:
    """The names that raw steps register, wherever they do."""
    if isinstance(value, dict):
        if isinstance(value.get("register"), str):
            yield value["register"]
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _registered(part)


def check_conditions(document: Document, conditions: Sequence[Condition]) -> None:
    """Check what a configuration says of conditions, under its key `conditions`.

    Raises:
        InputError: every problem with its place.
    """
    problems = list(_Checker(document, {}, []).conditions(conditions))
    if problems:
        raise InputError(problems)


def load_playbook(name: str | Path) -> Source:
    """Read a playbook.

    Args:
        name: its path, or the name of a shipped one; errors call it so.

    Raises:
        InputError: every problem with its place: keys, types, names in expressions, commands, parameters.
    """
    return Source(load(find_playbook(str(name)), what="playbook", source=str(name)))


def _names(value: Any) -> frozenset[str]:
    """The names that a value reads; none where it cannot be read, which is told elsewhere."""
    try:
        return names_in(value)
    except ExpressionError:
        return frozenset()


HOST_COLUMNS = Host.readable  # what a host of the fleet has


def _plain(names: Iterable[str]) -> dict[str, frozenset[str] | None]:
    """Names of whose columns nothing is known, most of which have no rows at all."""
    return dict.fromkeys(names)


def _columns(action: Action) -> frozenset[str] | None:
    """The columns of an action's rows; None when they may be any.

    Those of all versions together: which of them its hosts have is not known before they are asked.
    """
    entry = catalog.find(action.command or "")
    return entry.columns_of(action.parameters) if entry else None


def _united(origins: Iterable[str], known: Known) -> frozenset[str] | None:
    """The columns of several names' rows together."""
    found = [known.get(origin) for origin in origins]
    united = [columns for columns in found if columns is not None]
    return frozenset().union(*united) if united and len(united) == len(found) else None


def _item(source: Any, known: Known) -> frozenset[str] | None:
    """The columns of the items of a `for_each`, when they are rows of an answer."""
    return _united(row_origins(source), known) if is_template(source) else None


def _answered(action: Action, known: Known) -> Known:
    """What a condition on a host's answer may read."""
    columns = _columns(action)
    return {**known, **_plain(["host", "parameters"]), "rows": columns, "answer": columns}


def _seen_by(question: Ask) -> Known:
    """What may be read of the answer to a question."""
    columns = _columns(question) if question.command else None
    return {"rows": columns, "answer": columns}


class _Checker:
    """Checks that need more than one key: names in expressions, columns, commands, parameters.

    Args:
        document: for places.
        parameters: the playbook's.
        steps: all steps, or those that could be read, with their paths.
        names: what steps that could not be read register.
    """

    def __init__(
        self,
        document: Document,
        parameters: Mapping[str, Parameter],
        steps: list[tuple[tuple[str | int, ...], Step]],
        names: Iterable[str] = (),
    ) -> None:
        self.document = document
        self.parameters = parameters
        self.steps = steps
        self.names = set(names)
        self.registered = set(_registered(document.value)) if isinstance(document.value, dict) else set()
        self.hosts = {"host", *(name for name, spec in parameters.items() if spec.type == "host")}

    def problems(self) -> Iterator[Problem]:
        yield from self._parameters()
        yield from self._steps(self.steps, {**_plain(BUILTIN), **self._given()})

    def _given(self) -> Known:
        """What is known without asking anybody: parameters and groups."""
        hosts = {name for name, spec in self.parameters.items() if spec.type == "hosts"}
        return {**_plain(self.parameters), **dict.fromkeys([*hosts, "groups"], HOST_COLUMNS)}

    def _steps(self, steps: list[tuple[tuple[str | int, ...], Step]], known: Known) -> Iterator[Problem]:
        for number, (path, step) in enumerate(steps, 1):
            yield from self._step(path, step, {**_plain(self.names), **known})
            if step.keep:
                later = [other.name for _, other in steps[number:]]
                yield from self._keep((*path, "keep"), step.keep, later, known)
            for action, where in ((step, path), (step.verify, (*path, "verify"))):
                if action and action.register_:
                    if action.register_ in known:
                        yield self.document.problem((*where, "register"), f"the name {action.register_!r} is taken")
                    known = {**known, action.register_: _columns(action)}

    def _parameters(self) -> Iterator[Problem]:
        for name, spec in self.parameters.items():
            path = ("parameters", name)
            if fault := fault_of_name(name):
                yield self.document.problem(path, fault, key=True)
            if spec.required and spec.default is not None:
                yield self.document.problem((*path, "default"), "a required parameter has no default")
            if not spec.required and spec.default is None and spec.type not in {"list", "hosts"}:
                yield self.document.problem(
                    path, f"the parameter {name!r} needs a default, or required: true", key=True
                )

    def conditions(self, conditions: Sequence[Condition]) -> Iterator[Problem]:
        """What is wrong with conditions that stand beside the steps."""
        known = self._given()
        names = [condition.name for condition in conditions]
        for index, condition in enumerate(conditions):
            path = ("conditions", index)
            if names.index(condition.name) != index:
                yield self.document.problem((*path, "name"), f"another condition is called {condition.name!r} too")
            around = {**known, **dict.fromkeys(BATCH, HOST_COLUMNS)} if condition.at == "batch" else known
            yield from self._ask((*path, "ask"), condition.ask, around)
            seen = {**around, **_seen_by(condition.ask)}
            yield from self._expressions((*path, "value"), condition.value, seen)
            judged = {**seen, **_plain(["now", "reviewed"] if condition.value is not None else [])}
            yield from self._expressions((*path, "that"), condition.that, judged)
            yield from self._expressions((*path, "message"), condition.message, judged)

    def _ask(self, path: Any, question: Ask, known: Known) -> Iterator[Problem]:
        yield from self._expressions((*path, "url"), question.url, known)
        if question.command is None:
            return
        yield from self._action(path, question, known)
        if question.hosts is None:
            yield self.document.problem(path, "the question needs hosts")
        if effect_of(question, question.parameters) is not Effect.READ:
            yield self.document.problem((*path, "command"), "a question must be a read-only command")

    def _keep(self, path: Any, keep: Keep, later: Sequence[str], known: Known) -> Iterator[Problem]:
        yield from self._ask((*path, "ask"), keep.ask, known)
        yield from self._expressions((*path, "value"), keep.value, {**known, **_seen_by(keep.ask)})
        if keep.until_step is not None and keep.until_step not in later:
            yield self.document.problem(
                (*path, "until_step"),
                f"no later step here is called {keep.until_step!r}",
                suggestion=nearest(keep.until_step, later),
            )

    def _step(self, path: tuple[str | int, ...], step: Step, known: Known) -> Iterator[Problem]:
        items = {"item": _item(step.for_each, known)} if step.for_each is not None else {}
        yield from self._names(path, step, known, {**items, **_plain(["host"] if items else [])})
        if step.pause and step.pause.confirm:
            yield from self._expressions((*path, "pause", "confirm"), step.pause.confirm, known)
        if step.batches:
            yield from self._expressions((*path, "batches", "hosts"), step.batches.hosts, self._given())
            nested = [((*path, "batches", "steps", index), inner) for index, inner in enumerate(step.batches.steps)]
            yield from self._steps(nested, {**known, **dict.fromkeys(BATCH, HOST_COLUMNS)})
        if step.command is None:
            return
        yield from self._action(path, step, known, items)
        if step.hosts is None and "batch" not in known:
            yield self.document.problem(path, f"the step {step.name!r} needs hosts")
        for part, own in (("verify", step.verify), ("undo", step.undo)):
            if own and own.hosts is None and "item" in _names(step.hosts):
                yield self.document.problem(
                    (*path, part), f"this {part} needs hosts of its own; the step's depend on the item"
                )
        after = {**known, step.register_: _columns(step)} if step.register_ else known
        if step.affects:
            yield from self._expressions((*path, "affects", "users"), step.affects.users, known)
            yield from self._expressions((*path, "affects", "sessions"), step.affects.sessions, known)
        if step.verify:
            yield from self._action((*path, "verify"), step.verify, after)
            if effect_of(step.verify, step.verify.parameters) is not Effect.READ:
                yield self.document.problem((*path, "verify", "command"), "a verify must be a read-only command")
        if step.probe:
            yield from self._action((*path, "probe"), step.probe, {**known, **_plain(["parameters"])})
            yield from self._expressions((*path, "probe", "done"), step.probe.done, _answered(step.probe, known))
            if effect_of(step.probe, step.probe.parameters) is not Effect.READ:
                yield self.document.problem((*path, "probe", "command"), "a probe must be a read-only command")
        if step.undo:
            yield from self._action((*path, "undo"), step.undo, after)

    def _names(self, path: Any, step: Step, known: Known, of_items: Known) -> Iterator[Problem]:
        yield from self._expressions((*path, "when"), step.when, {**known, **of_items})
        for index, requirement in enumerate(step.require):
            where = (
                (*path, "require", index) if isinstance(self._raw(path).get("require"), list) else (*path, "require")
            )
            yield from self._expressions((*where, "that"), requirement.that, known)
            yield from self._expressions((*where, "message"), requirement.message, known)
        source = step.for_each
        if isinstance(source, FileSource | CsvSource):
            key = "file" if isinstance(source, FileSource) else "csv"
            yield from self._expressions((*path, "for_each", key), getattr(source, key), known)
            late = _names(getattr(source, key)) & set(known) - {*self.parameters, *BATCH, "groups"}
            if late:  # nor may a host's answer say what is read here
                message = f"a list is read when the plan is made; {min(late)!r} is known only in the run"
                yield self.document.problem((*path, "for_each", key), message)
        else:
            yield from self._expressions((*path, "for_each"), source, known)

    def _raw(self, path: Any) -> Any:
        value = self.document.value
        for part in path:
            value = value[part]
        return value

    def _action(self, path: Any, action: Action, known: Known, items: Known | None = None) -> Iterator[Problem]:
        inner = {**known, **(items or {})}
        yield from self._expressions((*path, "hosts"), action.hosts, inner)
        yield from self._expressions((*path, "parameters"), action.parameters, {**inner, **_plain(["host"])})
        yield from self._expressions((*path, "timeout"), action.timeout, known)
        if isinstance(action, Polled):
            yield from self._expressions((*path, "until"), action.until, _answered(action, known))
            yield from self._expressions((*path, "within"), action.within, known)
            yield from self._expressions((*path, "stall"), action.stall, known)
        yield from self._command(path, action)

    def _command(self, path: Any, action: Action) -> Iterator[Problem]:
        name = action.command or ""
        if is_template(name):
            yield self.document.problem((*path, "command"), "a command's name is not an expression")
            return
        if not _COMMAND_NAME.match(name):
            yield self.document.problem((*path, "command"), "a command's name has letters, digits and / _ - alone")
            return
        entry = catalog.find(name)
        if entry is None and action.effect is None:
            yield self.document.problem(
                (*path, "command"),
                f"the catalogue has no command {name!r}; a plugin's command needs effect: read, repeatable or unrepeatable",
                suggestion=catalog.suggest(name),
            )
        if entry is None:
            return
        if action.effect == "read" and entry.effect_of(action.parameters) is not Effect.READ:
            yield self.document.problem((*path, "effect"), f"{name} changes something, so it cannot be effect: read")
        for error in problems_of_names(name, entry, set(action.parameters)):
            yield self.document.problem(
                (*path, "parameters", error.parameter), str(error), suggestion=error.suggestion, key=True
            )
        polled = isinstance(action, Polled) and action.until is not None
        if polled and effect_of(action, action.parameters) is Effect.UNREPEATABLE:
            yield self.document.problem((*path, "until"), f"{name} must not be repeated, so it cannot be polled")

    def _expressions(self, path: Any, value: Any, known: Known) -> Iterator[Problem]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from self._expressions((*path, key), part, known)
            return
        if isinstance(value, list):
            for index, part in enumerate(value):
                yield from self._expressions((*path, index), part, known)
            return
        try:
            unknown = names_in(value) - set(known)
            uses = column_uses(value) if is_template(value) else ()
        except ExpressionError as error:
            yield self.document.problem(path, error.message)
            return
        for name in sorted(unknown):
            why = why_unknown(name, in_verify="verify" in path, registered=name in self.registered)
            meant = "" if why else nearest(name, known)
            defined = "" if why or meant or not known else f"; defined: {', '.join(sorted(known))}"
            yield self.document.problem(path, f"{name!r} is not defined here{why}{defined}", suggestion=meant)
        for name in sorted((names_in(value) - unknown) & self.hosts):
            for member in sorted(members_in(value, name) - HOST_COLUMNS):
                yield self.document.problem(
                    path,
                    f"a host has no {member!r}; it has {', '.join(sorted(HOST_COLUMNS))}",
                    suggestion=nearest(member, HOST_COLUMNS),
                )
        for use in uses:
            yield from self._column(path, use, known)

    def _column(self, path: Any, use: ColumnUse, known: Known) -> Iterator[Problem]:
        columns = _united(use.origins, known)
        if columns is None or any(fnmatchcase(use.column, pattern) for pattern in columns):
            return
        of = " and ".join(map(repr, sorted(use.origins)))
        have = f"they have {', '.join(sorted(columns))}" if columns else "its command answers no rows"
        yield self.document.problem(
            path, f"rows of {of} have no column {use.column!r}; {have}", suggestion=nearest(use.column, columns)
        )
