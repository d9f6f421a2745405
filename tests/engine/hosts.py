"""Hosts in memory that answer on the wire, and runs that are worked on with them: a real journal, a real plan, no sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel

from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent
from orchestrator.engine.hours import Hours
from orchestrator.engine.looking import Fetch, no_pages
from orchestrator.engine.rules import Settings
from orchestrator.engine.runner import Approve, Runner, World, nobody
from orchestrator.events import AttemptEnded, Audience, Event, Note, StepEnded, StepStarted
from orchestrator.journal.base import Reader, Run, Session, Start
from orchestrator.limits import Limits, Retry
from orchestrator.plan.kept import recall
from orchestrator.plan.steps import Plan
from orchestrator.status import Ending
from tests.command_line import ROOT
from tests.journal.journals import HEADER, Sqlite
from tests.strategies import plan

LISTED = {  # what all hosts have, unless a test says otherwise
    "who": ["mask", "separateConnections"],
    "kick": ["mask"],
    "reload": [],
    "logErrors": ["since"],
    "dictInc": ["user", "dictUri", "key", "difference"],
    "dictGet": ["user", "dictUri", "key"],
    "directorStatus": ["user"],
    "forceResync": ["user", "mailboxMask"],
}
AS_IT_IS = Start({})


def of_version(version: str, kind: str = "backend") -> dict[str, list[str]]:
    """What a real host of a version lists."""
    entries = json.loads((ROOT / f"tests/data/catalog-{version}-{kind}.json").read_text(encoding="utf-8"))
    return {entry["command"]: [parameter["name"] for parameter in entry["parameters"]] for entry in entries}


AT_ONCE = Settings(Limits(), Retry(base=0))  # a retry does not wait


class Request(NamedTuple):
    """What a host was sent."""

    host: str
    command: str
    parameters: dict[str, Any]
    tag: str
    timeout: float


Answer = Callable[[Request], Exchange | Awaitable[Exchange]]


def rows(*found: Mapping[str, Any]) -> Answer:
    """These rows."""
    return lambda request: Answered(200, f'[["doveadmResponse",{json.dumps(found)},"{request.tag}"]]'.encode())


def code(number: int) -> Answer:
    """An exit code."""
    return lambda request: Answered(
        200, f'[["error",{{"type":"exitCode", "exitCode":{number}}},"{request.tag}"]]'.encode()
    )


def lost(_request: Request) -> Exchange:
    """The connection was closed without an answer."""
    return NoAnswer("the connection was closed")


def late(request: Request) -> Exchange:
    """No answer in time."""
    return NoAnswer(f"no complete answer within {request.timeout:g} s", late=True)


def refused(_request: Request) -> Exchange:
    """Nothing listens."""
    return NotSent("connection refused")


def in_turn(*answers: Answer) -> Answer:
    """One after the other; the last of them from then on."""
    left = list(answers)

    def answer(request: Request) -> Exchange | Awaitable[Exchange]:
        following = left.pop(0) if len(left) > 1 else left[0]
        return following(request)

    return answer


def on(by_host: Mapping[str, Answer], otherwise: Answer) -> Answer:
    """Another answer on some hosts."""
    return lambda request: by_host.get(request.host, otherwise)(request)


class Held:
    """An answer that comes when the test says so."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.asked = anyio.Event()
        self.free = anyio.Event()
        self._answer = answer or rows()

    async def __call__(self, request: Request) -> Exchange:
        """Wait, then answer."""
        self.asked.set()
        await self.free.wait()
        answer = self._answer(request)
        return answer if isinstance(answer, Answered | NoAnswer | NotSent) else await answer


class Hosts:
    """A fleet: what it is asked, it answers as the test says, or with no rows.

    Args:
        listed: host -> command -> names of parameters; None where no list can be had.
        answers: command -> its answer.

    Attributes:
        sent: all that was sent, in order.
    """

    def __init__(
        self, listed: Mapping[str, Mapping[str, Iterable[str]] | None] | None = None, **answers: Answer
    ) -> None:
        self.sent: list[Request] = []
        self.lists_asked: list[str] = []
        self._listed = listed or {}
        self._answers = {"logErrors": rows(), **answers}

    async def post(self, host: str, body: bytes, timeout: float) -> Exchange:
        """One request."""
        [[command, parameters, tag]] = json.loads(body)
        request = Request(host, command, parameters, tag, timeout)
        self.sent.append(request)
        await anyio.lowlevel.checkpoint()
        answer = self._answers.get(command, rows())(request)
        return answer if isinstance(answer, Answered | NoAnswer | NotSent) else await answer

    async def command_list(self, host: str, timeout: float) -> Exchange:
        """The host's list."""
        self.lists_asked.append(host)
        await anyio.lowlevel.checkpoint()
        listed = self._listed.get(host, LISTED)
        if listed is None:
            return NotSent("connection refused")
        entries = [
            {"command": name, "parameters": [{"name": n, "type": "string"} for n in names]}
            for name, names in listed.items()
        ]
        return Answered(200, json.dumps(entries).encode())

    def redact(self, host: str, text: str) -> str:
        """The text without the secret."""
        return text.replace("hunter2", "***")

    @property
    def trace(self) -> list[str]:
        """What was sent on behalf of steps, as host:tag."""
        return [
            f"{request.host}:{request.tag}" for request in self.sent if request.tag[0].isdigit() or "." in request.tag
        ]

    def of(self, command: str) -> list[Request]:
        """All requests of a command."""
        return [request for request in self.sent if request.command == command]


