"""Pages of services that misbehave on the wire: each gives a page or says why there is none, and in little memory."""

from __future__ import annotations

import gzip
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from orchestrator.errors import ExpressionError
from orchestrator.runs.pages import LONGEST, fetch
from tests.integration.certificates import Authority
from tests.integration.raw_server import Raw, http

pytestmark = pytest.mark.anyio
Says = Callable[[socket.socket], object]


@contextmanager
def server(says: Says, host: str = "127.0.0.1") -> Iterator[str]:
    """A server that does with each connection what the test says, until the client goes away; gives its address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with closing(connection):
                connection.settimeout(10)
                try:
                    connection.recv(65536)
                    says(connection)
                except OSError:
                    continue

    with socket.create_server((host, 0), family=family) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{listening.getsockname()[1]}/metrics"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def whole(answer: bytes) -> Says:
    """This answer."""
    return lambda connection: connection.sendall(answer)


def endless(connection: socket.socket) -> None:
    """A page that does not end, a sample a moment."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"a 1\n")
        time.sleep(0.01)


def large(connection: socket.socket) -> None:
    """A page of 100 MB."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"a 1\n" * 25_000)


BOMB = gzip.compress(b"a 1\n" * 50_000_000, 1)  # 200 MB


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (endless, "did not answer within 1 s"),
        (lambda _connection: time.sleep(1.2), "did not answer within 1 s"),
        (large, f"is larger than {LONGEST // 2**20} MiB"),
        (whole(http(BOMB, "200 OK", b"Content-Encoding: gzip")), "is packed (gzip), which was not asked for"),
        (whole(b""), "cannot be read: "),
        (whole(b"SSH-2.0-OpenSSH_9.2\r\n"), "cannot be read: "),
        (whole(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\na 1\n"), "cannot be read: "),
        (whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "cannot be read: "),
        (whole(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n"), "cannot be read: "),
    ],
    ids=["endless", "silent", "large", "bomb", "closed", "ssh", "cut", "chunks", "header"],
)
async def test_a_page_that_cannot_be_read(says: Says, why: str) -> None:
    """It is said why, within the time that was given, and it takes no more memory than a page may have."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with server(says) as url, pytest.raises(ExpressionError) as found:
        await fetch(url, 1.0)
    assert f"{url} {why}" in str(found.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


async def test_a_redirect_is_not_followed() -> None:
    """Where it leads to nobody has reviewed."""
    with server(whole(http(b"", "302 Found", b"Location: http://127.0.0.1:1/"))) as url:
        assert (await fetch(url, 5.0)).status == 302


async def test_letters_that_are_none_are_replaced() -> None:
    """A page is text, whatever a service has put into a label."""
    with server(whole(http(b'a{b="\xff"} 1\n'))) as url:
        assert (await fetch(url, 5.0)).rows == [{"name": "a", "b": "\N{REPLACEMENT CHARACTER}", "value": 1.0}]


async def test_an_address_of_ipv6() -> None:
    """In brackets, as everywhere."""
    with server(whole(http(b"a 1\n")), "::1") as url:
        assert (await fetch(url, 5.0)).ok


async def test_a_certificate_that_nobody_has_signed(authority: Authority) -> None:
    """A page by HTTPS is read only from who it claims to be."""
    with (
        Raw(lambda _head, _body: http(b"a 1\n"), authority.server()) as raw,
        pytest.raises(ExpressionError, match="certificate verify failed"),
    ):
        await fetch(f"https://127.0.0.1:{raw.port}/", 5.0)


async def test_nobody_listens() -> None:
    """The refusal is told."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ExpressionError, match=f"http://127.0.0.1:{port}/ cannot be read: "):
        await fetch(f"http://127.0.0.1:{port}/", 5.0)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a shell says of proxies is for other programs."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server(whole(http(b"a 1\n"))) as url:
        assert (await fetch(url, 5.0)).ok
