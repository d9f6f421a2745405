"""Bytes of a doveadm HTTP answer to rows or an error, tolerant of what real servers send.

Three malformed forms of 2.3 (seen on 2.3.19.1) are read as they were meant: grouped `who` puts its second and later
rows beside the list; `proxyList` repeats a header row for each login process; a payload with a refused command lacks
a comma between two answers. Nothing here raises on any bytes but `ReplyError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.dovecot.jsontext import loads

Row = dict[str, Any]
DEEPEST = (
    30  # lists in lists of an answer; doveadm's own have 4. What is deeper can be read, but not everywhere written
)


class ReplyError(Exception):
    """The bytes are not an answer of doveadm; the message says in which way."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One command's answer.

    Attributes:
        tag: as echoed.
        rows: of a success.
        error: empty, or doveadm's type of error: exitCode, unknownMethod, invalidRequest, unAuthorized.
        exit_code: of an error of type exitCode; of another type it is left over from an earlier command, so None.
    """

    tag: str
    rows: tuple[Row, ...] = ()
    error: str = ""
    exit_code: int | None = None


def read_reply(body: bytes, tag: str) -> Reply:
    """The answer to the one command that was sent with `tag`.

    Raises:
        ReplyError: not an answer, several answers, or another command's answer.
    """
    if body == b'[["doveadmResponse",[],"%s"]]' % tag.encode():
        return Reply(tag)  # by far the most frequent answer of bulk work
    replies = read_replies(body)
    if len(replies) != 1:
        raise ReplyError(f"{len(replies)} answers to one command")
    if replies[0].tag != tag:
        raise ReplyError(f"the answer carries the tag {replies[0].tag[:40]!r}, not {tag!r}")
    return replies[0]


def read_replies(body: bytes) -> list[Reply]:
    """All answers of a body.

    Raises:
        ReplyError: not doveadm's format.
    """
    document = _document(body)
    if not isinstance(document, list):
        raise ReplyError(f"not a list of answers but {_kind(document)}")
    return [_reply(entry) for entry in document]


def _document(body: bytes) -> Any:
    if not body.strip():
        raise ReplyError("an empty body")
    for read in (_as_it_is, _mended):
        try:
            value = read(body)
        except (ValueError, RecursionError):
            continue
        if _is_deeper(value, DEEPEST):
            raise ReplyError("nested too deeply")
        return value
    raise ReplyError("not JSON, or JSON that is cut short")


def _as_it_is(body: bytes) -> Any:
    value = loads(body)
    if b"\\ud" in body or b"\\uD" in body:  # half a character, written as an escape, could not be written anywhere
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _mended(body: bytes) -> Any:
    """What is not UTF-8 replaced; and 2.3 leaves out the comma after an answer when the next one is a refusal."""
    return _as_it_is(_with_commas(body.decode("utf-8", errors="replace")).encode(errors="surrogatepass"))


def _is_deeper(value: Any, than: int) -> bool:
    """Whether lists and objects are nested more than so many times."""
    level = [value]
    for _ in range(than):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


# possessive, and with the quote that a cut text lacks left open: no bytes are looked at twice
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|\](?=\s*+\[)', re.DOTALL)


def _with_commas(text: str) -> str:
    return _TOKEN.sub(lambda token: token[0] + "," if token[0] == "]" else token[0], text)


def _reply(entry: Any) -> Reply:
    if not isinstance(entry, list) or len(entry) < 3 or not isinstance(entry[0], str) or not isinstance(entry[-1], str):
        raise ReplyError(f"an answer is not [type, content, tag] but {_kind(entry)}")
    word, *contents, tag = entry
    if word == "doveadmResponse":
        return Reply(tag, tuple(_rows(contents)))
    if word == "error" and isinstance(contents[0], dict):
        kind, code = str(contents[0].get("type", "")), contents[0].get("exitCode")
        return Reply(tag, error=kind or "error", exit_code=code if kind == "exitCode" and type(code) is int else None)
    raise ReplyError(f"an answer of the unknown type {word[:40]!r}")


def _rows(contents: list[Any]) -> list[Row]:
    if len(contents) == 1 and isinstance(contents[0], dict):
        return _object_rows(contents[0])
    rows: list[Row] = []
    for part in contents:  # more than one part: the rows that grouped `who` puts beside its list
        for row in part if isinstance(part, list) else [part]:
            if not isinstance(row, dict):
                raise ReplyError(f"a row is not an object but {_kind(row)}")
            if not _is_header(row):
                rows.append(row)
    return rows


def _object_rows(content: Row) -> list[Row]:
    """`user` answers an object: one user's fields by name, or a list of names."""
    if set(content) == {"userList"} and isinstance(content["userList"], list):
        return [{"user": name} for name in content["userList"]]
    if all(isinstance(value, dict) for value in content.values()):  # also of nobody
        return [{"user": name, **fields} for name, fields in content.items()]
    return [content]


def _is_header(row: Row) -> bool:
    return len(row) > 1 and all(key == value for key, value in row.items())


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")
