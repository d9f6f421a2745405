"""One request to one server over a raw socket: every byte that comes back, or none."""

from __future__ import annotations

import base64
import json
import re
import socket
from dataclasses import dataclass

PATH = "/doveadm/v1"


@dataclass(frozen=True)
class Reply:
    """What came back until the server closed."""

    data: bytes

    @property
    def empty(self) -> bool:
        """Whether the server sent nothing at all."""
        return not self.data

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.data.split(b" ", 2)[1])

    @property
    def reason(self) -> str:
        """The status line's words."""
        return self.data.partition(b"\r\n")[0].decode().split(" ", 2)[2]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values in their order."""
        lines = self.data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def header(self, name: str) -> list[str]:
        """All values of one header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def body(self) -> str:
        """What follows the headers."""
        return self.data.partition(b"\r\n\r\n")[2].decode()


def basic(password: str, user: str = "doveadm") -> str:
    """The Authorization header of a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def exchange(address: str, port: int, data: bytes, *, timeout: float = 40.0) -> Reply:
    """Send bytes and read until the server closes; a reset ends the reply like a close."""
    received = bytearray()
    with socket.create_connection((address, port), timeout) as connection:
        try:
            connection.sendall(data)
            while part := connection.recv(65536):
                received += part
                if _kept_open(bytes(received)):
                    break
        except ConnectionError:
            pass
    return Reply(bytes(received))


def _kept_open(data: bytes) -> bool:
    """Whether a whole reply is here that does not announce the connection's end (only garbage gets one)."""
    head, blank, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(blank and length and b"connection: close" not in head.lower() and len(body) >= int(length[1]))


def request(
    address: str,
    body: bytes | str = b"",
    *,
    authorization: str | None,
    method: str = "POST",
    path: str = PATH,
    headers: tuple[str, ...] = (),
) -> bytes:
    """An HTTP/1.1 request as bytes."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address}", f"Content-Length: {len(content)}", *headers]
    if authorization is not None:
        lines.append(f"Authorization: {authorization}")
    return "\r\n".join((*lines, "", "")).encode() + content


_VARYING = (
    (re.compile(r'"(pid|pids)":"(\()?[\d ]+(\))?"'), r'"\1":"\2N\3"'),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r'"(socket-path|home|path of)":"[^"]*"'), r'"\1":"PATH"'),
    (re.compile(r'"(uid|gid|uidvalidity|input|output|buffered|buffered peak|ping ms)":"\d+"'), r'"\1":"N"'),
    (re.compile(r'"guid":"[0-9a-f]{32}"'), '"guid":"G"'),
)


def normal(text: str) -> str:
    """A body without what differs from host to host and from time to time."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


_ROW = re.compile(r'\{"[^{}]*\}')


def unordered(text: str) -> tuple[str, list[str]]:
    """A body's shape, and its rows without their order."""
    return _ROW.sub("{}", text), sorted(_ROW.findall(text))


def rows(reply: Reply) -> list[dict[str, str]]:
    """The rows of a single successful command, misnested or not, without header rows."""
    assert reply.status == 200, reply.data
    [[kind, *found, _tag]] = json.loads(reply.body)
    assert kind == "doveadmResponse", reply.body
    flat = [row for item in found for row in (item if isinstance(item, list) else [item])]
    return [row for row in flat if any(key != value for key, value in row.items())]
