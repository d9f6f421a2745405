"""One question to one host, and what its answer means; many hosts a few at a time. In the pace of the run.

What belongs to an operation goes through `sending`; here is all that is asked besides: lists of commands, probes, the log,
looks at the fleet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, Protocol, TypeVar

import anyio

from orchestrator.dovecot.catalog import Command
from orchestrator.dovecot.classify import classify
from orchestrator.dovecot.command import request_body
from orchestrator.dovecot.exchange import Exchange
from orchestrator.engine.pace import Pace
from orchestrator.outcome import Outcome

T = TypeVar("T")
AT_A_TIME = 32  # hosts that are asked at a time


class Wire(Protocol):
    """What sends (`client.Client`)."""

    async def post(self, host: str, body: bytes, timeout: float) -> Exchange:
        """One payload."""
        ...

    async def command_list(self, host: str, timeout: float) -> Exchange:
        """The host's list of commands."""
        ...

    def redact(self, host: str, text: str) -> str:
        """A text without the host's secret."""
        ...


class Asked(NamedTuple):
    """What came of a question: on the wire, and what it means."""

    exchange: Exchange
    outcome: Outcome


class Asker:
    """Asks hosts, each question in its turn.

    Args:
        client: open.
        pace: of the run; each question is a request of it.

    Attributes:
        sent: how many commands were sent.
    """

    def __init__(self, client: Wire, pace: Pace | None = None) -> None:
        self._client = client
        self._pace = pace or Pace()
        self.sent = 0

    async def ask(
        self,
        host: str,
        command: str,
        parameters: str,
        *,
        tag: str,
        timeout: float,
        entry: Command | None = None,
        accept: Collection[int] = (),
    ) -> Asked:
        """Send one command to a host.

        Args:
            host: the inventory's name.
            command: the doveadm command.
            parameters: JSON.
            tag: what Dovecot echoes.
            timeout: seconds for the whole answer.
            entry: the command's catalogue entry, where there is one.
            accept: exit codes that count as done.
        """
        await self._turn()
        self.sent += 1
        exchange = await self._client.post(host, request_body(command, parameters, tag), timeout)
        return Asked(exchange, classify(exchange, entry, tag, accept))

    async def command_list(self, host: str, timeout: float) -> Exchange:
        """Ask a host for the list of commands that it has."""
        await self._turn()
        return await self._client.command_list(host, timeout)

    async def _turn(self) -> None:
        now = anyio.current_time()
        if (at := self._pace.take(now)) > now:
            await anyio.sleep(at - now)


async def each(things: Sequence[T], what: Callable[[T], Awaitable[None]], at_a_time: int = AT_A_TIME) -> None:
    """Do something for each of many, some at a time; ends when all are through."""
    left = iter(things)

    async def work() -> None:
        for thing in left:
            await what(thing)

    async with anyio.create_task_group() as group:
        for _ in range(min(at_a_time, len(things))):
            group.start_soon(work)
