"""An event loop whose clock jumps to the next timer when nothing is ready, and never waits."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

MOST_TURNS = 200_000  # of the loop without any time passing; more mean that it goes round and round
LONGEST = 7 * 86_400.0  # seconds that a schedule may take


class Stuck(AssertionError):
    """Somebody waits, and nothing will ever happen; or things happen for ever, and time does not pass."""


class _Selector(selectors.SelectSelector):
    """Knows the loop's own pipe, through which nothing comes; to wait is to move the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass until the next timer."""
        if timeout is None:
            raise Stuck("somebody waits for what never comes")
        if timeout > 0:
            self.now += timeout
            self.turns = 0
            if self.now > LONGEST:
                raise Stuck("it takes for ever")
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Stuck("it goes round and round")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """One thread, no sockets, and a clock of its own that starts at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds of the schedule."""
        return self._virtual.now

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """There are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def rewind(self) -> None:
        """Forget all timers, and begin at 0 again."""
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._ready.clear()  # type: ignore[attr-defined]
        self._timer_cancelled_count = 0
        self._virtual.now = 0.0
        self._virtual.turns = 0
