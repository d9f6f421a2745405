"""`per_host: auto` on a real Dovecot 2.3 backend: it never takes more places than a host has for its operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute, TaskStatus
from anyio.from_thread import start_blocking_portal

from orchestrator.engine.concurrency import CEILING
from tests.command_line import CommandLine
from tests.ring import Ring

pytestmark = pytest.mark.real_dovecot

OPERATIONS = 800
FAR = 0.05  # seconds that a request takes on its way: a distant host is one that many requests at a time pay for
PLAYBOOK = """
name: Repair mailboxes
steps:
  - name: Repair
    hosts: b1
    for_each: {file: users.txt}
    command: forceResync
    parameters: {user: "{{ item }}", mailboxMask: INBOX}
"""


class Doorman:
    """Passes connections on to a server, and counts them.

    Attributes:
        port: on 127.0.0.1.
        most: connections that were open at a time, at most.
    """

    def __init__(self, address: str, port: int) -> None:
        self._server = address, port
        self._open = 0
        self.most = 0
        self.port = 0

    async def serve(self, *, task_status: TaskStatus[None]) -> None:
        """Until cancelled."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
            self.port = listener.extra(SocketAttribute.local_port)
            task_status.started()
            await listener.serve(self._guest)

    async def _guest(self, guest: ByteStream) -> None:
        self._open += 1
        self.most = max(self.most, self._open)
        async with await anyio.connect_tcp(*self._server) as server, anyio.create_task_group() as group:
            group.start_soon(self._to_server, guest, server)
            await _pass(server, guest, FAR)
            self._open -= 1
            await guest.aclose()  # only now the guest can know, and come back
            group.cancel_scope.cancel()

    @staticmethod
    async def _to_server(guest: ByteStream, server: ByteStream) -> None:
        await _pass(guest, server)
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await server.send_eof()


async def _pass(source: ByteStream, target: ByteStream, delay: float = 0.0) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for data in source:
            await anyio.sleep(delay)
            await target.send(data)


@contextmanager
def doorman_for(address: str, port: int) -> Iterator[Doorman]:
    """A doorman who works in a thread."""
    doorman = Doorman(address, port)
    with start_blocking_portal() as portal:
        serving, _ = portal.start_task(doorman.serve)
        yield doorman
        serving.cancel()


@pytest.mark.parametrize("ceiling", [CEILING, 5])
def test_auto_never_takes_more_connections(
    dovecot_ring_factory: Callable[..., Ring], tmp_path: Path, ceiling: int
) -> None:
    """However many at a time would pay, never more than 16 connections are open, or what the playbook allows."""
    with dovecot_ring_factory(directors=1, backends=1, users=200, doveadm_service="service_count = 100") as ring:
        address = ring.backends["b1"]
        with doorman_for(address, ring.port) as doorman:
            config = ring.write_config(tmp_path / "config.yaml")
            text = config.read_text().replace(f"port: {ring.port}", f"port: {doorman.port}")
            config.write_text(text.replace(address, "127.0.0.1") + "limits: {per_host: auto}\n")
            names = (ring.users[number % len(ring.users)] for number in range(OPERATIONS))
            (tmp_path / "users.txt").write_text("".join(f"{name}\n" for name in names))
            cli = CommandLine(tmp_path, config)
            limits = f"\nlimits: {{per_host: {ceiling}}}" if ceiling < CEILING else ""
            result = cli("run", cli.playbook(PLAYBOOK.replace("\nsteps:", f"{limits}\nsteps:")), "--yes")
            assert result.code == 0, result.said
            assert 2 <= doorman.most <= ceiling
