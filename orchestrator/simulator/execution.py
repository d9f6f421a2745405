"""Runs a payload on a host: command after command, with scripted faults, up to the bytes of the reply.

A run is a generator of delays in seconds. Whoever drives it waits that long and goes on; a client that went
away changes nothing, as with real Dovecot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.simulator.answers import BadPayload, Died, Held, Reply, error, success
from orchestrator.simulator.commands.call import Call, words
from orchestrator.simulator.commands.registry import COMMANDS
from orchestrator.simulator.parameters import Declared, InvalidRequest, Pairs, accept, canonical
from orchestrator.simulator.payload import Element, elements
from orchestrator.simulator.record import Record, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from orchestrator.simulator.faults import Faults, Rule
    from orchestrator.simulator.fleet import Fleet
    from orchestrator.simulator.hosts import Host

    Steps = Generator[float, None, None]

STREAM = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(slots=True)
class Response:
    """An HTTP reply, or the lack of one.

    Attributes:
        manner: ``whole``, ``drip``, ``truncate``, ``empty``, ``reset`` or ``hang``.
        pace: Seconds from byte to byte when it drips.
        echo: Whether the body is to repeat the request's headers.
        extra: Further headers.
    """

    status: int = 200
    body: bytes = b""
    kind: str = STREAM
    manner: str = "whole"
    pace: float = 1.0
    echo: bool = False
    extra: tuple[str, ...] = ()


@dataclass(slots=True)
class Simulation:
    """Everything a host needs to answer: the fleet, its troubles, its witnesses and a clock."""

    fleet: Fleet
    faults: Faults
    recorder: Recorder
    clock: Callable[[], float]
    latency: float = 0.0
    close_api: Callable[[Host], None] = lambda _host: None
    closed: bool = False


def execute(site: Simulation, host: Host, body: bytes, records: list[Record]) -> Generator[float, None, Response]:
    """Run the commands of a request's body in order; adds a record for each, and returns the response."""
    run = _Run(site, host, records)
    try:
        for element in elements(body, host.version):
            yield from run.command(element)
            if run.over:
                return run.response
    except BadPayload as problem:
        text = str(problem)
        if host.newer:
            text = text.replace("encounted", "encountered")  # it is spelled right there
        return Response(400, f"{text}\r\n".encode(errors="replace"), TEXT)
    except Died as death:
        host.complain(site.clock(), death.text, kind="Fatal")
        if death.after:
            yield site.fleet.scaled(death.after)
        return Response(manner="empty")
    run.response.body = ("[" + "".join(run.parts) + "]").encode(errors="replace")
    return run.response


