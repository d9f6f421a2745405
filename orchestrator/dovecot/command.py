"""From a playbook's parameters to the bytes of a request: checked against the catalogue before anything is sent.

A parameter that a real server answers by dying, or by doing something else, is refused here: control characters (2.3
passes them on to the director, where they inject commands), missing mandatory parameters, wrong types, empty values.
A number is sent as the text that it was written as, wherever a command takes text.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.dovecot.catalog import Command, Need, Parameter
from orchestrator.dovecot.jsontext import dumps
from orchestrator.errors import nearest
from orchestrator.redaction import REDACTED
from orchestrator.text.scalar import Written, text_of

Values = dict[str, Any]

_UNSENDABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\Z")
_INTEGER = re.compile(r"-?\d{1,18}\Z")
_MOST_DIGITS = 18
MAX_BODY = 1024 * 1024 - 4096  # bytes; 2.3.19.1 refuses bodies above 1 MiB


class ParameterError(ValueError):
    """A parameter that must not be sent.

    Attributes:
        parameter: its name.
        suggestion: the nearest valid name, or empty.
    """

    def __init__(self, parameter: str, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter
        self.suggestion = suggestion


def problems_of_names(name: str, command: Command, given: set[str]) -> list[ParameterError]:
    """What is wrong with the names of the parameters given to a command of the catalogue."""
    found = [
        ParameterError(word, f"{name} has no parameter {word!r}", nearest(word, command.parameters))
        for word in sorted(given - set(command.parameters))
    ]
    instead = {word: choice for choice in command.one_of for word in choice}
    for word, spec in command.parameters.items():
        if spec.required and not given & {word, *instead.get(word, ())}:
            others = "".join(f" or {other!r}" for other in instead.get(word, ()) if other != word)
            found.append(ParameterError(word, f"{name} needs the parameter {word!r}{others}"))
    found += [
        ParameterError(choice[0], f"{name} needs one of the parameters {', '.join(map(repr, choice))}")
        for choice in command.one_of
        if not given & {*choice} and not any(command.parameters[word].required for word in choice)
    ]
    return found


def checker(command: Command | None, given: Mapping[str, Any]) -> Callable[[Values], Values]:
    """A function that checks and normalises the values of a step's parameters; made once, called for each operation.

    Args:
        command: None for a command that the catalogue does not know; its values are then only made safe.
        given: the step's parameters.
    """
    specs = command.parameters if command else {}
    checks = [(name, _check_for(name, specs.get(name))) for name in given]
    needs = [need for need in command.needs if need.parameter in given] if command else []

    def check(values: Values) -> Values:
        checked = {name: one(values[name]) for name, one in checks}
        for need in needs:
            _check_need(need, checked)
        return checked

    return check


def _check_need(need: Need, values: Values) -> None:
    if values[need.parameter] is not need.equals:
        return
    condition = f"with {need.parameter}: {str(need.equals).lower()},"
    if need.needs not in values:
        raise ParameterError(need.parameter, f"{condition} {need.needs!r} is needed too")
    if need.maximum is not None:
        try:
            _count(need.needs, values[need.needs], 0, need.maximum)
        except ParameterError as error:
            raise ParameterError(need.needs, f"{condition} {error}") from None


def _check_for(name: str, spec: Parameter | None) -> Callable[[Any], Any]:
    types = spec.types() if spec else set()
    if not spec or len(types) != 1:
        return lambda value: _any(name, value)
    kind = next(iter(types))
    if kind == "boolean":
        return lambda value: _boolean(name, value)
    if kind == "integer":
        return lambda value: _integer(name, value)
    if kind == "array":
        one = _name if spec.format in {"mask", "user"} else _string
        return lambda value: _array(name, value, one, required=spec.required)
    if spec.format == "count":
        return lambda value: _count(name, value, spec.minimum, spec.maximum)
    form = _FORMATS.get(spec.format, _string)
    return lambda value: form(name, value)


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    # wiki examples write 0; 2.3 reads everything but true as false, silently
    if isinstance(value, str | int) and value in ("true", "false", 0, 1):
        return value in ("true", 1)
    raise ParameterError(name, f"{name} must be true or false, not {value!r}")


def _integer(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, str) and _INTEGER.match(value):
        return int(value)
    raise ParameterError(name, f"{name} must be a whole number, not {value!r}")


def _string(name: str, value: Any) -> str:
    if isinstance(value, bool | int | float):
        return text_of(value)
    if not isinstance(value, str):
        raise ParameterError(name, f"{name} must be text, not {_kind(value)}")
    if _UNSENDABLE.search(value):
        what = (
            "half a character (a lone surrogate)"
            if _SURROGATE.search(value)
            else f"a control character ({_shown(value)})"
        )
        raise ParameterError(name, f"{name} contains {what}; that is never sent")
    return value


_NAMES = {"userFile", "usersFile"}


def _stream(name: str, value: Any) -> str:
    """A parameter that carries a file's content: line ends and tabs belong to it."""
    if not isinstance(value, str):
        raise ParameterError(name, f"{name} must be text, not {_kind(value)}")
    if "\x00" in value or _SURROGATE.search(value):
        raise ParameterError(name, f"{name} contains a null character or half a character")
    if name in _NAMES and value.startswith("/") and "\n" not in value.rstrip("\n"):
        raise ParameterError(name, f"{name} is the user names themselves, one a line, and not the path of a file")
    return value


