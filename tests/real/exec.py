"""`orchestrator exec` in this process, watched: what it says, and what leaves the machine meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import run
from orchestrator.dovecot.client import Client
from orchestrator.dovecot.exchange import Exchange
from orchestrator.journal.sqlite.store import open_file

ONE_ATTEMPT = "retry: {attempts: 1}\n"  # what a host said first is what the cases are about
WORDS = {0: "done", 1: "failed", 2: "refused", 3: "stopped", 4: "in doubt", 5: "not there"}


@dataclass
class Sent:
    """What left this machine.

    Attributes:
        commands: the commands, in order.
        lists: how often a host was asked for its list of commands.
    """

    commands: list[str] = field(default_factory=list)
    lists: int = 0


@dataclass(frozen=True)
class Said:
    """What `exec` said.

    Attributes:
        code: its exit code.
        answers: one for each host.
        text: all that it printed.
        sent: what left the machine.
        evidence: what the hosts logged about it, where it asked.
    """

    code: int
    answers: Sequence[Mapping[str, Any]]
    text: str
    sent: Sent
    evidence: str

    @property
    def state(self) -> str:
        """Where the operations ended, in a word; of one that was never begun, why."""
        states = {answer["state"] for answer in self.answers}
        if self.code in (2, 5):
            return WORDS[self.code]
        return states.pop() if len(states) == 1 else " and ".join(sorted(states))

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of all hosts."""
        return [row for answer in self.answers for row in answer["rows"]]

    @property
    def exit_code(self) -> int | None:
        """The exit code of doveadm, of the first host that gave one."""
        return next((answer["exit_code"] for answer in self.answers if answer["exit_code"] is not None), None)

    @property
    def error(self) -> str:
        """What went wrong, in the words that the operator reads."""
        told = [answer["error"] for answer in self.answers if answer["error"]]
        return told[0] if told else "" if self.code == 0 else self.text


class Exec:
    """The command line of this process with a configuration and a state directory.

    Args:
        config: the configuration file.
        state: the state directory.
        capture: where the printed text is had from.
    """

    def __init__(self, config: Path, state: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.config = config
        self.state = state
        self._capture = capture

    def __call__(self, selection: str, command: str, words: Sequence[str]) -> Said:
        """Send a command with name=value words."""
        with watched() as sent:
            code, text = self.run("exec", selection, command, *words, "--yes", "--format", "json")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        answers = [line for line in lines if line.get("event") == "answer"]
        return Said(code, answers, text, sent, self._evidence() if answers else "")

    def run(self, *arguments: str) -> tuple[int, str]:
        """Any verb: its exit code and all that it printed."""
        self._capture.readouterr()
        before = os.umask(0o022)
        try:
            code = run(["--config", str(self.config), "--state-dir", str(self.state), *arguments])
        finally:
            os.umask(before)
        captured = self._capture.readouterr()
        return code, captured.out + captured.err

    def _evidence(self) -> str:
        newest = max(self.state.glob("*.run"), key=lambda path: path.stat().st_mtime_ns)
        with open_file(str(newest)).read() as reader:
            found = [reader.evidence(reader.seq_of(record.id) or 0) for record in reader.operations()]
        return next(filter(None, found), "")


@contextmanager
def watched() -> Iterator[Sent]:
    """Note all that the client sends."""
    sent = Sent()
    post, command_list = Client.post, Client.command_list

    async def noted_post(self: Client, host: str, body: bytes, timeout: float) -> Exchange:
        sent.commands.append(json.loads(body)[0][0])
        return await post(self, host, body, timeout)

    async def noted_list(self: Client, host: str, timeout: float) -> Exchange:
        sent.lists += 1
        return await command_list(self, host, timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "post", noted_post)
        patch.setattr(Client, "command_list", noted_list)
        yield sent
