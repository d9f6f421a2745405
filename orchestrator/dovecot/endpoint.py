"""How one host's doveadm HTTP API is reached: a value, without sockets."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.secret import SecretReference

API_PATH = "/doveadm/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How the server's certificate is checked, and which one is shown to it."""

    ca_file: str | None = None
    verify: bool = True
    server_name: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One host.

    Attributes:
        name: the inventory's name of the host.
        address: IP address or host name.
        scheme: "https" or "http".
        scheme_of_auth: "password" (HTTP Basic, user `doveadm`) or "api_key" (`X-Dovecot-API`).
        connect_timeout, request_timeout: seconds.
    """

    name: str
    address: str
    port: int
    scheme: str
    scheme_of_auth: str
    secret: SecretReference
    tls: Tls
    connect_timeout: float
    request_timeout: float

    @property
    def url(self) -> str:
        """The API's URL."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{host}:{self.port}{API_PATH}"
