"""Clocks that jump and processes that stand still: waiting and giving up go by neither."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import CommandLine, records, wait_until
from tests.integration.conftest import Site

BOTH = """
name: Both
retry: {base: 400ms, max: 800ms, attempts: 40, budget: 40, deadline: 5m}
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {file: items.txt}
    parameters: {mask: ["{{ item }}"]}
    timeout: 30s
  - name: Begin at 0
    hosts: backends
    command: dictSet
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", value: "0"}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", difference: 1}
    timeout: 30s
"""

# The clock of the machine, as this process sees it: each look at it may be a day before or after the one before.
JUMPING = """
import itertools
import time

_jumps = itertools.cycle([0, 86_400, -3_600, 0, -86_400, 7, 3_000_000])
_looks = itertools.count()
_offset = 0
_time, _time_ns = time.time, time.time_ns


def _moved():
    global _offset
    if next(_looks) % 5 == 4:
        _offset = next(_jumps)
    return _offset


time.time = lambda: _time() + _moved()
time.time_ns = lambda: _time_ns() + _moved() * 1_000_000_000
"""


class Jumping(CommandLine):
    """The command line on a machine whose clock jumps all the time."""

    @property
    def environment(self) -> dict[str, str]:
        """With the clock moved as soon as Python starts."""
        folder = self.folder / "clock"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(JUMPING)
        plain = super().environment
        return {**plain, "PYTHONPATH": f"{folder}:{plain['PYTHONPATH']}"}


def both(here: Site, count: int) -> str:
    """Write the playbook, and so many items."""
    (here.cli.folder / "items.txt").write_text("".join(f"item{n:04}\n" for n in range(count)))
    return here.cli.playbook(BOTH)


def judge(here: Site, count: int) -> None:
    """Everything is done, everything was executed once, and the counters themselves say so."""
    assert Counter(operation["state"] for operation in here.cli.exported()) == {"done": 6 * count}
    executed = Counter(record["tag"] for record in records(here.record) if record["executed"])
    assert set(executed.values()) == {1}
    for name in here.fleet.backends:
        assert set(here.fleet.fleet.hosts[name].dictionaries["file:/x"].values()) == {"1"}


STORM = ("command=kick,rate=0.3,exit=75",)


@pytest.mark.parametrize("step", ["1", "3"])
def test_stopped_with_requests_on_the_wire(site: Callable[..., Site], step: str) -> None:
    """A process that stands still for 3 s, with requests under way and retries waiting, goes on: all done, nothing twice."""
    here = site(users=0, directors=0, backends=2, latency=0.05, faults=STORM)
    process = here.cli.start("run", both(here, 40), "--yes")
    wait_until(lambda: sum(request.tag.startswith(step + ".") for request in here.fleet.requests) > 20)
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, out + err
    judge(here, 40)


def test_stopped_for_longer_than_a_timeout(site: Callable[..., Site]) -> None:
    """After a stop longer than the timeout of a request, answers that came meanwhile count, or are in doubt; nothing is sent twice."""
    here = site(users=0, directors=0, backends=2, latency=0.05)
    playbook = here.cli.playbook(Path(both(here, 40)).read_text().replace("timeout: 30s", "timeout: 1s"))
    process = here.cli.start("run", playbook, "--yes", "--max-failed", "100%")
    wait_until(lambda: sum(request.tag.startswith("3.") for request in here.fleet.requests) > 20)
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=90)
    assert process.returncode in {0, 4}, out + err
    if process.returncode == 4:
        assert here.cli("resume", "--in-doubt", "done").code == 0
    counted = Counter(r["tag"] for r in records(here.record) if r["tag"].startswith("3.") and r["executed"])
    assert len(counted) == 80
    assert set(counted.values()) == {1}


def test_the_clock_jumps(site: Callable[..., Site]) -> None:
    """A clock that jumps by days in both directions changes no pause, no timeout and no deadline: all done, nothing twice.

    How long the run and its steps took is told as it was.
    """
    here = site(users=0, directors=0, backends=2, latency=0.01, faults=STORM)
    cli = here.cli = Jumping(here.cli.folder, here.cli.config)
    result = cli("run", both(here, 40), "--yes")
    assert result.code == 0, result.said
    judge(here, 40)
    moments = [operation["started_at"] for operation in cli.exported()]
    assert max(moments) - min(moments) > 86_400_000  # the clock did jump
    report = json.loads(cli("report", "--format", "json").out)
    assert 0 < report["finished_at"] - report["started_at"] < 600_000
    assert len(re.findall(r"\(80 done, [\d.]+m?s from [\d:]+\)", cli("report").out)) == 3


WAITING = """
name: Wait
steps:
  - name: Wait until it is ready
    hosts: b1
    command: who
    until: "{{ rows | length > 5 }}"
    every: 100ms
    within: 1s
  - {name: Wait, pause: 300ms}
"""


def test_a_poll_ends_when_it_should(site: Callable[..., Site]) -> None:
    """While the clock jumps, a condition that never holds is asked for as long as the playbook says, not once and not for ever."""
    here = site(users=0, directors=0, backends=1)
    cli = Jumping(here.cli.folder, here.cli.config)
    result = cli("run", cli.playbook(WAITING), "--yes", "--max-failed", "100%")
    assert result.code == 1, result.said
    assert 2 <= here.commands().count("who") <= 11


def test_a_run_is_resumed_while_the_clock_jumps(site: Callable[..., Site]) -> None:
    """Sessions whose clocks differ by days are one run all the same; its report says no nonsense."""
    here = site(users=0, directors=0, backends=2, latency=0.02)
    cli = here.cli = Jumping(here.cli.folder, here.cli.config)
    process = cli.start("run", both(here, 60), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 40)
    process.kill()
    process.communicate()
    resumed = cli("resume")
    assert resumed.code in {0, 4}, resumed.said
    if resumed.code == 4:
        assert cli("resume", "--in-doubt", "retry").code == 0
    for words in (("report",), ("show", "last", "1.1"), ("show", "last", "3.7")):
        looked = cli(*words)
        assert looked.code == 0, looked.said
        assert not re.search(r"[ (]-\d+(\.\d+)? ?(ms|s|m|h|d)\b", looked.out), looked.out
