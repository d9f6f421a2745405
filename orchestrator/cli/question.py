"""Questions to the operator. Only what is typed after the question stands there is an answer."""

from __future__ import annotations

import contextlib
import sys
import termios
from collections.abc import Callable

import anyio

from orchestrator.cli.output import message
from orchestrator.views.words import safe

_YES, _NO = {"y", "yes"}, {"n", "no", ""}


def ask(question: str) -> bool:
    """Ask on the terminal, and wait for the answer; Enter alone, and the end of input, are a no."""
    while True:
        _forget_typed()
        message(_asked(question), end="")
        answer = _read()
        if answer in _YES | _NO:
            return answer in _YES
        message("please answer y or n")


def ask_to_type(question: str, word: str) -> bool:
    """Have a word typed on the terminal, in capitals or not; anything else is a no."""
    _forget_typed()
    message(f"{safe(question, 1000)}: ", end="")
    return _folded(_read()) == _folded(word)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


async def ask_meanwhile(question: str, show: Callable[[str], None]) -> bool:
    """The same inside an event loop; a cancellation ends the question.

    Args:
        question: what to ask.
        show: prints a text without ever waiting for it, since a terminal may be stopped.
    """
    while True:
        _forget_typed()
        show(_asked(question))
        await anyio.wait_readable(sys.stdin)  # not in a thread: a signal must be able to end the question
        answer = _read()
        if answer in _YES | _NO:
            return answer in _YES
        show("please answer y or n\n")


def _forget_typed() -> None:
    """Throw away what was typed before the question."""
    with contextlib.suppress(OSError, termios.error, ValueError):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _asked(question: str) -> str:
    return f"{safe(question, 1000)} [y/N]: "


def _read() -> str:
    try:
        return sys.stdin.readline().strip().lower()
    except (OSError, ValueError):  # the terminal is gone
        return ""
