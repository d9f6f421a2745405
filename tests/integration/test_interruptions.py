"""Signals at bad moments: in `finally`, before a step sends, while hosts hang, two at once. The run is whole each time."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.command_line import CommandLine, wait_until
from tests.integration.conftest import Site

LAST = """
name: Fail and tidy up
on_failure: continue
steps:
  - {name: Fail, hosts: b1, command: kick, parameters: {mask: [jane]}, retry: {attempts: 1}}
finally:
  - name: Tidy up
    hosts: b1
    command: dictSet
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", value: "1"}
    limits: {in_flight: 2}
  - {name: Look at last, hosts: b1, command: who}
"""


def test_interrupted_in_finally(site: Callable[..., Site]) -> None:
    """Ctrl-C during `finally` of a failed run: exit code 130, nothing is dropped, and `resume` does the rest."""
    here = site(users=0, directors=0, backends=1, latency=0.2, faults=("command=kick,exit=64",))
    (here.cli.folder / "items.txt").write_text("".join(f"item{number}\n" for number in range(20)))
    process = here.cli.start("run", here.cli.playbook(LAST), "--yes")
    wait_until(lambda: here.commands().count("dictSet") >= 4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "next: orchestrator resume" in out
    found = Counter(operation["state"] for operation in here.cli.exported() if operation["command"] == "dictSet")
    assert found["pending"] >= 10
    assert found["pending"] + found["done"] == 20
    resumed = here.cli("resume")
    assert resumed.code == 1, resumed.said
    assert len(here.fleet.fleet.hosts["b1"].dictionaries["file:/x"]) == 20
    left = {operation["state"] for operation in here.cli.exported() if operation["command"] != "kick"}
    assert left == {"done"}


HANGING = """
name: Change and kick
on_failure: undo
retry: {attempts: 1}
steps:
  - name: Change
    hosts: b1
    command: dictSet
    parameters: {dictUri: "file:/x", key: shared/n, value: "1"}
    undo: {command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - name: Kick
    hosts: b1
    command: kick
    for_each: [a, b, c]
    parameters: {mask: ["{{ item }}"]}
"""


def test_two_interrupts_at_the_last_attempt(site: Callable[..., Site]) -> None:
    """What two Ctrl-C did not wait for is pending although it was the last attempt: `resume` sends it, and undoes nothing."""
    here = site(users=0, directors=0, backends=1, faults=("command=kick,first=3,hang",))
    process = here.cli.start("run", here.cli.playbook(HANGING), "--yes")
    wait_until(lambda: here.commands().count("kick") == 3)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    wait_until(lambda: "stopping" in process.stderr.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert [o["state"] for o in here.cli.exported() if o["command"] == "kick"] == ["pending"] * 3
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    assert here.commands().count("kick") == 6
    assert here.commands().count("dictSet") == 1


COUNT = """
name: Count
limits: {in_flight: 8}
steps:
  - {name: Begin, hosts: b1, command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - name: Count
    hosts: b1
    command: dictInc
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: shared/n, difference: 1}
"""

ROUNDS = 20


def test_two_signals_at_once(site: Callable[..., Site]) -> None:
    """SIGINT and SIGTERM together while intents are committed, twenty times: the process ends, and nothing is counted twice."""
    here = site(users=0, directors=0, backends=1, latency=0.001)
    count = 4000
    (here.cli.folder / "items.txt").write_text("".join(f"item{number}\n" for number in range(count)))
    process = here.cli.start("run", here.cli.playbook(COUNT), "--yes", "--rate", "400")
    for round_ in range(ROUNDS):
        goal = len(here.fleet.requests) + 10 + 3 * round_
        wait_until(lambda goal=goal: len(here.fleet.requests) >= goal)
        for number in (signal.SIGINT, signal.SIGTERM)[:: 1 if round_ % 2 else -1]:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode in {130, 143, 4}, out + err
        process = here.cli.start("resume", "--in-doubt", "done", "--in-flight", str(8 + round_), "--rate", "400")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    found = Counter(operation["state"] for operation in here.cli.exported() if operation["command"] == "dictInc")
    assert found.total() == count
    assert set(found) <= {"done", "pending", "in_doubt"}
    sent = Counter(request.tag for request in here.fleet.requests)
    assert set(sent.values()) == {1}


class Silent:
    """Hosts that take connections and requests, and never answer."""

    def __init__(self, count: int) -> None:
        self.addresses = [f"127.77.{number // 250}.{number % 250 + 1}" for number in range(count)]
        self.requests = 0
        self._selector = selectors.DefaultSelector()
        self._stack = contextlib.ExitStack()
        self._over = False

    def __enter__(self) -> Self:
        first = self._listen(self.addresses[0], 0)
        self.port = first.getsockname()[1]
        for address in self.addresses[1:]:
            self._listen(address, self.port)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        self._stack.close()

    def _listen(self, address: str, port: int) -> socket.socket:
        server = self._stack.enter_context(socket.create_server((address, port)))
        self._selector.register(server, selectors.EVENT_READ, self._accept)
        return server

    def _serve(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.1):
                key.data(key.fileobj)

    def _accept(self, server: socket.socket) -> None:
        connection = self._stack.enter_context(server.accept()[0])
        self._selector.register(connection, selectors.EVENT_READ, self._read)

    def _read(self, connection: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = connection.recv(65536)
        self.requests += b"HTTP/1.1\r\n" in data
        if not data:
            self._selector.unregister(connection)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[Silent, CommandLine]]:
    """A fleet of 150 hosts that hang, and a command line for it."""
    with Silent(150) as hosts:
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "secret").chmod(0o600)
        listed = ", ".join(f"h{number}: {address}" for number, address in enumerate(hosts.addresses))
        config = tmp_path / "config.yaml"
        config.write_text(
            f"defaults: {{scheme: http, port: {hosts.port}, auth: {{password: {{file: secret}}}}}}\n"
            f"groups: {{backends: {{hosts: {{{listed}}}}}}}\n"
        )
        cli = CommandLine(tmp_path, config)
        yield hosts, cli
        cli.stop()


def test_interrupted_while_hosts_are_looked_at(hanging: tuple[Silent, CommandLine]) -> None:
    """Ctrl-C while the first hosts' lists of commands are waited for: no further host is asked, and the run is resumable."""
    hosts, cli = hanging
    playbook = cli.playbook(
        "name: Kick\nsteps:\n  - {name: Kick, hosts: all, command: kick, parameters: {mask: [a]}}\n"
    )
    process = cli.start("run", playbook, "--yes")
    wait_until(lambda: hosts.requests >= 32)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert hosts.requests < 64
    assert {operation["state"] for operation in cli.exported()} == {"pending"}


PROBED = """
name: Count, and ask
steps:
  - {name: Begin, hosts: b1, command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - name: Count
    hosts: b1
    command: dictInc
    for_each: [a, b, c, d, e, f, g, h, i, j, k]
    parameters: {dictUri: "file:/x", key: shared/n, difference: 1}
    limits: {max_failed: 100%, per_host: 11}
    probe:
      after: 0s
      timeout: 2s
      command: dictGet
      parameters: {dictUri: "file:/x", key: shared/n}
      done: "{{ (rows | first).value == '1' }}"
"""


def test_interrupted_while_probing(site: Callable[..., Site]) -> None:
    """Ctrl-C while a probe is not answered ends the session; the other operations in doubt are not asked about."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,empty=after", "command=dictGet,hang"))
    assert here.cli("run", here.cli.playbook(PROBED), "--yes").code == 4
    before = here.commands().count("dictGet")
    process = here.cli.start("resume")
    wait_until(lambda: here.commands().count("dictGet") > before)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert here.commands().count("dictGet") <= before + 2
    assert here.commands().count("dictInc") == 11
    states = [operation["state"] for operation in here.cli.exported() if operation["command"] == "dictInc"]
    assert states == ["in_doubt"] * 11
