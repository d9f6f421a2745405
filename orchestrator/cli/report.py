"""report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import OutputLostError, emit_folded, message, write, write_utf8

if TYPE_CHECKING:
    from orchestrator.journal.sqlite.store import FileRun

FORMATS = click.Choice(["text", "markdown", "html", "json"])


@click.command("report", short_help="Print the report of a run.")
@click.argument("run", required=False)
@click.option("--format", "form", type=FORMATS, default="text", help="text, or for others: markdown, html, json.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write it to a new file.")
@click.pass_obj
def report(app: App, run: str | None, form: str, output: str | None) -> int:
    """Print the report of RUN (default: the newest).

    markdown is for tickets, html is one file for browsers and printers; both have a time line, the reasons of failures and
    retries, what users noticed, and what is left. The encoding of a file is UTF-8; a file is never overwritten.

    \b
    Examples:
      orchestrator report
      orchestrator report --format markdown | xclip
      orchestrator report last --format html -o CHG-1234.html
    """
    put(_PIECES[form](app.find(run), app.program), form, output)
    return exit_codes.DONE


def put(pieces: Iterable[str], form: str, output: str | None) -> None:
    """Print a document, folded if it is text, or write it to a new file.

    Args:
        pieces: of the document; of text a line each.
        form: "text", or one that is for programs and other people.
        output: the file, or None for stdout.
    """
    if output is not None:
        save(output, pieces)
    elif form == "text":
        for line in pieces:
            emit_folded(line.rstrip("\n"))
    else:
        write_utf8()
        for piece in pieces:
            write(piece, flush=False)


def _text(run: FileRun, program: str) -> Iterator[str]:
    from orchestrator.runs.follow import look
    from orchestrator.views.report_text import report_lines
    from orchestrator.views.words import harmless

    seen = look(run)
    yield from (f"{harmless(line)}\n" for line in report_lines(seen, program))
    if seen.holder:
        yield f"being worked on by {harmless(seen.holder)}\n"


def _markdown(run: FileRun, program: str) -> Iterator[str]:
    from orchestrator.runs.follow import look_fully
    from orchestrator.views.document_markdown import document_markdown
    from orchestrator.views.report_document import report_document

    document = report_document(look_fully(run), program)
    yield from (f"{line}\n" for line in document_markdown(document))


def _html(run: FileRun, program: str) -> Iterator[str]:
    from orchestrator.runs.follow import look_fully
    from orchestrator.views.document_html import document_html
    from orchestrator.views.report_document import report_document

    yield from document_html(report_document(look_fully(run), program))


def _json(run: FileRun, program: str) -> Iterator[str]:
    from orchestrator.runs.follow import look_fully
    from orchestrator.views.objects import full_report_object
    from orchestrator.views.words import json_text

    yield json_text(full_report_object(look_fully(run), program), "utf-8") + "\n"


_PIECES: Mapping[str, Callable[[FileRun, str], Iterator[str]]] = {
    "text": _text,
    "markdown": _markdown,
    "html": _html,
    "json": _json,
}


def save(name: str, pieces: Iterable[str]) -> None:
    """Write a new file, wholly or not at all.

    Raises:
        RefusedError: there is one already.
        InputError: it cannot be created there.
        OutputLostError: it cannot be written.
    """
    from orchestrator.errors import InputError, RefusedError

    text = "".join(pieces)  # what can go wrong with the run goes wrong before there is a file
    path = Path(name)
    try:
        file = path.open("x", encoding="utf-8", errors="backslashreplace")
    except FileExistsError:
        raise RefusedError(f"{name} exists", hint="no file is ever overwritten; give another name") from None
    except OSError as error:
        raise InputError.at(f"it cannot be created: {error.strerror}", name) from None
    try:
        with file:
            file.write(text)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputLostError(error) from None
        raise
    message(f"saved as {name}")


COMMANDS = {"report": report}
