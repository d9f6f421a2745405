"""Servers in memory, with the methods of the product's client; they keep the true record of what was executed."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio.lowlevel

from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent

LIST = "list"  # stands for the tag of a question for the list of commands, which has none
OURS = frozenset({"evidence", "probe", LIST})  # tags of what the product asks besides


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How servers behave.

    Attributes:
        latency: least and greatest seconds of an answer.
        trouble: kind of trouble -> how likely it is.
        dead: host -> from when until when it is dead.
        hangs: whether a dead host takes connections and says nothing, rather than refusing them.
    """

    latency: tuple[float, float] = (0.01, 0.1)
    trouble: Mapping[str, float] = field(default_factory=dict)
    dead: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    hangs: bool = False


@dataclass(slots=True)
class Servers:
    """All hosts, as the runner's client sees them.

    Attributes:
        executed: operation -> how often it was executed.
        sent: operation -> how often it was sent in this session.
        active: host -> requests on the wire.
        watch: asked before each request of an operation; raises when it must not be sent now.
    """

    random: Random
    habits: Habits
    users: Sequence[str] = ()
    executed: Counter[str] = field(default_factory=Counter)
    counters: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    active: Counter[str] = field(default_factory=Counter)
    watch: Any = None
    trace: list[tuple[float, str, str]] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)

    # what the runner calls

    async def post(self, host: str, body: bytes, timeout: float) -> Exchange:
        """One request."""
        command, parameters, tag = json.loads(body)[0]
        loop = asyncio.get_running_loop()
        if tag not in OURS:
            self.sent[tag] += 1
        self.active[host] += 1
        self.trace.append((loop.time(), host, tag))
        try:
            if self.watch is not None:
                self.watch(host, tag, command)
            trouble, seconds = self._fate(host, command, parameters, tag)
            await asyncio.sleep(min(seconds, timeout))
            if seconds >= timeout:
                return NoAnswer(f"no complete answer within {timeout:g} s", late=True)
            if trouble == "refused":
                return NotSent("connection refused")
            return self._answer(host, command, parameters, tag, trouble)
        finally:
            self.active[host] -= 1

    async def command_list(self, host: str, timeout: float) -> Exchange:
        """No list can be had."""
        if self.watch is not None:
            self.watch(host, LIST, LIST)
        await anyio.lowlevel.checkpoint()
        return NotSent("connection refused")

    def redact(self, host: str, text: str) -> str:
        """There are no secrets."""
        return text

    # inside

    def _fate(self, host: str, command: str, parameters: dict[str, Any], tag: str) -> tuple[str, float]:
        """What becomes of a request: its trouble, and when it is answered. What is executed is, whatever the client does."""
        trouble = self._trouble(host, tag, asyncio.get_running_loop().time())
        seconds = self.random.uniform(*self.habits.latency)
        if trouble == "refused":
            return trouble, seconds / 10
        if trouble == "hangs":
            if self.random.random() < 0.5:  # and executes all the same, later
                self._execute_in(self.random.uniform(0.0, 30.0), host, command, parameters, tag)
            return trouble, math.inf
        if trouble == "slow":
            seconds *= 20
        if trouble not in {"lost before", "failed", "temporary", "turned away"}:
            self._execute_in(seconds * self.random.random(), host, command, parameters, tag)
        return trouble, seconds

    def _trouble(self, host: str, tag: str, now: float) -> str:
        begin, end = self.habits.dead.get(host, (0.0, 0.0))
        if begin <= now < end:
            return "hangs" if self.habits.hangs else "refused"
        dice = self.random.random()
        for kind, share in self.habits.trouble.items():
            dice -= share
            if dice < 0:
                return kind if tag not in OURS else "lost before"
        return ""

    def _execute_in(self, seconds: float, host: str, command: str, parameters: dict[str, Any], tag: str) -> None:
        asyncio.get_running_loop().call_later(seconds, self._execute, host, command, parameters, tag)

    def _execute(self, host: str, command: str, parameters: dict[str, Any], tag: str) -> None:
        if tag in OURS:
            return
        self.executed[tag] += 1
        if command == "dictInc":
            self.counters[host, str(parameters["key"])] += 1

    def _answer(self, host: str, command: str, parameters: dict[str, Any], tag: str, trouble: str) -> Exchange:
        if trouble in {"lost before", "lost after"}:
            return NoAnswer("the connection was closed without an answer")
        if trouble == "turned away":
            return Answered(429, b"", retry_after=self.random.choice((None, 0.0, 2.0)))
        if trouble == "proxy error":  # the command was executed, whatever the page says
            return Answered(self.random.choice((202, 408, 500, 502, 503)), b"")
        if trouble == "cut":
            return Answered(200, b'[["doveadmResponse",[')
        if trouble == "wrong tag":
            return Answered(200, b'[["doveadmResponse",[],"0.0"]]')
        if trouble in {"temporary", "temporary, done"}:
            return Answered(200, f'[["error",{{"type":"exitCode", "exitCode":75}},"{tag}"]]'.encode())
        if trouble == "failed":
            return Answered(200, f'[["error",{{"type":"exitCode", "exitCode":64}},"{tag}"]]'.encode())
        self.answered[tag] += 1
        return Answered(
            200, f'[["doveadmResponse",{json.dumps(self._rows(host, command, parameters, tag))},"{tag}"]]'.encode()
        )

    def _rows(self, host: str, command: str, parameters: dict[str, Any], tag: str) -> list[dict[str, str]]:
        if command == "who":
            return [{"username": user, "service": "imap"} for user in self.users]
        if command == "dictGet":
            return [{"value": str(self.counters[host, str(parameters["key"])])}]
        if command == "serviceStatus":
            return [{"listening": "y" if self.sent[tag] > 2 else "n"}]
        return []
