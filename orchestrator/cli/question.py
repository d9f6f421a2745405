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


def ask_for(question: str, word: str, what: str) -> bool:
    """Ask on the terminal for a word, which nobody types by habit; Enter alone, and the end of input, are a no.

    Args:
        question: what is about to happen.
        word: what is to be typed.
        what: what typing it does, such as "run it".
    """
    while True:
        _forget_typed()
        message(safe(question, 1000))
        message(f"Type {word} to {what}, or Enter to leave: ", end="")
        answer = _read(lower=False)
        if answer == word or answer.lower() in _NO:
            return answer == word
        message(f"that is not {word}")


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


def _read(*, lower: bool = True) -> str:
    try:
        typed = sys.stdin.readline().strip()
        return typed.lower() if lower else typed
    except (OSError, ValueError):  # the terminal is gone
        return ""
