"""Sends the cases of a command to real servers and compares: with what was expected, with what the servers say."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import re
import shlex
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.real.cases import NOTHING, Case, Group, Look, with_stores
from tests.real.exec import Exec, Said
from tests.ring import CommandError, Node, RingError, Sessions
from tests.ring.api import wait_until

WRITE = "ORCHESTRATOR_WRITE_OUTCOMES"
EXIT_CODES = {"done": 0, "failed": 1, "unreachable": 1, "refused": 2, "in_doubt": 4, "not there": 5}
LOOK_TIMEOUT = 60.0
SETTLED = 0.02  # seconds in which no server logs anything
TROUBLE = re.compile(r"(?:Error|Fatal|Panic): (.*)")
NOISE = re.compile(r"Raw backtrace|killed with signal|Command .* failed$")
LISTED = '"GET /doveadm/v1 '  # a request for the list of commands


@dataclass(frozen=True)
class Doors:
    """Where sessions log in; what `Sessions` asks a ring for."""

    users: Sequence[str]
    directors: Mapping[str, str]
    imap_port: int


@dataclass(frozen=True)
class Site:
    """Real servers of one version.

    Attributes:
        family: "2.3".
        version: "2.3.19.1".
        nodes: the servers by name.
        users: who can log in.
        directory: a directory with a file `input`, and folders `dict` and `files`, as the servers see it.
        spare: "127.31.9", a network in which nothing is.
        outcomes: what was observed, for the table in the documentation.
    """

    family: str
    version: str
    nodes: Mapping[str, Node]
    users: Sequence[str]
    directory: str
    spare: str
    outcomes: list[dict[str, str]] = field(default_factory=list)

    @property
    def _any(self) -> Node:
        return next(iter(self.nodes.values()))

    def names(self) -> dict[str, str]:
        """What stands for what in a request."""
        only = dict.fromkeys(("d1", "d2", "d3", "b1", "b2", "b3"), self._any.address)  # 2.4 has one server
        addresses = only | {name: node.address for name, node in self.nodes.items()}
        return {
            **{f"@{name}@": address for name, address in addresses.items()},
            "@fresh@": f"{self.spare}.9",
            "@absent@": f"{self.spare}.8",
            "@dir@": self.directory,
            "@imap@": str(self._any.imap_port),
        }

    def fill(self, text: str) -> str:
        """Put in what stands between @."""
        for name, value in (self.names() | {"@lf@": "\n", "@soon@": str(int(time.time()) + 3600)}).items():
            text = text.replace(name, value)
        return text

    def words(self, line: str) -> list[str]:
        """A request's words."""
        return [self.fill(word) for word in shlex.split(with_stores(line, self.family))]

    def ask(self, line: str) -> list[Any]:
        """The rows of a request, asked without the product."""
        host, command, *words = self.words(line)
        parameters: dict[str, Any] = {}
        for word in words:
            name, _, value = word.partition("=")
            parameters[name] = value
        return self.nodes[host].call(command, parameters)

    def settled_logs(self) -> dict[str, str]:
        """What every server logged, when nothing more comes of earlier requests; each request is a line of it."""
        before: dict[str, str] = {}
        while (logs := {name: node.log() for name, node in self.nodes.items()}) != before:
            before = logs
            time.sleep(SETTLED)
        return logs

    def new_lines(self, before: Mapping[str, str]) -> list[str]:
        """What doveadm logged since then; a ring's directors log at any time."""
        logs = self.settled_logs()
        lines = (line for name, text in logs.items() for line in text[len(before[name]) :].splitlines())
        return [line for line in lines if "doveadm" in line]

    @contextlib.contextmanager
    def sessions(self, group: Group) -> Iterator[None]:
        """The sessions that a command's cases ask for; who is dropped stays away."""
        if not group.sessions:
            yield
            return
        doors = Doors(self.users, {name: self.nodes[name].address for name in group.doors}, self._any.imap_port)
        with Sessions(doors, count=group.sessions, relogin=None):  # type: ignore[arg-type]
            yield

    def write(self) -> None:
        """Write what was observed, where that is asked for."""
        folder = os.environ.get(WRITE)
        if not folder or not self.outcomes:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        document = {
            "family": self.family,
            "version": self.version,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "outcomes": self.outcomes,
        }
        path = Path(folder) / f"outcomes-{self.family}.json"
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_group(site: Site, execute: Exec, group: Group) -> None:
    """Run all cases of a command, in order."""
    with site.sessions(group):
        for case in group.cases:
            check_case(site, execute, group.command, case)


