"""The hosts of a simulated fleet and what each of them holds: services, sessions, log, dictionaries, files."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

LOG_KEPT = 1000

# name -> (process_limit, client_limit), in the order of `serviceStatus`
_SERVICES_23 = {
    "tcpwrap": (100, 1),
    "health-check": (100, 1),
    "stats": (1, 5000),
    "replicator": (1, 1000),
    "aggregator": (100, 1000),
    "old-stats": (1, 1000),
    "log": (1, 1000),
    "ipc": (1, 1000),
    "indexer-worker": (10, 1),
    "indexer": (1, 1000),
    "imap": (1024, 1),
    "imap-urlauth-worker": (1024, 1),
    "imap-urlauth": (1024, 1),
    "imap-urlauth-login": (100, 1),
    "imap-login": (100, 1000),
    "imap-hibernate": (100, 1000),
    "doveadm": (100, 1),
    "dns-client": (100, 1),
    "director": (1, 1000),
    "dict": (100, 1),
    "dict-async": (100, 1000),
    "config": (100, 1000),
    "auth": (1, 5000),
    "auth-worker": (100, 1),
    "anvil": (1, 5000),
}
_SERVICES_24 = {
    "auth-worker": (30, 1),
    "config": (100, 1000),
    "dict": (100, 1),
    "dict-async": (100, 1000),
    "dict-expire": (1, 1),
    "dns-client": (100, 1),
    "health-check": (100, 1),
    "imap-hibernate": (100, 1000),
    "imap-urlauth": (1024, 1),
    "imap-urlauth-login": (100, 1),
    "imap-urlauth-worker": (1024, 1),
    "indexer": (1, 1000),
    "indexer-worker": (10, 1),
    "log": (1, 1000),
    "imap-login": (100, 1000),
    "imap": (1024, 1),
    "doveadm": (100, 1),
    "auth": (1, 5000),
    "anvil": (1, 5000),
    "stats": (1, 5000),
}
SERVICES: dict[str, dict[str, tuple[int, int]]] = {"2.3": _SERVICES_23, "2.4": _SERVICES_24}
STANDING = ("stats", "log", "ipc", "doveadm", "config", "anvil")  # run whether or not anyone asks


@dataclass(slots=True)
class Session:
    """One live IMAP session: its user, and the hosts it goes through."""

    user: str
    pid: int
    director: Director | None
    backend: Backend
    ip: str = "127.0.0.1"
    service: str = "imap"


@dataclass(slots=True)
class Account:
    """A user's mail store, as far as doveadm commands can see it."""

    user: str
    number: int
    mailboxes: dict[str, int] = field(default_factory=lambda: {"INBOX": 0})
    quota_recounted: int = 0


@dataclass(slots=True)
class LogLine:
    """One line of the ring buffer behind `logErrors`."""

    at: float
    prefix: str
    type: str
    text: str


@dataclass(slots=True, eq=False)
class Host:
    """What directors and backends have in common.

    Attributes:
        release: What it runs: ``2.3``, ``2.4`` (that is 2.4.1) or ``2.4.5``.
        up: Whether the master process runs; the API refuses connections otherwise.
        failed_at: When the rest of the ring gave this director up.
        stopped: Services that `serviceStop` stopped; `reload` brings them back.
    """

    role: ClassVar[str] = "host"
    name: str
    address: str
    release: str
    up: bool = True
    stopped: set[str] = field(default_factory=set)
    started_at: float = 0.0
    failed_at: float | None = None
    reloads: list[float] = field(default_factory=list)
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LOG_KEPT))
    sessions: dict[int, Session] = field(default_factory=dict)
    dictionaries: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)
    metrics: dict[str, int] = field(default_factory=dict)
    auth_cache: set[str] = field(default_factory=set)

    @property
    def version(self) -> str:
        """The family of its release: ``2.3`` or ``2.4``."""
        return self.release[:3]

    @property
    def newer(self) -> bool:
        """Whether it answers as 2.4.5 does where that differs from 2.4.1."""
        return self.release == "2.4.5"

    def complain(self, now: float, text: str, *, user: str = "", kind: str = "Error") -> None:
        """Add a line to the log, as every failing request of ours does."""
        about = f",{user}" if user else ""
        suffix = ": " if self.version == "2.4" else ""
        self.log.append(LogLine(now, f"doveadm(127.0.0.1{about}){suffix}", kind, text))


@dataclass(slots=True, eq=False)
class Director(Host):
    """A director; `sessions` are those that it proxies.

    Attributes:
        left: It was asked to remove itself from the ring.
    """

    role: ClassVar[str] = "director"
    left: bool = False


@dataclass(slots=True, eq=False)
class Backend(Host):
    """A backend; `sessions` are those that it serves."""

    role: ClassVar[str] = "backend"


def local_time(at: float) -> str:
    """A time as directors print it: local, without a zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
