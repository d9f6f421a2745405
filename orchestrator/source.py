"""A playbook and the text that it came from: every mistake is found, with its place, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.document import Document, M, build, load
from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import problems_of_names
from orchestrator.errors import ExpressionError, InputError, Problem, nearest
from orchestrator.expression import is_template, names_in
from orchestrator.outcome import Repeatability
from orchestrator.playbook import (
    BATCH,
    BUILTIN,
    Action,
    CsvSource,
    FileSource,
    Parameter,
    Playbook,
    Polled,
    Step,
    fault_of_name,
    repeatability,
    steps_of,
)

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
        problems = list(_Checker(document, self.playbook.parameters, list(steps_of(self.playbook))).problems())
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


def load_playbook(path: Path) -> Source:
    """Read a playbook.

    Raises:
        InputError: every problem with its place: keys, types, names in expressions, commands, parameters.
    """
    return Source(load(path, what="playbook"))


def _names(value: Any) -> frozenset[str]:
    """The names that a value reads; none where it cannot be read, which is told elsewhere."""
    try:
        return names_in(value)
    except ExpressionError:
        return frozenset()


class _Checker:
    """Checks that need more than one key: names in expressions, commands, parameters.

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

    def problems(self) -> Iterator[Problem]:
        yield from self._parameters()
        yield from self._steps(self.steps, {*self.parameters, *BUILTIN})

    def _steps(self, steps: list[tuple[tuple[str | int, ...], Step]], known: set[str]) -> Iterator[Problem]:
        for path, step in steps:
            yield from self._step(path, step, known | self.names)
            for action, where in ((step, path), (step.verify, (*path, "verify"))):
                if action and action.register_:
                    if action.register_ in known:
                        yield self.document.problem((*where, "register"), f"the name {action.register_!r} is taken")
                    known = {*known, action.register_}

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

    def _step(self, path: tuple[str | int, ...], step: Step, known: set[str]) -> Iterator[Problem]:
        yield from self._names(path, step, known, {"when": {"item", "host"} if step.for_each is not None else set()})
        if step.pause and step.pause.confirm:
            yield from self._expressions((*path, "pause", "confirm"), step.pause.confirm, known)
        if step.batches:
            yield from self._expressions(
                (*path, "batches", "hosts"), step.batches.hosts, set(self.parameters) | {"groups"}
            )
            nested = [((*path, "batches", "steps", index), inner) for index, inner in enumerate(step.batches.steps)]
            yield from self._steps(nested, known | BATCH)
        if step.command is None:
            return
        yield from self._action(path, step, known, items=step.for_each is not None)
        if step.hosts is None and "batch" not in known:
            yield self.document.problem(path, f"the step {step.name!r} needs hosts")
        for part, own in (("verify", step.verify), ("undo", step.undo)):
            if own and own.hosts is None and "item" in _names(step.hosts):
                yield self.document.problem(
                    (*path, part), f"this {part} needs hosts of its own; the step's depend on the item"
                )
        if step.verify:
            within = {*known, step.register_} if step.register_ else known
            yield from self._action((*path, "verify"), step.verify, within, items=False)
            if repeatability(step.verify, step.verify.parameters) is not Repeatability.READ:
                yield self.document.problem((*path, "verify", "command"), "a verify must be a read-only command")
        if step.probe:
            yield from self._action((*path, "probe"), step.probe, known | {"parameters"}, items=False)
            inner = known | {"parameters", "rows", "answer", "host"}
            yield from self._expressions((*path, "probe", "done"), step.probe.done, inner)
            if repeatability(step.probe, step.probe.parameters) is not Repeatability.READ:
                yield self.document.problem((*path, "probe", "command"), "a probe must be a read-only command")
        if step.undo:
            within = {*known, step.register_} if step.register_ else known
            yield from self._action((*path, "undo"), step.undo, within, items=False)

    def _names(self, path: Any, step: Step, known: set[str], extra: dict[str, set[str]]) -> Iterator[Problem]:
        yield from self._expressions((*path, "when"), step.when, known | extra["when"])
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
        else:
            yield from self._expressions((*path, "for_each"), source, known)

    def _raw(self, path: Any) -> Any:
        value = self.document.value
        for part in path:
            value = value[part]
        return value

    def _action(self, path: Any, action: Action, known: set[str], *, items: bool) -> Iterator[Problem]:
        inner = known | ({"item"} if items else set())
        yield from self._expressions((*path, "hosts"), action.hosts, inner)
        yield from self._expressions((*path, "parameters"), action.parameters, inner | {"host"})
        yield from self._expressions((*path, "timeout"), action.timeout, known)
        if isinstance(action, Polled):
            yield from self._expressions(
                (*path, "until"), action.until, known | {"host", "rows", "answer", "parameters"}
            )
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
        if entry is None and action.repeatable is None:
            yield self.document.problem(
                (*path, "command"),
                f"the catalogue has no command {name!r}; a plugin's command needs repeatable: true or false",
                suggestion=catalog.suggest(name),
            )
        if entry is None:
            return
        for error in problems_of_names(name, entry, set(action.parameters)):
            yield self.document.problem(
                (*path, "parameters", error.parameter), str(error), suggestion=error.suggestion, key=True
            )
        polled = isinstance(action, Polled) and action.until is not None
        if polled and repeatability(action, action.parameters) is Repeatability.UNREPEATABLE:
            yield self.document.problem((*path, "until"), f"{name} must not be repeated, so it cannot be polled")

    def _expressions(self, path: Any, value: Any, known: set[str]) -> Iterator[Problem]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from self._expressions((*path, key), part, known)
            return
        if isinstance(value, list):
            for index, part in enumerate(value):
                yield from self._expressions((*path, index), part, known)
            return
        try:
            unknown = names_in(value) - known
        except ExpressionError as error:
            yield self.document.problem(path, error.message)
            return
        for name in sorted(unknown):
            yield self.document.problem(path, f"nothing is called {name!r} here", suggestion=nearest(name, known))
