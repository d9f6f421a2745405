"""What Dovecot says of a body that is no JSON: its words, by version, for the mistakes that Python's parser found."""

from __future__ import annotations

import json
import re

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_NAMED = {"\t": "<TAB>", "\n": "<LF>", "\r": "<CR>"}
_WORDS_23 = {
    "Expecting ':' delimiter": "Expected ':' after key",
    "Expecting property name enclosed in double quotes": "Expected string as object key",
    "Illegal trailing comma before end of object": "Expected string as object key",
    "Illegal trailing comma before end of array": "Invalid data as value",
    "Invalid \\escape: ": "Invalid escape string",
    "Invalid \\escape": "Invalid escape string",
    "Invalid \\uXXXX escape": "Invalid escape string",
}
_WANTED_24 = {
    "Expecting ':' delimiter": "':'",
    "Expecting property name enclosed in double quotes": "string",
    "Illegal trailing comma before end of object": "string",
}


class Unfinished(Exception):  # noqa: N818 - never leaves the reading of a payload
    """A string without an end: 2.3 answers what ran so far, and no error."""


def skip(text: str, position: int) -> int:
    """The first place from `position` on that is not blank."""
    found = _BLANK.match(text, position)
    return found.end() if found else position


def mistake(text: str, error: json.JSONDecodeError, version: str) -> str:
    """Dovecot's words for what Python's parser refuses.

    Raises:
        Unfinished: a string without an end, in 2.3.
    """
    words = _mistake_24(text, error) if version == "2.4" else _mistake_23(text, error)
    return f"JSON parse error: {words}"


def broken_list(text: str, position: int, version: str) -> str:
    """Dovecot's words for what stands between two commands and is no comma."""
    if position == len(text):
        return "JSON parse error: " + ("Encountered end of input inside array" if version == "2.4" else "Missing '}'")
    if version == "2.4":
        return f"JSON parse error: Expected ',' or ']', but encountered {_character(text[position])}"
    return "JSON parse error: Expected ',' or '}' after array value"


def _mistake_23(text: str, error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Unterminated string"):
        raise Unfinished
    if skip(text, error.pos) == len(text):
        return "Missing '}'"
    if error.msg == "Expecting ',' delimiter":
        return f"Expected ',' or '}}' after {_container(text[: error.pos])} value"
    return _WORDS_23.get(error.msg, "Invalid data as value")


def _mistake_24(text: str, error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Unterminated string"):
        return "Encountered end of input inside string"
    if error.msg.startswith("Invalid control character"):
        return f"String contains invalid character {_character(text[error.pos])}"
    if error.msg.startswith("Invalid \\escape"):
        return f"Invalid escape sequence '\\' + '{text[error.pos + 1]}'"
    # newer Pythons point at the comma before, not at what must not follow it
    place = skip(text, error.pos + error.msg.startswith("Illegal trailing comma"))
    if place == len(text):
        return f"Encountered end of input inside {_container(text[:place])}"
    if error.msg == "Expecting ',' delimiter":
        return _no_delimiter(text, place)
    if error.msg == "Expecting value" and text[place] in _LITERALS:
        return _half_a_word(text, place, _LITERALS[text[place]])
    return f"Expected {_WANTED_24.get(error.msg, 'value')}, but encountered {_character(text[place])}"


def _no_delimiter(text: str, place: int) -> str:
    if text[place].isdecimal() and text[place - 1] == "0":
        return "Numbers cannot have leading zeros"
    end = "}" if _container(text[:place]) == "object" else "]"
    return f"Expected ',' or '{end}', but encountered {_character(text[place])}"


def _half_a_word(text: str, place: int, word: str) -> str:
    length = next(n for n in range(len(word)) if text[place + n : place + n + 1] != word[n])
    if place + length == len(text):
        return "Premature end of input"
    return f"Expected value '{word}', but encounted '{word[:length]}' + {_character(text[place + length])}"


def _character(character: str) -> str:
    """A character as 2.4 names it."""
    if " " <= character <= "~":
        return f"'{character}'"
    return _NAMED.get(character, f"U+{ord(character):04X}")


def _container(before: str) -> str:
    """Whether the text before a mistake ends inside an array or an object."""
    stack: list[str] = []
    for character in _STRING.sub("", before):
        if character in "[{":
            stack.append("array" if character == "[" else "object")
        elif character in "]}" and stack:
            stack.pop()
    return stack[-1] if stack else "array"
