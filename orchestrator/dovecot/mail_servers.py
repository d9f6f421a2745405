"""The backends as a director sees them, for those who want to know where users go when one is drained."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

COMMAND = "directorStatus"  # without parameters it answers a row a mail server (2.3.19.1)
_WANTED = ("mail server ip", "vhosts", "state", "users")
_EMPTYING = {"directorFlush", "directorDown", "directorRemove"}
_COUNTING = {"directorUpdate", "directorAdd"}  # they empty a backend when they set its vhost count to 0


def mail_servers(
    command: str, parameters: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Address, vhosts, state and users of each mail server; empty for another command, or one about a single user."""
    if command != COMMAND or parameters:
        return []
    return [{name: str(row.get(name, "")) for name in _WANTED} for row in rows]


def emptied(command: str, parameters: Mapping[str, Any]) -> str:
    """The address of the backend that a request takes users away from, now or as they log in again; empty for none."""
    if command in _EMPTYING or (command in _COUNTING and str(parameters.get("vhostCount")) == "0"):
        return str(parameters.get("host", ""))
    return ""


def restored(command: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a request gives a backend users again; a vhost count that only the run will know is none of 0."""
    return command == "directorUp" or (command in _COUNTING and str(parameters.get("vhostCount")) != "0")


def users_of(servers: Iterable[Mapping[str, str]]) -> int:
    """How many users all mail servers have together."""
    return sum(map(users, servers))


def drained(servers: Iterable[Mapping[str, str]], empty: Collection[str]) -> list[dict[str, str]]:
    """The mail servers when some are empty: their users have moved to those that serve.

    A director spreads users over backends by their vhost counts (2.3), so each gets its share of those who move. Where none
    is left that serves, nobody moves.

    Args:
        servers: all mail servers, as `mail_servers` gives them.
        empty: the addresses of those that are emptied.
    """
    rows = [dict(row) for row in servers]
    moving = users_of(row for row in rows if row["mail server ip"] in empty)
    staying = [row for row in rows if serves(row, empty)]
    weight = sum(map(_vhosts, staying))
    for row in rows if staying else ():
        if row["mail server ip"] in empty:
            row["users"] = "0"
    for row in staying:
        row["users"] = str(users(row) + round(moving * _vhosts(row) / weight))
    return rows


def serves(server: Mapping[str, str], empty: Collection[str]) -> bool:
    """Whether a mail server takes users while some are empty."""
    return server["mail server ip"] not in empty and server["state"] == "up" and _vhosts(server) > 0


def users(server: Mapping[str, str]) -> int:
    """How many users it has."""
    return int(server["users"]) if server["users"].isdigit() else 0


def _vhosts(row: Mapping[str, str]) -> int:
    return int(row["vhosts"]) if row["vhosts"].isdigit() else 0
