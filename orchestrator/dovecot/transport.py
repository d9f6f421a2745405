"""Requests on the wire: the only sockets of the product. Each request has a connection of its own.

Dovecot closes every connection after one answer (seen on 2.3.19.1 and 2.4.1), so nothing is kept or shared, and a lost
connection is always this request's. A request goes through phases, and how it ended falls out of the phase: before OPEN
nothing was sent. All sockets are watched by one epoll, which the event loop watches, so every loop does the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from select import EPOLLET, EPOLLIN, EPOLLOUT, epoll
from typing import Any

from orchestrator.dovecot import tls
from orchestrator.dovecot.answer import MAX_ANSWER, Answer, Heard
from orchestrator.dovecot.exchange import ASLEEP, NoAnswer, NotSent, Obstacle

LARGE = 1024 * 1024  # bytes; larger answers are read a few at a time
ROOM = 2 * MAX_ANSWER  # bytes of large answers at a time
PART = 64 * 1024  # bytes read at a time
SMALL = 1024  # bytes; a request that fits a packet is not held back by the kernel
PATIENCE = 120.0  # seconds; whoever may wait longer for an answer has the connection watched
KEEP_ALIVE = 30  # seconds after which it is, and of silence after which the kernel asks whether the host is still there
NAMES = 60.0  # seconds for which a name's addresses are believed
LOOK = 0.02  # seconds that a host which is sending is given once more when its time is over
SETTLE = 1.0  # seconds that it is given in all
_SILENT = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}  # nobody closed the connection: the way is cut
_LOCAL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENOSPC}
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Address = tuple[Any, ...]  # as getaddrinfo gives it
Ended = Heard | NotSent


class Phase(Enum):
    """How far a request is. With OPEN bytes of it may have left."""

    CONNECTING = auto()  # and looking up the name before that
    SECURING = auto()  # TLS handshake
    OPEN = auto()


CONNECTING, SECURING, OPEN = Phase


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a host.

    Attributes:
        host, port: where it is.
        connect: seconds for lookup, connecting and TLS together.
        tls: how TLS is spoken, if it is.
        server_name: the name expected in the certificate.
        addresses: where the host is given as an address, that one; a name is looked up.
    """

    host: str
    port: int
    connect: float
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    addresses: tuple[Address, ...] = ()


def addresses_of(host: str, port: int, flags: int = socket.AI_ADDRCONFIG) -> tuple[Address, ...]:
    """A host's addresses in the order in which they are to be tried.

    Raises:
        OSError: it has none.
    """
    return tuple(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))


class Transport:
    """All requests under way, on the running event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.epoll = epoll()
        self.room = _Room(ROOM)
        self.open: dict[int, _Request] = {}
        self.live: set[_Request] = set()
        self._names: dict[tuple[str, int], tuple[float, asyncio.Future[tuple[Address, ...]]]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf
        self.loop.add_reader(self.epoll.fileno(), self._go_on)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._alarm:
            self._alarm.cancel()
        self.loop.remove_reader(self.epoll.fileno())
        self.epoll.close()

    async def send(self, route: Route, data: bytes, seconds: float) -> Ended:
        """Send a whole HTTP request and read its whole answer.

        Args:
            route: to the host.
            data: head and body.
            seconds: for all of it.
        """
        request = _Request(self, route, data, seconds)
        try:
            request.start()
            return await request.ended
        finally:
            request.close()

    def lookup(self, route: Route) -> asyncio.Future[tuple[Address, ...]]:
        """A name's addresses; who asks at the same time shares the answer."""
        key, now = (route.host, route.port), self.loop.time()
        since, found = self._names.get(key, (now, None))
        if found is None or (found.done() and (now - since > NAMES or found.cancelled() or found.exception())):
            found = self.loop.run_in_executor(None, addresses_of, *key)
            self._names[key] = now, found
        return found

    def watch(self, at: float) -> None:
        """Judge deadlines at that moment, or before it; one timer serves all requests, and is seldom set."""
        if at < self._alarm_at:
            if self._alarm:
                self._alarm.cancel()
            self._alarm_at = at
            self._alarm = self.loop.call_at(at, self._judge)

    def _go_on(self) -> None:
        for number, events in self.epoll.poll(0, len(self.open) + 1):
            if request := self.open.get(number):
                request.go_on(events)

    def _judge(self) -> None:
        """A timer is no proof that nothing came: what is there is read before anybody's time is over."""
        self._alarm, self._alarm_at = None, inf
        self._go_on()
        now = self.loop.time()
        for request in [request for request in self.live if request.due <= now]:
            request.overdue(now)
        self.watch(min((request.due for request in self.live), default=inf))


