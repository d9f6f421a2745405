"""A document for a terminal, or a mail: plain text that is folded at 80 columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest

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
    Table,
    Words,
    plain,
    shown_instead,
    spans,
)
from orchestrator.views.words import harmless

WIDTH = 80
GAP = "  "
NARROWEST = 8  # columns of a cell that is folded; below that a table is wider than the page


def document_text(document: Document, width: int = WIDTH) -> Iterator[str]:
    """The document, line by line.

    Args:
        document: to be shown.
        width: columns; what is typed again, and a word that is longer, stays whole.
    """
    yield from _title(document.title, width, "=")
    if document.parts:
        yield ""
        yield from _blocks(document.parts, width, 1)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text if letter > "\u10ff")
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _part(part: Part, width: int, level: int) -> Iterator[str]:
    match part:
        case Section():
            yield from _section(part, width, level)
        case Paragraph():
            yield from _fold(_line(part.words), width)
        case Facts():
            yield from _facts(part, width)
        case Table():
            yield from _table(part, width)
        case Listing():
            yield from _listing(part, width)
        case Code():
            yield from (f"    {line}" for line in harmless(part.text).expandtabs(4).splitlines())
        case Folded():
            yield from _fold(f"{_line(part.title)}:", width)
            yield from _within(shown_instead(part), width, level)
        case Callout():
            yield from _fold(f"{part.tone.value.upper()}: {_line(part.words)}", width, "  ")
            yield from _within(part.parts, width, level)
        case Figure():
            yield from _blocks(shown_instead(part), width, level)


def _line(words: Words) -> str:
    return "".join(map(plain, spans(words)))


def _fold(line: str, width: int, after: str = "") -> list[str]:
    """A line in lines of a width, words left whole; `after` stands before all but the first."""
    if columns(line) <= width:
        return [line]
    lines, end = [""], 0
    for word in line.split():
        wide = columns(word)
        if end and end + 1 + wide > width:
            lines.append(after + word)
            end = columns(after) + wide
        else:
            lines[-1] += f" {word}" if end else word
            end += wide + bool(end)
    return lines


def _blocks(parts: Sequence[Part], width: int, level: int) -> Iterator[str]:
    for number, lines in enumerate(filter(None, (list(_part(part, width, level)) for part in parts))):
        if number:
            yield ""
        yield from lines


def _within(parts: Sequence[Part], width: int, level: int) -> Iterator[str]:
    yield from (f"  {line}" if line else "" for line in _blocks(parts, width - 2, level))


def _section(section: Section, width: int, level: int) -> Iterator[str]:
    yield from _title(section.title, width, "-" if level == 1 else ".")
    yield from _blocks(section.parts, width, level + 1)


def _title(words: Words, width: int, under: str) -> Iterator[str]:
    lines = _fold(_line(words), width)
    yield from lines
    yield under * min(max(map(columns, lines)), width)


def _facts(facts: Facts, width: int) -> Iterator[str]:
    labels = min(max((columns(_line(label)) for label, _ in facts.pairs), default=0), width // 3)
    rest = width - labels - len(GAP)
    for label, words in facts.pairs:
        line = _line(words)
        shown = [line] if isinstance(words, Mono) else _fold(line, rest)  # what is typed again stays one line
        yield from _beside([_fold(_line(label), labels), shown], [labels, rest])


def _listing(listing: Listing, width: int) -> Iterator[str]:
    for item in listing.items:
        if isinstance(item, Listing):
            yield from (f"  {line}" for line in _listing(item, width - 2))
        else:
            first, *more = _fold(_line(item), width - 2)
            yield f"- {first}"
            yield from (f"  {line}" for line in more)


def _table(table: Table, width: int) -> Iterator[str]:
    head = [_line(text) for text in table.head]
    rows = [[_line(cell) for cell in row] for row in table.rows]
    wide = _widths([head, *rows], width)
    for row in (head, ["-" * number for number in wide], *rows):
        cells = [_fold(cell, number) for cell, number in zip(row, wide, strict=True)]
        yield from _beside(cells, wide, table.numbers)


def _beside(cells: Sequence[Sequence[str]], wide: Sequence[int], numbers: Collection[int] = ()) -> Iterator[str]:
    """Cells beside each other; those of `numbers` at the right of their columns."""
    for line in zip_longest(*cells, fillvalue=""):
        filled = [" " * max(0, number - columns(text)) for text, number in zip(line, wide, strict=True)]
        both = enumerate(zip(line, filled, strict=True))
        yield GAP.join(fill + text if column in numbers else text + fill for column, (text, fill) in both).rstrip()


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """A width for each column: what it needs, and of those that need most so much less that all of them fit the page."""
    wide = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    words = [max(columns(word) for cell in cells for word in cell.split() or [""]) for cells in zip(*rows, strict=True)]
    while sum(wide) + len(GAP) * (len(wide) - 1) > width:
        column = max(range(len(wide)), key=lambda number: wide[number] - max(NARROWEST, words[number]))
        if wide[column] <= max(NARROWEST, words[column]):
            break
        wide[column] -= 1
    return wide
