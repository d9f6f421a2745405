"""Declared parameters: their types, what each type accepts, and the catalogue that lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.simulator.answers import BadPayload, Died

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INTEGER = re.compile(r"-?\d+\Z")
_UPPER = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Number(str):
    """A JSON number, kept as it was written."""

    __slots__ = ()


class InvalidRequest(Exception):  # noqa: N818 - named for the answer's type
    """The command is not run: an unknown parameter, or a value that is no number."""


def dashed(name: str) -> str:
    """The command line's spelling: ``mailboxMask`` is ``mailbox-mask``."""
    return _UPPER.sub(lambda found: "-" + found[1].lower(), name)


def canonical(name: str) -> str:
    """The catalogue's spelling of a name that may be written with dashes or blanks."""
    first, *rest = re.split(r"[- ]", name)
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


@dataclass(frozen=True, slots=True)
class Declared:
    """A command as the catalogue lists it, and the function that answers it."""

    name: str
    handler: Callable[[Any], Any]
    parameters: Mapping[str, str]


def declare(name: str, handler: Callable[[Any], Any], parameters: str = "") -> Declared:
    """A command from the short form ``"host:string vhostCount:string"``."""
    pairs = (word.partition(":") for word in parameters.split())
    return Declared(name, handler, {name: kind for name, _, kind in pairs})


def accept(declared: Declared, pairs: list[tuple[str, Any]], version: str) -> dict[str, Any]:
    """Parameters as the command gets them, under Dovecot's rules in the order of the request.

    Raises:
        BadPayload: HTTP 400; nothing of this payload is answered.
        InvalidRequest: The command is not run; the payload goes on.
        Died: The process dies of the value.
    """
    values: dict[str, Any] = {}
    number: Exception | None = None
    for written, value in pairs:
        name = canonical(written)
        kind = declared.parameters.get(name)
        if kind is None:
            raise InvalidRequest(written)
        if name in values:
            raise BadPayload(f"Parameter `{dashed(name)}' is duplicated")
        try:
            values[name] = _TYPES[kind](dashed(name), value, version)
        except InvalidRequest as error:  # numbers are read after the whole command was
            number, values[name] = error, None
    if number is not None:
        raise number
    return values


def _boolean(name: str, value: Any, version: str) -> bool:
    if isinstance(value, (list, dict, Pairs)):
        raise Died(f"Panic: parameter {name}: not a scalar")
    if value is True or value == "true":
        return True
    if version == "2.4" and value is not False and value != "false":
        shown = "null" if value is None else value
        raise BadPayload(f"Parameter `{name}' must be `true' or `false', not `{shown}'")
    return False


def _integer(name: str, value: Any, version: str) -> int:
    if isinstance(value, (list, Pairs)) or (value is None and version == "2.3"):
        raise Died(f"Panic: parameter {name}: not a scalar")
    if isinstance(value, str) and _INTEGER.match(value):
        return int(value)
    raise InvalidRequest(name)


def _string(name: str, value: Any, version: str) -> str | None:
    if value is None:  # 2.3 takes it for a parameter that was not given, 2.4 for a text
        return "null" if version == "2.4" else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Pairs) and version == "2.3":
        # the parser takes the object's key for the value, and its value for what follows the parameters
        raise BadPayload("Command ID must be a string")
    raise Died(f"Panic: parameter {name}: not a scalar")


def _array(name: str, value: Any, _version: str) -> list[str]:
    if isinstance(value, str) and not isinstance(value, Number):
        return [value]
    if not isinstance(value, list) or isinstance(value, Pairs):
        raise BadPayload(f"Parameter `{name}' must be string or array")
    if any(not isinstance(item, str) or isinstance(item, Number) or "\0" in item for item in value):
        raise BadPayload("Command parameter array can only containstring values")
    return value


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, twice the same key included."""

    __slots__ = ()


_TYPES: Mapping[str, Callable[[str, Any, str], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "string": _string,
    "array": _array,
}


def catalogue(commands: Mapping[str, Declared], version: str) -> str:
    """The body of ``GET /doveadm/v1``, laid out as by this version."""
    return _catalogue_24(commands) if version == "2.4" else _catalogue_23(commands)


def _catalogue_23(commands: Mapping[str, Declared]) -> str:
    entries = []
    for command in commands.values():
        lines = [f'\t\t{{"name":"{name}","type":"{kind}"}}' for name, kind in command.parameters.items()]
        listed = "[\n" + ",\n".join(lines) + "\n\t]" if lines else "[]"
        entries.append(f'\t{{"command":"{command.name}", "parameters":{listed}}}')
    return "[\n" + ",\n".join(entries) + "\n]"


def _catalogue_24(commands: Mapping[str, Declared]) -> str:
    entries = []
    for command in commands.values():
        listed = ",".join(f'{{"name":"{name}","type":"{kind}"}}' for name, kind in command.parameters.items())
        entries.append(f'{{"command":"{command.name}","parameters":[{listed}]}}')
    return "[" + ",".join(entries) + "]"
