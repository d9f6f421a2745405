"""The contract's two targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec
from tests.contract.targets import Target, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = ("simulator", pytest.param("real", marks=pytest.mark.real_dovecot))

try:
    from tests.ring.fixtures import ring
except ModuleNotFoundError:

    @pytest.fixture(scope="session")
    def ring() -> None:
        pytest.skip("there is no real ring to ask")


@pytest.fixture(scope="session", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """An idle ring: nobody is logged in."""
    if request.param == "real":
        real = request.getfixturevalue("ring")
        yield Target({**real.directors, **real.backends}, real.port, real.password, real.api_key)
        return
    with BackgroundFleet(FleetSpec(users=0, time_scale=0.1)) as fleet:
        yield Target({**fleet.directors, **fleet.backends}, fleet.port, fleet.password, fleet.api_key)


USERS = 24
SCALE = 0.2


@dataclass(frozen=True)
class _SimulatedClients:
    """The simulated fleet's own clients."""

    fleet: BackgroundFleet

    def dropped(self) -> int:
        return self.fleet.fleet.counters.dropped

    def failed(self) -> int:
        return self.fleet.fleet.counters.failed_logins


@pytest.fixture(params=TARGETS)
def busy(request: pytest.FixtureRequest) -> Iterator[Target]:
    """A ring with 24 live sessions, half of them through each director, every user where the hash says."""
    if request.param == "real":
        real = request.getfixturevalue("ring")
        hosts = {**real.directors, **real.backends}
        with real.sessions(USERS, relogin=0.3) as clients:
            target = Target(hosts, real.port, real.password, real.api_key, clients=clients)
            assert eventually(lambda: _live(target) == USERS)
            yield target
            _settle(target)
        return
    with BackgroundFleet(FleetSpec(users=USERS, time_scale=SCALE)) as fleet:
        hosts = {**fleet.directors, **fleet.backends}
        clients = _SimulatedClients(fleet)
        yield Target(hosts, fleet.port, fleet.password, fleet.api_key, scale=SCALE, clients=clients)


def _live(target: Target) -> int:
    return sum(len(target.run(host, "who", separateConnections=True)) for host in target.backends)


def _settle(target: Target) -> None:
    """Leave the real ring as it was found: full weights, everyone at home."""
    for backend in target.backends:
        target.run("d1", "directorUp", host=f"@{backend}@")
        target.run("d1", "directorUpdate", host=f"@{backend}@", vhostCount="100")
    target.run("d1", "directorFlush", host="all")
    target.sleep(2.5)