def _array(name: str, value: Any, one: Callable[[str, Any], str], *, required: bool) -> list[str]:
    items = value if isinstance(value, list | tuple) else [value]
    if required and not items:
        raise ParameterError(name, f"{name} must not be empty")
    return [one(name, item) for item in items]


def _name(name: str, value: Any) -> str:
    """A user's name or a pattern. What stands for a redacted secret would be a pattern that means everybody."""
    text = _string(name, value)
    if REDACTED in text:
        raise ParameterError(
            name, f"{name} has {REDACTED} in it, which stands for a secret that a host answered; never sent"
        )
    return text


def _address(name: str, value: Any) -> str:
    """An address: "5" would be taken for 0.0.0.5 and "10.0.234" for 10.0.0.234 (seen on 2.3.19.1)."""
    text = _string(name, value)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if text == "all":  # the host would look for a machine of this name
            raise ParameterError(name, f"{name} must be one address; this command does not know 'all'") from None
        if not _is_host_name(text):
            raise ParameterError(name, f"{name} must be an IP address or a host name, not {text!r}") from None
    return text


def _address_or_all(name: str, value: Any) -> str:
    return "all" if value == "all" else _address(name, value)


def _ip(name: str, value: Any) -> str:
    """An IP address and nothing else: of a host name the process dies (seen on 2.3.19.1 and 2.4.1)."""
    text = _string(name, value)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ParameterError(
            name,
            f"{name} must be an IP address, not {text!r}; where that is a host's address in the configuration, "
            "write there the address that directors know it by",
        ) from None
    return text


def _is_host_name(text: str) -> bool:
    """Labels of letters, digits, - and _; nothing that the resolver would read as a number in another notation."""
    labels = text.rstrip(".").split(".")
    hexadecimal = any(label.lower().startswith("0x") for label in labels)
    return not hexadecimal and any(c.isalpha() for c in labels[-1]) and all(map(_LABEL.match, labels))


def _user(name: str, value: Any) -> str:
    text = _name(name, value)
    if not text:
        raise ParameterError(name, f"{name} must not be empty")
    return text


def _count(name: str, value: Any, least: int, most: int | None) -> str:
    text = _string(name, value)
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else -1
    if number < least or (most is not None and number > most):
        limits = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise ParameterError(name, f"{name} must be a number {limits}, not {_shown(text)}")
    return text


def _any(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_string(name, item) for item in value]
    if isinstance(value, bool) or (isinstance(value, int) and not isinstance(value, Written) and abs(value) < 2**63):
        return value
    return _string(name, value)


_FORMATS: dict[str, Callable[[str, Any], str]] = {
    "address": _address,
    "address_or_all": _address_or_all,
    "ip": _ip,
    "user": _user,
    "file": _stream,
}


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), repr(value))


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "...")


def encode_parameters(values: Values) -> str:
    """Parameters as the JSON that is sent and that the run file keeps."""
    return dumps(values)


def request_body(command: str, parameters: str, tag: str) -> bytes:
    """The payload of one command.

    Args:
        command: its name.
        parameters: as `encode_parameters` wrote them.
        tag: what Dovecot echoes; never empty (2.4.1 dies of an empty tag).
    """
    return f'[["{command}",{parameters},"{tag}"]]'.encode()


def command_line(name: str, command: Command | None, values: Mapping[str, Any]) -> str:
    """The `doveadm` command line with the same meaning, for people."""
    if command is None or not command.doveadm:
        shown = (f"{key}={value if isinstance(value, str) else _json_text(value)}" for key, value in values.items())
        return shlex.join([name, *shown])
    words = ["doveadm", *command.doveadm.split()]
    positional: dict[int, list[str]] = {}
    for key, value in values.items():
        spec = command.parameters.get(key)
        texts = [_cli_text(item) for item in value] if isinstance(value, list | tuple) else [_cli_text(value)]
        if spec and spec.option:
            words += _option(spec.option, value, texts)
        elif spec and spec.argument is not None:
            positional[spec.argument] = texts
            if spec.word and spec.argument - 1 not in positional:
                positional[spec.argument - 1] = [spec.word]  # 2.4 has no parameter for it
        else:
            words += [f"{key}={','.join(texts)}"]
    arguments = [text for position in sorted(positional) for text in positional[position]]
    words += ["--", *arguments] if any(text.startswith("-") for text in arguments) else arguments  # else an option
    return " ".join(word if "{{" in word or word == "…" else shlex.quote(word) for word in words)


def _option(option: str, value: Any, texts: list[str]) -> list[str]:
    if isinstance(value, bool):
        return [option] if value else []
    return [word for text in texts for word in (option, text)]


def _cli_text(value: Any) -> str:
    return text_of(value) if isinstance(value, bool | int | float) else str(value)


def _json_text(value: Any) -> str:
    texts = [str(item) if isinstance(item, Written) else item for item in value] if isinstance(value, list) else value
    return str(texts) if isinstance(texts, Written) else json.dumps(texts)
