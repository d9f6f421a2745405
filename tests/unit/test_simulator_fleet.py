"""The simulated fleet as a pure model: time is a number, and nothing listens."""

from __future__ import annotations

import pytest

from orchestrator.simulator.fleet import Fleet
from orchestrator.simulator.ring import Ring, user_hash
from orchestrator.simulator.spec import FleetSpec

ADDRESSES = {"d1": "127.0.1.1", "d2": "127.0.1.2", "b1": "127.0.2.1", "b2": "127.0.2.2", "b3": "127.0.2.3"}


def make(**changes: object) -> Fleet:
    """A fleet at time 0."""
    return Fleet(FleetSpec(**changes), ADDRESSES, now=0.0)  # type: ignore[arg-type]


def on(fleet: Fleet, backend: str) -> set[str]:
    """Whose sessions a backend has."""
    return {session.user for session in fleet.backends[backend].sessions.values()}


def users(fleet: Fleet, backend: str) -> int:
    """How many users the ring counts on a backend."""
    return len(fleet.ring.hosts[ADDRESSES[backend]].users)


def drain(fleet: Fleet, backend: str, now: float, parallel: int = 100) -> float:
    """Take a backend's weight and flush it."""
    fleet.ring.hosts[ADDRESSES[backend]].vhosts = 0
    fleet.ring.changed()
    return fleet.flush(fleet.directors["d1"], ADDRESSES[backend], parallel, now)


def test_hash_is_that_of_a_real_director() -> None:
    """user001 hashed to 2549335831 on 2.3.19.1, whatever its case; digits are a hash themselves."""
    assert user_hash("user001") == user_hash("USER001") == 2549335831
    assert user_hash("12345") == 12345


def test_users_go_where_a_real_ring_sent_them() -> None:
    """With the addresses 127.0.2.1 to .3, a real ring mapped these users so."""
    ring = Ring([ADDRESSES["b1"], ADDRESSES["b2"], ADDRESSES["b3"]])
    assert ring.hashed(user_hash("user001")) == "127.0.2.1"
    assert ring.hashed(12345) == "127.0.2.3"


def test_a_host_without_weight_or_down_gets_no_new_users() -> None:
    """No weight and down are the same for a lookup; nothing is left when all are so."""
    ring = Ring(["127.0.2.1", "127.0.2.2"])
    ring.hosts["127.0.2.1"].vhosts = 0
    ring.changed()
    assert {ring.hashed(place << 20) for place in range(4000)} == {"127.0.2.2"}
    ring.hosts["127.0.2.2"].down = True
    ring.changed()
    assert ring.hashed(1) is None
    assert ring.initially(user_hash("user001")) is not None


def test_everyone_is_logged_in_where_mapped() -> None:
    """A fleet starts with its sessions, and counts nothing yet."""
    fleet = make(users=60)
    assert fleet.live_sessions == 60
    assert sum(users(fleet, backend) for backend in ("b1", "b2", "b3")) == 60
    assert all(users(fleet, backend) == len(on(fleet, backend)) for backend in ("b1", "b2", "b3"))
    assert (fleet.counters.logins, fleet.counters.dropped) == (0, 0)


