"""Live IMAP sessions through the directors: they log in, select INBOX, stay, and come back when they are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.ring.api import RingError, wait_until
from tests.ring.dovecot_conf import USER_PASSWORD
from tests.ring.ring import Ring

LOGIN_TIMEOUT = 40.0  # a director lets a login wait 30 s for a backend, then refuses it

Kind = Literal["login", "login_fail", "drop", "connect_fail"]


@dataclass(frozen=True)
class SessionEvent:
    """What happened to one user.

    Attributes:
        time: epoch seconds.
        kind: login, login_fail, drop (of a session that was logged in), or connect_fail.
        user: "user001".
        host: the director's name.
        text: what the server said last, or the error.
    """

    time: float
    kind: Kind
    user: str
    host: str
    text: str


class Sessions:
    """`count` users from number `first` on, each with one session, alternately through the directors.

    Entering waits until all are logged in. They live in an event loop of their own thread, so that a test may block,
    or run a loop of its own.

    Attributes:
        ring: whose directors.
        users: the names.
        events: what happened so far, in order.
    """

    def __init__(self, ring: Ring, count: int = 40, first: int = 1, relogin: float | None = 0.3) -> None:
        """Plan the sessions.

        Args:
            ring: whose directors.
            count: how many users.
            first: the number of the first.
            relogin: seconds from a drop, or a failure, to the next login; None: it stays away.
        """
        self.ring = ring
        self.users = ring.users[first - 1 : first - 1 + count]
        if len(self.users) < count:
            raise RingError(f"the ring has {len(ring.users)} users only")
        self.events: list[SessionEvent] = []
        self._relogin = relogin
        self._alive: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="imap-sessions", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()  # from here on `close` can be called
        self._thread.start()
        try:
            self.wait_alive(len(self.users), LOGIN_TIMEOUT)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all sessions; that is no drop."""
        if self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # closed already, with its thread
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        if self._error is not None:
            raise RingError("the sessions broke off") from self._error

    def alive(self) -> int:
        """How many sessions are logged in with INBOX selected."""
        return len(self._alive)

    def wait_alive(self, count: int | None = None, timeout: float = 30.0) -> None:
        """Wait until `count` sessions, or all, are alive."""
        wanted = len(self.users) if count is None else count
        wait_until(
            lambda: self.alive() == wanted or not self._thread.is_alive(),
            timeout,
            lambda: f"{wanted} sessions alive, but {self.alive()}; {self._last_events()}",
        )
        if not self._thread.is_alive():
            raise RingError("the sessions have ended") from self._error

    @property
    def failed_logins(self) -> list[SessionEvent]:
        """Every attempt to log in that did not succeed, at IMAP or already at TCP."""
        return [event for event in self.events if event.kind in ("login_fail", "connect_fail")]

    @property
    def drops(self) -> list[SessionEvent]:
        """Every end of a session that was logged in."""
        return [event for event in self.events if event.kind == "drop"]

    @property
    def logins(self) -> list[SessionEvent]:
        """Every login that succeeded."""
        return [event for event in self.events if event.kind == "login"]

    def _last_events(self) -> str:
        return "last: " + "; ".join(f"{event.kind} {event.user} {event.text}" for event in self.events[-5:])

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._own_loop) as runner:
                runner.run(self._hold())
        except BaseException as error:  # noqa: BLE001  # told by whoever waits for the thread
            self._error = error

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    async def _hold(self) -> None:
        names = list(self.ring.directors)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._stay(user, names[number % len(names)]))
                for number, user in enumerate(self.users)
            ]
            await self._end.wait()
            for task in tasks:
                task.cancel()

    async def _stay(self, user: str, director: str) -> None:
        while True:
            await self._one_session(user, director)
            if self._relogin is None:
                return
            await asyncio.sleep(self._relogin)

    async def _one_session(self, user: str, director: str) -> None:
        try:
            reader, writer = await asyncio.open_connection(self.ring.directors[director], self.ring.imap_port)
        except OSError as error:
            self._note("connect_fail", user, director, str(error))
            return
        try:
            if await self._log_in(reader, writer, user, director):
                await self._remain(reader, user, director)
        finally:
            self._alive.discard(user)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _log_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: str, director: str
    ) -> bool:
        # LOGIN and SELECT leave apart: what a client sends ahead of a login the director may not hand on.
        writer.write(f"a LOGIN {user} {USER_PASSWORD}\r\n".encode())
        text, done = await self._until_tagged(reader, "a")
        if not done:
            self._note("login_fail", user, director, text)
            return False
        self._note("login", user, director, text)
        writer.write(b"b SELECT INBOX\r\n")
        text, done = await self._until_tagged(reader, "b")
        if not done:
            self._note("drop", user, director, text)
            return False
        self._alive.add(user)
        return True

    async def _remain(self, reader: asyncio.StreamReader, user: str, director: str) -> None:
        text, _ = await self._until_tagged(reader, "never")
        # Before the event: who sees the drop in `events` must not count the session as alive.
        self._alive.discard(user)
        self._note("drop", user, director, text)

    async def _until_tagged(self, reader: asyncio.StreamReader, tag: str) -> tuple[str, bool]:
        """The tagged answer, or the server's parting words; and whether it was OK."""
        parting = ""
        while True:
            try:
                line = (await reader.readline()).decode(errors="replace")
            except OSError as error:
                return f"{parting} {error}".strip(), False
            if not line:
                return f"{parting} EOF".strip(), False
            line = line.strip()
            if line.startswith(f"{tag} "):
                return line, line.startswith(f"{tag} OK")
            if line.startswith("* BYE"):
                parting = line

    def _note(self, kind: Kind, user: str, director: str, text: str) -> None:
        self.events.append(SessionEvent(time.time(), kind, user, director, text))
