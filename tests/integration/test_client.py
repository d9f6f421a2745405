"""How far a request came, as the client says it, on real sockets: nothing that may have been sent is called not sent."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from orchestrator.dovecot.client import Client
from orchestrator.dovecot.endpoint import Endpoint, Tls
from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent, Obstacle
from orchestrator.secret import SecretReference

BODY = b'[["who",{},"t"]]'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"
Conduct = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(conduct: Conduct, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that does so with each connection; its port."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await conduct(reader, writer)
        finally:
            writer.close()

    serving = await asyncio.start_server(one, address, 0, ssl=tls)
    try:
        yield serving.sockets[0].getsockname()[1]
    finally:
        serving.close()


async def request(reader: asyncio.StreamReader) -> None:
    """Read a whole request."""
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len(BODY))


def endpoint(
    port: int, *, address: str = "127.0.0.1", scheme: str = "http", connect: float = 5.0, tls: Tls | None = None
) -> Endpoint:
    """A host on loopback."""
    return Endpoint(
        name="b1",
        address=address,
        scheme=scheme,
        port=port,
        scheme_of_auth="password",
        secret=SecretReference("env", "CLIENT_SECRET"),
        tls=tls or Tls(),
        connect_timeout=connect,
        request_timeout=60.0,
    )


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret that the hosts' configuration names."""
    monkeypatch.setenv("CLIENT_SECRET", "hunter2x")


async def ask(host: Endpoint, timeout: float) -> Exchange:
    """One request."""
    async with Client([host]) as client:
        return await client.post("b1", BODY, timeout)


def exchange(conduct: Conduct, timeout: float = 30.0) -> Exchange:
    """One request to a server of that conduct."""

    async def run() -> Exchange:
        async with server(conduct) as port:
            return await ask(endpoint(port), timeout)

    return anyio.run(run)


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a host does."""
    await request(reader)
    writer.write(OK)


async def answers_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Later than connecting may take."""
    await request(reader)
    await asyncio.sleep(0.6)
    writer.write(OK)


async def is_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Reads, and says nothing."""
    await reader.read()


async def closes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Reads the request and closes."""
    await request(reader)


async def stops_in_the_midst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends a part of the answer, and nothing more."""
    await request(reader)
    writer.write(OK[:-1])
    await reader.read()


def test_an_answer() -> None:
    """A whole answer is an answer."""
    assert exchange(answers) == Answered(200, b"[]")


@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_addresses_and_names(address: str, uvloop: bool) -> None:
    """Hosts have addresses of both kinds, or names; a refused connection is not sent, however it was made."""

    async def run() -> list[Exchange]:
        bound = "127.0.0.1" if address == "localhost" else address
        async with server(answers, address=bound) as port:
            heard = await ask(endpoint(port, address=address), 30.0)
        return [heard, await ask(endpoint(port, address=address), 30.0)]

    heard, refused = anyio.run(run, backend_options={"use_uvloop": uvloop})
    assert heard == Answered(200, b"[]")
    assert refused == NotSent("connection refused", obstacle=Obstacle.REFUSED)


@pytest.mark.parametrize("uvloop", [False, True])
def test_a_request_leaves_in_one_piece(uvloop: bool) -> None:
    """Headers and body are one write: a host never waits for the body of a request that it has begun to read."""
    pieces: list[bytes] = []

    async def reads_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces.append(await reader.read(65536))
        writer.write(OK)

    async def run() -> Exchange:
        async with server(reads_once) as port:
            return await ask(endpoint(port), 30.0)

    assert anyio.run(run, backend_options={"use_uvloop": uvloop}) == Answered(200, b"[]")
    head, _, body = pieces[0].partition(b"\r\n\r\n")
    assert body == BODY
    assert head.lower().count(b"content-length: %d" % len(BODY)) == 1


def test_a_request_leaves_nothing_behind() -> None:
    """A million requests take no more memory than a few: nothing of ours stays, nor waits for the garbage collector."""

    def ours() -> int:
        return sum(str(type(thing).__module__).startswith("orchestrator.") for thing in gc.get_objects())

    async def run() -> list[int]:
        async with server(answers) as port, Client([endpoint(port)]) as client:
            counts = []
            for _ in range(40):
                assert await client.post("b1", BODY, 30.0) == Answered(200, b"[]")
                counts.append(ours())
            return counts

    gc.collect()
    gc.disable()
    try:
        counts = anyio.run(run)
    finally:
        gc.enable()
    assert counts[-1] == counts[5]


def test_connecting_has_a_time_of_its_own() -> None:
    """Once connected, an answer may take longer than connecting may."""

    async def run() -> Exchange:
        async with server(answers_late) as port:
            return await ask(endpoint(port, connect=0.3), 30.0)

    assert anyio.run(run) == Answered(200, b"[]")


@pytest.mark.parametrize("conduct", [is_silent, stops_in_the_midst])
def test_no_answer_in_time(conduct: Conduct) -> None:
    """A host that was sent a request and does not answer it in time may still be executing it."""
    assert exchange(conduct, 0.4) == NoAnswer("no complete answer within 0.4 s", late=True)


def test_closed_without_an_answer() -> None:
    """A host that closes the connection is not at it any more, and may have done it."""
    assert exchange(closes) == NoAnswer("the connection was closed without an answer")


def test_nobody_listens() -> None:
    """A refused connection is not sent."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert anyio.run(ask, endpoint(port), 30.0) == NotSent("connection refused", obstacle=Obstacle.REFUSED)


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a listener whose queue is full: connecting to it takes for ever."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("connect", "timeout"), [(0.3, 30.0), (30.0, 0.3)])
def test_no_connection_in_time(deaf: int, connect: float, timeout: float) -> None:
    """Whichever time is over first while connecting: nothing was sent."""
    assert anyio.run(ask, endpoint(deaf, connect=connect), timeout) == NotSent(
        "no connection within the connect timeout"
    )


def test_a_cancelled_request_is_cancelled() -> None:
    """Who cancels a request from outside gets no answer about it, also when its time is over just then."""

    async def run() -> list[Exchange]:
        heard: list[Exchange] = []
        async with server(is_silent) as port, Client([endpoint(port)]) as client:
            for wait in (0.05, 0.2):
                with anyio.move_on_after(wait) as scope:
                    heard.append(await client.post("b1", BODY, 0.2 if wait == 0.2 else 30.0))
                if wait == 0.05:
                    assert scope.cancelled_caught
                    assert heard == []
        return heard

    assert all(isinstance(found, NoAnswer) for found in anyio.run(run))


def test_a_tls_handshake_that_does_not_end() -> None:
    """A host that accepts and then says nothing in TLS was sent nothing of the request."""

    async def run() -> Exchange:
        async with server(is_silent) as port:
            return await ask(endpoint(port, scheme="https", connect=0.4), 30.0)

    assert isinstance(anyio.run(run), NotSent)


def test_tls(tmp_path: Path) -> None:
    """Over TLS a late answer is waited for in the same way."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")

    async def run(conduct: Conduct, timeout: float) -> Exchange:
        async with server(conduct, context) as port:
            trusted = Tls(ca_file=str(tmp_path / "certificate"))
            return await ask(endpoint(port, scheme="https", connect=5.0, tls=trusted), timeout)

    assert anyio.run(run, answers_late, 30.0) == Answered(200, b"[]")
    assert anyio.run(run, is_silent, 0.6) == NoAnswer("no complete answer within 0.6 s", late=True)