@pytest.mark.parametrize("parallel", [100, 23, 10, 1])
def test_flush_takes_two_seconds_for_each_full_batch(parallel: int) -> None:
    """The reply waits for full batches alone; a client is held until the kick delay is over."""
    fleet = make(users=60, relogin=0.3)
    count = len(on(fleet, "b1"))
    took = drain(fleet, "b1", 10.0, parallel)
    assert took == 2.0 * (count // parallel)
    assert fleet.counters.dropped == min(count, parallel)
    last = 10.0 + 2.0 * (-(-count // parallel) - 1)
    fleet.advance(last)
    assert fleet.counters.dropped == count
    assert users(fleet, "b1") == 0
    fleet.advance(last + 1.99)
    assert fleet.live_sessions == 60 - (count % parallel or parallel)
    fleet.advance(last + 2.4)
    assert fleet.live_sessions == 60
    assert on(fleet, "b1") == set()
    assert fleet.counters.failed_logins == 0
    assert fleet.counters.logins == count


def test_time_scale_shortens_dovecot_and_not_the_clients() -> None:
    """A tenth of the time for a flush, and the same patience of the mail programs."""
    fleet = make(users=60, time_scale=0.1, relogin=0.3)
    assert drain(fleet, "b1", 0.0, 10) == pytest.approx(0.2 * (len(on(make(users=60), "b1")) // 10))
    fleet.advance(0.29)
    assert fleet.counters.logins == 0
    fleet.advance(1.0)
    assert fleet.live_sessions == 60


def test_two_flushes_drop_everyone_once() -> None:
    """The other director's flush finds the users being moved already."""
    fleet = make(users=60)
    count = len(on(fleet, "b1"))
    drain(fleet, "b1", 0.0, 5)
    fleet.flush(fleet.directors["d2"], ADDRESSES["b1"], 5, 0.0)
    fleet.advance(60.0)
    assert fleet.counters.dropped == count


def test_flush_before_the_weight_is_taken_does_nothing() -> None:
    """Everyone hashes to where they are."""
    fleet = make(users=60)
    assert fleet.flush(fleet.directors["d1"], ADDRESSES["b1"], 100, 0.0) == 0.0
    fleet.advance(5.0)
    assert fleet.counters.dropped == 0


def test_kicked_users_return_to_the_host_that_takes_no_new_ones() -> None:
    """A mapping outlives the session: kick before flush is in vain."""
    fleet = make(users=60)
    before = on(fleet, "b1")
    fleet.ring.hosts[ADDRESSES["b1"]].vhosts = 0
    fleet.ring.changed()
    fleet.drop_all(fleet.backends["b1"], 0.0)
    fleet.advance(0.31)
    assert on(fleet, "b1") == before


def test_forced_flush_splits_users() -> None:
    """Mappings go, sessions stay, and nobody counts them any more."""
    fleet = make(users=60)
    before = on(fleet, "b1")
    fleet.force_flush(ADDRESSES["b1"])
    assert users(fleet, "b1") == 0
    assert on(fleet, "b1") == before


def test_flush_without_any_usable_backend_drops_one_directors_sessions() -> None:
    """The other director's sessions stay, the mappings are gone on both."""
    fleet = make(users=60)
    for host in fleet.ring.hosts.values():
        host.down = True
    fleet.ring.changed()
    through_other = sum(s.director is fleet.directors["d2"] for s in fleet.backends["b1"].sessions.values())
    fleet.flush(fleet.directors["d1"], ADDRESSES["b1"], 100, 0.0)
    assert users(fleet, "b1") == 0
    assert len(on(fleet, "b1")) == through_other


def test_logins_wait_for_a_backend_and_fail_after_thirty_seconds() -> None:
    """Held while no backend is usable; served as soon as one is."""
    fleet = make(users=1, relogin=0.3)
    for host in fleet.ring.hosts.values():
        host.down = True
    fleet.ring.changed()
    [session] = [s for backend in fleet.backends.values() for s in backend.sessions.values()]
    fleet.ring.forget(fleet.ring.mappings[user_hash(session.user)])
    fleet.drop(session, 0.0)
    fleet.advance(30.2)
    assert fleet.counters.failed_logins == 0
    fleet.advance(30.31)
    assert fleet.counters.failed_logins == 1
    fleet.advance(31.0)
    fleet.ring.hosts[ADDRESSES["b2"]].down = False
    fleet.ring.changed()
    fleet.clients.wake(31.0)
    assert fleet.live_sessions == 1
    assert fleet.counters.failed_logins == 1


def test_mapping_expires_fifteen_minutes_after_the_last_session() -> None:
    """A live session keeps it fresh."""
    fleet = make(users=1)
    place = user_hash("user001")
    fleet.advance(5000.0)
    assert place in fleet.ring.mappings
    fleet.clients.by_user.clear()  # nobody comes back
    for session in fleet.proxied_sessions(place):
        fleet.drop(session, 5000.0)
    fleet.advance(5899.0)
    assert place in fleet.ring.mappings
    fleet.advance(5901.0)
    assert place not in fleet.ring.mappings


def test_dead_backend_makes_logins_stall_until_the_flush() -> None:
    """The directors check nobody's health: they try for 3 s, fail, and only a flush sends the users elsewhere."""
    fleet = make(users=60, relogin=0.3)
    count = len(on(fleet, "b1"))
    fleet.stop(fleet.backends["b1"], 0.0)
    assert fleet.counters.dropped == count
    fleet.advance(3.2)
    assert fleet.counters.failed_logins == 0
    fleet.advance(3.4)
    assert fleet.counters.failed_logins == count
    assert users(fleet, "b1") == count
    drain(fleet, "b1", 10.0)
    fleet.advance(12.5)
    assert fleet.live_sessions == 60


def test_stalled_login_is_cut_by_the_flush() -> None:
    """A login that a director still tries fails at once when its user is moved."""
    fleet = make(users=60, relogin=0.3)
    count = len(on(fleet, "b1"))
    fleet.stop(fleet.backends["b1"], 0.0)
    fleet.advance(1.0)
    drain(fleet, "b1", 1.0)
    assert fleet.counters.failed_logins == count
    fleet.advance(3.01)
    assert fleet.live_sessions == 60


def test_backend_without_imap_service_fails_logins() -> None:
    """ServiceStop leaves sessions alone; whoever logs in again gets nothing."""
    fleet = make(users=60, relogin=0.3)
    backend = fleet.backends["b1"]
    backend.stopped.add("imap")
    [session, *_] = backend.sessions.values()
    fleet.drop(session, 0.0)
    fleet.advance(1.0)
    assert fleet.counters.failed_logins == 3
    fleet.reload(backend, 1.0)
    fleet.advance(1.4)
    assert session.user in on(fleet, "b1")


def test_reload_of_a_backend_cuts_its_sessions_after_six_seconds() -> None:
    """The reply comes long before; a second reload is quicker."""
    fleet = make(users=60)
    count = len(on(fleet, "b2"))
    fleet.reload(fleet.backends["b2"], 0.0)
    fleet.advance(5.9)
    assert fleet.counters.dropped == 0
    fleet.advance(6.1)
    assert fleet.counters.dropped == count
    fleet.advance(8.0)
    fleet.reload(fleet.backends["b3"], 8.0)
    fleet.reload(fleet.backends["b3"], 8.5)
    fleet.advance(10.6)
    assert fleet.counters.dropped == count + len(on(make(users=60), "b3"))


def test_reload_of_a_director_keeps_the_state_of_a_synced_ring() -> None:
    """Its sessions are cut at once; it learns from its peer."""
    fleet = make(users=60)
    drain(fleet, "b1", 0.0)
    fleet.advance(5.0)
    dropped = fleet.counters.dropped
    fleet.reload(fleet.directors["d1"], 5.0)
    fleet.advance(5.2)
    assert fleet.counters.dropped == dropped + 30
    assert fleet.ring.hosts[ADDRESSES["b1"]].vhosts == 0


def test_last_director_forgets_everything_when_it_reloads() -> None:
    """A drained backend gets traffic again: the state lives in memory alone."""
    fleet = make(users=60)
    drain(fleet, "b1", 0.0)
    fleet.advance(5.0)
    fleet.stop(fleet.directors["d2"], 5.0)
    assert fleet.ring.hosts[ADDRESSES["b1"]].vhosts == 0
    fleet.reload(fleet.directors["d1"], 6.0)
    assert fleet.ring.hosts[ADDRESSES["b1"]].vhosts == 100
    assert fleet.ring.mappings == {}


def test_lone_director_takes_a_while_to_accept_it() -> None:
    """Changes are held until then; a peer that returns ends the wait."""
    fleet = make(users=10)
    fleet.stop(fleet.directors["d2"], 0.0)
    assert fleet.ring_delay(1.0) == 17.0
    assert fleet.ring_delay(19.0) == 0.0
    fleet.start(fleet.directors["d2"], 2.0)
    assert fleet.ring_delay(3.0) == 0.0


def test_clients_of_a_stopped_director_wait_for_it() -> None:
    """They are refused, and counted as such; their sessions are gone."""
    fleet = make(users=60, relogin=0.5)
    fleet.stop(fleet.directors["d2"], 0.0)
    fleet.advance(1.1)
    assert fleet.live_sessions == 30
    assert fleet.counters.refused_connections == 60
    fleet.start(fleet.directors["d2"], 1.2)
    fleet.advance(2.0)
    assert fleet.live_sessions == 60


def test_moved_user_is_held_and_busy() -> None:
    """2.0 s until the next login, 2.1 s until the next move."""
    fleet = make(users=60, relogin=0.3)
    place = user_hash("user007")
    home = fleet.ring.mappings[place].ip
    target = next(ip for ip in fleet.ring.hosts if ip != home)
    fleet.move(place, "user007", target, 0.0)
    mapping = fleet.ring.mappings[place]
    assert fleet.is_moving(mapping, 2.05)
    assert not fleet.is_moving(mapping, 2.11)
    fleet.advance(1.99)
    assert not fleet.proxied_sessions(place)
    fleet.advance(2.01)
    assert [session.backend.address for session in fleet.proxied_sessions(place)] == [target]


def test_fleet_without_directors_has_clients_too() -> None:
    """They know their backend."""
    addresses = {name: address for name, address in ADDRESSES.items() if name.startswith("b")}
    fleet = Fleet(FleetSpec(directors=0, users=9), addresses, now=0.0)
    assert fleet.live_sessions == 9
    fleet.drop_all(fleet.backends["b1"], 0.0)
    fleet.advance(1.0)
    assert fleet.live_sessions == 9


def test_directors_are_always_2_3() -> None:
    """2.4 has none."""
    spec = FleetSpec(version="2.4", backend_versions={"b2": "2.3"})
    assert [spec.version_of(name) for name in ("d1", "b1", "b2")] == ["2.3", "2.4", "2.3"]


@pytest.mark.parametrize(
    "changes", [{"backends": 0}, {"directors": -1}, {"time_scale": 0}, {"relogin": 0}, {"version": "2.2"}]
)
def test_impossible_fleets_are_refused(changes: dict[str, object]) -> None:
    """With a ValueError that says why."""
    with pytest.raises(ValueError, match=r"."):
        FleetSpec(**changes)  # type: ignore[arg-type]


def test_secrets_are_not_shown() -> None:
    """A spec in a traceback must not tell the password."""
    spec = FleetSpec(password="hunter2", api_key="hunter3")
    assert "hunter" not in repr(spec)
