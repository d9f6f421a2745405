"""The yardstick: what an administrator would write. 64 workers, a connection a request; no journal, no retry, no limit.

It reads users from a file and sends each of them to each URL, looks whether each answer is a success with the tag of its
request, and prints a JSON line. With --tuned it has uvloop, orjson and all that aiohttp can leave out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp


def requests(users: Path, urls: list[str]) -> Iterator[tuple[str, str, str]]:
    """URL, user and tag of each operation."""
    numbers = count(1)
    with users.open(encoding="utf-8") as lines:
        for line in lines:
            for url in urls:
                yield url, line.strip(), f"1.{next(numbers)}"


async def work(
    session: aiohttp.ClientSession,
    todo: Iterator[tuple[str, str, str]],
    headers: dict[str, str],
    loads: Callable[[bytes], Any],
) -> int:
    """Send what is left, one at a time; returns how many succeeded."""
    good = 0
    for url, user, tag in todo:
        body = json.dumps([["quotaRecalc", {"user": user}, tag]]).encode()
        async with session.post(url, data=body, headers=headers) as response:
            answer = loads(await response.read())
            good += response.status == 200 and answer[0][0] == "doveadmResponse" and answer[0][2] == tag
    return good


async def send(arguments: argparse.Namespace) -> tuple[int, float]:
    """Send everything; returns how many succeeded, and seconds without imports."""
    options: dict[str, Any] = {}
    loads: Callable[[bytes], Any] = json.loads
    if arguments.tuned:
        import orjson  # noqa: PLC0415

        loads = orjson.loads
        options = {
            "cookie_jar": aiohttp.DummyCookieJar(),
            "timeout": aiohttp.ClientTimeout(total=None),
            "auto_decompress": False,
            "skip_auto_headers": ("User-Agent", "Accept", "Accept-Encoding"),
        }
    headers = {"Authorization": arguments.authorization, "Content-Type": "application/json"}
    begin = time.monotonic()
    todo = requests(arguments.users, arguments.urls)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, **options) as session:
        work_of_all = (work(session, todo, headers, loads) for _ in range(arguments.in_flight))
        good = sum(await asyncio.gather(*work_of_all))  # noqa: TID251 - a script of its own
    return good, time.monotonic() - begin


def main() -> int:
    """Run it; 0 when all succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("users", type=Path)
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--authorization", default="")
    parser.add_argument("--tuned", action="store_true")
    arguments = parser.parse_args()
    if arguments.tuned:
        import uvloop  # noqa: PLC0415

        good, seconds = uvloop.run(send(arguments))
    else:
        good, seconds = asyncio.run(send(arguments))
    print(json.dumps({"good": good, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
