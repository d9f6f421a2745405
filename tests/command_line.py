"""Runs the command line as an operator does: a process of its own, with an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err

    def json(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """`orchestrator` with a configuration and a state directory.

    Args:
        folder: for state, and the working directory.
        config: the configuration file.

    Attributes:
        program: how the program is called.
        more: variables of its environment.
    """

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = config
        self.program = [sys.executable, "-m", "orchestrator"]
        self.more: dict[str, str] = {}
        self._started: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What the process sees."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("ORCHESTRATOR_", "XDG_"))}
        return {
            **plain,
            "ORCHESTRATOR_CONFIG": str(self.config),
            "ORCHESTRATOR_STATE_DIR": str(self.state),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **self.more,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it and return at once."""
        process = subprocess.Popen(
            [*self.program, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End what is still running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def __call__(self, *arguments: str, timeout: float = 240) -> Result:
        """Run it to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=timeout)
        return Result(process.returncode, out, err)

    def exported(self, run: str = "last") -> list[dict[str, Any]]:
        """The operations of a run."""
        return self("export", run).json()

    def playbook(self, text: str, name: str = "playbook.yaml") -> str:
        """Write a playbook; returns its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


def wait_until(true: Any, *, within: float = 30) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true in time")
        time.sleep(0.01)


def records(path: Path) -> Iterator[dict[str, Any]]:
    """What a simulated fleet recorded of the requests that reached it."""
    if path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


__all__ = ["CommandLine", "Result", "records", "signal", "wait_until"]
