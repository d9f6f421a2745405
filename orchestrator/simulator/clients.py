"""The mail programs of a simulated fleet: they want one session each and log in again when they lose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.simulator.ring import user_hash

if TYPE_CHECKING:
    from orchestrator.simulator.fleet import Fleet
    from orchestrator.simulator.hosts import Backend, Director, Session

KICK_DELAY = 2.0  # director_user_kick_delay: how long the directors hold a moved user's next login
LOGIN_PATIENCE = 30.0  # how long a login waits for any usable backend
CONNECT_STALL = 3.0  # how long a director goes on trying a backend that refuses connections


@dataclass(slots=True)
class Counters:
    """What the clients went through since the fleet was started."""

    dropped: int = 0
    logins: int = 0
    failed_logins: int = 0
    refused_connections: int = 0


@dataclass(slots=True)
class Client:
    """One user's mail program.

    Attributes:
        director: Where it connects to; None for one that knows its backend, `home`.
        since: When the login that is under way began.
        stalled: Odd while a director goes on trying a dead backend for this client.
        drops: How often it lost its session.
    """

    user: str
    director: Director | None
    home: Backend | None = None
    session: Session | None = None
    since: float | None = None
    stalled: int = 0
    drops: int = 0


class Clients:
    """All clients of a fleet, and what befalls their logins."""

    def __init__(self, fleet: Fleet, relogin: float) -> None:
        self._fleet = fleet
        self._relogin = relogin
        self._waiting: dict[str, Client] = {}
        self.by_user: dict[str, Client] = {}
        self.counters = Counters()

    def connect(self, client: Client, now: float) -> None:
        """A further client logs in for the first time."""
        self.by_user[client.user] = client
        self._attempt(client, now)

    def lost(self, session: Session, now: float) -> None:
        """A session was cut; whose it was will be back."""
        self.counters.dropped += 1
        client = self.by_user.get(session.user)
        if client is not None and client.session is session:
            client.session = None
            client.drops += 1
            self._try_later(client, now)

    def moved(self, user: str, now: float) -> None:
        """A user got another backend: a login attempt under way on the old one is cut too."""
        client = self.by_user.get(user)
        if client is not None and client.stalled % 2:
            self._end_stall(client, client.stalled, now)

    def wake(self, now: float) -> None:
        """A backend may be usable again: everyone who waits for one tries at once."""
        waiting, self._waiting = list(self._waiting.values()), {}
        for client in waiting:
            self._attempt(client, now)

    def _attempt(self, client: Client, now: float) -> None:
        """One login, from the connection to the session or to its failure."""
        if client.session is not None:
            return
        if client.since is None:
            client.since = now
        director = client.director
        if director is None:
            self._arrive(client, client.home, now)
        elif not director.up or director.stopped & {"imap-login", "director"}:
            self.counters.refused_connections += 1
            self._try_later(client, now)
        else:
            self._attempt_by_director(client, now)

    def _attempt_by_director(self, client: Client, now: float) -> None:
        fleet, place = self._fleet, user_hash(client.user)
        mapping = fleet.ring.mappings.get(place)
        if mapping is None:
            ip = fleet.ring.hashed(place)
        else:
            hold_until = mapping.moved_at + fleet.scaled(KICK_DELAY)
            if now < hold_until:
                fleet.at(hold_until, lambda at: self._attempt(client, at))
                return
            ip = mapping.ip
        if ip is None:
            self._wait_for_backend(client, now)
            return
        fleet.remember(place, client.user, ip, now)
        self._arrive(client, fleet.backend_at(ip), now)

    def _wait_for_backend(self, client: Client, now: float) -> None:
        if client.user in self._waiting:
            return
        self._waiting[client.user] = client
        deadline = (client.since or now) + self._fleet.scaled(LOGIN_PATIENCE)
        self._fleet.at(max(deadline, now), lambda at: self._lose_patience(client, at))

    def _lose_patience(self, client: Client, now: float) -> None:
        since = client.since
        if client.user in self._waiting and since is not None and now >= since + self._fleet.scaled(LOGIN_PATIENCE):
            del self._waiting[client.user]
            self._fail(client, now)

    def _arrive(self, client: Client, backend: Backend | None, now: float) -> None:
        if backend is None or not backend.up or "imap-login" in backend.stopped:
            self._stall(client, now)
        elif "imap" in backend.stopped:
            self._fail(client, now)
        else:
            client.session, client.since = self._fleet.open_session(client.user, client.director, backend), None
            self.counters.logins += 1

    def _stall(self, client: Client, now: float) -> None:
        client.stalled += 1
        attempt = client.stalled
        self._fleet.at(now + self._fleet.scaled(CONNECT_STALL), lambda at: self._end_stall(client, attempt, at))

    def _end_stall(self, client: Client, attempt: int, now: float) -> None:
        if client.stalled == attempt:
            client.stalled += 1
            self._fail(client, now)

    def _fail(self, client: Client, now: float) -> None:
        if client.session is None:
            self.counters.failed_logins += 1
            self._try_later(client, now)

    def _try_later(self, client: Client, now: float) -> None:
        client.since = None
        self._fleet.at(now + self._relogin, lambda at: self._attempt(client, at))
