"""Puts a simulated fleet on loopback addresses: one listening socket a host, all in one process and one loop."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orchestrator.simulator.execution import Simulation
from orchestrator.simulator.faults import parse_faults
from orchestrator.simulator.fleet import Fleet
from orchestrator.simulator.record import Record, Recorder
from orchestrator.simulator.wire import Connection, Door, factory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.simulator.hosts import Host
    from orchestrator.simulator.spec import FleetSpec

BACKLOG = 4096


class RunningFleet:
    """A fleet that answers: its addresses and credentials, its state, and what it was asked.

    Attributes:
        fleet: The state behind the answers; `Fleet.counters` tells how the clients fared.
        directors: Addresses by name: ``{"d1": "127.31.1.1", ...}``.
        backends: Addresses by name: ``{"b1": "127.31.2.1", ...}``.
    """

    def __init__(self, spec: FleetSpec, network: str) -> None:
        directors = {f"d{number}": _address(network, 1, number) for number in range(1, spec.directors + 1)}
        backends = {f"b{number}": _address(network, 2, number) for number in range(1, spec.backends + 1)}
        loop = asyncio.get_running_loop()
        epoch = time.time() - loop.time()
        self.spec = spec
        self.directors = directors
        self.backends = backends
        self.fleet = Fleet(spec, directors | backends, now=time.time())
        self._recorder = Recorder(spec.record, spec.keep_requests)
        self._site = Simulation(
            self.fleet,
            parse_faults(spec.faults),
            self._recorder,
            lambda: epoch + loop.time(),
            spec.latency,
            self._close_api,
        )
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: dict[str, set[Connection]] = {name: set() for name in self.fleet.hosts}

    @property
    def port(self) -> int:
        """The API's port, the same on every address."""
        return self.spec.port

    @property
    def password(self) -> str:
        """The doveadm password."""
        return self.spec.password

    @property
    def api_key(self) -> str:
        """The doveadm API key."""
        return self.spec.api_key

    @property
    def requests(self) -> list[Record]:
        """What the hosts were sent, oldest first."""
        return list(self._recorder.kept)

    def advance(self) -> None:
        """Let the fleet catch up with the clock, before looking at its state."""
        self.fleet.advance(self._site.clock())

    async def open(self) -> None:
        """Start to listen everywhere; raises OSError when an address is taken."""
        for host in self.fleet.hosts.values():
            if not self._site.faults.refuses(host.name):
                await self._listen(host)

    async def _listen(self, host: Host) -> None:
        challenges = {
            "x-dovecot-api": self.spec.api_key.encode(),
            "basic": f"doveadm:{self.spec.password}".encode(),
        }
        door = Door(self._site, host, challenges)
        self._servers[host.name] = await asyncio.get_running_loop().create_server(
            factory(door, self._connections[host.name]), host.address, self.spec.port, backlog=BACKLOG
        )

    def _close_api(self, host: Host) -> None:
        server = self._servers.pop(host.name, None)
        if server is not None:
            server.close()

    async def stop(self, host: str) -> None:
        """A host goes down at once: connections are refused, requests under way get nothing."""
        machine = self.fleet.hosts[host]
        now = self._site.clock()
        self.fleet.advance(now)
        self.fleet.stop(machine, now)
        self._close_api(machine)
        for connection in list(self._connections[host]):
            connection.close()

    async def start(self, host: str) -> None:
        """A host comes back."""
        machine = self.fleet.hosts[host]
        now = self._site.clock()
        self.fleet.advance(now)
        machine.stopped.discard("doveadm")
        self.fleet.start(machine, now)
        if host not in self._servers:
            await self._listen(machine)

    def close(self) -> None:
        """End everything."""
        self._site.closed = True
        for host in self.fleet.hosts.values():
            self._close_api(host)
            for connection in list(self._connections[host.name]):
                connection.close()
        self._recorder.close()

    def config(self, secrets: Path) -> str:
        """The text of an orchestrator configuration; the password goes into a file in `secrets` for the owner alone."""
        path = secrets.resolve() / "doveadm.password"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.spec.password + "\n")
        path.chmod(0o600)
        groups = [("directors", self.directors), ("backends", self.backends)]
        listed = [f"  {name}: {{hosts: {{{_flow(hosts)}}}}}" for name, hosts in groups if hosts]
        lines = ["defaults:", "  scheme: http", f"  port: {self.port}"]
        lines += [f"  auth: {{password: {{file: {path}}}}}", "groups:", *listed]
        return "\n".join(lines) + "\n"


def _flow(hosts: dict[str, str]) -> str:
    return ", ".join(f"{name}: {address}" for name, address in hosts.items())


def _address(network: str, third: int, number: int) -> str:
    """The address of a host; more than 250 of a kind spill into further networks."""
    block, last = divmod(number - 1, 250)
    return f"{network}.{third + 2 * block}.{last + 1}"


@asynccontextmanager
async def serve(spec: FleetSpec) -> AsyncIterator[RunningFleet]:
    """Run a fleet for as long as the block lasts."""
    running = await _open_somewhere(spec)
    try:
        yield running
    finally:
        running.close()


async def _open_somewhere(spec: FleetSpec) -> RunningFleet:
    """Listen in the wanted network, or in the first one that is free."""
    numbers = list(range(16, 240))
    random.shuffle(numbers)
    networks = [spec.network] if spec.network else [f"127.{number}" for number in numbers]
    for network in networks[:-1]:
        running = RunningFleet(spec, network)
        try:
            await running.open()
        except OSError as error:
            running.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return running
    running = RunningFleet(spec, networks[-1])
    try:
        await running.open()
    except OSError:
        running.close()
        raise
    return running
