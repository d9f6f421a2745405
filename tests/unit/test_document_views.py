"""A document in its three forms: the same words in each, whatever they are, and never markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree.ElementTree import Element

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from linkify_it.ucre import SRC_IP4  # noqa: F401 - links are found only when it is installed
from markdown_it import MarkdownIt

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
    Section,
    Strong,
    Table,
    Tone,
    plain,
    spans,
)
from orchestrator.views.document_html import document_html
from orchestrator.views.document_markdown import document_markdown
from orchestrator.views.document_text import columns, document_text

HOSTILE = [
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- x", "]]>", "&lt;b&gt;", "&amp", '"><b a="',
    "a | b", "a\\|b", "\\", "x\\", "`", "```", "`` a ` b", " `a` ", "```\n\n# x", "[x](javascript:alert(1))", "![x](http://127.0.0.1/x)",
    "[x]: http://127.0.0.1", "<http://127.0.0.1>", "http://127.0.0.1/a_b_c", "www.example.com", "jane@example.com", "@all", "#12", "!7",
    "**b**", "_i_", "~~s~~", "a * b * c", "# x", "- x", "1. x", "1) x", "> x", "---", "===", "+ x", "    indented", "\tx", "one\ntwo\n\nthree",
    "a\r\nb", "\x1b[2J", "\u202eabc\u2066", "\x00", "\u2028", "|---|---|", "- [ ] x", "{code}", "[code]<b>x</b>[/code]", ":smile:", "$1", "x" * 300,
    "名前" * 60, "é e\u0301 ü", "", " ", "mailto:x", "2026-11-28 02:00", "10.0.0.1", "50 % of 3 & 4", "C:\\temp", "a</style>", "</details>",
    "\udc80 of no encoding", "a:b::c", "ftp://x", "//x", "*", "_", "- ", "=", "``", "\\`",
]  # fmt: skip

anything = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=4).map("".join)
SVG = Element("svg", {"height": "10"})


def document(text: str) -> Document:
    """A document in which a text stands wherever one can."""
    table = Table((text, "n"), ((text, "1"), (Mono(text), "2"), ((Strong(text), " ", text), "3")), {1})
    return Document(
        text,
        (
            Paragraph(text),
            Paragraph(("a ", Mono(text), " b ", Strong(text), " c ", text)),
            Facts(((text, text), (text, Mono(text)))),
            Section(
                text,
                (
                    table,
                    Listing((text, Mono(text), Listing((text,)))),
                    Code(text, text),
                    Folded(text, (Paragraph(text), table)),
                    Callout(Tone.WARNING, text, (Listing((text,)),)),
                    Figure(SVG, text),
                ),
            ),
        ),
    )


def lines(text: str) -> str:
    """A document as Markdown."""
    return "\n".join(document_markdown(document(text)))


def seen(text: str) -> str:
    """A text as it shall be seen, but for how many blanks there are."""
    return " ".join("".join(map(plain, spans(text))).split())


MARKDOWN = MarkdownIt("gfm-like")
INLINE = {"text", "code_inline", "strong_open", "strong_close", "text_special"}


def shape(markdown: str) -> list[str]:
    """The blocks of a Markdown text, in order."""
    return [token.type for token in MARKDOWN.parse(markdown)]


def pieces(markdown: str) -> Iterator[str]:
    """The words of each block, blanks made one; within a line nothing is anything but text, code and strong words."""
    for token in MARKDOWN.parse(markdown):
        if token.type == "inline":
            assert {child.type for child in token.children or ()} <= INLINE, markdown
            yield " ".join("".join(child.content for child in token.children or ()).split())


@given(anything.filter(lambda text: bool(seen(text))))
@example("\\")
def test_in_markdown_a_text_is_only_itself(text: str) -> None:
    """Whatever a text is, a ticket has the same blocks as with a harmless one, and each block the text itself."""
    found = lines(text)
    assert shape(found) == shape(lines("x"))
    expected = [" ".join(piece.split()).replace("x", "\0") for piece in pieces(lines("x"))]
    words = {"\0": seen(text)}
    usual = [re.sub("\0", lambda _: words["\0"], piece) for piece in expected]
    assert [piece.replace(" ", "") for piece in pieces(found)] == [piece.replace(" ", "") for piece in usual]


@pytest.mark.parametrize("text", HOSTILE)
def test_in_markdown_each_hostile_text_is_only_itself(text: str) -> None:
    """The texts that are known to be trouble, one at a time."""
    if seen(text):
        test_in_markdown_a_text_is_only_itself.hypothesis.inner_test(text)  # type: ignore[attr-defined]


class Page(HTMLParser):
    """The tags, the texts and the attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.texts.append("")
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Note it."""
        self.tags.append(f"/{tag}")
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.texts[-1:] = ["".join([*self.texts[-1:], data])]

    def handle_comment(self, data: str) -> None:
        """There is none."""
        raise AssertionError(data)


def html(text: str) -> str:
    """A document as HTML."""
    return "".join(document_html(document(text)))


@given(anything)
def test_in_html_a_text_is_only_itself(text: str) -> None:
    """Whatever a text is, a page has the same elements as with a harmless one, and between them the text itself."""
    found, usual = Page(html(text)), Page(html("x"))
    assert found.tags == usual.tags
    assert [name for name, _ in found.attributes] == [name for name, _ in usual.attributes]
    assert found.texts.count(found.texts[3]) >= usual.texts.count("x")
    cells = [value for name, value in found.attributes if name == "data-label" and value != "n"]
    assert {" ".join((cell or "").split()) for cell in cells} == {seen(text)}


@pytest.mark.parametrize("text", HOSTILE)
def test_in_html_each_hostile_text_is_only_itself(text: str) -> None:
    """The texts that are known to be trouble, one at a time."""
    test_in_html_a_text_is_only_itself.hypothesis.inner_test(text)  # type: ignore[attr-defined]


def test_a_page_needs_nothing_and_runs_nothing() -> None:
    """There is no script and no address to fetch from, and the page itself forbids both."""
    page = Page(html("http://127.0.0.1/x"))
    assert not {"script", "iframe", "img", "object", "form", "a"} & set(page.tags)
    values = dict(page.attributes)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "style", "action"}]
    assert values["href"] == "data:,"
    assert str(values["content"]) != ""
    policy = next(str(value) for name, value in page.attributes if name == "content" and "default-src" in str(value))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "url(" not in html("x")
    assert "@import" not in html("x")


@given(anything)
def test_a_terminal_gets_text_alone(text: str) -> None:
    """No line of the text form does anything to a terminal, and none ends before its end."""
    for line in document_text(document(text)):
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", line)


@given(
    st.lists(
        st.sampled_from(["word", "two words", "a longer sentence of words", "10.0.0.1", "名前"]), min_size=1, max_size=8
    ).map(" ".join)
)
def test_text_fits_the_page(text: str) -> None:
    """Lines of words that are short are no longer than the page, in tables and listings too."""
    table = Table((text, "n"), ((text, "1"),), {1})
    within = (Paragraph(text), Facts(((text, text),)), table, Listing((text, Listing((text,)))))
    found = Document(text, (*within, Callout(Tone.NOTE, text, within), Folded(text, within)))
    assert [line for line in document_text(found, 60) if columns(line) > 60] == []


def test_the_text_form() -> None:
    """A document for a terminal."""
    found = Document(
        "Drain b1",
        (
            Callout(Tone.PROBLEM, "stopped: 3 operations failed, 2 allowed"),
            Facts((("Ticket", "CHG-1"), ("Program", "orchestrator 0.1.0"))),
            Section(
                "Steps",
                (
                    Table(("Step", "Done", "What"), (("1", "12", "Kick them"), ("2", "1204", "Move " * 30)), {1}),
                    Listing(("one", Listing(("within",)), "two")),
                    Code("orchestrator resume x\n  y", "sh"),
                    Folded("All requests", (Paragraph("many"),), (Paragraph("see the file"),)),
                    Figure(SVG, "A time line"),
                ),
            ),
        ),
    )
    assert (
        "\n".join(document_text(found, 40))
        == """\
