"""Texts that are no YAML: what is said, and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.text.document import parse
from tests.strategies import NOWHERE, document

LIST = "name: P\nsteps:\n  - name: S\n"
QUOTES = 'an expression must be in quotes: "{{ ... }}"'
NOT_LIKE = "begin both in the same column"
NO_BREAK = "no-break space (U+00A0) here; replace it by an ordinary space"
COLON = "a text with ': ' in it must be in quotes"


def said(text: str) -> tuple[str, tuple[int, int]]:
    """What is said of a text, and where."""
    with pytest.raises(InputError) as caught:
        document(text)
    [found] = caught.value.problems
    return found.message, (found.place.line, found.place.column)


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a:\n\t- b", "a tab cannot indent in YAML: use spaces", (2, 1)),
        ("a: 'x'\n\tb: 1", "a tab cannot indent", (2, 1)),
        ("a: b\n\tc: d", "a tab cannot indent", (2, 1)),
        ("a: >\n\tx", "a tab cannot indent", (2, 1)),
        ("name:\u00a0P\nsteps:\n  - name: S", NO_BREAK, (1, 6)),
        ("name: P\nsteps:\n\u00a0\u00a0- name: S\n    hosts: b1\n", NO_BREAK, (3, 1)),
        (LIST + "  \u00a0 hosts: b1\n", NO_BREAK, (4, 3)),
        (LIST + "   \u3000hosts: b1\n    command: who", "ideographic space (U+3000)", (4, 4)),
        (LIST + "    hosts:\u200bb1\n    command: who", "zero width space (U+200B)", (4, 11)),
        ("mask: {{ u }}-x", QUOTES, (1, 7)),
        ("mask: [{{ rows[0]['u'] }}]", QUOTES, (1, 8)),
        ("mask: ['a', {{ u }}-x]", QUOTES, (1, 13)),
        ('mask: ["a", {{ u }}-x]', QUOTES, (1, 13)),
        ('mask: "a: {{ u }}" x', "something follows a value that is closed already", (1, 20)),
        ("mask: 'a: {{ u }}' x", "something follows a value that is closed already", (1, 20)),
        ("a: [{{ b\n  }}: c", QUOTES, (1, 5)),
        ("a: [1,\n  {{ b }}x,\n  3", QUOTES, (2, 3)),
        (LIST + "    hosts: {{ a | where('b', 'c') }}\n", QUOTES, (4, 12)),
        ("mask: {% if x %}", "statements ({% %}) are not available; only expressions are, in quotes", (1, 8)),
        ("name: Kick: all of them", COLON, (1, 7)),
        ("- name: drain b1: now", COLON, (1, 9)),
        ("a: b: c\n\n\n\ng:\u00a0h", COLON, (1, 4)),
        (LIST + "      hosts: b1\n", "this line is deeper than the key above it, which has its value already", (4, 7)),
        ("name P\nsteps:\n", "this line is neither `key: value` nor `- item`", (1, 1)),
        ("name: P\nsteps\nlimits: {}", "this line is neither `key: value` nor `- item`", (2, 1)),
        ("a: 'x\nb: 1\nc: 2", "this quote is not closed", (1, 4)),
        ('a: 1\nb: "x\n', "this quote is not closed", (2, 4)),
        ("a: 'it's'", "something follows a value that is closed already", (1, 8)),
        ('- "a" b', "something follows a value that is closed already", (1, 7)),
        ('a: "C:\\Users"', "in double quotes \\ begins an escape: write \\\\, or use single quotes", (1, 9)),
        ('a: "\\d"', "in double quotes \\ begins an escape", (1, 5)),
        ("a: [1, 2\nb: 3\n", "this [ is not closed", (1, 4)),
        ("a: {b: 1", "this { is not closed", (1, 4)),
        ("a: [b, c}", "not valid YAML: expected ',' or ']' here", (1, 9)),
        ("a: [b, {]", "] stands where a value is expected", (1, 9)),
        (LIST + "   hosts: b1\n", "this line is no item (- ...) of it: look at its indentation", (4, 4)),
        ("name: P\nsteps:\n  - a\n - b\n", "this line begins in a column where nothing above begins", (4, 2)),
        ("steps: - name: S", "a list begins on the line after its key", (1, 8)),
        ("mask: *", "a text that begins with * must be in quotes", (1, 7)),
        ("mask: [*@example.com]", "a text that begins with * must be in quotes", (1, 8)),
        ("mask: *jane", "a text that begins with * must be in quotes", (1, 7)),
        ("hosts: &", "a text that begins with & must be in quotes", (1, 8)),
        ("hosts: !b3,b4", "a text that begins with ! must be in quotes", (1, 8)),
        ("user: @jane", "a text that begins with @ must be in quotes", (1, 7)),
        ("mask: {@x}", "a text that begins with @ must be in quotes", (1, 8)),
        ("user: `jane`", "a text that begins with ` must be in quotes", (1, 7)),
        ("user: %n", "a text that begins with % must be in quotes", (1, 7)),
        ("help: > 5 users", "after | or > the text begins on the next line", (1, 7)),
        ("a: &x 1\nb: &x 2", "this anchor (&) is defined twice", (2, 4)),
        ("a: 1\n---\nb: 2", "a second document begins here; a file holds one", (2, 1)),
        ("a: 1\n...\nb: 2", "a second document begins here; a file holds one", (3, 1)),
        ("%x\n---\na: 1", "a line cannot begin with %", (1, 1)),
        ("%YAML 2.0\n---\na: 1", "only YAML 1.1 and 1.2 are read", (1, 1)),
        ("a: b\nc: \x00d", "the character U+0000 cannot stand in YAML; remove it", (2, 4)),
        ("a: b\nc: d\x1b[2J", "the character U+001B cannot stand in YAML; remove it", (2, 5)),
        ("a: 'b\u2028c'", "the character U+2028 cannot stand in YAML", (1, 6)),
        ("a: \udcff", "the character U+DCFF cannot stand in YAML", (1, 4)),
        ("a: b\x85c", "the character U+0085 cannot stand in YAML", (1, 5)),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_plain_words(text: str, message: str, place: tuple[int, int]) -> None:
    """A text that is no YAML is refused with what is wrong, what to do, and the place of the mistake itself."""
    found, where = said(text)
    assert message in found
    assert where == place


def test_deep_nesting_is_told_as_such() -> None:
    """Also where the YAML library has enough of it before the limit is looked at."""
    with pytest.raises(InputError, match=r"nested (too deeply|more than)"):
        document("[" * 2000)


def test_an_odd_blank_is_found_above_blank_lines() -> None:
    """What looks like a key and is none is noticed at the next key, however many lines of nothing lie between."""
    with pytest.raises(InputError, match="no-break space"):
        parse("name:\u00a0P\n   \n\n  \nsteps:\n  - name: S", source="a.yaml", folder=NOWHERE)


def test_a_control_character_is_not_printed() -> None:
    """The line with a control character is not shown: a terminal would obey it."""
    with pytest.raises(InputError) as caught:
        document("a: \x1b[2J")
    assert "\x1b" not in caught.value.message


@given(st.text("abc :-'\"\\{}[]*&!@%|>#?,\n\t\u00a0{{}}", max_size=60))
def test_a_place_is_always_within_the_text(text: str) -> None:
    """Whatever is wrong, the place lies in the text, or just behind it."""
    try:
        document(text)
    except InputError as error:
        lines = text.split("\n")
        for found in error.problems:
            assert 1 <= found.place.line <= len(lines) + 1
            assert 1 <= found.place.column <= max(map(len, lines)) + 1