class _Request:
    """One request under way. Whatever is wrong with a connection ends it, and never raises.

    Attributes:
        ended: what came of it.
        due: when its phase's time is over, in seconds of the loop.
        room: bytes of a large answer that it has room for, or waits for.
        waits: for room.
    """

    room = 0
    waits = False
    _phase = CONNECTING
    _socket: socket.socket | None = None
    _number = -1  # of the socket
    _answer: Answer | None = None
    _heard = False  # anything, since its time was judged last

    def __init__(self, wire: Transport, route: Route, data: bytes, seconds: float) -> None:
        now = wire.loop.time()
        self.ended: asyncio.Future[Ended] = wire.loop.create_future()
        self.due = self._connect_until = now + min(route.connect, seconds)
        self._until = now + seconds
        self._seconds = seconds
        self._wire = wire
        self._route = route
        self._data = data  # what is still to be sent
        self._addresses = list(route.addresses)  # still to be tried
        wire.live.add(self)

    def start(self) -> None:
        """Begin with the first phase."""
        if self._addresses:
            self._connect()
        else:
            self._wire.watch(self.due)
            self._wire.lookup(self._route).add_done_callback(self._named)

    def close(self) -> None:
        """Have nothing open any more."""
        self._disconnect()
        if self._answer:
            self._answer.close()
        if self.room:
            self._wire.room.leave(self)
        self._wire.live.discard(self)

    def overdue(self, now: float) -> None:
        """The phase's time is over, and all that has come was read.

        When this program stood still (Ctrl-Z, SIGSTOP, a busy machine), the time in which nobody listened does not count,
        up to the request's own time.
        """
        late = now - self.due
        if self._phase is OPEN and self.due < self._until and self._socket:
            _keep_alive(self._socket)
            self.due = self._until
        elif late > ASLEEP:
            self._until = max(self._until, now) + min(late, self._seconds)
            self._connect_until = now + min(late, self._route.connect)
            self.due = self._until if self._phase is OPEN else self._connect_until
        elif self._phase is CONNECTING:
            self._connect()
        elif self._phase is SECURING:
            self._end(_NOT_CONNECTED)
        elif self._heard and now < self._until + SETTLE:
            self._heard = False
            self.due = now + LOOK
        else:
            self._end(NoAnswer(f"no complete answer within {self._seconds:g} s", late=True))

    def go_on(self, events: int) -> None:
        """Something about the connection has changed: do all that can be done now, since it is told only once."""
        try:
            if self._phase is OPEN:
                self._exchange(events)
            elif self._phase is CONNECTING:
                self._connected(events)
            else:
                self._secure()
        except _NOT_NOW:
            pass
        except OSError as error:
            self._broken(error)
        except Exception as error:  # noqa: BLE001 - a bug, which whoever waits is to hear of
            if not self.ended.done():
                self.ended.set_exception(error)
            self.close()

    # connecting

    def _named(self, lookup: asyncio.Future[tuple[Address, ...]]) -> None:
        failed = lookup.cancelled() or lookup.exception()
        if self.ended.done():
            return
        if failed:
            self._end(NotSent(f"no address for the name {self._route.host}", obstacle=Obstacle.NAME))
        else:
            self._addresses = list(lookup.result())
            self._connect()

    def _connect(self, failure: OSError | None = None) -> None:
        """Try the addresses that are left; each has its share of the time that is left."""
        while self._addresses and not (failure and failure.errno in _LOCAL):
            self._disconnect()
            now = self._wire.loop.time()
            self.due = now + (self._connect_until - now) / len(self._addresses)
            self._wire.watch(self.due)
            try:
                self._dial(self._addresses.pop(0))
            except OSError as error:
                failure = error
            else:
                return
        self._end(_not_connected(failure) if failure else _NOT_CONNECTED)

    def _dial(self, address: Address) -> None:
        family, _, protocol, _, place = address
        self._socket = made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, protocol)
        self._number = made.fileno()
        self._wire.open[self._number] = self
        if self._route.tls or len(self._data) > SMALL:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (error := made.connect_ex(place)) not in {0, errno.EINPROGRESS}:
            raise OSError(error, os.strerror(error))
        self._wire.epoll.register(self._number, EPOLLIN | EPOLLOUT | EPOLLET)

    def _connected(self, events: int) -> None:
        """Connected, or failed: without TLS the first write tells."""
        assert self._socket  # noqa: S101
        if self._route.tls is None:
            self._exchange(events)
            return
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        self._phase, self.due = SECURING, self._connect_until
        name = self._route.server_name
        self._socket = self._route.tls.wrap_socket(self._socket, server_hostname=name, do_handshake_on_connect=False)
        self._secure()

    def _secure(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)  # noqa: S101
        self._socket.do_handshake()
        self._opened()
        self._exchange(EPOLLIN)  # a host that refuses the client's certificate may have said so and closed by now

    def _opened(self) -> None:
        self._phase, self.due = OPEN, self._until
        if self._seconds > PATIENCE:
            self.due = min(self._until, self._connect_until + KEEP_ALIVE)

    # sending and hearing

    def _write(self) -> None:
        assert self._socket  # noqa: S101
        while self._data:
            sent = self._socket.send(self._data)
            if self._phase is CONNECTING:
                self._opened()
            self._data = self._data[sent:]

    def _exchange(self, events: int) -> None:
        """Write what is left, and read what has come; a host may answer before it has read everything."""
        try:
            self._write()
        except _NOT_NOW:
            pass
        except OSError:
            if self._phase is CONNECTING:  # nothing has left
                raise
            self._data = b""  # the host reads no more; what it has said is what counts
        if events & ~EPOLLOUT and self._phase is OPEN:
            while self._socket and not self.waits:
                self._read(self._socket.recv(PART))

    def _read(self, data: bytes) -> None:
        self._heard = True
        answer = self._answer = self._answer or Answer()
        heard = answer.feed(data) if data else answer.at_eof()
        if heard:
            self._end(heard)
        elif not self.room and (answer.size if answer.length is None else answer.length) > LARGE:
            self.room = MAX_ANSWER if answer.length is None else answer.length
            self._wire.room.enter(self)

    # the end

    def _broken(self, error: OSError) -> None:
        accepted = self._phase is SECURING or isinstance(error, ConnectionResetError)
        if self._phase is CONNECTING and not (accepted and self._route.tls):
            self._connect(error)
        elif self._phase is not OPEN:
            closed = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the host closed the connection")
            self._end(tls.no_connection(closed if isinstance(error, ConnectionError) else error))
        elif refused := tls.refused(error):
            self._end(refused)
        elif isinstance(error, ssl.SSLError):
            self._end(NoAnswer(f"the TLS connection broke: {(error.reason or 'no reason').replace('_', ' ').lower()}"))
        else:
            self._end(NoAnswer(f"the connection broke: {_words(error)}", late=error.errno in _SILENT))

    def _end(self, ended: Ended) -> None:
        if not self.ended.done():
            self.ended.set_result(ended)
        self.close()

    def _disconnect(self) -> None:
        if self._socket is None:
            return
        del self._wire.open[self._number]
        if isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):  # tells the host that this is the end
                self._socket.unwrap()
        self._socket.close()
        self._socket = None


