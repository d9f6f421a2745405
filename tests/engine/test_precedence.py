"""Which of several settings holds, seen in what a run sends: command line, step, playbook, configuration, and what is usual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest

from orchestrator.dovecot.exchange import Exchange
from orchestrator.engine.rules import Settings
from orchestrator.limits import Limits, Retry
from orchestrator.text.units import parse_share
from tests.engine.hosts import Hosts, Request, Rig, code, rows
from tests.strategies import steps

pytestmark = pytest.mark.anyio

MANY = ", ".join(f"u{number}" for number in range(12))
KICKS = f"hosts: 'b[1-3]', for_each: [{MANY}], command: kick, parameters: {{mask: ['{{{{ item }}}}']}}"


class Crowd:
    """Counts how many requests are under way at a time, on all hosts and on one."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.most = 0
        self.most_of_a_host = 0

    async def __call__(self, request: Request) -> Exchange:
        """Answers when everybody had a turn."""
        self.now[request.host] = self.now.get(request.host, 0) + 1
        self.most = max(self.most, sum(self.now.values()))
        self.most_of_a_host = max(self.most_of_a_host, *self.now.values())
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        self.now[request.host] -= 1
        answer: Any = rows()(request)
        return answer  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("configured", "playbook", "step", "attempts"),
    [
        (None, "", "", 6),
        (3, "", "", 3),
        (3, "retry: {attempts: 4}\n", "", 4),
        (3, "retry: {attempts: 4}\n", ", retry: {attempts: 2}", 2),
        (None, "", ", retry: {attempts: 2}", 2),
        (3, "retry: {base: 0}\n", ", retry: {max: 0}", 3),
    ],
)
async def test_how_often_it_is_tried(
    tmp_path: Path, configured: int | None, playbook: str, step: str, attempts: int
) -> None:
    """The step's number of attempts overrides the playbook's, that the configuration's, that the usual one."""
    settings = Settings(Limits(), Retry(attempts=configured, base=0))
    rig = Rig(tmp_path, playbook + steps(f"hosts: b1, command: who{step}"), Hosts(who=code(75)), settings=settings)
    await rig.session()
    assert len(rig.hosts.of("who")) == attempts


@pytest.mark.parametrize(
    ("command_line", "step", "playbook", "configured", "allowed"),
    [
        (None, "", "", None, 0),
        (None, "", "", "1", 1),
        (None, "", "limits: {max_failed: 2}\n", "1", 2),
        (None, ", limits: {max_failed: 3}", "limits: {max_failed: 2}\n", "1", 3),
        ("4", ", limits: {max_failed: 3}", "limits: {max_failed: 2}\n", "1", 4),
        ("0", ", limits: {max_failed: 3}", "limits: {max_failed: 2}\n", "1", 0),
        (None, ", limits: {max_failed: 25%}", "", "1", 9),
        ("0", ", on_failure: continue", "limits: {max_failed: 2}\n", "1", 35),
        ("0", "", "on_failure: continue\n", None, 35),
    ],
)
async def test_how_many_may_fail(
    tmp_path: Path, command_line: str | None, step: str, playbook: str, configured: str | None, allowed: int
) -> None:
    """The command line's word overrides the step's, that the playbook's, that the configuration's; without any of them none may."""
    limits = Limits(in_flight=1, max_failed=None if configured is None else parse_share(configured))
    settings = Settings(limits, max_failed=command_line and parse_share(command_line))  # type: ignore[arg-type]
    rig = Rig(tmp_path, playbook + steps(KICKS + step), Hosts(kick=code(65)), settings=settings)
    await rig.session()
    assert len(rig.hosts.of("kick")) == allowed + 1


@pytest.mark.parametrize(
    ("configured", "playbook", "step", "most", "of_a_host"),
    [
        ({}, "", "", 12, 4),
        ({"in_flight": 5}, "", "", 5, None),
        ({"in_flight": 5}, "limits: {in_flight: 3}\n", "", 3, None),
        ({"in_flight": 5}, "limits: {in_flight: 9}\n", ", limits: {in_flight: 2}", 2, None),
        ({"in_flight": 3}, "", ", limits: {in_flight: 9}", 3, None),
        ({"per_host": 2}, "", "", 6, 2),
        ({"per_host": 2}, "limits: {per_host: 3}\n", "", 6, 2),
        ({"per_host": 3}, "limits: {per_host: 2}\n", ", limits: {per_host: 1}", 3, 1),
        ({"per_host": 6}, "", "", 18, 6),
    ],
)
async def test_how_many_at_a_time(
    tmp_path: Path, configured: dict[str, Any], playbook: str, step: str, most: int, of_a_host: int | None
) -> None:
    """The lowest of all limits of how much at a time holds, wherever it is said."""
    crowd = Crowd()
    rig = Rig(tmp_path, playbook + steps(KICKS + step), Hosts(kick=crowd), settings=Settings(Limits(**configured)))
    await rig.session()
    assert len(rig.hosts.of("kick")) == 36
    assert (crowd.most, of_a_host or crowd.most_of_a_host) == (most, crowd.most_of_a_host)
