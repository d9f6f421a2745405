"""Requests on real sockets: what servers send, how connections come about and break, and that nothing stays open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.dovecot import tls, transport
from orchestrator.dovecot.answer import Answer, Response
from orchestrator.dovecot.endpoint import Tls
from orchestrator.dovecot.exchange import NoAnswer, NotSent, Obstacle
from orchestrator.dovecot.transport import Ended, Route, Transport, addresses_of
from tests.hostile import ANSWERS, OK, expected
from tests.integration.certificates import Authority

LOOPS = ["asyncio", "uvloop"]
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]"
ANSWER = OK + b"Content-Length: 2\r\n\r\n[]"
Conduct = Callable[[socket.socket], None]


@contextlib.contextmanager
def server(conduct: Conduct, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on loopback that does so with each connection, in a thread for each; its port."""
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection, contextlib.suppress(OSError):
            if context is None:
                conduct(connection)
            else:
                with context.wrap_socket(connection, server_side=True) as secured:
                    conduct(secured)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=one, args=listener.accept()[:1]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def says(answer: bytes) -> Conduct:
    """Reads the request, answers so, and closes when everything was read."""

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return conduct


def hear(connection: socket.socket) -> None:
    """Read a whole request."""
    heard = b""
    while REQUEST[-6:] not in heard and (part := connection.recv(65536)):
        heard += part


def route(port: int, **more: Any) -> Route:
    """The way to a server on loopback."""
    found = Route("127.0.0.1", port, 5.0, addresses=addresses_of("127.0.0.1", port))
    return replace(found, **more)


def on(loop: str, work: Callable[[Transport], Awaitable[Any]]) -> Any:
    """Do something with a transport on one of the event loops."""

    async def run() -> Any:
        wire = Transport()
        try:
            return await work(wire)
        finally:
            wire.close()

    return anyio.run(run, backend_options={"use_uvloop": loop == "uvloop"})


