"""The HTTP client of the doveadm API: the only file of the product that opens sockets.

Dovecot closes every connection after one answer (seen on 2.3.19.1 and 2.4.1), so each request has a connection of its
own: a lost connection is always this request's, and aiohttp never repeats a POST. No redirect is followed and no proxy
is taken from the environment. Credentials that a server repeats are redacted here, so that nobody else can show them.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast

import aiohttp
import anyio
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from orchestrator.dovecot import tls
from orchestrator.dovecot.endpoint import Endpoint, Tls
from orchestrator.dovecot.exchange import (
    Answered,
    Exchange,
    NoAnswer,
    NotSent,
    Obstacle,
    http_date,
    retry_after,
    stranger,
)
from orchestrator.dovecot.underway import Underway, current
from orchestrator.secret import Secret, SecretReference, encode

MAX_ANSWER = 64 * 1024 * 1024  # bytes; `who` of 10 000 connections is 0.9 MB on 2.3.19.1
LARGE = 1024 * 1024  # bytes; larger answers are read a few at a time
FIRST, SHOWN = 512, 40  # bytes kept of the begin of an answer, and characters shown of one that is no HTTP
WORDS = 64 * 1024  # bytes of an error page that are kept; a line of it is shown
KEEP_ALIVE = 30  # seconds of silence after which the host is asked whether it is still there
ROOM = 2 * MAX_ANSWER  # bytes of large answers at a time
_SILENT = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}  # nobody closed the connection: the way is cut
_LOCAL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


class _Headed:
    """Stands for a connection's transport until the headers are written, and sends the body with them.

    aiohttp has a task write each body, which may be long and slow to come; ours are small and at hand, and a task is a
    tenth of what a request costs.
    """

    __slots__ = ("_body", "_protocol", "_transport")

    def __init__(self, protocol: ResponseHandler, transport: asyncio.Transport, body: bytes) -> None:
        self._protocol = protocol
        self._transport = transport
        self._body = body

    def write(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._protocol.transport = self._transport
            data = b"".join((data, self._body))
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(ResponseHandler):
    """Takes a new connection as it is: event loops set TCP_NODELAY themselves, and aiohttp would do it again."""

    first = b""  # what came first, for whoever wonders what it is

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self.first:
            self.first = data[:FIRST]
        super().data_received(data)


class _Connector(aiohttp.TCPConnector):
    """Tells the request under way when there is a connection, and makes those without TLS to an address the short way.

    aiohttp looks for connections to use again, asks for names, connects a socket and hands it to the loop afterwards;
    where each request has a connection of its own, to one address, that is a fourth of its cost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = partial(_Protocol, loop)  # type: ignore[assignment] # one of it

    async def connect(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:
        if req.url.scheme == "http" and _is_address(req.url.raw_host):
            connection = Connection(self, req.connection_key, await self._straight(req), self._loop)
        else:
            connection = await super().connect(req, traces, timeout)
        underway = current.get()
        underway.connected = True
        protocol = connection.protocol
        if protocol is not None and protocol.transport is not None:
            underway.transport, underway.protocol = protocol.transport, protocol
            if underway.patient:
                _keep_alive(protocol.transport)
            protocol.transport = cast("asyncio.Transport", _Headed(protocol, protocol.transport, underway.body))
        return connection

    async def _straight(self, req: Any) -> ResponseHandler:
        try:
            _, protocol = await self._loop.create_connection(
                lambda: _Protocol(self._loop), req.url.raw_host, req.url.port
            )
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    """Have the kernel ask whether the host is still there; one that lost its power says nothing for ever."""
    connection = transport.get_extra_info("socket")
    for option, value in (
        (socket.TCP_KEEPIDLE, KEEP_ALIVE),
        (socket.TCP_KEEPINTVL, KEEP_ALIVE // 3),
        (socket.TCP_KEEPCNT, 3),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


@cache
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    headers: dict[str, str]
    ssl: ssl.SSLContext | bool
    server_name: str | None
    connect: float
    secret: Secret


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
        self._room = _Room(ROOM)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        secrets: dict[SecretReference, Secret] = {}
        contexts: dict[Tls, ssl.SSLContext] = {}
        for endpoint in self._endpoints:
            if endpoint.secret not in secrets:
                secrets[endpoint.secret] = endpoint.secret.resolve()
            if endpoint.scheme == "https" and endpoint.tls not in contexts:
                contexts[endpoint.tls] = tls.context(endpoint.tls)
            self._targets[endpoint.name] = _target(endpoint, secrets[endpoint.secret], contexts.get(endpoint.tls))
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=_Connector(self._loop, limit=0, force_close=True, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT_ENCODING, hdrs.ACCEPT),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def post(self, host: str, body: bytes, timeout: float) -> Exchange:
        """Send one payload to a host and read its whole answer.

        Args:
            host: the inventory's name.
            body: the payload.
            timeout: seconds for all of it.
        """
        return await self._exchange(hdrs.METH_POST, host, body, timeout)

    async def command_list(self, host: str, timeout: float) -> Exchange:
        """Ask a host for the list of commands that it has (`GET /doveadm/v1`)."""
        return await self._exchange(hdrs.METH_GET, host, b"", timeout)

    def redact(self, host: str, text: str) -> str:
        """`text` without the host's secret, should the host have logged it."""
        return self._targets[host].secret.redact(text.encode(errors="replace")).decode(errors="replace")

    async def _exchange(self, method: str, host: str, body: bytes, timeout: float) -> Exchange:
        target = self._targets[host]
        underway = Underway(self._loop, body, target.connect, timeout)
        try:
            with underway:
                return await self._request(method, target, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not underway.expired:
                return self._of_stranger(underway, target, error) or _translate(error)
        if underway.connected:
            return NoAnswer(f"no complete answer within {timeout:g} s", late=True)
        return NotSent("no connection within the connect timeout")

    @staticmethod
    def _of_stranger(underway: Underway, target: _Target, error: Exception) -> Exchange | None:
        """What an answer that is no HTTP comes from, as far as that can be told."""
        if not isinstance(error, aiohttp.ClientResponseError):
            return None
        first = getattr(underway.protocol, "first", b"")
        begin = target.secret.redact(first).decode("ascii", "replace")[:SHOWN]
        return stranger(first) or NoAnswer(f"the answer cannot be read as HTTP; it begins with {begin!r}")

    async def _request(self, method: str, target: _Target, body: bytes) -> Exchange:
        assert self._session is not None, "the client is used inside its context"  # noqa: S101
        async with self._session.request(
            method,
            target.url,
            headers=target.headers | {hdrs.CONTENT_LENGTH: str(len(body))} if body else target.headers,
            ssl=target.ssl,
            server_hostname=target.server_name,
            allow_redirects=False,
        ) as response:
            if (response.content_length or 0) > MAX_ANSWER:
                return NoAnswer(f"an answer of {response.content_length} bytes is too large to be read")
            received = await self._read(response)
            if len(received) > MAX_ANSWER:
                return NoAnswer(f"the answer is larger than {MAX_ANSWER // 2**20} MiB")
            return _answered(response, received, target.secret)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, or a little more than the limit of it; large ones only while there is room for them."""
        size = response.content_length
        if size is not None and size <= LARGE:
            return await response.read()
        begin = b"" if size is not None else await _up_to(response.content, LARGE)
        if response.content.at_eof():
            return begin
        async with self._room.take(size if size is not None else MAX_ANSWER):
            return begin + await _up_to(response.content, MAX_ANSWER - len(begin))


def _answered(response: aiohttp.ClientResponse, body: bytes, secret: Secret) -> Answered:
    """A complete answer, without the secret."""
    status = response.status
    if 200 <= status < 300:
        return Answered(status, secret.redact_data(body))
    headers = response.headers
    offered = (value.encode(errors="replace") for value in headers.getall(hdrs.WWW_AUTHENTICATE, ()))
    now = http_date(headers.get(hdrs.DATE, ""))
    return Answered(
        status,
        secret.redact(body[:WORDS]),
        offered=tuple(secret.redact(value).decode().split(" ")[0] for value in offered),
        doubt=secret.doubt if status == HTTPStatus.UNAUTHORIZED else "",
        retry_after=retry_after(headers.get(hdrs.RETRY_AFTER, ""), time.time() if now is None else now),
    )


class _Room:
    """So many bytes may be in memory at a time; who needs more than there are waits."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._freed = anyio.Event()

    @asynccontextmanager
    async def take(self, size: int) -> AsyncIterator[None]:
        """Wait until there is room, and hold it."""
        while size > self._free:
            await self._freed.wait()
        self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._freed.set()
            self._freed = anyio.Event()


async def _up_to(content: aiohttp.StreamReader, limit: int) -> bytes:
    """The next bytes of a body: until it ends, or until there are more than the limit."""
    parts, size = [], 0
    while size <= limit and (part := await content.readany()):
        size += len(part)
        parts.append(part)
    return b"".join(parts)


def _target(endpoint: Endpoint, secret: Secret, context: ssl.SSLContext | None) -> _Target:
    if endpoint.scheme_of_auth == "password":
        headers: dict[str, str] = {hdrs.AUTHORIZATION: "Basic " + encode("doveadm:" + secret.reveal())}
    else:
        headers = {hdrs.AUTHORIZATION: "X-Dovecot-API " + encode(secret.reveal())}
    headers[hdrs.CONTENT_TYPE] = "application/json"
    return _Target(
        url=endpoint.url,
        headers=headers,
        ssl=context if context is not None else True,
        server_name=endpoint.tls.server_name,
        connect=endpoint.connect_timeout,
        secret=secret,
    )


def _translate(error: Exception) -> Exchange:
    """Which side of the wire an exception of aiohttp belongs to; whatever is not surely "not sent" is "no answer"."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return tls.no_connection(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return tls.no_connection(error.os_error)
    if refused := tls.refused(error.__cause__):
        return refused
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NotSent(f"no address for the name {error.host}", obstacle=Obstacle.NAME)
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        if number is None and isinstance(error.os_error, ConnectionResetError):  # so says asyncio of a TLS handshake
            return tls.no_connection(ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the host closed the connection"))
        if number in _LOCAL:
            return NotSent(f"this machine cannot open a connection: {error.os_error.strerror}", local=True)
        return NotSent(
            _words(error.os_error), obstacle=Obstacle.REFUSED if number == errno.ECONNREFUSED else Obstacle.OTHER
        )
    if isinstance(error, aiohttp.InvalidURL):
        return NotSent("not a valid address")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return NoAnswer("the connection was closed without an answer")
    if isinstance(error, aiohttp.ClientPayloadError):
        return NoAnswer("the answer is cut short")
    if isinstance(error.__cause__, ssl.SSLError):
        return NoAnswer(
            f"the TLS connection broke: {(error.__cause__.reason or 'no reason').replace('_', ' ').lower()}"
        )
    if isinstance(error, OSError):
        return NoAnswer(f"the connection broke: {_words(error)}", late=error.errno in _SILENT)
    return NoAnswer(f"the exchange failed: {type(error).__name__}")


def _words(error: OSError) -> str:
    """The system's words for an error ("connection refused"); asyncio has its own, which say less."""
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
