"""The HTTP client of the doveadm API: hosts by name, their secrets, and what comes of a request as an `Exchange`.

No redirect is followed and no proxy is taken from the environment. Credentials that a server repeats are redacted here,
so that nobody else can show them.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self

from orchestrator.dovecot import tls
from orchestrator.dovecot.answer import Response, Unreadable
from orchestrator.dovecot.endpoint import API_PATH, Endpoint, Tls
from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, http_date, retry_after, stranger
from orchestrator.dovecot.transport import Route, Transport, addresses_of
from orchestrator.secret import Secret, SecretReference, encode

SHOWN = 40  # characters shown of an answer that is no HTTP
WORDS = 64 * 1024  # bytes of an error page that are kept; a line of it is shown
_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a host is, and the heads of its requests, which hold its secret."""

    route: Route
    secret: Secret
    post: bytes = field(repr=False)  # the length of the body, and an empty line, are still to come
    get: bytes = field(repr=False)


class Client:
    """Sends requests to the hosts of a fleet.

    Args:
        endpoints: the hosts; their secrets are resolved on entry.

    Raises (on entry):
        SecretError: a secret cannot be had.
        InputError: a CA or client certificate file cannot be read.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = list(endpoints)
        self._targets: dict[str, _Target] = {}

    async def __aenter__(self) -> Self:
        secrets: dict[SecretReference, Secret] = {}
        contexts: dict[Tls, ssl.SSLContext] = {}
        for endpoint in self._endpoints:
            if endpoint.secret not in secrets:
                secrets[endpoint.secret] = endpoint.secret.resolve()
            if endpoint.scheme == "https" and endpoint.tls not in contexts:
                contexts[endpoint.tls] = tls.context(endpoint.tls)
            self._targets[endpoint.name] = _target(endpoint, secrets[endpoint.secret], contexts)
        self._transport = Transport()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    async def post(self, host: str, body: bytes, timeout: float) -> Exchange:
        """Send one payload to a host and read its whole answer.

        Args:
            host: the inventory's name.
            body: the payload.
            timeout: seconds for all of it.
        """
        target = self._targets[host]
        return await self._exchange(target, b"%b%d\r\n\r\n%b" % (target.post, len(body), body), timeout)

    async def command_list(self, host: str, timeout: float) -> Exchange:
        """Ask a host for the list of commands that it has (`GET /doveadm/v1`)."""
        target = self._targets[host]
        return await self._exchange(target, target.get, timeout)

    def redact(self, host: str, text: str) -> str:
        """`text` without the host's secret, should the host have logged it."""
        return self._targets[host].secret.redact(text.encode(errors="replace")).decode(errors="replace")

    async def _exchange(self, target: _Target, request: bytes, timeout: float) -> Exchange:
        ended = await self._transport.send(target.route, request, timeout)
        if isinstance(ended, Response):
            return _answered(ended, target.secret)
        if isinstance(ended, Unreadable):
            begin = target.secret.redact(ended.begin).decode("ascii", "replace")[:SHOWN]
            said = f"the answer cannot be read as HTTP; it begins with {begin!r}"
            return stranger(ended.begin) or NoAnswer(said)
        return ended


def _answered(response: Response, secret: Secret) -> Answered:
    """A complete answer, without the secret."""
    status = response.status
    if 200 <= status < 300:
        return Answered(status, secret.redact_data(response.body))
    headers = [(name.lower(), value) for name, value in response.headers]
    offered = tuple(
        secret.redact(value).decode(errors="replace").split(" ")[0]
        for name, value in headers
        if name == b"www-authenticate"
    )
    said = {name: value.decode("ascii", "replace") for name, value in reversed(headers)}
    now = http_date(said.get(b"date", ""))
    return Answered(
        status,
        secret.redact(response.body[:WORDS]),
        offered=offered,
        doubt=secret.doubt if status == HTTPStatus.UNAUTHORIZED else "",
        retry_after=retry_after(said.get(b"retry-after", ""), time.time() if now is None else now),
    )


def _target(endpoint: Endpoint, secret: Secret, contexts: dict[Tls, ssl.SSLContext]) -> _Target:
    if endpoint.scheme_of_auth == "password":
        authorization = "Basic " + encode("doveadm:" + secret.reveal())
    else:
        authorization = "X-Dovecot-API " + encode(secret.reveal())
    host = f"[{endpoint.address.partition('%')[0]}]" if ":" in endpoint.address else endpoint.address
    port = "" if endpoint.port == _USUAL_PORTS[endpoint.scheme] else f":{endpoint.port}"
    lines = [f"Host: {host}{port}", f"Authorization: {authorization}", "Connection: close"]
    head = f" {API_PATH} HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines)
    return _Target(
        _route(endpoint, contexts.get(endpoint.tls) if endpoint.scheme == "https" else None),
        secret,
        post=f"POST{head}Content-Type: application/json\r\nContent-Length: ".encode("ascii"),
        get=f"GET{head}\r\n".encode("ascii"),
    )


def _route(endpoint: Endpoint, context: ssl.SSLContext | None) -> Route:
    try:
        addresses = addresses_of(endpoint.address, endpoint.port, socket.AI_NUMERICHOST)
    except OSError:  # a name
        addresses = ()
    name = endpoint.tls.server_name or endpoint.address.rstrip(".")
    return Route(endpoint.address, endpoint.port, endpoint.connect_timeout, context, name, addresses)
