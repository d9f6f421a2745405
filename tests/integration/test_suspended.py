"""A process that stands still (Ctrl-Z, SIGSTOP) for longer than it would wait: what came meanwhile is read before time is judged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.command_line import CommandLine
from tests.integration.certificates import Authority
from tests.integration.raw_server import Raw, answered, http

WAIT = 1.0  # seconds, of the client
STANDS = 2.5  # seconds that it stands still
COMMANDS = {
    "repeatable": ("kick", "mask=u"),
    "unrepeatable": ("dictInc", "user=u", "dictUri=file:/x", "key=shared/n", "difference=1"),
}
LOOPS = {
    "uvloop": "from orchestrator.__main__ import main; main()",
    "asyncio": "import sys; sys.modules['uvloop'] = None; from orchestrator.__main__ import main; main()",
}


@dataclass
class Stopper:
    """Has a process stand still for a while, once."""

    process: subprocess.Popen[str] | None = None
    stopped: bool = False
    timers: list[threading.Timer] = field(default_factory=list)

    def stop(self) -> None:
        """Stop it now, and have it go on later."""
        if self.stopped:
            return
        self.stopped = True
        deadline = time.monotonic() + 10
        while self.process is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        self.timers.append(threading.Timer(STANDS, os.kill, (self.process.pid, signal.SIGCONT)))
        self.timers[-1].start()


def start(cli: CommandLine, stopper: Stopper, loop: str, *words: str) -> subprocess.Popen[str]:
    """Start the program on one of the event loops."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    stopper.process = subprocess.Popen(
        [sys.executable, "-c", LOOPS[loop], *words],
        env=cli.environment, cwd=cli.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    return stopper.process


def sent(server: Raw, command: str) -> int:
    """How often a command arrived."""
    return sum(f'"{command}"'.encode() in body for _head, body in server.seen)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("size", [0, 8 * 2**20], ids=["short", "long"])
@pytest.mark.parametrize("effect", COMMANDS)
def test_an_answer_that_has_come_counts(cli_for: Callable[..., CommandLine], effect: str, size: int, loop: str) -> None:
    """An answer that came while the program stood still, also one that its buffers cannot hold, is read: done, and sent once."""
    stopper, command = Stopper(), COMMANDS[effect]

    def answer(_head: bytes, body: bytes) -> bytes:
        if command[0].encode() not in body:
            return http(b"none", "404 No")
        stopper.stop()
        return answered(b'[{"filler":"%s"}]' % (b"x" * size) if size else b"[]", body)

    with Raw(answer) as server:
        cli = cli_for(server, more=f", timeout: {{request: {WAIT}s}}")
        process = start(cli, stopper, loop, "exec", "b1", *command, "--yes", "--format", "json")
        out, err = process.communicate(timeout=60)
        assert stopper.stopped
        assert process.returncode == 0, out[:2000] + err
        assert sent(server, command[0]) == 1


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("effect", COMMANDS)
def test_a_handshake_goes_on(cli_for: Callable[..., CommandLine], authority: Authority, effect: str, loop: str) -> None:
    """A program that stood still within a TLS handshake, for longer than connecting may take, goes on with it: sent once."""
    stopper, command, connections = Stopper(), COMMANDS[effect], 0

    class Stops(Raw):
        def accepted(self) -> None:
            """Before the handshake; the first connection asks for the list of commands."""
            nonlocal connections
            connections += 1
            if connections == 2:
                stopper.stop()

    def answer(_head: bytes, body: bytes) -> bytes:
        return answered(b"[]", body) if body else http(b"none", "404 No")

    with Stops(answer, authority.server()) as server:
        cli = cli_for(
            server,
            scheme="https",
            more=f", timeout: {{connect: {WAIT}s, request: {WAIT}s}}, tls: {{ca_file: {authority.file}}}",
        )
        process = start(cli, stopper, loop, "exec", "b1", *command, "--yes", "-vv")
        out, err = process.communicate(timeout=60)
        assert stopper.stopped
        assert process.returncode == 0, out + err
        assert (sent(server, command[0]), cli.exported()[0]["attempts"]) == (1, 1)


POLL = """
name: Poll
steps:
  - name: Look
    hosts: b1
    command: reload
    verify:
      hosts: b1
      command: who
      until: "{{ rows | length == 1 }}"
      every: 100ms
      within: 1s
"""


@pytest.mark.parametrize("loop", LOOPS)
def test_a_poll_is_asked_once_more(cli_for: Callable[..., CommandLine], loop: str) -> None:
    """A condition that did not hold before the program stood still, for longer than `within`, is asked for again before it has failed."""
    stopper, asked = Stopper(), 0

    def answer(_head: bytes, body: bytes) -> bytes:
        nonlocal asked
        if not body:
            return http(b"none", "404 No")
        if b"who" not in body:
            return answered(b"[]", body)
        asked += 1
        stopper.stop()
        return answered(b"[]" if asked == 1 else b'[{"username":"u"}]', body)

    with Raw(answer) as server:
        cli = cli_for(server)
        process = start(cli, stopper, loop, "run", cli.playbook(POLL), "--yes")
        out, err = process.communicate(timeout=60)
        assert stopper.stopped
        assert process.returncode == 0, out + err
        assert asked == 2
