"""A document for a ticket: CommonMark with pipe tables, as Jira, ServiceNow and GitLab take it.

What is not our own text comes out as it went in: nothing in it is markup, a link, a mention or the end of a table's cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchestrator.views.document import (
    Callout,
    Code,
    Document,
    Facts,
    Figure,
    Folded,
    Listing,
    Mono,
    Paragraph,
    Part,
    Section,
    Span,
    Strong,
    Table,
    Words,
    plain,
    shown_instead,
    spans,
)
from orchestrator.views.words import harmless

DEEPEST = 6  # levels of titles that there are


def document_markdown(document: Document) -> Iterator[str]:
    """The document, line by line."""
    yield f"# {_line(document.title)}"
    yield from _after(document.parts, 2)


def _part(part: Part, level: int) -> Iterator[str]:
    match part:
        case Section():
            yield f"{'#' * min(level, DEEPEST)} {_line(part.title)}"
            yield from _after(part.parts, level + 1)
        case Paragraph():
            yield _line(part.words)
        case Facts():
            yield from (f"- **{_line(label)}:** {_line(words)}" for label, words in part.pairs)
        case Table():
            yield from _table(part)
        case Listing():
            yield from _listing(part)
        case Code():
            yield from _code(part)
        case Folded():
            yield _line(Strong(plain(part.title)))
            yield from _after(shown_instead(part), level)
        case Callout():
            yield from (f"> {line}".rstrip() for line in _callout(part, level))
        case Figure():
            yield from _blocks(shown_instead(part), level)


def _blocks(parts: Sequence[Part], level: int) -> Iterator[str]:
    for number, lines in enumerate(filter(None, (list(_part(part, level)) for part in parts))):
        if number:
            yield ""
        yield from lines


def _after(parts: Sequence[Part], level: int) -> Iterator[str]:
    if parts:
        yield ""
        yield from _blocks(parts, level)


def _callout(callout: Callout, level: int) -> Iterator[str]:
    yield f"**{callout.tone.value}:** {_line(callout.words)}"
    yield from _after(callout.parts, level)


def _listing(listing: Listing) -> Iterator[str]:
    for item in listing.items:
        if isinstance(item, Listing):
            yield from (f"  {line}" for line in _listing(item))
        else:
            yield f"- {_line(item)}"


def _code(code: Code) -> Iterator[str]:
    text = harmless(code.text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    yield fence + re.sub(r"[^\w-]", "", code.language)
    yield from text.splitlines()
    yield fence


def _table(table: Table) -> Iterator[str]:
    lines = ["---:" if column in table.numbers else "---" for column in range(len(table.head))]
    for row in ([_line(text, cell=True) for text in table.head], lines, *_rows(table)):
        yield f"| {' | '.join(row)} |"


def _rows(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        yield [_line(words, cell=True) for words in row]


def _line(words: Words, *, cell: bool = False) -> str:
    """A line of prose; at its beginning nothing is a title, a bullet, a number or a rule."""
    text = ""
    for span in spans(words):
        more = _span(span, cell=cell)
        text += (" " if text.endswith("`") and more.startswith("`") else "") + more  # else they are one code span
    text = text.strip()
    if cell:
        return text
    return _BEGINNING.sub(lambda found: f"{found[1]}\\{found[2]}", text)


def _span(span: Span, *, cell: bool) -> str:
    if isinstance(span, str):
        return _text(span, cell=cell)
    if not span.text.strip():
        return span.text
    if isinstance(span, Strong):
        return f"**{_text(span.text.strip(), cell=cell)}**"
    return _mono(span, cell=cell)


# What a ticket makes a link, a mention, a reference or a picture of, though it is no markup.
_ACTIVE = re.compile(
    r"@ | :// | \bwww\. | \b(?:mailto|xmpp|javascript|data|tel): | [\#!$%&~^]\w | :[\w+-]*[a-z][\w+-]*:",
    re.VERBOSE | re.IGNORECASE,
)
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&#!$])")
_BEGINNING = re.compile(r"^(\d*)([-+=.)])(?=[-=\s]|$)")
_ODD = re.compile(r"\[/?code", re.IGNORECASE)  # in ServiceNow it begins HTML, within backticks too


def _text(text: str, *, cell: bool) -> str:
    """Plain text; a word that would become a link or a mention stands there as code, which becomes neither."""
    words = re.split(r"( +)", text)
    return "".join(_mono(Mono(word), cell=cell) if _ACTIVE.search(word) else _escaped(word) for word in words)


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)


def _mono(span: Mono, *, cell: bool) -> str:
    """A code span; in a cell a pipe is escaped even there, which cannot be said behind a backslash."""
    text = span.text
    if _ODD.search(text) or (cell and "|" in text and "\\" in text):
        return _escaped(text)
    fence = "`" * next(
        number for number in range(1, len(text) + 2) if number not in set(map(len, re.findall("`+", text)))
    )
    space = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{space}{text.replace('|', chr(92) + '|') if cell else text}{space}{fence}"
