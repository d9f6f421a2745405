"""Who is asked: the simulator or real Dovecot, behind one face."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.contract.cases import V23, V24, V245, VERSIONS
from tests.contract.exchange import Reply, basic, exchange, request, rows
from tests.real.fixtures import on
from tests.real.roots import SID, TRIXIE

if TYPE_CHECKING:
    from collections.abc import Callable


SUITES = {V24: TRIXIE, V245: SID}
_REAL = {V23: [pytest.mark.real_dovecot], V24: on(TRIXIE), V245: on(SID)}


def targets(*versions: str) -> list[Any]:
    """The parameters of the fixture `target` for these versions, or for all: simulator and real servers."""
    wanted = versions or VERSIONS
    simulated = [pytest.param(("simulator", version), id=f"simulator-{version}") for version in wanted]
    return simulated + [
        pytest.param(("real", version), id=f"real-{version}", marks=_REAL[version]) for version in wanted
    ]


class Clients(Protocol):
    """Mail programs that hold a session each and log in again 0.3 s after they lose it."""

    def dropped(self) -> int:
        """How many sessions were lost so far."""

    def failed(self) -> int:
        """How many logins did not succeed so far."""


@dataclass(frozen=True)
class Target:
    """Hosts that can be asked: a 2.3 ring of two directors and three backends, or one backend of 2.4."""

    hosts: dict[str, str]
    port: int
    password: str
    api_key: str
    version: str = V23
    directory: str = "/srv"
    scale: float = 1.0
    clients: Clients | None = None

    @property
    def directors(self) -> list[str]:
        """Their names."""
        return [name for name in self.hosts if name.startswith("d")]

    @property
    def backends(self) -> list[str]:
        """Their names."""
        return [name for name in self.hosts if name.startswith("b")]

    def fill(self, text: str, token: str = "") -> str:
        """Put addresses, and what makes names unique, in the place of their @names@."""
        for name, value in (self.hosts | {"fresh": token, "directory": self.directory}).items():
            text = text.replace(f"@{name}@", value)
        return text

    def send(self, host: str, data: bytes) -> Reply:
        """Bytes as they are."""
        return exchange(self.hosts[host], self.port, data)

    def ask(self, host: str, body: str | bytes, **how: str) -> Reply:
        """A POST with the right password."""
        data = request(self.hosts[host], body, authorization=basic(self.password), **how)
        return self.send(host, data)

    def run(self, host: str, command: str, /, **parameters: Any) -> list[dict[str, str]]:
        """The rows of a command that must succeed; a host's @name@ may stand in its parameters."""
        filled = {key: self.fill(value) if isinstance(value, str) else value for key, value in parameters.items()}
        return rows(self.ask(host, json.dumps([[command, filled, "t"]])))

    def sleep(self, seconds: float) -> None:
        """Wait for one of Dovecot's own delays."""
        time.sleep(seconds * self.scale)

    def get(self, host: str, path: str) -> Reply:
        """A GET with the right password."""
        return self.send(host, request(self.hosts[host], method="GET", path=path, authorization=basic(self.password)))


def eventually(condition: Callable[[], bool], within: float = 8.0) -> bool:
    """Whether a condition comes true before the time is up."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def token() -> str:
    """Something that no earlier run has used for a name."""
    return uuid.uuid4().hex[:12]
