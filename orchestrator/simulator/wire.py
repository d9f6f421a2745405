"""HTTP on a socket, to the byte as Dovecot speaks it: one request a connection, and all the ways not to answer.

A framework would be kinder than the real servers: it would keep connections alive, chunk, and never send
nothing at all.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import socket
import struct
import time
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.simulator.commands.registry import COMMANDS
from orchestrator.simulator.execution import TEXT, Response, Simulation, execute
from orchestrator.simulator.parameters import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from orchestrator.simulator.hosts import Host
    from orchestrator.simulator.record import Record

LARGEST_BODY = 1024 * 1024  # of 2.3; 2.4 was seen to take 128 MiB
_REASONS = {200: "OK", 400: "Bad Request", 401: "Authentication required", 404: "Path Not Found"}
_REASONS |= {
    413: "Payload Too Large",
    500: "Internal Server Error",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
_REASONS |= {505: "HTTP Version Not Supported"}
_CORS = (
    "Access-Control-Allow-Origin: *",
    "Access-Control-Allow-Methods: GET, POST, OPTIONS",
    "Access-Control-Allow-Request-Headers: Content-Type, X-API-Key, Authorization",
    "Access-Control-Allow-Headers: Content-Type, WWW-Authenticate",
)
_MOUNTS = (
    '{"method":"OPTIONS","path":"*"}',
    '{"method":"GET","path":"/"}',
    '{"method":"GET","path":"/doveadm/v1"}',
    '{"method":"POST","path":"/doveadm/v1"}',
)


@dataclass(frozen=True, slots=True)
class Door:
    """What a connection needs to know of its host."""

    site: Simulation
    host: Host
    challenges: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """A complete HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    head: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One TCP connection to a host's API, which is one request."""

    def __init__(self, door: Door, open_connections: set[Connection]) -> None:
        self._door = door
        self._open = open_connections
        self._buffer = bytearray()
        self._busy = False
        self._deaf = False
        self._work: Generator[float, None, None] | None = None
        self._continued = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._open.add(self)
        if self._door.site.closed:  # it was accepted while the fleet ended
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone; a command that runs goes on (2.3.19.1)."""
        self._transport = None
        self._open.discard(self)

    def close(self) -> None:
        """The host ends, and its connections and what runs for them with it."""
        if self._work is not None:
            self._work.close()
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool:
        """A client that closes its half is sent the answer, but who knows whether it is still there."""
        self._deaf = True
        return self._busy

    def data_received(self, data: bytes) -> None:
        """Collect the request; whatever follows it is dropped, as by Dovecot."""
        if self._busy:
            return
        self._buffer += data
        head, blank, _ = bytes(self._buffer).partition(b"\r\n\r\n")
        if not blank:
            return
        request = self._complete(head)
        if request is not None:
            self._busy = True
            self._work = self._serve(request)
            self._drive(self._work)

    def _complete(self, head: bytes) -> Request | None:
        """The request, once all of it is here; None until then, or when it was answered on the spot."""
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        garbage = _garbage(line, headers)
        if garbage is not None:
            self._busy = True
            status, close = garbage
            text = f"{_REASONS[status]}\r\n".encode()
            self._send(_head(status, len(text), TEXT, close=close) + text)
            if close and self._transport is not None:
                self._transport.close()
            return None
        body = _body(headers, bytes(self._buffer[len(head) + 4 :]), limited=self._door.host.version == "2.3")
        if body is None:
            if headers.get("expect", "").lower() == "100-continue" and not self._continued:
                self._continued = True
                self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        method, target, _ = line.split(" ")
        return Request(method, _path(target), headers, head, body)

    # -- answering ----------------------------------------------------------------------------------------------

    def _drive(self, work: Generator[float, None, None]) -> None:
        """Go on until the work wants to wait."""
        delay = next(work, None)
        if delay is not None:
            asyncio.get_running_loop().call_later(delay, self._drive, work)

    def _serve(self, request: Request) -> Generator[float, None, None]:
        records: list[Record] = []
        try:
            yield from self._respond(request, records)
        except GeneratorExit:
            self._door.site.recorder.end(records, answered=False)
            raise

    def _respond(self, request: Request, records: list[Record]) -> Generator[float, None, None]:
        if request.method == "OPTIONS":
            self._finish(_head(200, 0, "", extra=() if self._door.host.newer else _CORS), Response(), records)
            return
        response = _mounted(request)
        if response is None and not _admitted(self._door, request):
            extra = tuple(f"WWW-Authenticate: {challenge}" for challenge in _challenges(self._door))
            self._finish(_head(401, 0, "", extra=extra), Response(), records)
            return
        if response is None and len(request.body) > LARGEST_BODY and self._door.host.version == "2.3":
            response = Response(413, b"Payload Too Large\r\n", TEXT)
        if response is None and request.method == "GET":
            response = Response(body=_listing(self._door.host, request.path).encode())
        if response is None:
            response = yield from execute(self._door.site, self._door.host, request.body, records)
        body = response.body + (request.head if response.echo else b"")
        shown = b"" if request.method == "HEAD" else body
        length = None if request.method == "HEAD" else len(body)
        head = _head(response.status, length, response.kind if length is not None else "", extra=response.extra)
        if response.manner == "drip":
            yield from self._drip(head + shown, response.pace)
        self._finish(head + shown, response, records)

    def _finish(self, data: bytes, response: Response, records: list[Record]) -> None:
        """Send what the manner leaves of the reply, and write down what became of its commands."""
        transport, manner = self._transport, response.manner
        whole = manner in ("whole", "drip")
        self._door.site.recorder.end(records, answered=whole and transport is not None and not self._deaf)
        if transport is None or manner == "hang":
            return
        if manner == "reset":
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            return
        if manner == "whole":
            transport.write(data)
        elif manner == "truncate":
            transport.write(data[: len(data) - max(1, len(response.body) // 2)])
        transport.close()

    def _drip(self, data: bytes, pace: float) -> Generator[float, None, None]:
        for place in range(len(data)):
            if self._transport is None:
                return
            self._transport.write(data[place : place + 1])
            yield pace

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _head(status: int, length: int | None, kind: str, *, extra: tuple[str, ...] = (), close: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Trouble')}", f"Date: {_date(int(time.time()))}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    if kind:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join((*lines, *extra, "", "")).encode()


def _garbage(line: str, headers: dict[str, str]) -> tuple[int, bool] | None:
    """The status of what is no HTTP, and whether the connection is closed then; None for what is."""
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/") or not headers.get("content-length", "0").isdecimal():
        return 400, True
    if not words[2].startswith("HTTP/1."):
        return 505, False
    return (400, False) if words[2] == "HTTP/1.1" and "host" not in headers else None


def _path(target: str) -> str:
    """A request target's path; one with a host in it will do."""
    path = target.partition("?")[0]
    return "/" + path.split("/", 3)[3] if path.startswith(("http://", "https://")) and path.count("/") > 2 else path


