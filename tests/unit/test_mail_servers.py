"""Where users go when backends are emptied, by the vhost counts of those that stay."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dovecot.mail_servers import drained, emptied, restored, users_of

SERVERS = [
    {"mail server ip": "10.0.1.1", "vhosts": "100", "state": "up", "users": "90"},
    {"mail server ip": "10.0.1.2", "vhosts": "100", "state": "up", "users": "10"},
    {"mail server ip": "10.0.1.3", "vhosts": "200", "state": "up", "users": "20"},
    {"mail server ip": "10.0.1.4", "vhosts": "100", "state": "down", "users": "1"},
    {"mail server ip": "10.0.1.5", "vhosts": "0", "state": "up", "users": "2"},
]


def users(found: list[dict[str, str]]) -> list[str]:
    """Of each."""
    return [row["users"] for row in found]


def test_users_are_spread_by_vhosts() -> None:
    """Each that is up with vhosts gets its share; one that is down, or has none, gets nobody."""
    after = drained(SERVERS, {"10.0.1.1"})
    assert users(after) == ["0", "40", "80", "1", "2"]
    assert users_of(after) == users_of(SERVERS) == 123


def test_nobody_moves_when_no_backend_is_left() -> None:
    """Those users have nowhere to go."""
    assert users(drained(SERVERS, {"10.0.1.1", "10.0.1.2", "10.0.1.3"})) == users(SERVERS)


@pytest.mark.parametrize(
    ("command", "parameters", "address", "back"),
    [
        ("directorUpdate", {"host": "10.0.1.1", "vhostCount": "0"}, "10.0.1.1", False),
        ("directorUpdate", {"host": "10.0.1.1", "vhostCount": "50"}, "", True),
        ("directorUpdate", {"host": "10.0.1.1"}, "", True),
        ("directorFlush", {"host": "10.0.1.1"}, "10.0.1.1", False),
        ("directorDown", {"host": "10.0.1.1"}, "10.0.1.1", False),
        ("directorUp", {"host": "10.0.1.1"}, "", True),
        ("directorStatus", {}, "", False),
    ],
)
def test_what_takes_users_away(command: str, parameters: dict[str, Any], address: str, back: bool) -> None:
    """A vhost count of 0, a flush and a backend that is marked down; any other vhost count gives users back."""
    assert (emptied(command, parameters), restored(command, parameters)) == (address, back)
