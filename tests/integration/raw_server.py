"""A server on loopback that answers as a test wishes, and the secret that it is sent."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

SECRET = "cAnArY-5up3r+/s3cr3t"
Answer = Callable[[bytes, bytes], bytes]


def forms(secret: str = SECRET) -> set[str]:
    """A secret as it is, and as it travels."""
    cores = [base64.b64encode(b"\0" * n + secret.encode())[4:-4].decode() for n in range(3)]
    escaped = secret.replace("/", "\\/")
    return {
        secret,
        escaped,
        *cores,
        *(core.replace("+", "-").replace("/", "_") for core in cores),
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(f"doveadm:{secret}".encode()).decode(),
    }


def ways(secret: str = SECRET) -> list[str]:
    """The ways in which a server may write a secret within the quotes of JSON; `forms` of it are what must be nowhere."""
    plain = json.dumps(secret)[1:-1]
    return [
        plain,
        plain.replace("/", "\\/"),
        "".join(f"\\u{ord(character):04x}" for character in secret),
        plain.replace("s", "\\u0073").replace("/", "\\/"),
        base64.b64encode(secret.encode()).decode().replace("/", "\\/"),
        base64.b64encode(f"doveadm:{secret}".encode()).decode().rstrip("="),
        base64.b64encode(f"user:x{secret}yz".encode()).decode(),
        base64.urlsafe_b64encode(f"{secret}?".encode()).decode(),
    ]


def http(body: bytes, status: str = "200 OK", *headers: bytes) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}".encode(), f"Content-Length: {len(body)}".encode(), b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", body])


def answered(rows: bytes, request: bytes) -> bytes:
    """A success as doveadm gives it; rows as JSON text."""
    tag = json.loads(request)[0][2]
    return http(b'[["doveadmResponse",%s,"%s"]]' % (rows, tag.encode()))


@dataclass
class Raw:
    """A server on loopback that answers each request with what a function makes of its head and body."""

    answer: Answer
    tls: ssl.SSLContext | None = None
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                connection.settimeout(10)
                self.accepted()
                with connection, contextlib.suppress(OSError):
                    if self.tls is None:
                        self._one(connection)
                        continue
                    with self.tls.wrap_socket(connection, server_side=True) as secured:
                        self._one(secured)

    def accepted(self) -> None:
        """Somebody has connected; nothing was said yet."""

    def _one(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while len(body) < int(length[1] if length else 0):
            body += connection.recv(65536)
        self.seen.append((head, body))
        connection.sendall(self.answer(head, body))
        if self.tls:
            with contextlib.suppress(OSError):
                connection.unwrap()  # type: ignore[attr-defined]


def only(answer: Answer) -> Answer:
    """That answer to commands; no list of commands can be had."""
    return lambda head, body: answer(head, body) if body else http(b"none", "404 Path Not Found")