class _Room:
    """So many bytes of large answers may be in memory at a time; who needs more than there are waits for its turn."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[_Request] = deque()

    def enter(self, request: _Request) -> None:
        """Have a request wait, unless there is room for its answer."""
        request.waits = bool(self._waiting) or request.room > self._free
        if request.waits:
            self._waiting.append(request)
        else:
            self._free -= request.room

    def leave(self, request: _Request) -> None:
        """Give back its room, or do not wait for it any more."""
        if request.waits:
            self._waiting.remove(request)
        else:
            self._free += request.room
        request.room, request.waits = 0, False
        while self._waiting and self._waiting[0].room <= self._free:
            admitted = self._waiting.popleft()
            self._free -= admitted.room
            admitted.waits = False
            admitted.go_on(EPOLLIN)


_NOT_CONNECTED = NotSent("no connection within the connect timeout")


def _not_connected(error: OSError) -> NotSent:
    if error.errno in _LOCAL:
        return NotSent(f"this machine cannot open a connection: {error.strerror}", local=True)
    return NotSent(_words(error), obstacle=Obstacle.REFUSED if error.errno == errno.ECONNREFUSED else Obstacle.OTHER)


def _words(error: OSError) -> str:
    """The system's words for an error, such as "connection refused"."""
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


def _keep_alive(connection: socket.socket) -> None:
    """Have the kernel ask whether the host is still there; one that lost its power says nothing for ever."""
    times = {socket.TCP_KEEPIDLE: KEEP_ALIVE, socket.TCP_KEEPINTVL: KEEP_ALIVE // 3, socket.TCP_KEEPCNT: 3}
    for option, value in times.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
