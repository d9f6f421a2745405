"""Who works on a run: a process, as it stands in the run file, and whether it still lives.

What stands in the file is the truth, whatever path, link or copy the file is reached by. A lock file beside it only keeps two
processes of one machine from asking at the same moment.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sqlite3
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from orchestrator.errors import LockedError
from orchestrator.journal.sqlite.schema import format_of
from orchestrator.user import login

NOBODY = ""


@dataclass(frozen=True)
class Process:
    """A process, so that it can be found again, and not be taken for another of the same number.

    Attributes:
        pid: its number.
        started: clock ticks after the boot at which it was started.
        boot: which boot of the machine that was.
        namespace: the namespace of process numbers, which containers have of their own.
        host, login, since: for people.
    """

    pid: int = 0
    started: str = ""
    boot: str = ""
    namespace: str = ""
    host: str = ""
    login: str = ""
    since: str = ""

    @classmethod
    def this(cls) -> Process:
        """The process that asks."""
        return cls(
            pid=os.getpid(),
            started=_started(os.getpid()),
            boot=_boot(),
            namespace=_namespace(),
            host=socket.gethostname(),
            login=login(),
            since=time.strftime("%Y-%m-%d %H:%M:%S"),
        )

    @classmethod
    def from_json(cls, text: str) -> Process:
        """As it stands in a run file."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})

    def to_json(self) -> str:
        """As it stands in a run file."""
        return json.dumps(asdict(self))

    @property
    def lives(self) -> bool | None:
        """Whether it is still there; None where that cannot be seen: a container on the same machine."""
        if self.boot != _boot():
            return self.host != socket.gethostname()  # this machine was started again since, or it is another machine
        if self.namespace != _namespace():
            return None
        return _started(self.pid) == self.started

    @property
    def elsewhere(self) -> bool:
        """Whether it is, or was, on another machine."""
        return self.boot != _boot() and self.host != socket.gethostname()

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} since {self.since}"


def owner_of(connection: sqlite3.Connection) -> Process | None:
    """Who works on a run now, or may do so; None when nobody does."""
    if format_of(connection) == 1:
        return None
    token, process = connection.execute("SELECT token, process FROM owner").fetchone()
    if token == NOBODY:
        return None
    found = Process.from_json(process)
    return None if found.lives is False else found


def take(connection: sqlite3.Connection, run_id: str, *, by_force: bool = False) -> str:
    """Become the owner, inside the caller's transaction; returns the token that every commit must find in the file.

    Args:
        connection: to the run file; the caller holds its lock.
        run_id: for words.
        by_force: take it from a process on another machine, which the operator knows to be gone.

    Raises:
        LockedError: somebody else is the owner, and lives, as far as can be seen.
    """
    other = owner_of(connection)
    if other is not None and other.lives is None:
        other = (
            None  # one machine has one kernel, which would not have given us the lock while the other process holds it
        )
    if other is not None and not (by_force and other.elsewhere):
        hint = "wait for it, or stop it with Ctrl-C or SIGTERM there; it can be resumed then"
        if other.elsewhere:
            hint += f"; if that machine is gone for good: orchestrator resume --take-over {run_id}"
        raise LockedError(f"the run {run_id} is being worked on by {other}", hint=hint)
    token = secrets.token_hex(8)
    connection.execute("UPDATE owner SET token = ?, process = ?", (token, Process.this().to_json()))
    return token


def give_back(connection: sqlite3.Connection) -> None:
    """Own it no more, inside the caller's transaction."""
    connection.execute("UPDATE owner SET token = ''")


def _started(pid: int) -> str:
    """When a process was started, in ticks after the boot; empty when there is none. See proc(5), stat, field 22."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""