def send(loop: str, way: Route, data: bytes = REQUEST, seconds: float = 20.0) -> Ended:
    """One request."""
    return on(loop, lambda wire: wire.send(way, data, seconds))


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that soon is so."""
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110 - it happens in another thread
            await anyio.sleep(0.01)


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a listener on 127.0.0.2 whose queue is full: connecting to it takes for ever."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()[1]


# answers


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_on_the_wire(loop: str, name: str) -> None:
    """Whatever a server says before it closes is read as what it is."""
    with server(says(ANSWERS[name][0])) as port:
        heard = send(loop, route(port))
    assert (heard._replace(headers=[]) if isinstance(heard, Response) else heard) == expected(name)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_ends_where_it_says(loop: str) -> None:
    """A server that does not close the connection is not waited for once its answer is complete."""
    gone = threading.Event()

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(ANSWER)
        while connection.recv(65536):
            pass
        gone.set()

    with server(conduct) as port:
        assert isinstance(send(loop, route(port)), Response)
        assert gone.wait(10)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_large_request_arrives_whole(loop: str) -> None:
    """A request that no buffer holds is sent to its end, also to a server that is in no hurry."""
    body = os.urandom(4_000_000)
    heard: list[bytes] = []

    def conduct(connection: socket.socket) -> None:
        time.sleep(0.2)
        while sum(map(len, heard)) < len(body) and (part := connection.recv(65536)):
            heard.append(part)
        connection.sendall(ANSWER)

    with server(conduct) as port:
        assert isinstance(send(loop, route(port), body), Response)
    assert b"".join(heard) == body


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_before_all_was_read(loop: str) -> None:
    """A server that answers after the head, and reads no more, is heard."""
    answered = threading.Event()

    def conduct(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n[]")
        answered.wait(10)

    with server(conduct) as port:
        heard = send(loop, route(port), b"x" * 8_000_000)
        answered.set()
    assert heard == Response(413, [(b"Content-Length", b"2")], b"[]")


# connecting


@pytest.mark.parametrize("loop", LOOPS)
def test_the_addresses_of_a_name_are_tried_in_order(loop: str, deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses a silent one gets its share of the connect timeout, and then the next is tried."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("127.0.0.2", deaf)), (*kind, ("127.0.0.3", 1)), (*kind, ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def twice(wire: Transport) -> list[Ended]:
        way = Route("mail.example", port, 0.6)
        found = [await wire.send(way, REQUEST, 20.0) for _ in range(2)]
        return [*found, await wire.send(replace(way, port=1), REQUEST, 20.0)]

    with server(says(ANSWER)) as port:
        heard = on(loop, twice)
    assert [type(one) for one in heard] == [Response, Response, NotSent]
    assert heard[2] == NotSent("connection refused", obstacle=Obstacle.REFUSED)
    assert asked == ["mail.example"] * 2  # once for each port


@pytest.mark.parametrize("loop", LOOPS)
def test_a_name_without_address(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be looked up is not sent to, and is looked up again next time."""
    asked: list[str] = []

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    way = Route("nobody.example", 1, 5.0)

    async def twice(wire: Transport) -> list[Ended]:
        return [await wire.send(way, REQUEST, 20.0) for _ in range(2)]

    assert on(loop, twice) == [NotSent("no address for the name nobody.example", obstacle=Obstacle.NAME)] * 2
    assert len(asked) == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_a_lookup_that_does_not_end(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up a name is a part of connecting, and has no more time than that."""
    over = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[Any]:
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def one(wire: Transport) -> Ended:
        try:
            return await wire.send(Route("slow.example", 1, 0.2), REQUEST, 20.0)
        finally:
            over.set()

    assert on(loop, one) == NotSent("no connection within the connect timeout")


@pytest.mark.parametrize("loop", LOOPS)
def test_no_file_is_left_to_open(loop: str) -> None:
    """A process that may open no more files says that the cause is here."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def one(wire: Transport) -> Ended:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files()[-1] + 1, before[1]))
        try:
            return await wire.send(route(1), REQUEST, 5.0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    with contextlib.ExitStack() as stack:  # no gap below the highest
        highest = open_files()[-1]
        while stack.enter_context(Path(os.devnull).open("rb")).fileno() < highest:
            pass
        assert on(loop, one) == NotSent("this machine cannot open a connection: Too many open files", local=True)


def open_files() -> list[int]:
    """The numbers of this process's open files, in order."""
    found = sorted(
        int(path.name) for path in Path("/proc/self/fd").iterdir()
    )  # with the folder itself, which is closed by now
    return [number for number in found if os.path.lexists(f"/proc/self/fd/{number}")]


# connections that break


def reset(connection: socket.socket) -> None:
    """Break a connection as a crash does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("context", [None, tls.context(Tls(verify=False))], ids=["plain", "TLS"])
def test_reset_before_anything_left(loop: str, context: ssl.SSLContext | None) -> None:
    """Of a connection that broke before the first write nothing was executed: not sent. A TLS port would not do that."""
    broken = threading.Event()

    def conduct(connection: socket.socket) -> None:
        reset(connection)
        broken.set()

    async def one(wire: Transport) -> Ended:
        sending = wire.send(route(port, tls=context, server_name="127.0.0.1"), REQUEST, 20.0)
        future: asyncio.Future[Ended] = sending.send(None)
        broken.wait(10)  # this program is busy until then
        await until(future.done)
        sending.close()
        return future.result()

    with server(conduct) as port:
        heard = on(loop, one)
    assert isinstance(heard, NotSent)
    assert heard.reason == (
        "TLS handshake failed: unexpected eof while reading" if context else "connection reset by peer"
    )
    assert heard.obstacle is (Obstacle.TLS if context else Obstacle.OTHER)


@pytest.mark.parametrize("loop", LOOPS)
def test_reset_after_the_request(loop: str) -> None:
    """Of a connection that broke later, it may have been."""

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        reset(connection)

    with server(conduct) as port:
        assert send(loop, route(port)) == NoAnswer("the connection broke: connection reset by peer")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_missed(authority: Authority, loop: str, version: ssl.TLSVersion) -> None:
    """A host that wants a certificate has read no request, also with TLS 1.3, where this side may take the handshake for ended."""
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    context.minimum_version = context.maximum_version = version
    ours = tls.context(Tls(ca_file=str(authority.file)))
    with server(says(ANSWER), context) as port:
        heard = send(loop, route(port, tls=ours, server_name="127.0.0.1"))
    assert isinstance(heard, NotSent)
    assert heard.obstacle is Obstacle.TLS
    assert "wants a client certificate" in heard.remedy


@pytest.mark.parametrize("loop", LOOPS)
def test_tls_both_ways(authority: Authority, loop: str) -> None:
    """Large requests and answers pass over TLS, and the host is told of the end."""
    ended: list[bytes] = []
    body = os.urandom(3_000_000)
    heard: list[bytes] = []

    def conduct(connection: socket.socket) -> None:
        time.sleep(0.1)
        while sum(map(len, heard)) < len(body) and (part := connection.recv(65536)):
            heard.append(part)
        connection.sendall(OK + b"Content-Length: 3000000\r\n\r\n" + body)
        ended.append(connection.recv(1))  # raises where the end is not told

    ours = tls.context(Tls(ca_file=str(authority.file)))
    context = authority.server()
    with server(conduct, context) as port:
        answer = send(loop, route(port, tls=ours, server_name="127.0.0.1"), body)
    assert isinstance(answer, Response)
    assert answer.body == b"".join(heard) == body
    assert ended == [b""]


@pytest.mark.parametrize("loop", LOOPS)
def test_no_tls_there(authority: Authority, loop: str) -> None:
    """A port that closes, or answers in plain text, does not speak TLS."""
    ours = tls.context(Tls(ca_file=str(authority.file)))
    for conduct in (reset, lambda _connection: None, lambda connection: connection.sendall(ANSWER)):
        with server(conduct) as port:
            heard = send(loop, route(port, tls=ours, server_name="127.0.0.1"))
        assert isinstance(heard, NotSent)
        assert heard.obstacle is Obstacle.TLS


# who waits, and what stays


def timers(port: int) -> set[int]:
    """The kernel's timers of connections to a port: 2 is keep-alive."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {int(line[5].split(":")[0]) for line in lines if line[2].endswith(f":{port:04X}") and line[3] == "01"}


@pytest.mark.parametrize(("seconds", "watched"), [(300.0, {2}), (60.0, {0})])
def test_a_patient_request_is_watched(seconds: float, watched: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for long has the kernel ask whether the host is still there; others have not."""
    monkeypatch.setattr(transport, "KEEP_ALIVE", 3)
    found: list[set[int]] = []

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        time.sleep(3.5)
        found.append(timers(port))
        connection.sendall(ANSWER)

    with server(conduct) as port:
        assert isinstance(send("asyncio", route(port, connect=0.2), seconds=seconds), Response)
    assert found == [watched]


async def stand_still(wire: Transport, way: Route, seconds: float, still: Callable[[], None]) -> list[Ended]:
    """Send a request of so many seconds, and have this program do nothing but `still` while it is on the wire."""
    heard: list[Ended] = []

    async def one() -> None:
        heard.append(await wire.send(way, REQUEST, seconds))

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        await anyio.sleep(0.1)
        still()
    return heard


@pytest.mark.parametrize("loop", LOOPS)
def test_what_has_come_is_read_before_time_is_judged(loop: str) -> None:
    """An answer that is in the socket when its time is over counts, also where an event loop looks at its timers first."""
    may, has = threading.Event(), threading.Event()

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        may.wait(10)
        connection.sendall(ANSWER)
        has.set()
        connection.recv(1)

    async def one(wire: Transport) -> list[Ended]:
        def still() -> None:
            may.set()
            has.wait(10)
            time.sleep(0.5)
            wire._judge()

        return await stand_still(wire, route(port), 0.45, still)

    with server(conduct) as port:
        assert [type(heard) for heard in on(loop, one)] == [Response]


@pytest.mark.parametrize("loop", LOOPS)
def test_time_in_which_nobody_listened_does_not_count(loop: str) -> None:
    """A host that answers soon after this program has stood still is heard, although its time was over before that."""
    awake = threading.Event()

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        awake.wait(10)
        time.sleep(0.2)
        connection.sendall(ANSWER)

    def still() -> None:
        time.sleep(2.5)
        awake.set()

    with server(conduct) as port:
        assert [type(one) for one in on(loop, lambda wire: stand_still(wire, route(port), 1.0, still))] == [Response]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("more", "heard"), [(0.3, Response), (3.0, NoAnswer)])
def test_a_host_that_is_sending_may_go_on(loop: str, more: float, heard: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is in the midst of its answer when its time is over may end it, within a second."""
    monkeypatch.setattr(transport, "LOOK", 0.5)
    begun = time.monotonic()

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        while time.monotonic() < begun + 0.5 + more:
            connection.sendall(b"1\r\n[\r\n")
            time.sleep(0.001)
        connection.sendall(b"0\r\n\r\n")

    with server(conduct) as port:
        begun = time.monotonic()
        assert isinstance(send(loop, route(port), seconds=0.5), heard)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_waits_for_room_may_leave(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large answer that waits for its turn has the time of its own request, and its turn is then another's."""
    monkeypatch.setattr(transport, "LARGE", 1000)
    monkeypatch.setattr(transport, "ROOM", 150_000)
    holds, asked = threading.Event(), [0]
    large = OK + b"Content-Length: 100000\r\n\r\n"

    def conduct(connection: socket.socket) -> None:
        hear(connection)
        asked[0] += 1
        connection.sendall(large + b"x" * 50_000)
        if asked[0] == 1:
            holds.wait(20)
        connection.sendall(b"x" * 50_000)

    async def three(wire: Transport) -> list[Ended]:
        heard: list[Ended] = []

        async def one(seconds: float) -> None:
            heard.append(await wire.send(route(port), REQUEST, seconds))

        async with anyio.create_task_group() as group:
            group.start_soon(one, 20.0)
            await until(lambda: asked[0] == 1)
            await anyio.sleep(0.1)
            group.start_soon(one, 0.3)
            group.start_soon(one, 20.0)
            await until(lambda: bool(heard))
            assert heard == [NoAnswer("no complete answer within 0.3 s", late=True)]
            assert len(wire.room._waiting) == 1
            holds.set()
        return heard

    with server(conduct) as port:
        assert [type(one) for one in on(loop, three)] == [NoAnswer, Response, Response]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_bug_is_heard_of(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected while an answer is read reaches who waits for it, at once."""

    def broken(_answer: Answer, _data: bytes) -> None:
        raise RuntimeError("told by a test")

    monkeypatch.setattr(Answer, "feed", broken)
    with server(says(ANSWER)) as port, pytest.raises(RuntimeError, match="told by a test"):
        send(loop, route(port))


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_stays_open(authority: Authority, deaf: int, loop: str) -> None:
    """However requests end, their sockets are closed, and nothing of them is remembered."""
    ours = tls.context(Tls(ca_file=str(authority.file)))

    async def many(wire: Transport) -> None:
        before = open_files()
        quiet = route(plain, addresses=addresses_of("127.0.0.2", deaf), connect=0.1)
        with server(lambda connection: connection.sendall(b"x")) as odd:
            for way in (route(plain), route(odd), route(1), quiet, route(plain, tls=ours, server_name="127.0.0.1")):
                await wire.send(way, REQUEST, 20.0)
        await wire.send(route(silent), REQUEST, 0.1)
        for way in (route(silent), quiet, route(secured, tls=ours, server_name="127.0.0.1")):
            with anyio.move_on_after(0.05):
                await wire.send(way, REQUEST, 20.0)
        assert (wire.open, wire.live) == ({}, set())
        await until(lambda: open_files() == before)  # the servers close their sides when they see the end

    def is_silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    with server(says(ANSWER)) as plain, server(is_silent) as silent, server(is_silent, authority.server()) as secured:
        on(loop, many)
