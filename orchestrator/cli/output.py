"""What the command line prints: results on stdout, messages on stderr, and what happens when nobody can read them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from orchestrator.views.words import harmless, json_text


class OutputLostError(Exception):
    """Nothing can be printed on stdout any more; a verb that only prints ends of it.

    Attributes:
        reader_gone: the other end of the pipe was closed, as `| head` does, and there is nobody to tell.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.reader_gone = isinstance(error, BrokenPipeError)


def prepare() -> None:
    """Have every character printed, in whatever way the locale's encoding has for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def emit(text: str = "") -> None:
    """A line of the result, on stdout; whatever it was made of does nothing to a terminal.

    Raises:
        OutputLostError: it cannot be written.
    """
    write(harmless(text) + "\n")


_AS_IT_IS = re.compile(r"\s*(?:= |doveadm |next: |to undo: |run |\S+: \[\[|\[\[)")  # what is copied from the screen


def folded(line: str, width: int) -> str:
    """A line of prose in lines that fit a terminal, with words left whole; what is typed again stays one line."""
    if len(line) <= width or _AS_IT_IS.match(line):
        return line
    indent = " " * min(len(line) - len(line.lstrip()) + 2, width // 2)
    return "\n".join(
        textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    )


def emit_folded(line: str) -> None:
    """A line of the result, which fits the terminal where there is one.

    Raises:
        OutputLostError: it cannot be written.
    """
    emit(folded(line, _width(sys.stdout)))


def message_folded(line: str) -> None:
    """A line for the operator, which fits the terminal where there is one."""
    message(folded(line, _width(sys.stderr)))


def _width(stream: TextIO | None) -> int:
    """The columns of a terminal; without one lines are as long as they are."""
    try:
        return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else sys.maxsize
    except ValueError:  # closed
        return sys.maxsize


def write_utf8() -> None:
    """Have the result be UTF-8 whatever the locale says, since other programs read it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")


def write(text: str, *, flush: bool = True) -> None:
    """A part of the result, on stdout; at once, or when there is enough of it.

    Raises:
        OutputLostError: it cannot be written.
    """
    if sys.stdout is None:  # it was closed before this process began: nobody wants it
        return
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except OSError as error:
        _forget(sys.stdout)
        raise OutputLostError(error) from None


def emit_json(value: Mapping[str, Any]) -> None:
    """A JSON line of the result, on stdout.

    Raises:
        OutputLostError: it cannot be written.
    """
    emit(json_text(value, getattr(sys.stdout, "encoding", None) or "utf-8"))


def message(text: str, end: str = "\n") -> None:
    """A line for the operator, on stderr, as harmless; when that cannot be written there is nobody left to tell."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(harmless(text) + end)
        sys.stderr.flush()
    except OSError:
        _forget(sys.stderr)


@contextlib.contextmanager
def beside_the_point() -> Iterator[None]:
    """What is printed here is not what the verb is for: when it cannot be written, that is said, and all goes on."""
    try:
        yield
    except OutputLostError as error:
        message(f"warning: some output could not be written ({error}); everything done is recorded")


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return all(stream is not None and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stderr))


def close() -> None:
    """Write what is still buffered.

    Raises:
        OutputLostError: it cannot be written.
    """
    write("")
    message("", end="")


def _forget(stream: TextIO) -> None:
    """What is still buffered goes nowhere; else the interpreter fails at its exit when it tries to write it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
