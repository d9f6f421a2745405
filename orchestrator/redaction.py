"""Finds a secret in what a server sent, however it is written there. Pure; knows no sockets and no files.

A server repeats what it was sent as it stands, in base64, within longer base64, and escaped for JSON, a page or a URL.
"""

from __future__ import annotations

import base64
import html.entities
import json
import re
from collections.abc import Callable, Iterable, Iterator

REDACTED = "***"  # stands for what was redacted
MARK = REDACTED.encode()
LEAST_CORE = 8  # characters of base64; fewer may be chance
_BASE64 = rb"[A-Za-z0-9+/_-]"
_NUMBERS = re.compile(rb"(?<!\\)(?:\\+u[0-9a-fA-F]{4})+")
# some texts of JSON with what is between them, never a part of one; no byte is looked at twice
_PIECE = re.compile(rb'(?:[^"]*+"(?:[^"\\]++|\\.)*+"?){1,200}+|[^"]++', re.DOTALL)
Patterns = tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]
Escapes = Callable[[str], Iterable[bytes]]  # a character -> how it may be written


def encode(text: str) -> str:
    """Base64 of a text, as both ways of authentication use it."""
    return base64.b64encode(text.encode()).decode()


class Finder:
    """Knows all forms of one secret.

    Args:
        value: the secret.
    """

    __slots__ = ("_literal", "_made", "_unescaped", "_value", "_weighty")

    def __init__(self, value: str) -> None:
        self._value = value
        self._literal = tuple({form.encode() for form in (value, *_forms(value), *_cores(value))})
        self._unescaped = tuple(form.replace(b"\\", b"") for form in self._literal)
        self._weighty = _is_weighty(value)
        self._made: dict[Escapes, Patterns] = {}

    def in_words(self, text: bytes) -> bytes:
        """Words, with the secret and its base64 forms redacted wherever they stand, escaped or not."""
        if not _holds(text, (*self._literal, b"\\", b"%", b"&")):
            return text
        encoded, value, _ = self._patterns(_in_words)
        return value.sub(MARK, encoded.sub(MARK, text))

    def in_data(self, data: bytes) -> bytes:
        """JSON, with the base64 forms redacted, and values that are the secret.

        Rows are worked with: a secret that may be a usual word is not cut out of the midst of users' names. One that is none goes
        wherever it stands.
        """
        return _PIECE.sub(lambda piece: self._cut(piece[0]), data) if self._is_in(data) else data

    def _is_in(self, data: bytes) -> bool:
        """Whether JSON holds the secret in some form; quick, since nearly all answers do not."""
        return _holds(_bare(data), self._unescaped) if b"\\" in data else _holds(data, self._literal)

    def _cut(self, data: bytes) -> bytes:
        if not self._is_in(data):
            return data
        encoded, value, whole = self._patterns(_in_json)
        data = whole.sub(b'"%s"' % MARK, encoded.sub(MARK, data))
        return value.sub(MARK, data) if self._weighty else data

    def _patterns(self, escapes: Escapes) -> Patterns:
        """Made when something is found or escaped for the first time."""
        if escapes not in self._made:
            self._made[escapes] = _patterns(self._value, escapes)
        return self._made[escapes]


def _holds(text: bytes, any_of: Iterable[bytes]) -> bool:
    for form in any_of:  # noqa: SIM110 - every answer comes through here, and a generator costs more than what it looks for
        if form in text:
            return True
    return False


def _bare(data: bytes) -> bytes:
    """JSON without its escapes, also those of JSON within it; not to be read, but to see whether something is in it."""
    return _NUMBERS.sub(_by_number, data).replace(b"\\", b"") if b"\\u" in data else data.replace(b"\\", b"")


def _by_number(escapes: re.Match[bytes]) -> bytes:
    units = bytes.fromhex(escapes[0].replace(b"\\", b"").replace(b"u", b"").decode())
    return units.decode("utf-16-be", errors="replace").encode()


def _is_weighty(value: str) -> bool:
    """Whether it is surely no part of a name by chance."""
    return len(value) >= 16 or (len(value) >= 8 and not value.isalpha() and not value.isdecimal())


def _forms(value: str) -> list[str]:
    """As both ways of authentication send it, without padding."""
    return [encode(text).rstrip("=") for text in ("doveadm:" + value, value)]


def _cores(value: str) -> list[str]:
    """What stands in the base64 of any longer text that holds the value, in both alphabets, where it is long enough."""
    cores: dict[str, None] = {}
    for before, text in ((0, "doveadm:" + value), (0, value), (1, value), (2, value)):
        data = b"\0" * before + text.encode()
        written = base64.b64encode(data).decode().rstrip("=")
        core = written[(0, 2, 3)[before] : len(written) - bool(len(data) % 3)]
        if len(core) >= LEAST_CORE:
            cores |= dict.fromkeys((core, core.replace("+", "-").replace("/", "_")))
    return list(cores)


def _patterns(value: str, escapes: Escapes) -> Patterns:
    """Of the base64 forms, of the value itself, and of it as a whole text of JSON."""

    def written(text: str) -> bytes:
        return b"".join(b"(?:" + b"|".join(escapes(character)) + b")" for character in text)

    # a form that lacks its padding may be the begin of a longer one by chance, and counts where it ends there
    whole = [written(form) + (rb"(?:=+|(?!" + _BASE64 + rb"))" if len(form) % 4 else b"") for form in _forms(value)]
    within = [_BASE64 + b"?" + written(core) + _BASE64 + b"?=*" for core in _cores(value)]
    plain = written(value)
    return re.compile(b"|".join([*whole, *within])), re.compile(plain), re.compile(b'"' + plain + b'"')


def _in_json(character: str) -> Iterator[bytes]:
    """A character as it stands, and as JSON may write it; also JSON within the text of JSON."""
    plain = re.escape(character.encode())
    yield rb"\\{1,8}" if character == "\\" else rb"\\{0,8}" + plain if character in "\"/'" else plain
    for form in {json.dumps(character)[1:-1], *_units(character)}:
        if form.startswith("\\u"):
            yield b"".join(rb"\\{1,8}u(?i:%s)" % unit.encode() for unit in form.split("\\u")[1:])
        elif form.startswith("\\") and form[1] not in '"\\':
            yield rb"\\{1,8}" + form[1:].encode()


def _units(character: str) -> Iterator[str]:
    """The escape by number, which JSON may write for any character."""
    if ord(character) < 0x10000:
        yield f"\\u{ord(character):04x}"


def _in_words(character: str) -> Iterator[bytes]:
    """As in JSON, and as pages, URLs and texts in Latin-1 may write it."""
    yield from _in_json(character)
    number = ord(character)
    yield b"".join(b"%%(?i:%02x)" % byte for byte in character.encode())
    yield rb"&#0*%d;" % number
    yield rb"&#[xX]0*(?i:%x);" % number
    if name := html.entities.codepoint2name.get(number, {39: "apos"}.get(number)):
        yield b"&%s;" % name.encode()
    if character == " ":
        yield rb"\+"
    if 0x80 <= number <= 0xFF:
        yield re.escape(bytes([number]))
