"""How a case of the contract is written down: requests, and what a real server answers.

A request goes to a host by its name (``d1``, ``b1``); ``@b1@`` in a text stands for that host's address,
``@directory@`` for one in which the server may write, and ``@fresh@`` for what no earlier run has used. A
scenario's steps run in order and leave the servers as they found them.

A step holds for all versions unless `on_23`, `on_24`, `on_241`, `on_245` or `differs` says otherwise; one to a director
is for 2.3 alone. 2.4 stands for 2.4.1. Errors are written as 2.3 prints them, with a blank that 2.4 leaves out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

OK = '[["doveadmResponse",[],"t"]]'
V23, V24, V245 = "2.3", "2.4", "2.4.5"
VERSIONS = (V23, V24, V245)


@dataclass(frozen=True)
class Step:
    """One request and the one answer to it.

    Attributes:
        body: The expected body; None for no reply at all.
        any_order: Rows may come in any order.
        versions: The versions that give this answer.
    """

    host: str
    send: str | bytes
    body: str | None
    status: int = 200
    any_order: bool = False
    versions: tuple[str, ...] = VERSIONS

    def holds(self, version: str) -> bool:
        """Whether a server of this version gives this answer; 2.4 has no directors."""
        return version in self.versions and not (version != V23 and self.host.startswith("d"))

    def expected(self, version: str) -> str | None:
        """The body as this version prints it."""
        if self.body is None or version == V23:
            return self.body
        return self.body.replace('", "exitCode":', '","exitCode":')


@dataclass(frozen=True)
class Scenario:
    """Steps that belong together."""

    name: str
    steps: tuple[Step, ...]

    def of(self, version: str) -> tuple[Step, ...]:
        """The steps that hold for a version."""
        return tuple(step for step in self.steps if step.holds(version))


def on_23(*steps: Step) -> tuple[Step, ...]:
    """Steps that hold for 2.3 alone."""
    return tuple(replace(step, versions=(V23,)) for step in steps)


def on_24(*steps: Step) -> tuple[Step, ...]:
    """Steps that hold for all of 2.4 alone."""
    return tuple(replace(step, versions=(V24, V245)) for step in steps)


def on_241(*steps: Step) -> tuple[Step, ...]:
    """Steps that hold for 2.4.1 alone."""
    return tuple(replace(step, versions=(V24,)) for step in steps)


def before_245(*steps: Step) -> tuple[Step, ...]:
    """Steps that hold for 2.3 and 2.4.1."""
    return tuple(replace(step, versions=(V23, V24)) for step in steps)


def on_245(*steps: Step) -> tuple[Step, ...]:
    """Steps that hold for 2.4.5 alone."""
    return tuple(replace(step, versions=(V245,)) for step in steps)


def differs(old: Step, new: Step) -> tuple[Step, ...]:
    """What 2.3 does, and what 2.4 does in its place."""
    return (*on_23(old), *on_24(new))


def scenario(name: str, *steps: Step) -> Scenario:
    """Steps under a name."""
    return Scenario(name, steps)


def _payload(command: str, parameters: dict[str, Any]) -> str:
    return json.dumps([[command, parameters, "t"]])


def ok(host: str, command: str, parameters: dict[str, Any] | None = None, rows: str = "", **more: Any) -> Step:
    """The command succeeds with these rows."""
    return Step(host, _payload(command, parameters or {}), f'[["doveadmResponse",[{rows}],"t"]]', **more)


def fails(host: str, command: str, parameters: dict[str, Any], code: int) -> Step:
    """The command ends with this exit code."""
    expected = f'[["error",{{"type":"exitCode", "exitCode":{code}}},"t"]]'
    return Step(host, _payload(command, parameters), expected)


def dies(host: str, command: str, parameters: dict[str, Any] | None = None) -> Step:
    """The server's process dies, and not a byte comes back."""
    return Step(host, _payload(command, parameters or {}), None)


def invalid(host: str, command: str, parameters: dict[str, Any]) -> Step:
    """The command is not run for its parameters' sake."""
    expected = '[["error",{"type":"invalidRequest", "exitCode":0},"t"]]'
    return Step(host, _payload(command, parameters), expected)


def unknown(host: str, command: str, parameters: dict[str, Any] | None = None) -> Step:
    """The host knows no such command."""
    expected = '[["error",{"type":"unknownMethod", "exitCode":0},"t"]]'
    return Step(host, _payload(command, parameters or {}), expected)


def raw(host: str, send: str | bytes, body: str | None, *, status: int = 200) -> Step:
    """A body as it is."""
    return Step(host, send, body, status)


def bad(host: str, send: str | bytes, text: str) -> Step:
    """A body that is no list of commands: HTTP 400 and a line of text."""
    return Step(host, send, f"{text}\r\n", 400)
