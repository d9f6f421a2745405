"""The directors' shared knowledge: mail hosts, their weights, and which user belongs where.

Users are hashed as in Dovecot 2.3 (``director_username_hash = %Lu``): the first four bytes of the MD5 of the
lower-cased name, looked up on a ring of points, of which a host has one for each of its vhosts. With the same
addresses, a user is mapped to the same backend as by a real director (seen on 2.3.19.1).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import md5
from ipaddress import IPv4Address

DEFAULT_VHOSTS = 100
MAX_VHOSTS = 1000


@lru_cache(maxsize=200_000)
def user_hash(user: str) -> int:
    """A user's place on the ring; digits alone are taken for a hash themselves (seen on 2.3.19.1)."""
    if user.isdecimal() and int(user) < 1 << 32:
        return int(user)
    return _first_bytes(user.lower()) or 1


def _first_bytes(text: str) -> int:
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[:4], "big")


@lru_cache(maxsize=4096)
def _points(ip: str, vhosts: int) -> tuple[tuple[int, str], ...]:
    return tuple((_first_bytes(f"{ip}-{number}"), ip) for number in range(vhosts))


@dataclass(slots=True)
class Mapping:
    """One user's (rather, one hash's) current backend, as the directors remember it."""

    hash: int
    user: str
    ip: str
    expires: float
    moved_at: float = float("-inf")


@dataclass(slots=True)
class MailHost:
    """A backend as the ring knows it, whether or not such a machine exists."""

    ip: str
    vhosts: int = DEFAULT_VHOSTS
    tag: str = ""
    down: bool = False
    changed: float | None = None
    users: dict[int, Mapping] = field(default_factory=dict)


class Ring:
    """Hosts and user mappings; every synced director shows the same."""

    def __init__(self, configured: list[str]) -> None:
        self.configured = list(configured)
        self.hosts: dict[str, MailHost] = {}
        self.removed: set[str] = set()
        self.mappings: dict[int, Mapping] = {}
        self._points: list[tuple[int, str]] | None = None
        self._initial = sorted(point for ip in configured for point in _points(ip, DEFAULT_VHOSTS))
        self.forget_everything()

    def forget_everything(self) -> None:
        """Back to the configuration file: what the last director of a ring leaves behind when it restarts."""
        self.hosts = {ip: MailHost(ip) for ip in sorted(self.configured, key=IPv4Address)}
        self.removed.clear()
        self.mappings.clear()
        self._points = None

    def changed(self) -> None:
        """Weights or states changed: the next lookup builds the points again."""
        self._points = None

    def add(self, ip: str) -> MailHost:
        """A host that the ring did not know."""
        host = MailHost(ip)
        self.hosts = dict(sorted([*self.hosts.items(), (ip, host)], key=lambda item: IPv4Address(item[0])))
        self.removed.discard(ip)
        self.changed()
        return host

    def remove(self, ip: str) -> None:
        """Forget a host and who was mapped to it; the sessions themselves live on."""
        for mapping in list(self.hosts[ip].users.values()):
            self.forget(mapping)
        del self.hosts[ip]
        if ip in self.configured:
            self.removed.add(ip)
        self.changed()

    def hashed(self, place: int) -> str | None:
        """Where a fresh login with this hash would go now; None when no backend takes any."""
        if self._points is None:
            usable = (host for host in self.hosts.values() if not host.down)
            self._points = sorted(point for host in usable for point in _points(host.ip, host.vhosts))
        return _lookup(self._points, place)

    def initially(self, place: int) -> str | None:
        """Where the configuration file's weights would send this hash."""
        return _lookup(self._initial, place)

    def assign(self, place: int, user: str, ip: str, *, expires: float) -> Mapping:
        """Map a hash to a host, whatever it was mapped to before."""
        mapping = self.mappings.get(place)
        if mapping is None:
            mapping = self.mappings[place] = Mapping(place, user, ip, expires)
        else:
            self.hosts[mapping.ip].users.pop(place, None)
            mapping.ip, mapping.expires = ip, expires
        self.hosts[ip].users[place] = mapping
        return mapping

    def forget(self, mapping: Mapping) -> None:
        """Drop one mapping."""
        self.mappings.pop(mapping.hash, None)
        host = self.hosts.get(mapping.ip)
        if host is not None:
            host.users.pop(mapping.hash, None)


def _lookup(points: list[tuple[int, str]], place: int) -> str | None:
    if not points:
        return None
    index = bisect_left(points, (place, ""))
    return points[index % len(points)][1]