@dataclass(slots=True)
class _Run:
    """A payload that is being worked through."""

    site: Simulation
    host: Host
    records: list[Record]
    parts: list[str] = field(default_factory=list)
    first: bool = True
    exit_code: int = 0
    response: Response = field(default_factory=Response)
    over: bool = False

    def command(self, element: Element) -> Steps:
        """Read, run and answer one command, or be in trouble."""
        host = self.host
        declared = COMMANDS[host.release, host.role].get(canonical(element.name))
        parameters, refusal = _parameters(declared, element, host.version)
        tag = _tag(element)
        record = Record(self.site.clock(), host.name, element.name, parameters, tag)
        self.records.append(self.site.recorder.begin(record))
        if declared is None or refusal:
            record.outcome = refusal
            self._refuse(refusal, tag)
            return
        rule = self.site.faults.strike(host.name, declared.name)
        if self.site.latency:
            yield self.site.latency
        if rule is None:
            yield from self._answer(declared, record, tag)
        else:
            yield from self._suffer(declared, record, rule)
        if host.version == "2.4" and not tag:
            raise Died("Panic: an empty tag")  # seen on 2.4.1, and only when the command had run

    def _answer(self, declared: Declared, record: Record, tag: str) -> Steps:
        """Run one command and add its answer."""
        try:
            reply = yield from self._apply(declared, record)
        except Died:
            record.outcome = "died"
            raise
        if reply.after > 0:
            yield reply.after
        if reply.stops:
            self.site.fleet.stop(self.host, self.site.clock(), linger=reply.linger)
        if not self.host.up or "doveadm" in self.host.stopped:
            self.site.close_api(self.host)
        if reply.code:
            self._fail(reply.code, tag)
        else:
            self.exit_code = 0
            self._add(success(reply, tag, self.host.version))

    def _apply(self, declared: Declared, record: Record) -> Generator[float, None, Reply]:
        while True:
            now = self.site.clock()
            self.site.fleet.advance(now)
            call = Call(self.site.fleet, self.host, declared.name, record.parameters, now)
            try:
                reply: Reply = declared.handler(call)
                break
            except Held as wait:
                yield wait.seconds
        if reply.reason:
            self.host.complain(now, reply.reason)
            self.host.complain(now, f"Command {words(declared.name)} failed")
        record.executed = True
        record.outcome = f"exit {reply.code}" if reply.code else "ok"
        return reply

    def _suffer(self, declared: Declared, record: Record, rule: Rule) -> Steps:
        """One command with a rule's trouble."""
        action, before = rule.action, len(self.parts)
        if action == "slow":
            yield rule.value
        if rule.applied:
            yield from self._answer(declared, record, record.tag + "-other" * (action == "wrong_tag"))
        record.outcome = f"fault {action} {rule.value:g}" if action in ("exit", "http") else f"fault {action}"
        if action in ("exit", "huge"):
            del self.parts[before:]
            self.first = not self.parts
        if action == "exit":
            self._fail(int(rule.value), record.tag)
        elif action == "huge":
            filler = Reply([{"filler": "x" * int(rule.value * 1_000_000)}])
            self._add(success(filler, record.tag, self.host.version))
        elif action in ("drip", "truncate"):
            self.response.manner, self.response.pace = action, rule.value
        elif action in ("http", "echo_auth"):
            status = int(rule.value) if action == "http" else 500
            wait = () if rule.retry_after is None else (f"Retry-After: {rule.retry_after}",)
            self._end(Response(status, b"scripted fault\r\n", TEXT, echo=action == "echo_auth", extra=wait))
        elif action in ("empty", "reset", "hang"):
            self._end(Response(manner=action))

    def _end(self, response: Response) -> None:
        """The rest of the payload is not run."""
        self.response, self.over = response, True

    def _fail(self, code: int, tag: str) -> None:
        self.exit_code = code
        self._add(error("exitCode", code, tag, self.host.version))

    def _add(self, text: str) -> None:
        self.parts.append(text if self.first else "," + text)
        self.first = False

    def _refuse(self, kind: str, tag: str) -> None:
        """Answer a command that was not run; 2.3 forgets the comma before it, and after it when it is the first."""
        if self.host.version == "2.3":
            self.parts.append(error(kind, self.exit_code, tag, "2.3"))
        else:
            self._add(error(kind, 0, tag, self.host.version))


def _parameters(declared: Declared | None, element: Element, version: str) -> tuple[dict[str, Any], str]:
    """The accepted parameters, or why the command is not run."""
    pairs = element.rest[0] if element.rest else None
    if declared is None:
        return dict(pairs) if isinstance(pairs, Pairs) else {}, "unknownMethod"
    if not isinstance(pairs, Pairs):
        raise BadPayload("Parameters must be contained in a JSON object")
    try:
        return accept(declared, pairs, version), ""
    except InvalidRequest:
        return dict(pairs), "invalidRequest"


def _tag(element: Element) -> str:
    tag = element.rest[1] if len(element.rest) > 1 else None
    if type(tag) is not str:
        raise BadPayload("Command ID must be a string")
    if len(element.rest) > 2:
        raise BadPayload("Unexpected JSON element at end of command")
    return tag
