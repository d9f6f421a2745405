"""A document for a browser, and for paper: one HTML file that needs nothing else, asks nobody for anything and runs nothing.

It is made as a tree of elements, which the serializer escapes: there is no place where a text could become markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

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
    Strong,
    Table,
    Words,
    spans,
)
from orchestrator.views.words import harmless

DEEPEST = 6  # levels of titles that there are


def document_html(document: Document) -> Iterator[str]:
    """The file, in pieces."""
    title = "".join(_texts(document.title))
    yield '<!DOCTYPE html>\n<html lang="en">\n'
    yield _written(_head(title))
    yield "<body>\n<main>\n"
    yield _written(_element("h1", title))
    for part in document.parts:
        yield from map(_written, _part(part, 2))
    yield "</main>\n</body>\n</html>\n"


def _written(element: Element) -> str:
    element.tail = "\n"
    return tostring(element, encoding="unicode", method="html")


def _element(tag: str, *inside: Element | str, **attributes: str) -> Element:
    """An element; an attribute's underline is a hyphen, and at its end nothing (`class_`)."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): harmless(value) for name, value in attributes.items()})
    last: Element | None = None
    for part in inside:
        if isinstance(part, Element):
            made.append(part)
            last = part
        elif last is None:
            made.text = (made.text or "") + part
        else:
            last.tail = (last.tail or "") + part
    return made


def _head(title: str) -> Element:
    """Nothing may be loaded, sent or run, and only this style applies, whatever a browser finds in the body."""
    style = _style()
    seal = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{seal}'; img-src data:; base-uri 'none'; form-action 'none'"
    return _element(
        "head",
        _element("meta", charset="utf-8"),
        _element("meta", http_equiv="Content-Security-Policy", content=policy),
        _element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _element("meta", name="color-scheme", content="light dark"),
        _element("meta", name="referrer", content="no-referrer"),
        _element("link", rel="icon", href="data:,"),  # else a browser asks the server for one
        _element("title", title),
        _element("style", style),
    )


@cache
def _style() -> str:
    return Path(__file__).with_name("document.css").read_text(encoding="utf-8")


def _part(part: Part, level: int) -> Iterator[Element]:
    match part:
        case Section():
            title = _element(f"h{min(level, DEEPEST)}", *_line(part.title))
            yield _element("section", title, *_parts(part.parts, level + 1))
        case Paragraph():
            yield _element("p", *_line(part.words))
        case Facts():
            yield _element("dl", *_facts(part))
        case Table():
            yield _table(part)
        case Listing():
            yield _listing(part)
        case Code():
            code = _element("code", harmless(part.text))
            yield _element("pre", code, tabindex="0")
        case Folded():
            summary = _element("summary", *_line(part.title))
            yield _element("details", summary, *_parts(part.parts, level))
        case Callout():
            tone = _element("strong", f"{part.tone.value}:")
            words = _element("p", tone, " ", *_line(part.words))
            yield _element(
                "div", words, *_parts(part.parts, level), class_=f"callout {part.tone.name.lower()}", role="note"
            )
        case Figure():
            yield _figure(part)


def _parts(parts: Sequence[Part], level: int) -> Iterator[Element]:
    for part in parts:
        yield from _part(part, level)


def _texts(words: Words) -> Iterator[str]:
    return (span if isinstance(span, str) else span.text for span in spans(words))


def _line(words: Words) -> Iterator[Element | str]:
    for span in spans(words):
        if isinstance(span, Strong):
            yield _element("strong", span.text)
        elif isinstance(span, Mono):
            yield _element("code", span.text)
        else:
            yield span


def _facts(facts: Facts) -> Iterator[Element]:
    for label, words in facts.pairs:
        yield _element("div", _element("dt", *_line(label)), _element("dd", *_line(words)))


def _table(table: Table) -> Element:
    head = (_element("th", *_line(text), scope="col", **_kind(table, column)) for column, text in enumerate(table.head))
    rows = (_element("tr", *_cells(table, row)) for row in table.rows)
    return _element("table", _element("thead", _element("tr", *head)), _element("tbody", *rows))


def _cells(table: Table, row: Sequence[Words]) -> Iterator[Element]:
    """Each cell knows its column's head, which stands before it on a narrow screen, where cells stand below each other."""
    for column, (label, words) in enumerate(zip(table.head, row, strict=True)):
        yield _element("td", _element("span", *_line(words)), data_label=label, **_kind(table, column))


def _kind(table: Table, column: int) -> dict[str, str]:
    return {"class": "number"} if column in table.numbers else {}


def _listing(listing: Listing) -> Element:
    made = _element("ul")
    for item in listing.items:
        if not isinstance(item, Listing):
            made.append(_element("li", *_line(item)))
        elif len(made):
            made[-1].append(_listing(item))
        else:
            made.append(_element("li", _listing(item)))
    return made


def _figure(figure: Figure) -> Element:
    figure.svg.attrib.update({"role": "img", "aria-label": harmless(figure.alternative), "width": "100%"})
    return _element("figure", figure.svg)
