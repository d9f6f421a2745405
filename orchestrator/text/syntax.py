"""Why a text is no YAML, in an operator's words and where the mistake is; libyaml's words are those of its author."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Spot = tuple[int, int]  # line and column, from 0

_NOT_ALLOWED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_ODD_BLANK = re.compile("(?:^ *|[-:,\\[{] *)([\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff])")
_EXPRESSION = re.compile(r"(?:^ *|[-:,\[] *)(\{\{)")
_SECOND_COLON = re.compile(r"^[ -]*(?:\"[^\"]*\"|'[^']*'|[^\"':]+): +(?=.*:$)")
_KEY = re.compile(r":(?: |$)")
_CLOSED = re.compile(r"[\"'\]}] *$")

EXPRESSION = 'an expression must be in quotes: "{{ ... }}"'


@dataclass(frozen=True)
class Complaint:
    """What libyaml said.

    Attributes:
        words, context: what is wrong, and what it was reading.
        at: where it noticed.
        start: where what it was reading begins.
        lines: of the text.
    """

    words: str
    context: str
    at: Spot
    start: Spot
    lines: Sequence[str]

    def line(self, number: int) -> str:
        """A line; empty where there is none."""
        return self.lines[number] if 0 <= number < len(self.lines) else ""

    @property
    def before(self) -> str:
        """What stands before the spot, on its line."""
        return self.line(self.at[0])[: self.at[1]]

    @property
    def char(self) -> str:
        """The character at the spot."""
        return self.line(self.at[0])[self.at[1] : self.at[1] + 1]

    @property
    def above(self) -> int:
        """The line before, blank ones left out."""
        return next((n for n in range(self.at[0] - 1, -1, -1) if self.line(n).strip()), self.at[0])


Answer = tuple[str, Spot]


def unreadable(lines: Sequence[str]) -> Answer | None:
    """The first character that YAML refuses, or takes for a line end without looking like one."""
    for number, line in enumerate(lines):
        if found := _NOT_ALLOWED.search(line):
            code = f"U+{ord(found[0]):04X}"
            return f"the character {code} cannot stand in YAML; remove it", (number, found.start())
    return None


def explain(found: Complaint) -> Answer:
    """What is wrong and what to do, and the spot of the mistake, which may be before the one where it was noticed."""
    answer = _unquoted_expression(found) or _odd_blank(found)
    if answer:
        return answer
    said = f"{found.words} {found.context}"
    for words, answering in _TABLE:
        if words in said:
            return answering(found)
    return found.words, found.at


def _unquoted_expression(found: Complaint) -> Answer | None:
    for number in dict.fromkeys((found.at[0], found.start[0])):
        for match in _EXPRESSION.finditer(found.line(number)):
            before = found.line(number)[: match.start(1)]
            if before.count('"') % 2 == before.count("'") % 2 == 0:
                return EXPRESSION, (number, match.start(1))
    return None


def _odd_blank(found: Complaint) -> Answer | None:
    """A no-break space looks like the indentation that it is not; it is noticed a line late."""
    for number in dict.fromkeys((found.at[0], found.above)):
        if match := _ODD_BLANK.search(found.line(number)):
            blank = f"{unicodedata.name(match[1]).lower()} (U+{ord(match[1]):04X})"
            return f"{blank} here; replace it by an ordinary space", (number, match.start(1))
    return None


def _token(found: Complaint) -> Answer:
    if found.char == "\t":
        return _TABS, found.at
    if found.char == "%" and found.before.endswith("{"):
        return "statements ({% %}) are not available; only expressions are, in quotes", found.at
    return f"a text that begins with {found.char} must be in quotes", found.at


def _second_colon(found: Complaint) -> Answer:
    number = found.at[0]
    if match := _SECOND_COLON.match(found.before + ":"):
        return "a text with ': ' in it must be in quotes", (number, match.end())
    above = found.line(found.above)
    if not _KEY.search(above):
        return _NO_KEY, (found.above, _indentation(above))
    return (
        "this line is deeper than the key above it, which has its value already: begin both in the same column",
        (number, _indentation(found.line(number))),
    )


def _misplaced(found: Complaint) -> Answer:
    if _CLOSED.search(found.before):
        return (
            "something follows a value that is closed already; put the whole value in quotes "
            "(within single quotes, '' is a quote)"
        ), found.at
    return "this line begins in a column where nothing above begins: indent it like its neighbours", found.at


def _no_item(found: Complaint) -> Answer:
    if _CLOSED.search(found.before):
        return _misplaced(found)
    return "the lines above are a list, and this line is no item (- ...) of it: look at its indentation", found.at


def _not_closed(found: Complaint) -> Answer:
    opened = found.line(found.start[0])[found.start[1] : found.start[1] + 1]
    if found.at[0] != found.start[0]:
        return f"this {opened} is not closed", found.start
    wanted = found.words.removeprefix("did not find expected ")
    return f"expected {wanted} here; a text with commas, brackets or quotes in it must be in quotes", found.at


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _at(message: str) -> Callable[[Complaint], Answer]:
    return lambda found: (message, found.at)


def _from(message: str) -> Callable[[Complaint], Answer]:
    return lambda found: (message, found.start)


_TABS = "a tab cannot indent in YAML: use spaces"
_NO_KEY = "this line is neither `key: value` nor `- item`"
_SECOND = "a second document begins here; a file holds one"

# What libyaml says, in its words -> what it means here. The first that fits.
_TABLE: list[tuple[str, Callable[[Complaint], Answer]]] = [
    ("cannot start any token", _token),
    ("tab character", _at(_TABS)),
    ("mapping values are not allowed", _second_colon),
    ("could not find expected ':'", _from(_NO_KEY)),
    ("while scanning a quoted scalar", _from("this quote is not closed")),
    ("while parsing a quoted scalar", _at("in double quotes \\ begins an escape: write \\\\, or use single quotes")),
    ("',' or '", _not_closed),
    ("did not find expected node content", lambda f: (f"{f.char or 'an end'} stands where a value is expected", f.at)),
    ("did not find expected key", _misplaced),
    ("did not find expected '-'", _no_item),
    ("block sequence entries", _at("a list begins on the line after its key")),
    ("undefined alias", _at("a text that begins with * must be in quotes (otherwise it refers to an anchor)")),
    ("while scanning an alias", _from("a text that begins with * must be in quotes")),
    ("while scanning an anchor", _from("a text that begins with & must be in quotes")),
    ("while scanning a tag", _from("a text that begins with ! must be in quotes")),
    ("duplicate anchor", _at("this anchor (&) is defined twice")),
    ("while scanning a block scalar", _from("after | or > the text begins on the next line")),
    ("another document", _at(_SECOND)),
    ("<document start>", _at(_SECOND)),
    ("directive", _from("a line cannot begin with %")),
    ("incompatible YAML", _at("only YAML 1.1 and 1.2 are read; leave this line out")),
    ("nesting", _at("nested too deeply")),
]
