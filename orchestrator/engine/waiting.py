"""Waiting, and doing what takes long, until a run is to end: every wait of a run ends at once when it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from orchestrator.engine.course import Stop

T = TypeVar("T")


class Waiting:
    """Waits that end at once when an event happens.

    Args:
        ended_by: the event.
        stop: makes what is raised then.
    """

    def __init__(self, ended_by: anyio.Event, stop: Callable[[], Stop]) -> None:
        self._ended_by, self._stop = ended_by, stop

    async def do(self, what: Callable[[], Awaitable[T]]) -> T:
        """Do something that takes long, and return what it returns.

        Args:
            what: does it; it is cancelled when the event happens. What it raises is raised here, as it is.

        Raises:
            Stop: the event happened before it was done.
        """
        found: list[T] = []
        error: Exception | None = None
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                await self._ended_by.wait()
                group.cancel_scope.cancel()

            group.start_soon(watch)
            try:
                found.append(await what())
            except Exception as raised:  # noqa: BLE001 - told outside of the group, which would wrap it
                error = raised
            group.cancel_scope.cancel()
        if error is not None:
            raise error
        if not found:
            raise self._stop()
        return found[0]

    async def sleep(self, seconds: float) -> None:
        """Wait for so long.

        Raises:
            Stop: the event happened meanwhile.
        """
        with anyio.move_on_after(seconds):
            await self._ended_by.wait()
        if self._ended_by.is_set():
            raise self._stop()
