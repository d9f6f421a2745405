"""Runs command lines in processes that are forked for them, and does to them what happens to processes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.command_line import ROOT

KILLED = -signal.SIGKILL
ENDLESS = -signal.SIGABRT  # what has not come to its end in time is ended so
LONGEST = 60.0  # seconds of a session


@dataclass(frozen=True)
class Trouble:
    """What happens to a process.

    Attributes:
        point: where, or None for a random time.
        number: at which passing of the point.
        after: seconds, for a random time.
        signals: two that it is sent; none for SIGKILL.
        pause: seconds between the two.
        hold: it is not killed, but stands still while something else happens.
        reads: how many bytes of what it prints are read before its output is closed; None for all.
    """

    point: str | None = None
    number: int = 0
    after: float | None = None
    signals: tuple[int, ...] = ()
    pause: float = 0.0
    hold: bool = False
    reads: int | None = None

    @property
    def name(self) -> str:
        """Of the signals."""
        return "+".join(signal.Signals(number).name.removeprefix("SIG") for number in self.signals)


NOTHING = Trouble()


class Kitchen:
    """The process that forks one for each command."""

    def __enter__(self) -> Self:
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("ORCHESTRATOR_", "XDG_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.killpoints", "--serve"],
            env={**plain, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def __call__(
        self,
        command: dict[str, Any],
        trouble: Trouble = NOTHING,
        *,
        held: Callable[[], None] = lambda: None,
        longest: float = LONGEST,
    ) -> int:
        """Run a command line to its end; returns its exit code, or minus the signal that killed it.

        Args:
            command: arguments, folder, environment, said.
            trouble: what happens to it.
            held: is called while it stands still.
            longest: seconds; ENDLESS is returned for one that takes longer after what happened to it.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**command, **asdict(trouble)}) + "\n")
        child = self._read()["pid"]
        timers = []
        if trouble.after is not None:
            numbers = trouble.signals or (signal.SIGKILL,)
            at = [trouble.after + trouble.pause * place for place in range(len(numbers))]
            timers = [threading.Timer(when, _send, (child, number)) for when, number in zip(at, numbers, strict=True)]
        if trouble.hold:
            self._hold(child, held)
        timers.append(threading.Timer((trouble.after or 0.0) + longest, _send, (child, ENDLESS * -1)))
        for timer in timers:
            timer.start()
        code: int = self._read()["code"]
        _end(timers)
        return code

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def _hold(self, child: int, held: Callable[[], None]) -> None:
        """Wait until the process stands still, have something done, and continue it; or it ends before that."""
        deadline = time.monotonic() + LONGEST
        while not self._has_ended() and time.monotonic() < deadline:
            if _stands_still(child):
                try:
                    held()
                finally:
                    _send(child, signal.SIGCONT)
                return

    def _has_ended(self) -> bool:
        return bool(select.select([self._process.stdout], [], [], 0.002)[0])


def _stands_still(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


def _send(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _end(timers: Iterable[threading.Timer]) -> None:
    for timer in timers:
        timer.cancel()
        timer.join()
