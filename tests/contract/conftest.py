"""The contract's targets: the simulator and real Dovecot, each in both version families."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec
from tests.contract.cases import V23
from tests.contract.targets import SUITES, Target, targets
from tests.real.fixtures import dovecot24_factory  # noqa: F401 - a fixture
from tests.ring import Sessions
from tests.ring.fixtures import changed_ring, dovecot_ring_factory, ring  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.real.server24 import Fleet24

UNREADABLE = "unreadable"  # a user of the real servers
USERS = 24
SCALE = 0.2


@pytest.fixture(scope="session")
def backend24(dovecot24_factory: Callable[..., Fleet24]) -> Callable[[str], Fleet24]:  # noqa: F811
    """The real 2.4 server of a version that all tests of this process share."""
    return functools.cache(lambda version: dovecot24_factory(SUITES[version], users=200))


def _simulated(version: str) -> dict[str, Any]:
    """A ring of 2.3, or one backend of 2.4."""
    return {} if version == V23 else {"version": version, "directors": 0, "backends": 1}


@pytest.fixture(scope="session", params=targets())
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """Idle hosts: nobody is logged in."""
    kind, version = request.param
    if kind == "real" and version in SUITES:
        real24 = request.getfixturevalue("backend24")(version)
        yield Target(real24.hosts, real24.port, real24.password, real24.api_key, version, real24.inner_directory)
        return
    if kind == "real":
        real = request.getfixturevalue("ring")
        yield Target(real.hosts, real.port, real.password, real.api_key, V23, str(real.root))
        return
    hosts = _simulated(version)
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
        with Sessions(_idle(request, version), count=USERS, relogin=0.3) as sessions:
            real = sessions.ring
            yield Target(real.hosts, real.port, real.password, real.api_key, version, clients=_RealClients(sessions))
        return
    hosts = _simulated(version)
    with BackgroundFleet(FleetSpec(users=USERS, time_scale=SCALE, login_service_count=0, **hosts)) as fleet:
        clients = _SimulatedClients(fleet)
        addresses = {**fleet.directors, **fleet.backends}
        yield Target(addresses, fleet.port, fleet.password, fleet.api_key, version, scale=SCALE, clients=clients)


def _idle(request: pytest.FixtureRequest, version: str) -> Any:
    """The real servers without what other tests left."""
    if version in SUITES:
        backend = request.getfixturevalue("backend24")(version)
        backend.node.restore()
        return backend
    real = request.getfixturevalue("changed_ring")
    real.reset()  # whatever the other cases mapped
    return real
