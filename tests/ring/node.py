"""One Dovecot server of a ring: start, stop, reload, signal, and its log."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ring import api, leftovers
from tests.ring.api import RingError, wait_until

START_TIMEOUT = 60.0
STOP_TIMEOUT = 40.0  # a master gives its children up to 6 s
LOG_LINES = 30

# All file descriptors there may be: with the usual soft limit of 1024 a server would lower its own limits.
LAUNCH = 'ulimit -n "$(ulimit -Hn)" || :; exec "$@"'


@dataclass(frozen=True)
class Node:
    """A server with a directory of its own.

    Attributes:
        name: "d1".
        address: "127.31.1.1".
        port: of its doveadm HTTP API.
        imap_port: of its IMAP listener.
        password: `doveadm_password`.
        directory: its configuration, log, state and sockets.
    """

    name: str
    address: str
    port: int
    imap_port: int
    directory: Path
    password: str = field(repr=False)

    @property
    def configuration(self) -> Path:
        """Its dovecot.conf."""
        return self.directory / "dovecot.conf"

    @property
    def pid(self) -> int | None:
        """Its master process, or None when that does not run."""
        try:
            pid = int((self.directory / "run/master.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if pid in self.processes() else None

    def processes(self) -> list[int]:
        """All its processes, the master first."""
        return leftovers.servers(self.directory)

    def log(self) -> str:
        """What Dovecot logged since the ring was made."""
        try:
            return (self.directory / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def start(self) -> None:
        """Start it and wait until it serves; nothing to do when it runs."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it; it serves soon after."""
        if self.pid is not None:
            return
        # After a killed master: its children may hold the ports, and Dovecot believes its pid file for as long as
        # that pid exists, if only as a zombie nobody collects.
        self.kill()
        # With a file, not a pipe: the servers inherit it, and a pipe would be read until the last of them ends.
        with (self.directory / "start.out").open("w+") as output:
            command = ["sh", "-c", LAUNCH, "sh", "dovecot", "-c", str(self.configuration)]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=START_TIMEOUT, check=False
            )
            output.seek(0)
            said = output.read()
        if done.returncode:
            raise RingError(self.trouble(f"did not start (exit code {done.returncode}): {said.strip()}"))

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until API and IMAP answer."""
        self._wait(self.answers, timeout, "its doveadm HTTP API does not answer")
        self._wait(self.greets, timeout, "its IMAP listener does not greet")

    def answers(self) -> bool:
        """Whether its doveadm HTTP API answers."""
        try:
            self.call("who", {"mask": ["nobody"]}, timeout=10.0)
        except (OSError, http.client.HTTPException, json.JSONDecodeError, RingError):
            return False
        return True

    def greets(self) -> bool:
        """Whether it greets IMAP clients."""
        return api.greeting(self.address, self.imap_port).startswith("* OK")

    def is_whole(self) -> bool:
        """Whether it answers, greets, and no `serviceStop` took a part of it away."""
        if not (self.answers() and self.greets()):
            return False
        return all(row["doveadm_stop"] == "n" for row in self.call("serviceStatus"))

    def call(self, command: str, parameters: dict[str, Any] | None = None, timeout: float = 30.0) -> list[Any]:
        """One command's rows."""
        return api.call(self.address, self.port, command, parameters or {}, api.basic(self.password), timeout)

    def stop(self) -> None:
        """Stop it as an administrator would, and wait until no process of it is left; nothing to do when none runs."""
        self._to_master(signal.SIGTERM)
        self._wait(lambda: not self.processes(), STOP_TIMEOUT, "it does not stop")

    def restore(self) -> None:
        """Bring it back whatever was done to it: it runs, it goes on, all its services are there."""
        self.thaw()
        if self.pid is not None and not self.is_whole():
            self.kill()
        self.start()

    def kill(self) -> None:
        """End all its processes at once, as a crash of the machine would."""
        leftovers.kill_servers(self.directory)
        (self.directory / "run/master.pid").unlink(missing_ok=True)

    def reload(self) -> None:
        """Make it read its configuration again; asynchronous, as with `doveadm reload`."""
        self.signal(signal.SIGHUP)

    def signal(self, number: int) -> None:
        """Send a signal to its master process."""
        if not self._to_master(number):
            raise RingError(f"{self.name} does not run")

    def freeze(self) -> None:
        """Hang: all its processes stop, connections to it open and nothing is ever said."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let go on what `freeze` or a SIGSTOP stopped."""
        for pid in reversed(self.processes()):
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGCONT)

    def trouble(self, what: str) -> str:
        """A sentence about this server, followed by the end of its log."""
        tail = self.log().splitlines()[-LOG_LINES:] or ["(nothing logged)"]
        return "\n  ".join([f"{self.name} ({self.address}): {what}; the end of its log:", *tail])

    def _to_master(self, number: int) -> bool:
        pid = self.pid
        if pid is None:
            return False
        os.kill(pid, number)
        return True

    def _wait(self, check: Callable[[], bool], timeout: float, what: str) -> None:
        wait_until(check, timeout, lambda: self.trouble(what))
