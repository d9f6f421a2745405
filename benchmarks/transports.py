"""What sending a request costs, way by way, and what reading its answer does: the figures of decision 0022.

The ways take turns, each in a process of its own, on both event loops, against the stub of `throughput.py`. Nothing is
planned, recorded or judged: it is the wire alone. CPU time of the sender, in microseconds a request.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import http.client
import io
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import stub as stubs
from contenders import AUTHORIZATION, HERE
from measure import machine, median, run, table

WAYS = ("own", "protocol", "aiohttp")
LOOPS = ("uvloop", "asyncio")
BODY = b'[["quotaRecalc",{"user":"user0000001@example.org"},"1.1"]]'
ANSWER = b'[["doveadmResponse",[],"1.1"]]'
SAID = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nDate: Sat, 28 Nov 2026 08:00:00 GMT\r\n"
    b"Content-Length: %d\r\nConnection: Close\r\n\r\n%b" % (len(ANSWER), ANSWER)
)
Send = Callable[[str], Awaitable[bytes]]


def request(address: str, port: int) -> bytes:
    """A whole request."""
    lines = [
        "POST /doveadm/v1 HTTP/1.1", f"Host: {address}:{port}", f"Authorization: {AUTHORIZATION}", "Connection: close",
        "Content-Type: application/json", f"Content-Length: {len(BODY)}",
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + BODY


# ways to send


async def own(port: int, send: Callable[[Send], Awaitable[None]]) -> None:
    """The product's transport."""
    from orchestrator.dovecot.transport import Route, Transport, addresses_of  # noqa: PLC0415

    wire = Transport()
    routes = {address: Route(address, port, 5.0, addresses=addresses_of(address, port)) for address in stubs.ADDRESSES}
    requests = {address: request(address, port) for address in stubs.ADDRESSES}

    async def one(address: str) -> bytes:
        return (await wire.send(routes[address], requests[address], 60.0)).body  # type: ignore[union-attr]

    await send(one)
    wire.close()


async def protocol(port: int, send: Callable[[Send], Awaitable[None]]) -> None:
    """A protocol a request, as asyncio has it, with a timer for its deadline; answers read as the product does."""
    from orchestrator.dovecot.answer import Answer  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    requests = {address: request(address, port) for address in stubs.ADDRESSES}

    class Request(asyncio.Protocol):
        def __init__(self, data: bytes) -> None:
            self.data, self.answer, self.ended = data, Answer(), loop.create_future()

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            transport.write(self.data)

        def data_received(self, data: bytes) -> None:
            if (heard := self.answer.feed(data)) and not self.ended.done():
                self.ended.set_result(heard.body)  # type: ignore[union-attr]
                self.transport.close()
                self.answer.close()

        def connection_lost(self, error: Exception | None) -> None:
            if not self.ended.done():
                self.ended.set_exception(error or ConnectionError())

    async def one(address: str) -> bytes:
        _, made = await loop.create_connection(lambda: Request(requests[address]), address, port)
        timer = loop.call_later(60.0, made.transport.abort)
        body: bytes = await made.ended
        timer.cancel()
        return body

    await send(one)


async def by_aiohttp(port: int, send: Callable[[Send], Awaitable[None]]) -> None:
    """aiohttp, with all left out that it can leave out."""
    import aiohttp  # noqa: PLC0415

    headers = {"Authorization": AUTHORIZATION, "Content-Type": "application/json"}
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )

    async def one(address: str) -> bytes:
        async with session.post(f"http://{address}:{port}/doveadm/v1", data=BODY, headers=headers) as response:
            return await response.read()

    async with session:
        await send(one)


def send_all(way: str, loop: str, port: int, operations: int) -> float:
    """CPU seconds for so many requests, 64 at a time."""
    spent = [0.0]

    async def send(one: Send) -> None:
        left = iter(range(operations))

        async def work() -> None:
            for number in left:
                if await one(stubs.ADDRESSES[number % len(stubs.ADDRESSES)]) != ANSWER:
                    raise SystemExit("not the answer")

        gc.freeze()
        gc.set_threshold(50_000)
        begin = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(64):
                group.create_task(work())
        spent[0] = time.process_time() - begin

    work = {"own": own, "protocol": protocol, "aiohttp": by_aiohttp}[way](port, send)
    if loop == "uvloop":
        import uvloop  # noqa: PLC0415

        uvloop.run(work)
    else:
        asyncio.run(work)
    return spent[0]


# ways to read


def readers() -> dict[str, Callable[[], bytes]]:
    """Whatever reads HTTP answers and is installed."""
    from orchestrator.dovecot.answer import Answer  # noqa: PLC0415

    def by_httptools() -> bytes:
        answer = Answer()
        heard = answer.feed(SAID)
        answer.close()
        return heard.body  # type: ignore[union-attr]

    def by_the_standard_library() -> bytes:
        class Made:
            def makefile(self, *_: Any) -> io.BytesIO:
                return io.BytesIO(SAID)

        response = http.client.HTTPResponse(Made(), method="POST")  # type: ignore[arg-type]
        response.begin()
        return response.read()

    found = {"httptools (`answer.py`)": by_httptools, "http.client": by_the_standard_library}
    try:
        from aiohttp.base_protocol import BaseProtocol  # noqa: PLC0415
        from aiohttp.http import HttpResponseParser  # noqa: PLC0415
    except ImportError:
        return found
    loop = asyncio.new_event_loop()

    def by_aiohttps_parser() -> bytes:
        parser = HttpResponseParser(
            BaseProtocol(loop, None), loop, 2**16, response_with_body=True, read_until_eof=True, auto_decompress=False
        )
        ((_, payload),), _, _ = parser.feed_data(SAID)
        return b"".join(payload._buffer)  # noqa: SLF001

    return {**found, "aiohttp's parser": by_aiohttps_parser}


def microseconds(read: Callable[[], bytes], times: int = 5000) -> float:
    """The quickest of a few trials."""
    if read() != ANSWER:
        raise SystemExit("not the answer")
    trials = []
    for _ in range(5):
        begin = time.process_time()
        for _ in range(times):
            read()
        trials.append(time.process_time() - begin)
    return min(trials) / times * 1e6


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "LOOP", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, loop, port = arguments.one
        print(json.dumps(send_all(way, loop, int(port), arguments.operations) / arguments.operations * 1e6))
        return 0
    spent: dict[tuple[str, str], list[float]] = {}
    heading = machine()
    with tempfile.TemporaryDirectory() as folder, stubs.running(Path(folder)) as stub:
        for number in range(arguments.rounds):
            turns = [(way, loop) for loop in LOOPS for way in WAYS]
            for way, loop in turns if number % 2 else reversed(turns):
                words = [sys.executable, __file__, "--operations", str(arguments.operations), "--one", way, loop]
                usage = run([*words, str(stub.port)], env={"PYTHONPATH": str(HERE.parent)})
                spent.setdefault((way, loop), []).append(float(usage.output))
        print(f"Measured on {heading}; {arguments.rounds} rounds, medians (least to most). Stub: {stub.name}.\n")
    rows = (
        [way, *(f"{median(found := spent[way, loop]):.0f} ({min(found):.0f} to {max(found):.0f})" for loop in LOOPS)]
        for way in WAYS
    )
    print(table(("sending, µs CPU", *LOOPS), rows))
    print()
    print(table(("reading an answer", "µs"), ([name, f"{microseconds(read):.1f}"] for name, read in readers().items())))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
