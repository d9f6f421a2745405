"""A request's body, read as Dovecot reads it: one command after the other, each complete one handed out at once.

What stands before a mistake has been executed when the mistake is found; that is why this is a generator. The
texts of the mistakes are those of 2.3.19.1 and, as far as they are known, of 2.4.1.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.simulator.answers import BadPayload
from orchestrator.simulator.parameters import Number, Pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
MOST_COMMANDS_24 = 1024


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the payload: what should be ``[name, parameters, tag]``."""

    name: str
    rest: list[Any]


class _Unfinished(Exception):  # noqa: N818 - never leaves this module
    """A string without an end: 2.3 answers what ran so far, and no error."""


def _constant(text: str) -> Any:
    raise json.JSONDecodeError("Expecting value", text, 0)


_DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_constant, strict=False
)


def elements(body: bytes, version: str) -> Iterator[Element]:
    """Yield the commands of a payload; raises BadPayload where the body stops being one."""
    text = _decode(body, version)
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        raise BadPayload(_no_array(text, position, version))
    position = _skip(text, position + 1)
    if text[position : position + 1] == "]":
        _expect_end(text, position + 1, version)
        return
    for number in range(1, len(text) + 1):
        if version == "2.4" and number > MOST_COMMANDS_24:
            raise BadPayload("JSON parse error: Too many items in array")
        try:
            value, position = _value(text, position, version)
        except _Unfinished:
            return
        yield _element(value)
        position = _skip(text, position)
        following = text[position : position + 1]
        if following == "]":
            _expect_end(text, position + 1, version)
            return
        if following != ",":
            raise BadPayload(_broken_list(following, version))
        position = _skip(text, position + 1)


def _decode(body: bytes, version: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        if version == "2.4":
            raise BadPayload("JSON parse error: Invalid UTF-8 character") from None
        return body.decode(errors="replace")


def _skip(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _element(value: Any) -> Element:
    if not isinstance(value, list) or isinstance(value, Pairs):
        raise BadPayload("Command must be a JSON array")
    if not value or not isinstance(value[0], str) or isinstance(value[0], Number):
        raise BadPayload("Command name must be a string")
    return Element(value[0], value[1:])


def _value(text: str, position: int, version: str) -> tuple[Any, int]:
    try:
        value, end = _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise BadPayload(_syntax(text, error, version)) from None
    except StopIteration:  # pragma: no cover - raw_decode translates it
        raise BadPayload("JSON parse error: Invalid data as value") from None
    if "\\ud" in text or "\\uD" in text:
        _refuse_surrogates(value, version)
    if version == "2.4" and "\\u0000" in text[position:end]:
        raise BadPayload("JSON parse error: String contains escaped NUL character")
    return value, end


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
        _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        return _syntax(text, error, version)
    return "JSON parse error: Root is not an array" if version == "2.4" else "Request must be a JSON array"


def _expect_end(text: str, position: int, version: str) -> None:
    if _skip(text, position) < len(text):
        found = "Spurious data at end of JSON text" if version == "2.4" else "Unexpected data at the end"
        raise BadPayload(f"JSON parse error: {found}")


def _broken_list(following: str, version: str) -> str:
    if not following:
        return "JSON parse error: " + ("Encountered end of input inside array" if version == "2.4" else "Missing '}'")
    if version == "2.4":
        return f"JSON parse error: Expected ',' or ']', but encountered '{following}'"
    return "JSON parse error: Expected ',' or '}' after array value"


_SYNTAX_23 = {
    "Expecting ':' delimiter": "Expected ':' after key",
    "Expecting property name enclosed in double quotes": "Expected string as object key",
    "Illegal trailing comma before end of object": "Expected string as object key",
    "Illegal trailing comma before end of array": "Invalid data as value",
    "Invalid \\escape: ": "Invalid escape string",
    "Invalid \\escape": "Invalid escape string",
    "Invalid \\uXXXX escape": "Invalid escape string",
}


def _syntax(text: str, error: json.JSONDecodeError, version: str) -> str:
    """Dovecot's words for a mistake that Python's parser found."""
    if error.msg.startswith("Unterminated string") and version == "2.3":
        raise _Unfinished
    ended = _skip(text, error.pos) == len(text) or error.msg.startswith("Unterminated string")
    container = _container(text[: error.pos])
    if version == "2.4":
        if ended:
            return f"JSON parse error: Encountered end of input inside {container}"
        return f"JSON parse error: Expected value, but encountered '{text[error.pos]}'"
    if ended:
        return "JSON parse error: Missing '}'"
    if error.msg == "Expecting ',' delimiter":
        return f"JSON parse error: Expected ',' or '}}' after {container} value"
    return "JSON parse error: " + _SYNTAX_23.get(error.msg, "Invalid data as value")


def _container(before: str) -> str:
    """Whether the text before a mistake ends inside an array or an object."""
    stack: list[str] = []
    for character in _STRING.sub("", before):
        if character in "[{":
            stack.append("array" if character == "[" else "object")
        elif character in "]}" and stack:
            stack.pop()
    return stack[-1] if stack else "array"
