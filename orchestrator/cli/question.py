"""Questions to the operator. Only what is typed after the question stands there is an answer."""

from __future__ import annotations

import contextlib
import sys
import termios

import anyio

from orchestrator.cli.output import message

_YES, _NO = {"y", "yes"}, {"n", "no", ""}


def ask(question: str) -> bool:
    """Ask on the terminal, and wait for the answer; Enter alone, and the end of input, are a no."""
    while True:
        _put(question)
        answer = _read()
        if answer in _YES | _NO:
            return answer in _YES
        message("please answer y or n")


async def ask_meanwhile(question: str) -> bool:
    """The same inside an event loop; a cancellation ends the question."""
    while True:
        _put(question)
        await anyio.wait_readable(sys.stdin)  # not in a thread: a signal must be able to end the question
        answer = _read()
        if answer in _YES | _NO:
            return answer in _YES
        message("please answer y or n")


def _put(question: str) -> None:
    """Print the question, and throw away what was typed before it."""
    with contextlib.suppress(OSError, termios.error, ValueError):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{question} [y/N]: ")
        sys.stderr.flush()


def _read() -> str:
    try:
        return sys.stdin.readline().strip().lower()
    except (OSError, ValueError):  # the terminal is gone
        return ""
