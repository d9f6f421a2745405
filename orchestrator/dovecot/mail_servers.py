"""The backends as a director sees them, for those who want to know where users go when one is drained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COMMAND = "directorStatus"  # without parameters it answers a row a mail server (2.3.19.1)
_WANTED = ("mail server ip", "vhosts", "state", "users")


def mail_servers(
    command: str, parameters: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Address, vhosts, state and users of each mail server; empty for another command, or one about a single user."""
    if command != COMMAND or parameters:
        return []
    return [{name: str(row.get(name, "")) for name in _WANTED} for row in rows]