def check_case(site: Site, execute: Exec, command: str, case: Case) -> None:
    """Prepare, send, compare."""
    for line in case.before:
        _prepare(site, line)
    logs = site.settled_logs()
    host, _, *words = site.words(case.line)
    said = execute(host, command, words)
    lines = site.new_lines(logs)
    _note(site, command, case, said, lines)
    what = f"{case.line}\n{said}"
    expected = case.expected
    assert said.state == expected.state, what
    assert said.code == EXIT_CODES[expected.state], what
    assert said.exit_code == expected.code, what
    assert expected.says in f"{said.error} {said.evidence} {said.text}", what
    if expected.state in ("refused", "not there"):
        assert said.sent.commands == [], what
        assert [line for line in lines if LISTED not in line] == [], what
    if expected.state == "refused":
        assert said.sent.lists == 0, what
        assert lines == [], what
    if expected.rows is not None:
        assert len(said.rows) == expected.rows, what
    if expected.has:
        assert any(_contains(site, row, expected.has) for row in said.rows), what
    if case.look:
        _look(site, case.look)


def _prepare(site: Site, line: str) -> None:
    with contextlib.suppress(CommandError):  # some prepare by failing
        site.ask(line)


def _look(site: Site, look: Look) -> None:
    seen: list[Any] = []

    def sees() -> bool:
        seen[:] = [_answer(site, look.line)]
        [answer] = seen
        if isinstance(look.sees, str):
            return bool(answer == look.sees)
        if isinstance(answer, str):
            return False
        if isinstance(look.sees, int):
            return len(answer) == look.sees
        return any(_contains(site, row, look.sees) for row in answer)

    wait_until(sees, LOOK_TIMEOUT, lambda: f"{look.line} shows {look.sees}, but {seen}")


def _answer(site: Site, line: str) -> list[Any] | str:
    """Rows without the repeated headings of 2.3, or an exit code, or `refused`."""
    try:
        rows = site.ask(line)
    except CommandError as error:
        return str(error.exit_code)
    except ConnectionRefusedError:
        return "refused"
    except (OSError, http.client.HTTPException, RingError) as error:
        return repr(error)
    return [row for row in rows if any(key != value for key, value in row.items())]


def _contains(site: Site, row: Mapping[str, Any], part: Mapping[str, str]) -> bool:
    return all(str(row.get(key)).strip() == site.fill(value) for key, value in part.items())


def _note(site: Site, command: str, case: Case, said: Said, lines: Sequence[str]) -> None:
    title = "" if case.kind == NOTHING and case.title == "again" else case.title
    site.outcomes.append(
        {
            "command": command,
            "case": f"{case.kind}: {title}" if title else case.kind,
            "request": case.line,
            "observed": _observed(site, case, said, lines),
        }
    )


def _observed(site: Site, case: Case, said: Said, lines: Sequence[str]) -> str:
    if said.state == "refused":
        return "refused, nothing sent"
    if said.state == "not there":
        return "refused by the host's list of commands, not sent"
    word = said.state.replace("_", " ")
    if said.exit_code is not None:
        word += f", exit code {said.exit_code}"
    if said.state == "done":
        rows = "no rows" if not said.rows else f"{len(said.rows)} row" + "s" * (len(said.rows) != 1)
        shown = ", ".join(f"{key}={value}" for key, value in case.expected.has.items())
        return f"{word}; {rows}" + (f": {shown}" if shown else "")
    if not said.sent.commands or said.state == "unreachable":
        return _named(site, f"{word}; {said.error}")
    logged = [found[1] for line in lines if (found := TROUBLE.search(line)) and not NOISE.search(line)]
    lost = "" if said.exit_code is not None else "; no answer"
    return _named(site, f"{word}{lost}" + (f"; logged: {logged[0]}" if logged else ""))


def _named(site: Site, text: str) -> str:
    """Addresses and paths of this one run as what they stand for; one line, of usual length."""
    for name, value in site.names().items():
        if name != "@imap@":
            text = text.replace(value, name)
    text = " ".join(text.split())
    return text if len(text) <= 160 else text[:159] + "…"


def wrong_password(node: Node) -> None:
    """Log in with a wrong password once."""
    with (
        socket.create_connection((node.address, node.imap_port), timeout=30) as connection,
        connection.makefile("rwb") as stream,
    ):
        stream.readline()
        stream.write(b"a LOGIN user001 wrong\r\n")
        stream.flush()
        while not stream.readline().startswith(b"a NO"):
            pass
