"""The HTTP client of the doveadm API: the only file of the product that opens sockets.

Dovecot closes every connection after one answer (seen on 2.3.19.1 and 2.4.1), so each request has a connection of its
own: a lost connection is always this request's, and aiohttp never repeats a POST. No redirect is followed and no proxy
is taken from the environment.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import anyio
from aiohttp import hdrs

from orchestrator.dovecot.endpoint import Endpoint, Tls
from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent
from orchestrator.errors import InputError
from orchestrator.secret import Secret, SecretReference, encode

MAX_ANSWER = 64 * 1024 * 1024  # bytes; `who` of 10 000 connections is 0.9 MB on 2.3.19.1
_LOCAL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


class _Connector(aiohttp.TCPConnector):
    """Lets the event loop connect to a single address by itself.

    aiohttp connects a socket first, for the sake of names with many addresses, and hands it to the loop afterwards;
    where each request has a connection of its own that is a fifth of its cost. Both methods are aiohttp's own (3.10 to
    3.14); should one of them go, the tests fail and requests take the longer way.
    """

    async def _wrap_create_connection(self, *args: Any, addr_infos: Any, req: Any, timeout: Any, **kwargs: Any) -> Any:
        direct = getattr(self, "_wrap_existing_connection", None)
        if direct is None or len(addr_infos) != 1 or kwargs.get("ssl"):
            return await super()._wrap_create_connection(
                *args, addr_infos=addr_infos, req=req, timeout=timeout, **kwargs
            )
        host, port = addr_infos[0][4][:2]
        return await direct(*args, host, port, req=req, timeout=timeout, **kwargs)


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    headers: dict[str, str]
    ssl: ssl.SSLContext | bool
    server_name: str | None
    connect: aiohttp.ClientTimeout
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
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        secrets: dict[SecretReference, Secret] = {}
        contexts: dict[Tls, ssl.SSLContext] = {}
        for endpoint in self._endpoints:
            if endpoint.secret not in secrets:
                secrets[endpoint.secret] = endpoint.secret.resolve()
            if endpoint.scheme == "https" and endpoint.tls not in contexts:
                contexts[endpoint.tls] = _context(endpoint.tls)
            self._targets[endpoint.name] = _target(endpoint, secrets[endpoint.secret], contexts.get(endpoint.tls))
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0, force_close=True, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
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
        return await self._exchange(hdrs.METH_GET, host, None, timeout)

    def redact(self, host: str, text: str) -> str:
        """`text` without the host's secret, should a server have echoed it."""
        return self._targets[host].secret.redact(text)

    async def _exchange(self, method: str, host: str, body: bytes | None, timeout: float) -> Exchange:
        target = self._targets[host]
        with anyio.move_on_after(timeout):
            try:
                return await self._request(method, target, body)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return _translate(error)
        return NoAnswer(f"no complete answer within {timeout:g} s", late=True)

    async def _request(self, method: str, target: _Target, body: bytes | None) -> Exchange:
        assert self._session is not None, "the client is used inside its context"  # noqa: S101
        async with self._session.request(
            method,
            target.url,
            data=body,
            headers=target.headers,
            ssl=target.ssl,
            server_hostname=target.server_name,
            timeout=target.connect,
            allow_redirects=False,
        ) as response:
            if (response.content_length or 0) > MAX_ANSWER:
                return NoAnswer(f"an answer of {response.content_length} bytes is too large to be read")
            received = await _read(response)
            if received is None:
                return NoAnswer(f"the answer is larger than {MAX_ANSWER // 2**20} MiB")
            offered = tuple(value.split(" ")[0] for value in response.headers.getall(hdrs.WWW_AUTHENTICATE, ()))
            return Answered(response.status, received, offered)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None when it does not end within the limit."""
    if response.content_length is not None:
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER:
            return None
        parts.append(part)
    return b"".join(parts)


def _target(endpoint: Endpoint, secret: Secret, context: ssl.SSLContext | None) -> _Target:
    if endpoint.scheme_of_auth == "password":
        headers: dict[str, str] = {hdrs.AUTHORIZATION: "Basic " + encode("doveadm:" + secret.reveal())}
    else:
        headers = {hdrs.AUTHORIZATION: "X-Dovecot-API " + encode(secret.reveal())}
    headers[hdrs.CONTENT_TYPE] = "application/json"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_timeout)
    return _Target(
        url=endpoint.url,
        headers=headers,
        ssl=context if context is not None else True,
        server_name=endpoint.tls.server_name,
        connect=timeout,
        secret=secret,
    )


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError.at(
            f"cannot load the TLS files {tls.ca_file or ''} {tls.cert_file or ''}: {error}", "tls"
        ) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _translate(error: Exception) -> Exchange:
    """Which side of the wire an exception of aiohttp belongs to; whatever is not surely "not sent" is "no answer"."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return NotSent(f"the server's certificate is not accepted: {_tls_reason(error.certificate_error)}")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return NotSent(f"TLS handshake failed: {_tls_reason(error)}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NotSent(f"no address for the name {error.host}")
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        if number in _LOCAL:
            return NotSent(f"this machine cannot open a connection: {error.os_error.strerror}", local=True)
        return NotSent(_words(error.os_error))
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return NotSent("no connection within the connect timeout")
    if isinstance(error, aiohttp.InvalidURL):
        return NotSent("not a valid address")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return NoAnswer("the connection was closed without an answer")
    if isinstance(error, aiohttp.ClientPayloadError):
        return NoAnswer("the answer is cut short")
    if isinstance(error, aiohttp.ClientResponseError):
        return NoAnswer("the answer is not HTTP")
    if isinstance(error, OSError):
        return NoAnswer(f"the connection broke: {_words(error)}")
    return NoAnswer(f"the exchange failed: {type(error).__name__}")


def _words(error: OSError) -> str:
    """The system's words for an error ("connection refused"); asyncio has its own, which say less."""
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


def _tls_reason(error: Exception) -> str:
    return getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
