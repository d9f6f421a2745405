"""After SIGKILL at any moment, `resume` goes on: nothing recorded is repeated, nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.command_line import records, wait_until
from tests.integration.conftest import Site, site  # noqa: F401 - the fixture

pytestmark = pytest.mark.crash

IN_FLIGHT = 12

KICKS = f"""
name: Kick many
limits: {{in_flight: {IN_FLIGHT}}}
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {{file: users.txt}}
    parameters: {{mask: ["{{{{ item }}}}"]}}
"""

COUNTERS = f"""
name: Count
limits: {{in_flight: {IN_FLIGHT}}}
steps:
  - name: Begin at 0
    hosts: backends
    command: dictSet
    for_each: {{file: users.txt}}
    parameters: {{dictUri: "file:/tmp/counters", user: "{{{{ item }}}}", key: priv/count, value: "0"}}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {{file: users.txt}}
    parameters: {{dictUri: "file:/tmp/counters", user: "{{{{ item }}}}", key: priv/count, difference: 1}}
"""


def prepare(here: Site, playbook: str, count: int) -> str:
    """Write the list of users and the playbook."""
    (here.cli.folder / "users.txt").write_text("".join(f"user{n:05}\n" for n in range(1, count + 1)))
    return here.cli.playbook(playbook)


def test_kill_in_mid_run(site: Callable[..., Site]) -> None:  # noqa: F811
    """3000 kicks, SIGKILL in mid-run, resume: all done, and only what was in flight at the kill was sent twice."""
    here = site(directors=0, users=0, backends=3)
    process = here.cli.start("run", prepare(here, KICKS, 1000), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 600)
    process.kill()
    process.communicate()
    assert here.cli("runs").out.split()[1] == "crashed"
    recorded = {operation["id"] for operation in here.cli.exported() if operation["state"] == "done"}
    assert 0 < len(recorded) < 3000
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    assert {operation["state"] for operation in here.cli.exported()} == {"done"}
    sent = Counter(record["tag"] for record in records(here.record))
    assert len(sent) == 3000
    twice = {tag for tag, count in sent.items() if count > 1}
    assert len(twice) <= IN_FLIGHT
    assert not twice & recorded
    assert max(sent.values()) <= 2


def test_kill_again_and_again(site: Callable[..., Site]) -> None:  # noqa: F811
    """Killed five times, the last resume still ends with every operation done."""
    here = site(directors=0, users=0, backends=2, faults=("command=kick,rate=0.2,exit=75",))
    process = here.cli.start("run", prepare(here, KICKS + "retry: {base: 10ms, attempts: 50}\n", 400), "--yes")
    for round_ in range(1, 6):
        wait_until(lambda goal=round_ * 120: len(here.fleet.requests) > goal or process.poll() is not None)
        process.kill()
        process.communicate()
        process = here.cli.start("resume")
    out, err = process.communicate(timeout=240)
    assert process.returncode in {0, 2}, out + err  # 2: there was nothing left to resume
    assert {operation["state"] for operation in here.cli.exported()} == {"done"}
    assert len({record["tag"] for record in records(here.record)}) == 800


def test_unrepeatable_is_never_sent_twice(site: Callable[..., Site]) -> None:  # noqa: F811
    """dictInc: after a kill, what was being sent is in doubt (exit code 4), and nothing was sent twice."""
    here = site(directors=0, users=0, backends=2, latency=0.01)
    process = here.cli.start("run", prepare(here, COUNTERS, 300), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 700)
    process.kill()
    process.communicate()
    resumed = here.cli("resume")
    assert resumed.code == 4, resumed.said
    states = Counter(operation["state"] for operation in here.cli.exported())
    assert 0 < states["in_doubt"] <= IN_FLIGHT
    sent = Counter(record["tag"] for record in records(here.record))
    assert max(sent.values()) == 1
    assert "orchestrator show" in resumed.out
    assert "--in-doubt" in resumed.out
