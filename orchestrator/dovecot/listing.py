"""What a host itself says it can do: `GET /doveadm/v1`, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.dovecot.exchange import Answered, Exchange, NotSent, Obstacle, Stranger


@dataclass(frozen=True, slots=True)
class Listing:
    """The commands that a host has.

    Attributes:
        commands: command -> parameter -> type.
    """

    commands: Mapping[str, Mapping[str, str]]

    @property
    def version(self) -> str:
        """The version family: "2.4" has lost the director's commands (seen in the lists of 2.3.19.1 and 2.4.1)."""
        if "directorStatus" in self.commands or "replicatorStatus" in self.commands:
            return "2.3"
        later = "indexerAdd" in self.commands or "destHost" in self.commands.get("kick", ())
        return "2.4" if later else "unknown"

    @property
    def release(self) -> str:
        """The version as closely as the list tells: 2.4.3 renamed a parameter (seen in 2.4.1 and 2.4.5)."""
        flush = self.commands.get("authCacheFlush", {})
        if self.version != "2.4" or not flush:
            return self.version
        return "2.4.3 or later" if "userMask" in flush else "2.4 before 2.4.3"


def read_listing(exchange: Exchange) -> Listing | None:
    """The list in an answer, or None when there is none."""
    if not isinstance(exchange, Answered) or not exchange.is_success:
        return None
    try:
        entries = json.loads(exchange.body)
        commands = {
            str(entry["command"]): {str(p["name"]): str(p["type"]) for p in entry["parameters"]} for entry in entries
        }
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Listing(commands)


def trouble(exchange: Exchange, url: str) -> tuple[str, str]:
    """Why there is no list, and what to do about it."""
    if isinstance(exchange, NotSent):
        return exchange.reason, exchange.remedy or _remedy_unsent(exchange.obstacle, url)
    if isinstance(exchange, Stranger):
        return f"this port speaks {exchange.protocol}", "give the port of doveadm's HTTP listener"
    if not isinstance(exchange, Answered):
        hint = "a listener that is not named http speaks the native doveadm protocol (2.3)"
        if url.startswith("http:"):
            hint += ", and a TLS port closes on plain http: then set scheme: https"
        else:
            hint += ", and one that wants a client certificate closes without it: then give tls: {cert_file: ..., key_file: ...}"
        return exchange.reason, hint
    if exchange.is_success:
        return "the answer is not a list of commands", "something else listens here: check address and port"
    remedy = _OF_STATUS.get(exchange.status, "check address and port")
    remedy = remedy.format(offered=" or ".join(exchange.offered) or "nothing")
    return f"HTTP {exchange.status}", remedy + (f"; {exchange.doubt}" if exchange.doubt else "")


def _remedy_unsent(obstacle: Obstacle, url: str) -> str:
    if obstacle is Obstacle.TLS:
        return "the port speaks plain http: set scheme: http, or give the TLS port" if url.startswith("https") else ""
    other = "check network, firewall and address" + (
        ", and whether the port speaks TLS" if url.startswith("https") else ""
    )
    return _REMEDIES.get(obstacle, other)


_BUSY = "a proxy before the host lets nothing through now: wait, or ask who runs it"
_BEHIND = "a proxy before the host does not reach it: is Dovecot running there?"
_OF_STATUS = {
    401: "the secret is wrong, or of the wrong kind: the host offers {offered}",
    404: "not a doveadm HTTP API: check the port; on 2.3 the inet_listener must be named http",
    500: "set doveadm_password or doveadm_api_key on the host",
    **dict.fromkeys((301, 302, 307, 308), "a redirect is not followed: give the address of the host itself"),
    **dict.fromkeys((408, 423, 425, 429), _BUSY),
    **dict.fromkeys((502, 503, 504), _BEHIND),
}
_REMEDIES = {
    Obstacle.REFUSED: "nothing listens there: is Dovecot running, and does service doveadm have an inet_listener http?",
    Obstacle.CERTIFICATE: "name the CA in tls: {ca_file: ...}; server_name if the certificate has another name",
    Obstacle.NAME: "check the address in the configuration",
}
