"""The contract's targets: the simulator and real Dovecot, each in both version families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec
from tests.contract.cases import V23, V24
from tests.contract.targets import Target, targets
from tests.real.debian24 import Backend24, start_backend, unavailable
from tests.ring import Sessions
from tests.ring.fixtures import changed_ring, dovecot_ring_factory, ring  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREADABLE = "unreadable"  # a user of the real servers
USERS = 24
SCALE = 0.2
BACKEND_24 = {"version": V24, "directors": 0, "backends": 1}


@pytest.fixture(scope="session")
def backend24() -> Iterator[Backend24]:
    """The real 2.4 server that all tests of this process share."""
    if reason := unavailable():
        pytest.skip(reason)
    with start_backend(users=200) as backend:
        yield backend


@pytest.fixture(scope="session", params=targets())
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """Idle hosts: nobody is logged in."""
    kind, version = request.param
    if kind == "real" and version == V24:
        real24 = request.getfixturevalue("backend24")
        yield Target(real24.hosts, real24.port, real24.password, real24.api_key, V24, real24.inner_directory)
        return
    if kind == "real":
        real = request.getfixturevalue("ring")
        yield Target(real.hosts, real.port, real.password, real.api_key, V23, str(real.root))
        return
    hosts = BACKEND_24 if version == V24 else {}
    with BackgroundFleet(FleetSpec(users=0, time_scale=0.1, unreadable_users=(UNREADABLE,), **hosts)) as fleet:
        yield Target({**fleet.directors, **fleet.backends}, fleet.port, fleet.password, fleet.api_key, version)


@dataclass(frozen=True)
class _SimulatedClients:
    """The simulated fleet's own clients."""

    fleet: BackgroundFleet

    def dropped(self) -> int:
        return self.fleet.fleet.counters.dropped

    def failed(self) -> int:
        return self.fleet.fleet.counters.failed_logins


@dataclass(frozen=True)
class _RealClients:
    """IMAP sessions of real servers."""

    sessions: Sessions

    def dropped(self) -> int:
        return len(self.sessions.drops)

    def failed(self) -> int:
        return len(self.sessions.failed_logins)


@pytest.fixture(params=targets(V23))
def busy(request: pytest.FixtureRequest) -> Iterator[Target]:
    """Hosts with 24 live sessions; in a ring half of them through each director, every user where the hash says."""
    kind, version = request.param
    if kind == "real":
        with Sessions(_undisturbed(request, version), count=USERS, relogin=0.3) as sessions:
            real = sessions.ring
            yield Target(real.hosts, real.port, real.password, real.api_key, version, clients=_RealClients(sessions))
        return
    hosts = BACKEND_24 if version == V24 else {}
    with BackgroundFleet(FleetSpec(users=USERS, time_scale=SCALE, login_service_count=0, **hosts)) as fleet:
        clients = _SimulatedClients(fleet)
        addresses = {**fleet.directors, **fleet.backends}
        yield Target(addresses, fleet.port, fleet.password, fleet.api_key, version, scale=SCALE, clients=clients)


def _undisturbed(request: pytest.FixtureRequest, version: str) -> Any:
    """The real servers without what other tests left."""
    if version == V24:
        backend = request.getfixturevalue("backend24")
        backend.node.restore()
        return backend
    real = request.getfixturevalue("changed_ring")
    real.reset()  # whatever the other cases mapped
    return real
