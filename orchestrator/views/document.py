"""A document as values: what reports and reviews are made of, before they are for a terminal, a ticket or a browser.

No text in it is markup. What shall stand out is a `Strong` or a `Mono`; everything else is shown as it is, whatever a host
or a file called it. Renderers: `document_text`, `document_markdown`, `document_html`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias
from xml.etree.ElementTree import Element

from orchestrator.views.words import safe


@dataclass(frozen=True, slots=True)
class Strong:
    """Words that stand out."""

    text: str


@dataclass(frozen=True, slots=True)
class Mono:
    """What is typed, or what a host, a file or a request calls it: shown character by character."""

    text: str


Span: TypeAlias = str | Strong | Mono
Words: TypeAlias = Span | tuple[Span, ...]  # a line of prose


def spans(words: Words) -> Iterator[Span]:
    """The spans of a line, in which nothing does anything to a terminal, and line ends are blanks."""
    for span in words if isinstance(words, tuple) else (words,):
        text = safe(plain(span), sys.maxsize)
        yield text if isinstance(span, str) else type(span)(text)


def plain(words: Words) -> str:
    """A line without what stands out in it."""
    if isinstance(words, tuple):
        return "".join(map(plain, words))
    return words if isinstance(words, str) else words.text


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A line of prose."""

    words: Words


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and what is so: (("Ticket", "CHG-1"), …)."""

    pairs: Sequence[tuple[str, Words]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head.

    Attributes:
        head: a text for each column.
        rows: as many cells each.
        numbers: the columns (from 0) that hold numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Words]]
    numbers: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """Bullets; a listing among its items belongs to the item before it."""

    items: Sequence[Words | Listing]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines as they are: what is typed, or what was answered.

    Attributes:
        text: with its line ends.
        language: for highlighting: "sh", "json"; empty for none.
    """

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Folded:
    """What is there for those who look for it: folded in a browser, open on paper.

    Attributes:
        title: what one sees of it at first.
        parts: all of it.
        instead: what stands there where nothing can be folded; all of it when that is None.
    """

    title: Words
    parts: Sequence[Part]
    instead: Sequence[Part] | None = None


class Tone(Enum):
    """What a callout is about; its word stands there in all renderers, never its colour alone."""

    OK = "OK"
    NOTE = "Note"
    WARNING = "Warning"
    PROBLEM = "Problem"


@dataclass(frozen=True, slots=True)
class Callout:
    """What nobody may miss.

    Attributes:
        tone: how it looks.
        words: in a line.
        parts: what belongs to it.
    """

    tone: Tone
    words: Words
    parts: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture.

    Attributes:
        svg: its root, of a `height`; its width is the page's. It has the classes of document.css, and no style of its own.
        alternative: what is to be seen, for those who cannot see it.
        instead: what stands there where there are no pictures; the alternative when that is None.
    """

    svg: Element
    alternative: str
    instead: Sequence[Part] | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a title; sections within have smaller ones."""

    title: Words
    parts: Sequence[Part]


Part: TypeAlias = "Section | Paragraph | Facts | Table | Listing | Code | Folded | Callout | Figure"


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document, under its title."""

    title: str
    parts: Sequence[Part]


def shown_instead(part: Folded | Figure) -> Sequence[Part]:
    """What stands there where nothing can be folded or drawn."""
    if part.instead is not None:
        return part.instead
    return part.parts if isinstance(part, Folded) else (Paragraph(part.alternative),)
