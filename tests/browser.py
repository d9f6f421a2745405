"""A headless Chromium that shows a page and says what it found there: requests, complaints, and what its scripts are asked."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from tests.ring.fixtures import REQUIRE

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The program; without one the test is skipped, or fails where nothing may be skipped."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{REQUIRE} is set, but there is no chromium")
    if found is None:
        pytest.skip("there is no chromium")
    return found


class Page:
    """A page in a browser, spoken to in the Chrome DevTools Protocol.

    Attributes:
        requests: the addresses that it asked for.
        complaints: what stands in the console.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.requests: list[str] = []
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do something; returns what it answers."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, 60)

    async def open(self, address: str) -> None:
        """Load a page, wholly."""
        self._loaded.clear()
        await self.call("Page.navigate", url=address)
        await asyncio.wait_for(self._loaded.wait(), 60)

    async def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def look_at(self, *, width: int, media: str = "", dark: bool = False) -> None:
        """Show it on a screen of this width, or on paper (`media="print"`), in light or dark colours."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        await self.call("Emulation.setEmulatedMedia", media=media, features=features)

    async def listen(self) -> None:
        """Take what the browser says until it is closed."""
        async for message in self._socket:
            found = message.json()
            if "id" in found:
                self._answers.pop(found["id"]).set_result(found.get("result", found))
            else:
                self._hear(found["method"], found["params"])

    def _hear(self, method: str, parameters: Mapping[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled"}:
            self.complaints.append(str(parameters))


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A browser with an empty page.

    Args:
        folder: for its profile.
    """
    profile = anyio.Path(folder / "profile")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    words = [chromium(), *options, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, stdout=nowhere, stderr=nowhere)
    try:
        port = await _port(process, profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as listed:
                [target] = [one for one in await listed.json() if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                listening = asyncio.ensure_future(page.listen())
                for domain in ("Page", "Network", "Log", "Runtime"):
                    await page.call(f"{domain}.enable")
                yield page
            await listening
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 60)


async def _port(process: asyncio.subprocess.Process, file: anyio.Path) -> str:
    """The port that it listens on, once it does."""
    for _ in range(600):
        if await file.exists() and (lines := (await file.read_text()).splitlines())[1:]:
            return lines[0]
        assert process.returncode is None, "the browser ended"
        await asyncio.sleep(0.1)
    raise AssertionError("the browser does not answer")
