"""A request's body, read as Dovecot reads it: one command after the other, each complete one handed out at once.

What stands before a mistake has been executed when the mistake is found; that is why this is a generator. The
texts of the mistakes are those of 2.3.19.1 and 2.4.1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.simulator.answers import BadPayload
from orchestrator.simulator.parameters import Number, Pairs
from orchestrator.simulator.syntax import Unfinished, broken_list, mistake, skip

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_24 = 1024  # items of a list, and commands
LONGEST_24 = 32_768  # bytes of a text


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the payload: what should be ``[name, parameters, tag]``."""

    name: str
    rest: list[Any]


def _constant(text: str) -> Any:
    raise json.JSONDecodeError("Expecting value", text, 0)


def _decoder(*, strict: bool) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_constant, strict=strict
    )


_DECODERS = {"2.3": _decoder(strict=False), "2.4": _decoder(strict=True)}  # 2.3 takes control characters as they are


def elements(body: bytes, version: str) -> Iterator[Element]:
    """Yield the commands of a payload; raises BadPayload where the body stops being one."""
    text = _decode(body, version)
    position = skip(text, 0)
    if text[position : position + 1] != "[":
        raise BadPayload(_no_array(text, position, version))
    position = skip(text, position + 1)
    if text[position : position + 1] == "]":
        _expect_end(text, position + 1, version)
        return
    for number in range(1, len(text) + 1):
        if version == "2.4" and number > MOST_24:
            raise BadPayload("JSON parse error: Too many items in array")
        try:
            value, position = _value(text, position, version)
        except Unfinished:
            return
        yield _element(value)
        position = skip(text, position)
        following = text[position : position + 1]
        if following == "]":
            _expect_end(text, position + 1, version)
            return
        if following != ",":
            raise BadPayload(broken_list(text, position, version))
        position = skip(text, position + 1)


def _decode(body: bytes, version: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        if version == "2.4":
            raise BadPayload("JSON parse error: Invalid UTF-8 character") from None
        return body.decode(errors="replace")


def _element(value: Any) -> Element:
    if not isinstance(value, list) or isinstance(value, Pairs):
        raise BadPayload("Command must be a JSON array")
    if not value or not isinstance(value[0], str) or isinstance(value[0], Number):
        raise BadPayload("Command name must be a string")
    return Element(value[0], value[1:])


def _value(text: str, position: int, version: str) -> tuple[Any, int]:
    try:
        value, end = _DECODERS[version].raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise BadPayload(mistake(text, error, version)) from None
    except StopIteration:  # pragma: no cover - raw_decode translates it
        raise BadPayload("JSON parse error: Invalid data as value") from None
    if "\\ud" in text or "\\uD" in text:
        _refuse_surrogates(value, version)
    if version == "2.4" and "\\u0000" in text[position:end]:
        raise BadPayload("JSON parse error: String contains escaped NUL character")
    if version == "2.4" and end - position > MOST_24:
        _refuse_large(value)
    return value, end


def _refuse_large(value: Any) -> None:
    if isinstance(value, str) and len(value.encode()) > LONGEST_24:
        raise BadPayload(f"JSON parse error: Excessive string size (> {LONGEST_24})")
    if isinstance(value, list):
        if len(value) > MOST_24 and not isinstance(value, Pairs):
            raise BadPayload("JSON parse error: Too many items in array")
        for item in value:
            _refuse_large(item)
    elif isinstance(value, tuple):  # a key and its value
        _refuse_large(value[1])


def _refuse_surrogates(value: Any, version: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        if version == "2.3":
            raise BadPayload("JSON parse error: Invalid unicode escape seen") from None
        code = ord(str(error.object)[error.start])
        raise BadPayload(f"JSON parse error: String contains lonely Unicode high surrogate '\\u{code:04X}'") from None


def _no_array(text: str, position: int, version: str) -> str:
    if position == len(text):
        return "JSON parse error: " + ("JSON text has no value" if version == "2.4" else "Missing '}'")
    try:
        _DECODERS[version].raw_decode(text, position)
    except json.JSONDecodeError as error:
        return mistake(text, error, version)
    return "JSON parse error: Root is not an array" if version == "2.4" else "Request must be a JSON array"


def _expect_end(text: str, position: int, version: str) -> None:
    if skip(text, position) < len(text):
        found = "Spurious data at end of JSON text" if version == "2.4" else "Unexpected data at the end"
        raise BadPayload(f"JSON parse error: {found}")
