"""The values that an operator gives to a playbook's parameters: text to checked values of the declared types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, Place, Problem, nearest
from orchestrator.fleet.inventory import Host, Inventory
from orchestrator.playbook.items import STDIN, ItemList, Lists
from orchestrator.playbook.model import Parameter
from orchestrator.playbook.source import Source
from orchestrator.text.scalar import text_of
from orchestrator.text.units import parse_duration
from orchestrator.user import expand


def given_values(
    source: Source, given: Mapping[str, str], inventory: Inventory, lists: Lists | None = None
) -> dict[str, Any]:
    """The values of all parameters: those given, and defaults for the rest.

    Args:
        source: the playbook.
        given: name -> text, from -e.
        inventory: for parameters that name hosts.
        lists: reads the files of users; the plan's own.

    Raises:
        InputError: unknown names, missing or unsuitable values, all at once.
    """
    parameters = source.playbook.parameters
    problems = [
        Problem(f"the playbook has no parameter {name!r}", Place("-e"), nearest(name, parameters))
        for name in given
        if name not in parameters
    ]
    values: dict[str, Any] = {}
    lists = lists or Lists()
    bad_lists: list[InputError] = []
    for name, spec in parameters.items():
        try:
            values[name] = _value(spec, given.get(name), inventory, source.document.folder)
            if spec.type == "users":
                values[name] = _users(name, spec, values[name], lists)
        except _MissingError:
            problems.append(Problem(f"-e {name}=... is missing: {spec.help or spec.type}", Place(source.playbook.name)))
        except _ListError as error:
            bad_lists.append(error)
        except (ValueError, InputError) as error:
            words = error.problems[0].message if isinstance(error, InputError) else str(error)
            suggestion = error.problems[0].suggestion if isinstance(error, InputError) else ""
            problems.append(Problem(f"-e {name}: {words}", Place(source.playbook.name), suggestion))
    of_lists = [problem for error in bad_lists for problem in error.problems]
    if problems:
        raise InputError([*problems, *of_lists], hint=usage(source))
    if bad_lists:
        raise InputError(of_lists, hint="; ".join(error.hint for error in bad_lists if error.hint))
    return values


def usage(source: Source) -> str:
    """The parameters of a playbook, a line each, for help and errors."""
    parameters = source.playbook.parameters
    if not parameters:
        return "this playbook has no parameters"
    lines = [f"  -e {name}={spec.type.upper()}  {_about(spec)}" for name, spec in parameters.items()]
    return "\n".join([f"parameters of {source.playbook.name!r}:", *lines])


def _about(spec: Parameter) -> str:
    words = [spec.help] if spec.help else []
    if spec.group:
        words.append(f"a host of {spec.group}")
    if spec.choices:
        words.append("one of " + ", ".join(map(_shown, spec.choices)))
    words.append("required" if spec.required else f"default {_shown(spec.default)}")
    return "; ".join(words)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    return text_of(value) if isinstance(value, bool | int | float) else str(value)


class _MissingError(Exception):
    """A required parameter has no value."""


class _ListError(InputError):
    """What is wrong within a list has its own place."""


def _users(name: str, spec: Parameter, path: str, lists: Lists) -> ItemList:
    try:
        users = lists.users(path, masks=spec.patterns)
    except InputError as error:
        raise _ListError(error.problems, hint=error.hint) from None
    least = 1 if spec.min is None else spec.min
    if len(users) < least:
        few = f"{len(users)} names, and at least {least:g} are needed" if len(users) else "has no names"
        raise _ListError([Problem(f"{few} (-e {name})", Place(users.source))])
    if spec.max is not None and len(users) > spec.max:
        raise _ListError(
            [Problem(f"{len(users)} names, and at most {spec.max:g} are allowed (-e {name})", Place(users.source))]
        )
    return users


def _value(spec: Parameter, text: str | None, inventory: Inventory, folder: Path) -> Any:
    if text is None and spec.required:
        raise _MissingError
    if text is None:
        base, raw = folder, spec.default
    else:
        base, raw = Path.cwd(), text
    value = _typed(spec, raw, inventory, base)
    if spec.choices and not any(_is_choice(value, spec, choice, inventory, base) for choice in spec.choices):
        raise ValueError(f"{raw!r} is none of {', '.join(map(_shown, spec.choices))}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if spec.min is not None and value < spec.min:
            raise ValueError(f"{value:g} is less than {spec.min:g}")
        if spec.max is not None and value > spec.max:
            raise ValueError(f"{value:g} is more than {spec.max:g}")
    return value


def _is_choice(value: Any, spec: Parameter, choice: Any, inventory: Inventory, base: Path) -> bool:
    """Whether a value is a choice, once that has the parameter's type too: of text the text, of durations the time."""
    with suppress(ValueError, InputError):
        return bool(value == _typed(spec, choice, inventory, base))
    return False


def _typed(spec: Parameter, raw: Any, inventory: Inventory, base: Path) -> Any:
    if raw is None:
        return [] if spec.type in {"list", "hosts"} else None
    if spec.type == "integer":
        return _integer(raw)
    if spec.type == "number":
        return _number(raw)
    if spec.type == "boolean":
        return _boolean(raw)
    if spec.type == "duration":
        return parse_duration(raw)
    if spec.type in {"host", "hosts"}:
        hosts = _hosts(spec, text_of(raw), inventory)
        if spec.type == "hosts":
            return hosts
        if len(hosts) != 1:
            raise ValueError(f"{raw!r} names {len(hosts)} hosts, not one")
        return hosts[0]
    if spec.type == "list":
        return (
            list(raw) if isinstance(raw, list) else [part.strip() for part in text_of(raw).split(",") if part.strip()]
        )
    if spec.type in {"file", "users"}:
        return STDIN if raw == "-" else str(base.absolute() / expand(text_of(raw)))
    return text_of(raw)


def _integer(raw: Any) -> int:
    try:
        return int(str(raw))
    except ValueError:
        raise ValueError(f"{raw!r} is not a whole number") from None


def _number(raw: Any) -> float:
    try:
        value = float(str(raw))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{raw!r} is not a number")
    return value


def _boolean(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(raw).lower() not in words:
        raise ValueError(f"{raw!r} is not true or false")
    return words[str(raw).lower()]


def _hosts(spec: Parameter, text: str, inventory: Inventory) -> list[Host]:
    hosts = inventory.select(text)
    outside = [host.name for host in hosts if spec.group and spec.group not in host.groups]
    if outside:
        raise ValueError(f"{', '.join(outside)} is not in the group {spec.group!r}")
    return hosts