def _body(headers: dict[str, str], rest: bytes, *, limited: bool) -> bytes | None:
    """The request's body by its length or its chunks; None while some of it is missing."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _unchunked(rest)
    wanted = int(headers.get("content-length", "0"))
    if limited and wanted > LARGEST_BODY:
        return b" " * (LARGEST_BODY + 1)  # refused without being read
    return rest[:wanted] if len(rest) >= wanted else None


def _unchunked(rest: bytes) -> bytes | None:
    body = bytearray()
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        size = int(line.partition(b";")[0].strip() or b"0", 16)
        if size == 0:
            return bytes(body)
        if len(rest) < size + 2:
            return None
        body += rest[:size]
        rest = rest[size + 2 :]


def _mounted(request: Request) -> Response | None:
    """The 404 of everything that is no mount, or None."""
    known = request.path == "/doveadm/v1" and request.method in ("GET", "POST")
    known = known or (request.path == "/" and request.method == "GET")
    return None if known else Response(404, b"Path Not Found\r\n", TEXT)


def _listing(host: Host, path: str) -> str:
    if path == "/":
        between = "" if host.version == "2.4" else "\n"
        return f"[{between}" + f",{between}".join(_MOUNTS) + f"{between}]"
    return catalogue(COMMANDS[host.release, host.role], host.version)


def _challenges(door: Door) -> list[str]:
    texts = {"x-dovecot-api": "X-Dovecot-API", "basic": 'Basic Realm="doveadm"'}
    return [texts[scheme] for scheme in texts if scheme in door.challenges]


def _admitted(door: Door, request: Request) -> bool:
    """Whether the request's credentials are those of this host."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    expected = door.challenges.get(scheme.lower())
    try:
        given = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return expected is not None and hmac.compare_digest(given, expected)


def factory(door: Door, open_connections: set[Connection]) -> Callable[[], Connection]:
    """What a listening socket makes of each connection."""
    return lambda: Connection(door, open_connections)
