"""An event loop whose clock jumps to the next timer when nothing is ready, and never waits."""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Callable
from typing import Any, cast

MOST_TURNS = 200_000  # of the loop without any time passing; more mean that it goes round and round
RESOLUTION = 1e-6  # seconds; what is due within them is due now
LONGEST = 7 * 86_400.0  # seconds that a schedule may take


class Stuck(AssertionError):
    """Somebody waits, and nothing will ever happen; or things happen for ever, and time does not pass."""


def _nothing() -> None:
    """Nobody looks."""


class _Selector(selectors.SelectSelector):
    """Knows the loop's own pipe, through which nothing comes."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """There is nothing to wait for."""
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """One thread, no sockets, and a clock of its own that starts at 0.

    It does what asyncio's loop does, in the same order, and no more: thousands of schedules spend their time here.
    """

    _ready: deque[Any]
    _scheduled: list[Any]

    def __init__(self) -> None:
        super().__init__(_Selector())
        self._now = 0.0
        self._turns = 0
        self.step = 0.0  # seconds between two readings of the clock
        self.idle: Callable[[], None] = _nothing  # called when only a timer can go on

    def time(self) -> float:
        """Seconds of the schedule; time passes between two readings, as on a real clock."""
        self._now += self.step
        return self._now

    def get_debug(self) -> bool:
        """Never."""
        return False

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """In the next turn."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """There are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """When the clock shows that time."""
        timer: Any = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return cast("asyncio.TimerHandle", timer)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """After so many seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def rewind(self) -> None:
        """Forget all timers, and begin at 0 again."""
        self._scheduled.clear()
        self._ready.clear()
        self._now, self._turns, self.step = 0.0, 0, 0.0
        self.idle = _nothing

    def timers(self) -> list[asyncio.TimerHandle]:
        """All that are set."""
        return [timer for timer in self._scheduled if not timer._cancelled]

    def _run_once(self) -> None:
        """One turn: what is ready; when nothing is, the clock moves to the next timer."""
        ready, timers = self._ready, self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            self.idle()
            if not timers:
                raise Stuck("somebody waits for what never comes")
            if timers[0]._when > self._now:
                self._now, self._turns = timers[0]._when, 0
                if self._now > LONGEST:
                    raise Stuck("it takes for ever")
        self._turns += 1
        if self._turns > MOST_TURNS:
            raise Stuck("it goes round and round")
        while timers and timers[0]._when <= self._now + RESOLUTION:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._context.run(handle._callback, *handle._args)
