"""A request under way and its time, which is judged only after what came meanwhile was read."""

from __future__ import annotations

import asyncio
import select
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, cast

PATIENCE = 120.0  # seconds; whoever waits longer for an answer has the connection watched
ASLEEP = 0.25  # seconds; a timer that comes so late says that this program stood still
LOOK = 0.02  # seconds that what has come already may take to be read
SETTLE = 1.0  # seconds that it may take in all


class Underway:
    """A request under way: its body, how far it came, and its time: so long to connect, and so long in all.

    One timer serves both, and is seldom set twice. A timer is no proof that nothing came: when the program stood still
    (Ctrl-Z, SIGSTOP, a busy machine), timer and answer are there at once. So the time in which nobody listened does not
    count, up to the request's own time, and before it is over the socket is looked at.

    Attributes:
        body: what is sent behind the headers.
        connected: bytes of the request may have left.
        expired: its time ended it.
        patient: it waits so long that a host which is gone should be noticed earlier.
        transport, protocol: of its connection, as soon as there is one.
    """

    __slots__ = (
        "_at", "_before", "_cancelling", "_connect", "_looked", "_loop", "_seconds", "_task", "_timer", "_whole", "body",
        "connected", "expired", "patient", "protocol", "transport",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, body: bytes, connect: float, whole: float) -> None:
        self._loop = loop
        now = loop.time()
        self._connect, self._seconds = min(connect, whole), whole
        self._whole = now + whole
        self._looked = False
        self._set(now + self._connect)
        self.body = body
        self.connected = self.expired = False
        self.patient = whole > PATIENCE
        self.transport: asyncio.BaseTransport | None = None
        self.protocol: asyncio.BaseProtocol | None = None

    def __enter__(self) -> Self:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task(self._loop))
        self._cancelling = self._task.cancelling()
        self._before = current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `asyncio.timeout` does it: a cancellation of ours becomes a TimeoutError, another's goes on."""
        self._timer.cancel()
        current.reset(self._before)  # else the next timer's context would keep this, and all before it
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _set(self, at: float) -> None:
        self._at = at
        self._timer = self._loop.call_at(at, self._due)

    def _due(self) -> None:
        now = self._loop.time()
        late = now - self._at
        if late > ASLEEP:
            self._whole = max(self._whole, now) + min(late, self._seconds)
            self._looked = False
            self._set(self._whole if self.connected else now + min(late, self._connect))
        elif self.connected and now < self._whole:
            self._looked = False
            self._set(self._whole)
        elif not self._looked or (now < self._whole + SETTLE and self._has_unread()):
            self._looked = True
            self._set(now + LOOK)
        else:
            self.expired = True
            self._task.cancel()

    def _has_unread(self) -> bool:
        """Whether something has come that nobody has read yet."""
        connection = self.transport.get_extra_info("socket") if self.transport else None
        if connection is None or connection.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))


current: ContextVar[Underway] = ContextVar("underway")
