"""review."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.report import FORMATS, put

if TYPE_CHECKING:
    from orchestrator.review.model import Review


@click.command("review", short_help="A saved plan, for those who decide about it.")
@click.argument("plan")
@click.option("--format", "form", type=FORMATS, default="text", help="text, or for others: markdown, html, json.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write it to a new file.")
@click.pass_obj
def review(app: App, plan: str, form: str, output: str | None) -> int:
    """Show a saved PLAN as people who do not know this program need it: impact, steps, checks, backout, schedule.

    The plan should have been made with --live, so that users, shares and values are known. markdown is for tickets, html
    is one file for browsers and printers. The encoding of a file is UTF-8; a file is never overwritten. Nothing is sent.

    \b
    Examples:
      orchestrator plan drain-backend -e backend=b1 --live -o b1.plan --ticket CHG-1234
      orchestrator review b1.plan
      orchestrator review b1.plan --format html -o b1.html
    """
    from orchestrator.cli.apply import signatures_of
    from orchestrator.runs.reviewing import review as make

    saved = app.find(plan)
    with saved.read() as reader:
        app.use_config(reader.header.config_path)
    signatures = signatures_of(app, saved, plan, ())
    put(_PIECES[form](make(saved, app.store, app.fleet, plan, signatures, app.program), app.program), form, output)
    return exit_codes.DONE


def _text(found: Review, program: str) -> Iterator[str]:
    from orchestrator.views.document_text import document_text
    from orchestrator.views.review_document import review_document

    yield from (f"{line}\n" for line in document_text(review_document(found, program)))


def _markdown(found: Review, program: str) -> Iterator[str]:
    from orchestrator.views.document_markdown import document_markdown
    from orchestrator.views.review_document import review_document

    yield from (f"{line}\n" for line in document_markdown(review_document(found, program)))


def _html(found: Review, program: str) -> Iterator[str]:
    from orchestrator.views.document_html import document_html
    from orchestrator.views.review_document import review_document

    yield from document_html(review_document(found, program))


def _json(found: Review, _program: str) -> Iterator[str]:
    from orchestrator.views.objects import review_object
    from orchestrator.views.words import json_text

    yield json_text(review_object(found), "utf-8") + "\n"


_PIECES: Mapping[str, Callable[[Review, str], Iterator[str]]] = {
    "text": _text,
    "markdown": _markdown,
    "html": _html,
    "json": _json,
}

COMMANDS = {"review": review}
