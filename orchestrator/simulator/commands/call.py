"""One command as its handler gets it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orchestrator.simulator.answers import Died
from orchestrator.simulator.hosts import Director, Host

if TYPE_CHECKING:
    from orchestrator.simulator.fleet import Fleet


_SOCKET = "[-a <director socket path>]"
# What 2.3.19.1 logs when one of these gets too few parameters
_USAGE = {
    "directorUpdate": f"{_SOCKET} <host> <vhost count>",
    "directorUp": f"{_SOCKET} <host>",
    "directorDown": f"{_SOCKET} <host>",
    "directorAdd": f"{_SOCKET} [-t <tag>] <host> [<vhost count>]",
    "directorRemove": f"{_SOCKET} <host>",
    "directorMove": f"{_SOCKET} <user> <host>",
    "directorKick": f"{_SOCKET} [-f <passdb field>] <user>",
    "directorFlush": f"{_SOCKET} [-F] [--max-parallel <n>] <host>|all",
    "directorMap": f"{_SOCKET} [-f <users file>] [-h | -u] [<host>]",
    "directorRingAdd": f"{_SOCKET} <ip> [<port>]",
    "directorRingRemove": f"{_SOCKET} <ip> [<port>]",
    "proxyKick": "[-a <ipc socket path>] [-f <passdb field>] [-h <host> [...] | <user> [...]]",
    "mailboxStatus": "[-u <user>|-A] [-S <socket_path>] <fields> <mailbox> [...]",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A command with accepted parameters, on a host, at a time."""

    fleet: Fleet
    host: Host
    command: str
    parameters: dict[str, Any]
    now: float

    @property
    def version(self) -> str:
        """What the host runs."""
        return self.host.version

    def text(self, name: str) -> str | None:
        """A string parameter, None when it was not given."""
        value: str | None = self.parameters.get(name)
        return value

    def required(self, name: str) -> str:
        """A string parameter without which doveadm prints its usage and dies."""
        value = self.text(name)
        if value is None:
            raise self.usage()
        return value

    def flag(self, name: str) -> bool:
        """A boolean parameter."""
        return bool(self.parameters.get(name))

    def names(self, name: str) -> list[str] | None:
        """An array parameter, None when it was not given."""
        value: list[str] | None = self.parameters.get(name)
        return value

    def usage(self) -> Died:
        """What ends a process that got too few parameters."""
        return Died(
            f"Client sent invalid command. Usage: {words(self.command)} {_USAGE.get(self.command, '')}".rstrip()
        )

    def director(self) -> Director:
        """The host as a director; elsewhere the process waits for one and gives up (5 s, 2.3.19.1)."""
        self.check_socket()
        if isinstance(self.host, Director):
            return self.host
        raise Died("net_connect_unix(director-admin) failed: No such file or directory", after=5.0)

    def check_socket(self) -> None:
        """A socket path of the client's is none that exists."""
        path = self.text("socketPath")
        if path is not None:
            raise Died(f"net_connect_unix({path}) failed: No such file or directory")


def words(command: str) -> str:
    """A command as it is typed: ``directorUpdate`` is ``director update``."""
    return re.sub(r"([A-Z])", lambda found: " " + found[1].lower(), command)


@lru_cache(maxsize=1000)
def pattern(mask: str) -> re.Pattern[str]:
    """A doveadm pattern: ``*`` and ``?``, nothing else."""
    escaped = re.escape(mask).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped + r"\Z", re.DOTALL)


def is_pattern(mask: str) -> bool:
    """Whether a name holds wildcards."""
    return "*" in mask or "?" in mask
