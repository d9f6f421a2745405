"""A fleet in a thread of its own, for synchronous callers: tests and the demo."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

from orchestrator.simulator.server import RunningFleet, serve

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from types import TracebackType

    from orchestrator.simulator.fleet import Fleet
    from orchestrator.simulator.record import Record
    from orchestrator.simulator.spec import FleetSpec


class BackgroundFleet:
    """A context manager around `serve` with a loop and a thread of its own.

    Inside the block it has the attributes of `RunningFleet`; `stop` and `start` may be called from any thread.
    """

    def __init__(self, spec: FleetSpec) -> None:
        self._spec = spec
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-fleet", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: RunningFleet | None = None
        self._over: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with serve(self._spec) as self._running:
                self._ready.set()
                await self._over.wait()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for us
            self._failure = error
        finally:
            self._ready.set()

    @property
    def running(self) -> RunningFleet:
        """The fleet; only inside the block."""
        if self._running is None:
            raise RuntimeError("the fleet runs only inside its with block")
        return self._running

    @property
    def fleet(self) -> Fleet:
        """The state behind the answers, caught up with the clock."""
        self._call(self._advance())
        return self.running.fleet

    async def _advance(self) -> None:
        self.running.advance()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            raise RuntimeError("the fleet runs only inside its with block")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self, host: str) -> None:
        """A host goes down."""
        self._call(self.running.stop(host))

    def start(self, host: str) -> None:
        """A host comes back."""
        self._call(self.running.start(host))

    @property
    def requests(self) -> list[Record]:
        """What the hosts were sent, oldest first."""
        return self.running.requests

    @property
    def directors(self) -> dict[str, str]:
        """Addresses by name."""
        return self.running.directors

    @property
    def backends(self) -> dict[str, str]:
        """Addresses by name."""
        return self.running.backends

    @property
    def port(self) -> int:
        """The API's port, the same on every address."""
        return self.running.port

    @property
    def password(self) -> str:
        """The doveadm password."""
        return self.running.password

    @property
    def api_key(self) -> str:
        """The doveadm API key."""
        return self.running.api_key

    def config(self, secrets: Path) -> str:
        """The text of an orchestrator configuration for this fleet; see `RunningFleet.config`."""
        return self.running.config(secrets)
