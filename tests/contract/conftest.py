"""The contract's two targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec
from tests.contract.targets import Target
from tests.ring import Sessions
from tests.ring.fixtures import changed_ring, dovecot_ring_factory, ring  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = ("simulator", pytest.param("real", marks=pytest.mark.real_dovecot))
UNREADABLE = "unreadable"  # a user of the real ring
USERS = 24
SCALE = 0.2


@pytest.fixture(scope="session", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """An idle ring: nobody is logged in."""
    if request.param == "real":
        real = request.getfixturevalue("ring")
        yield Target(real.hosts, real.port, real.password, real.api_key, str(real.root))
        return
    with BackgroundFleet(FleetSpec(users=0, time_scale=0.1, unreadable_users=(UNREADABLE,))) as fleet:
        yield Target({**fleet.directors, **fleet.backends}, fleet.port, fleet.password, fleet.api_key)


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
    """IMAP sessions through the real directors."""

    sessions: Sessions

    def dropped(self) -> int:
        return len(self.sessions.drops)

    def failed(self) -> int:
        return len(self.sessions.failed_logins)


@pytest.fixture(params=TARGETS)
def busy(request: pytest.FixtureRequest) -> Iterator[Target]:
    """A ring with 24 live sessions, half of them through each director, every user where the hash says."""
    if request.param == "real":
        real = request.getfixturevalue("changed_ring")
        real.reset()  # whatever the other cases mapped
        with Sessions(real, count=USERS, relogin=0.3) as sessions:
            clients = _RealClients(sessions)
            yield Target(real.hosts, real.port, real.password, real.api_key, clients=clients)
        return
    with BackgroundFleet(FleetSpec(users=USERS, time_scale=SCALE, login_service_count=0)) as fleet:
        hosts = {**fleet.directors, **fleet.backends}
        clients = _SimulatedClients(fleet)
        yield Target(hosts, fleet.port, fleet.password, fleet.api_key, scale=SCALE, clients=clients)
