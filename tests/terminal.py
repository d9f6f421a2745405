"""A terminal of its own for a command: what it shows can be read, keys can be typed, and it can be lost."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.command_line import CommandLine

DEADLINE = 60.0  # seconds within which a terminal shows what is waited for


class Terminal:
    """`orchestrator` on a pseudo-terminal, in a session of its own, so that losing the terminal is what it is in life.

    Args:
        cli: whose environment it has.
        arguments: of the command.
        out: where stdout goes; the terminal, unless said otherwise.
    """

    def __init__(self, cli: CommandLine, *arguments: str, out: Path | None = None) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        with contextlib.ExitStack() as stack:
            stdout = stack.enter_context(out.open("w")) if out else slave
            self.process = subprocess.Popen(
                [*cli.program, *arguments],
                env={**cli.environment, "TERM": "xterm", "COLUMNS": "100"},
                cwd=cli.folder,
                stdin=slave,
                stdout=stdout,
                stderr=slave,
                start_new_session=True,
                preexec_fn=_take_terminal,  # noqa: PLW1509 - it is the only thread that matters
            )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.lose()

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until the terminal has shown a text; returns all that it has shown."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.shown}"
            if not self._read(0.2) and self.process.poll() is not None:
                assert text in self.shown, f"{text!r} was not shown before the end: {self.shown}"
        return self.shown

    def end(self) -> int:
        """Read until the command has ended; returns its exit code."""
        while self._read(0.2) or self.process.poll() is None:
            pass
        return self.process.wait(DEADLINE)

    def lose(self) -> None:
        """The terminal is gone, as when a connection breaks."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


def _take_terminal() -> None:
    """Have the terminal on stdin be this session's."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