@dataclass
class Watcher:
    """Remembers what happens."""

    interval: float = 60.0
    told: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        """Something happened."""
        self.told.append(event)

    def close(self) -> None:
        """It is over."""

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.told if isinstance(event, kind)]

    @property
    def notes(self) -> list[str]:
        """All sentences."""
        return [event.text for event in self.of(Note)]

    @property
    def ended(self) -> dict[str, str]:
        """Steps and how they ended."""
        return {event.step: event.state for event in self.of(StepEnded)}

    @property
    def attempts(self) -> list[AttemptEnded]:
        """All attempts."""
        return self.of(AttemptEnded)

    @property
    def started(self) -> list[str]:
        """Steps that were started, in order."""
        return [event.step for event in self.of(StepStarted)]


class Rig:
    """A run of a playbook, and hosts for it.

    Args:
        folder: where the run is kept.
        text: the playbook.
        hosts: what answers.
        settings: of configuration and command line.
        approve: answers questions.
        hours: in which it may work.
        wall: the clock on the wall.
        fetch: reads pages of other services.
        reviewed: condition -> the value that it had when the plan was reviewed.
    """

    def __init__(
        self,
        folder: Path,
        text: str,
        hosts: Hosts | None = None,
        *,
        settings: Settings = AT_ONCE,
        approve: Approve = nobody,
        hours: Hours | None = None,
        wall: Callable[[], float] = time.time,
        fetch: Fetch = no_pages,
        reviewed: Mapping[str, Any] | None = None,
    ) -> None:
        self.journal = Sqlite(folder / "state")
        self.hosts = hosts or Hosts()
        self.watcher = Watcher()
        made = plan(text, folder=folder)
        if reviewed is not None:
            looked_at = [replace(c, seen=True, reviewed=reviewed[c.name]) for c in made.conditions]
            made = replace(made, conditions=tuple(looked_at))
        self.run: Run = self.journal.store.create(made, HEADER)
        self.fetch = fetch
        self.settings = settings
        self.approve = approve
        self.hours = hours
        self.wall = wall
        self.runner: Runner | None = None

    def plan(self, reader: Reader) -> Plan:
        """The run's plan, as every session has it."""
        return recall(reader.kept(), plan("name: P\nsteps: [{name: X, pause: 1s}]").inventory)

    async def session(
        self,
        start: Start = AS_IT_IS,
        during: Callable[[Runner, Session], Awaitable[None]] | None = None,
    ) -> Ending:
        """Work on the run, with something happening meanwhile; returns how it ended."""
        with self.run.read() as reader:
            async with self.run.work(start) as session:
                audience = Audience([self.watcher])
                world = World(self.hosts, audience, self.settings, self.approve, self.hours, self.wall, self.fetch)
                runner = Runner(self.plan(reader), reader, session, world)
                ending: list[Ending] = []
                async with anyio.create_task_group() as group:
                    if during is not None:
                        group.start_soon(during, runner, session)
                    ending.append(await runner.run())
                return ending[0]

    def report(self) -> dict[str, str]:
        """Each operation's state by its id."""
        with self.run.read() as reader:
            return {operation.id: operation.state.word for operation in reader.operations()}

    def errors(self) -> dict[str, str]:
        """What is said of operations, by id."""
        with self.run.read() as reader:
            return {operation.id: operation.error for operation in reader.operations() if operation.error}

    def sightings(self) -> list[tuple[str, str, bool | None, Any]]:
        """What was seen of conditions: name, moment, whether it held, value."""
        with self.run.read() as reader:
            return [(seen.name, seen.moment, seen.holds, seen.value) for seen in reader.conditions()]

    def steps(self) -> dict[str, str]:
        """Each step's state by its key."""
        with self.run.read() as reader:
            return {step.key: step.state for step in reader.steps()}