Drain b1
========

PROBLEM: stopped: 3 operations failed, 2
  allowed

Ticket   CHG-1
Program  orchestrator 0.1.0

Steps
-----
Step  Done  What
----  ----  ----------------------------
1       12  Kick them
2     1204  Move Move Move Move Move
            Move Move Move Move Move
            Move Move Move Move Move
            Move Move Move Move Move
            Move Move Move Move Move
            Move Move Move Move Move

- one
  - within
- two

    orchestrator resume x
      y

All requests:
  see the file

A time line"""
    )


def test_the_markdown_form() -> None:
    """A document for a ticket."""
    found = Document(
        "Drain b1",
        (
            Callout(Tone.OK, ("done: ", Strong("12"), " of 12"), (Paragraph("all of it"),)),
            Facts((("Program", Mono("orchestrator 0.1.0")), ("By", "root on mx1, jane@example.com"))),
            Section(
                "Steps",
                (
                    Table(("Step", "Done"), (("1", "12"), (Mono("a|b"), "a|b_c")), {1}),
                    Listing(("one", Listing(("within",)), "- two")),
                    Code("```\nx", "sh"),
                    Section("More", ()),
                ),
            ),
        ),
    )
    assert (
        "\n".join(document_markdown(found))
        == """\
# Drain b1

> **OK:** done: **12** of 12
>
> all of it

- **Program:** `orchestrator 0.1.0`
- **By:** root on mx1, `jane@example.com`

## Steps

| Step | Done |
| --- | ---: |
| 1 | 12 |
| `a\\|b` | a\\|b\\_c |

- one
  - within
- \\- two

````sh
```
x
````

### More"""
    )


def test_a_wide_letter_takes_two_columns() -> None:
    """What a terminal shows two columns wide, or none, is counted so."""
    assert [columns(text) for text in ("abc", "名前", "e\u0301", "")] == [3, 4, 1, 0]
