"""A fleet of directors and backends, and the mail clients that use it. Pure: no clock and no sockets.

Every public method takes ``now`` in seconds since the epoch and first lets happen what is due by then (`advance`):
clients logging in again, flushes going on, mappings expiring. Delays are those seen on 2.3.19.1, times
``time_scale``; a client's ``relogin`` is its own affair and is not scaled.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from orchestrator.simulator.clients import KICK_DELAY, Client, Clients, Counters
from orchestrator.simulator.hosts import Account, Backend, Director, Host, Session
from orchestrator.simulator.ring import Mapping as UserMapping
from orchestrator.simulator.ring import Ring, user_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.simulator.spec import FleetSpec

USER_EXPIRE = 900.0  # director_user_expire
MOVE_BUSY = 2.1  # until then another directorMove of the user is answered 75
ALONE_DELAY = 18.0  # until the last director left accepts being alone; 16 to 21 s were seen
BYE_AFTER_RELOAD = 6.0  # a backend's sessions are told to go this long after a first reload
BYE_AFTER_RELOAD_AGAIN = 2.0
CUT_AFTER_RELOAD = 0.15  # a director cuts its sessions at once


@dataclass(slots=True)
class Flush:
    """A directorFlush that is under way on one director."""

    director: Director
    users: list[int]
    parallel: int
    done: bool = False
    origins: dict[int, str] = field(default_factory=dict)


class Fleet:
    """All hosts, users and sessions of a simulated installation."""

    def __init__(self, spec: FleetSpec, addresses: Mapping[str, str], *, now: float = 0.0) -> None:
        self.scale = spec.time_scale
        self.unreadable = frozenset(spec.unreadable_users)
        self.login_service_count = spec.login_service_count
        self.directors = {n: Director(n, a, "2.3", started_at=now) for n, a in addresses.items() if n.startswith("d")}
        self.backends = {
            n: Backend(n, a, spec.version_of(n), started_at=now) for n, a in addresses.items() if n.startswith("b")
        }
        self.hosts: dict[str, Host] = {**self.directors, **self.backends}
        self.by_address = {host.address: host for host in self.hosts.values()}
        self.ring = Ring([host.address for host in self.backends.values()])
        self.ring_members = [host.address for host in self.directors.values()]
        self.accounts = _accounts(spec)
        self.clients = Clients(self, spec.relogin)
        self.alone_since: float | None = None
        self._proxied: dict[int, dict[int, Session]] = {}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._pids = count(2001 + spec.seed)
        self._moving: dict[str, list[float]] = {name: [] for name in self.directors}
        self._connect_everyone(spec.users, now)

    def _connect_everyone(self, users: int, now: float) -> None:
        directors, backends = list(self.directors.values()), list(self.backends.values())
        for number, user in enumerate(list(self.accounts)[:users]):
            director = directors[number % len(directors)] if directors else None
            self.clients.connect(Client(user, director, backends[number % len(backends)]), now)
        self.clients.counters = Counters()

    # -- time ---------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Let everything happen that is due by `now`, in its order."""
        events = self._events
        while events and events[0][0] <= now:
            at, _, event = heapq.heappop(events)
            event(at)

    def at(self, when: float, event: Callable[[float], None]) -> None:
        """Have `event` called when `advance` comes past `when`."""
        heapq.heappush(self._events, (when, next(self._order), event))

    def scaled(self, seconds: float) -> float:
        """One of Dovecot's own delays, in this fleet's time."""
        return seconds * self.scale

    # -- looking ------------------------------------------------------------------------------------------------

    @property
    def counters(self) -> Counters:
        """What the clients went through."""
        return self.clients.counters

    @property
    def live_sessions(self) -> int:
        """Sessions on all backends together."""
        return sum(len(backend.sessions) for backend in self.backends.values())

    def backend_at(self, ip: str) -> Backend | None:
        """The backend machine with this address, if there is one."""
        host = self.by_address.get(ip)
        return host if isinstance(host, Backend) else None

    def is_moving(self, mapping: UserMapping, now: float) -> bool:
        """Whether a move of this user is too recent for another one."""
        return now < mapping.moved_at + self.scaled(MOVE_BUSY)

    def refreshed(self, mapping: UserMapping, now: float) -> float:
        """When a mapping expires: a live session keeps it fresh."""
        if self._proxied.get(mapping.hash):
            mapping.expires = now + self.scaled(USER_EXPIRE)
        return mapping.expires

    def live_directors(self) -> list[Director]:
        """Directors that run and belong to the ring."""
        return [host for host in self.directors.values() if host.up and host.address in self.ring_members]

    # -- sessions and mappings ----------------------------------------------------------------------------------

    def open_session(self, user: str, director: Director | None, backend: Backend) -> Session:
        """A login has succeeded."""
        session = Session(user, next(self._pids), director, backend)
        backend.sessions[session.pid] = session
        backend.auth_cache.add(user)
        if director is not None:
            director.sessions[session.pid] = session
            self._proxied.setdefault(user_hash(user), {})[session.pid] = session
        return session

    def drop(self, session: Session, now: float) -> None:
        """Cut one session; its client will be back."""
        if session.backend.sessions.pop(session.pid, None) is None:
            return
        if session.director is not None:
            session.director.sessions.pop(session.pid, None)
            self._unproxy(session, now)
        self.clients.lost(session, now)

    def _unproxy(self, session: Session, now: float) -> None:
        place = user_hash(session.user)
        sessions = self._proxied.get(place, {})
        sessions.pop(session.pid, None)
        mapping = self.ring.mappings.get(place)
        if not sessions and mapping is not None:
            mapping.expires = now + self.scaled(USER_EXPIRE)
            self._expire_later(mapping)

    def drop_all(self, host: Host, now: float) -> None:
        """Cut every session that goes through a host."""
        for session in list(host.sessions.values()):
            self.drop(session, now)

    def _drop_each(self, sessions: list[Session], now: float) -> None:
        for session in sessions:
            self.drop(session, now)

    def proxied_sessions(self, place: int) -> list[Session]:
        """The sessions of one user (hash) through all directors."""
        return list(self._proxied.get(place, {}).values())

    def remember(self, place: int, user: str, ip: str, now: float) -> UserMapping:
        """Map a user to a backend from now on, for as long as it stays in use."""
        mapping = self.ring.assign(place, user, ip, expires=now + self.scaled(USER_EXPIRE))
        self._expire_later(mapping)
        return mapping

    def _expire_later(self, mapping: UserMapping) -> None:
        self.at(mapping.expires, lambda at: self._expire(mapping, at))

    def _expire(self, mapping: UserMapping, now: float) -> None:
        current = self.ring.mappings.get(mapping.hash) is mapping
        if current and not self._proxied.get(mapping.hash) and now >= mapping.expires:
            self.ring.forget(mapping)

    # -- moving -------------------------------------------------------------------------------------------------

    def move(self, place: int, user: str, ip: str, now: float) -> None:
        """Give a user another backend: cut the sessions ring-wide, hold the next login for the kick delay."""
        mapping = self.remember(place, user, ip, now)
        mapping.moved_at = now
        for session in self.proxied_sessions(place):
            self.drop(session, now)
        self.clients.moved(user, now)

    def flush(self, director: Director, ip: str | None, parallel: int, now: float) -> float:
        """Move users off a host (or, without one, to where they hash); returns the seconds until the reply.

        The reply waits for every batch that is full (seen on 2.3.19.1): 29 users, ten at a time, 4.03 s; one at a
        time, 58 s; 26 users, thirteen at a time, 4 s, although the second batch is the last.
        """
        targets = [ip] if ip is not None else list(self.ring.hosts)
        users = [mapping for target in targets for mapping in self.ring.hosts[target].users.values()]
        if any(self.ring.hashed(mapping.hash) is None for mapping in users):
            self._flush_nowhere(director, users, now)
            return 0.0
        leaving = [mapping.hash for mapping in users if self.ring.hashed(mapping.hash) != mapping.ip]
        if not leaving:
            return 0.0
        flush = Flush(director, leaving[::-1], parallel, origins={m.hash: m.ip for m in users})
        self._flush_on(flush, now)
        return self.scaled(KICK_DELAY) * (len(leaving) // parallel)

    def _flush_on(self, flush: Flush, now: float) -> None:
        busy = self._moving[flush.director.name]
        busy[:] = [until for until in busy if until > now]
        while flush.users and len(busy) < flush.parallel:
            mapping = self.ring.mappings.get(flush.users.pop())
            if mapping is None or mapping.ip != flush.origins[mapping.hash] or self.is_moving(mapping, now):
                continue
            target = self.ring.hashed(mapping.hash)
            if target is None or target == mapping.ip:
                continue
            self.move(mapping.hash, mapping.user, target, now)
            busy.append(now + self.scaled(KICK_DELAY))
        if flush.users:
            self.at(min(busy), lambda at: self._flush_on(flush, at))
        else:
            flush.done = True

    def _flush_nowhere(self, director: Director, users: list[UserMapping], now: float) -> None:
        # No backend is usable: this director's sessions go, the other directors' stay, the mappings are forgotten.
        for mapping in users:
            for session in self.proxied_sessions(mapping.hash):
                if session.director is director:
                    self.drop(session, now)
            self.ring.forget(mapping)

    def force_flush(self, ip: str | None) -> None:
        """Forget mappings and leave the sessions alone: the trap of ``forceFlush``."""
        for mapping in list(self.ring.mappings.values()):
            if ip is None or mapping.ip == ip:
                self.ring.forget(mapping)

    # -- hosts come and go --------------------------------------------------------------------------------------

    def stop(self, host: Host, now: float, *, linger: float = 0.0) -> None:
        """The master process ends: sessions are cut, at once or after a while, a director leaves the ring."""
        if not host.up:
            return
        host.up = False
        doomed = list(host.sessions.values())
        if linger:
            self.at(now + linger, lambda at: self._drop_each(doomed, at))
        else:
            self._drop_each(doomed, now)
        if isinstance(host, Director):
            host.failed_at = now + self.scaled(ALONE_DELAY)
            if not self._watch_ring(now):
                self.ring.forget_everything()

    def start(self, host: Host, now: float) -> None:
        """The master process runs again; a director learns the ring's state from a peer, if any has it."""
        if host.up:
            return
        host.up = True
        host.started_at = now
        host.stopped.clear()
        host.log.clear()
        if isinstance(host, Director) and self._watch_ring(now) == [host]:
            self.ring.forget_everything()
        self.clients.wake(now)

    def reload(self, host: Host, now: float) -> None:
        """Restart every service but the master: with shutdown_clients, the default, that cuts all sessions."""
        again = bool(host.reloads) and now - host.reloads[-1] < self.scaled(BYE_AFTER_RELOAD)
        host.reloads.append(now)
        host.stopped.clear()
        self.clients.wake(now)
        if isinstance(host, Director):
            self.at(now + self.scaled(CUT_AFTER_RELOAD), lambda at: self.drop_all(host, at))
            if self.live_directors() == [host]:
                self._watch_ring(now)
                self.ring.forget_everything()
            return
        delay = BYE_AFTER_RELOAD_AGAIN if again else BYE_AFTER_RELOAD
        doomed = list(host.sessions.values())
        self.at(now + self.scaled(delay), lambda at: self._drop_each(doomed, at))

    def _watch_ring(self, now: float) -> list[Director]:
        """Note since when a director is the only one left of several."""
        live = self.live_directors()
        self.alone_since = now if len(live) == 1 and len(self.ring_members) > 1 else None
        return live

    def ring_delay(self, now: float) -> float:
        """How long a change takes on a ring whose last director has not yet accepted being alone."""
        if self.alone_since is None:
            return 0.0
        return max(0.0, self.alone_since + self.scaled(ALONE_DELAY) - now)


def _accounts(spec: FleetSpec) -> dict[str, Account]:
    total = max(spec.accounts, spec.users)
    width = max(3, len(str(total)))
    names = [f"user{number:0{width}}" for number in range(1, total + 1)]
    names += [user for user in spec.unreadable_users if user not in names]
    return {name: Account(name, number) for number, name in enumerate(names, 1)}
