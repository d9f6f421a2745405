"""Reads pages of other services for conditions: metrics, health checks. Plain GET, no redirect, no proxy of the environment."""

from __future__ import annotations

import aiohttp

from orchestrator.errors import ExpressionError
from orchestrator.page import Page

LONGEST = 2 * 1024 * 1024  # bytes; while it is read as metrics, which takes most of a second, nothing else is done
_PLAIN = {"Accept-Encoding": "identity"}  # what is packed may be of any size


async def fetch(url: str, timeout: float) -> Page:
    """Read a page.

    Args:
        url: its address.
        timeout: seconds for all of it.

    Raises:
        ExpressionError: it cannot be read; says why.
    """
    limits = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(
                timeout=limits,
                headers=_PLAIN,
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if packed := response.headers.get("Content-Encoding", "identity").strip().lower().replace("identity", ""):
                raise ExpressionError(f"{url} is packed ({packed[:20]}), which was not asked for")
            body = await response.content.read(LONGEST + 1)
            while len(body) <= LONGEST and (more := await response.content.read(LONGEST + 1 - len(body))):
                body += more
            if len(body) > LONGEST:
                raise ExpressionError(f"{url} is larger than {LONGEST // 2**20} MiB")
            return Page(response.status, body.decode(errors="replace"))
    except TimeoutError:
        raise ExpressionError(f"{url} did not answer within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ExpressionError(f"{url} cannot be read: {error}") from None
