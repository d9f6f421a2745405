"""What a simulated fleet is made of."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSIONS = ("2.3", "2.4", "2.4.5")


@dataclass(frozen=True, kw_only=True)
class FleetSpec:
    """The size, the habits and the troubles of a simulated fleet.

    Attributes:
        directors: How many directors (``d1``, ``d2``, ...) share the ring; 0 for backends alone.
        backends: How many backends (``b1``, ``b2``, ...).
        users: How many users (``user001``, ...) hold a live IMAP session through the directors.
        accounts: How many users exist; those without a session too. At least ``users``.
        relogin: Seconds until a dropped client logs in again.
        time_scale: Factor on every delay that is Dovecot's own: 0.1 is ten times faster.
        version: What the hosts run: ``"2.3"``, ``"2.4"`` (2.4.1) or ``"2.4.5"`` (directors exist in 2.3 alone).
        backend_versions: Backends that run something else, by name.
        unreadable_users: Users whose home cannot be read; forceResync lies about them, mailboxStatus does not.
        faults: Scripted trouble, one rule a text; see `faults`.
        latency: Seconds that every command takes on a host.
        login_service_count: 1, Dovecot's default, is one login process a session: proxyList then has header rows.
        password: The value of ``doveadm_password``.
        api_key: The value of ``doveadm_api_key``.
        network: First two numbers of the loopback network, such as ``"127.31"``; chosen free when missing.
        port: The API's port on every address.
        record: A file that gets one JSON line for each command that a host was sent.
        keep_requests: How many of those records memory keeps; all of them when missing.
        seed: The seed of everything that is left to chance.
    """

    directors: int = 2
    backends: int = 3
    users: int = 60
    accounts: int = 200
    relogin: float = 0.3
    time_scale: float = 1.0
    version: str = "2.3"
    backend_versions: Mapping[str, str] = field(default_factory=dict)
    unreadable_users: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    latency: float = 0.0
    login_service_count: int = 1
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    network: str | None = None
    port: int = 8080
    record: Path | None = None
    keep_requests: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse a fleet that cannot be built."""
        if self.backends < 1 or self.directors < 0 or self.users < 0:
            raise ValueError("a fleet needs at least one backend, and no negative numbers of anything")
        if max(self.backends, self.directors) > 60000:
            raise ValueError("at most 60000 hosts of a kind fit in the loopback network")
        if self.time_scale <= 0 or self.relogin <= 0:
            raise ValueError("time_scale and relogin must be greater than zero")
        unknown = {self.version, *self.backend_versions.values()} - set(VERSIONS)
        if unknown:
            raise ValueError(f"unknown Dovecot version {min(unknown)!r}; the simulator knows {', '.join(VERSIONS)}")

    def version_of(self, host: str) -> str:
        """The version that the host `host` runs; a director is always a 2.3."""
        return "2.3" if host.startswith("d") else self.backend_versions.get(host, self.version)
