"""Bad hosts among good ones: time and memory stay bounded, and every other host's operations are done."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Result, records
from tests.integration.conftest import Site

HOSTS = 24
MANY = """
name: Many
limits: {max_failed: 100%}
retry: {base: 20ms, max: 100ms, attempts: 2}
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: [u1, u2, u3, u4, u5, u6, u7, u8, u9, u10, u11, u12, u13, u14, u15, u16, u17, u18, u19, u20]
    parameters: {mask: ["{{ item }}"]}
    timeout: 1s
"""
MEGABYTES = 1024.0  # kB


def watched(here: Site, *arguments: str, within: float = 250) -> tuple[Result, float]:
    """Run a command; how it ended, and how many MB its process had at its peak."""
    process = here.cli.start(*arguments)
    peak, deadline = 0.0, time.monotonic() + within
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise AssertionError("it does not end")
        if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
            peak = max(peak, int(found[1]) / MEGABYTES)
        time.sleep(0.02)
    out, err = process.communicate()
    return Result(process.returncode, out, err), peak


def by_host(here: Site) -> dict[str, Counter[str]]:
    """Each host's operations by state."""
    found: dict[str, Counter[str]] = {}
    for operation in here.cli.exported():
        found.setdefault(operation["host"], Counter())[operation["state"]] += 1
    return found


@pytest.mark.parametrize("trouble", ["hang", "drip", "huge=70", "empty", "reset", "wrong_tag", "truncate", "http=500"])
def test_one_bad_host_among_many(site: Callable[..., Site], trouble: str) -> None:
    """Whatever one host does, the run ends, in little memory, and all operations of all others are done."""
    here = site(users=0, directors=0, backends=HOSTS, faults=(f"host=b7,command=*,{trouble}",))
    # to make 70 MB keeps the simulated servers, which are one process, from answering for the others
    text = MANY.replace("timeout: 1s", "timeout: 30s") if trouble.startswith("huge") else MANY
    result, peak = watched(here, "run", here.cli.playbook(text), "--yes")
    assert result.code == 1, result.said
    found = by_host(here)
    assert found.pop("b7")["done"] == 0
    assert len(found) == HOSTS - 1
    assert all(states == {"done": 20} for states in found.values())
    assert peak < 250, f"{peak:.0f} MB"


def test_large_answers_of_many_hosts(site: Callable[..., Site]) -> None:
    """Answers of 20 MB from each of twelve hosts at a time need memory for some of them, not for all copies of all."""
    here = site(users=0, directors=0, backends=12, faults=("command=who,huge=20",))
    playbook = here.cli.playbook("name: Look\nsteps:\n  - {name: Look, hosts: backends, command: who}\n")
    result, peak = watched(here, "run", playbook, "--yes")
    assert result.code == 0, result.said
    assert {operation["state"] for operation in here.cli.exported()} == {"done"}
    assert (
        sum(path.stat().st_size for path in here.cli.state.iterdir()) < 4_000_000
    )  # what nobody registers is not kept
    assert peak < 500, f"{peak:.0f} MB"


def test_a_dead_host_is_marked_unreachable_together(site: Callable[..., Site]) -> None:
    """A dead host costs a few attempts; its other operations are marked unreachable in one go, and are one line of the report."""
    here = site(users=0, directors=0, backends=HOSTS, faults=("host=b7,refuse",))
    (here.cli.folder / "users.txt").write_text("".join(f"user{n:04}\n" for n in range(100)))
    text = re.sub(r"for_each: \[.*\]", "for_each: {file: users.txt}", MANY)
    result = here.cli("run", here.cli.playbook(text), "--yes")
    assert result.code == 1, result.said
    found = by_host(here)
    assert found.pop("b7") == {"unreachable": 100}
    assert all(states == {"done": 100} for states in found.values())
    attempts = sum(operation["attempts"] for operation in here.cli.exported() if operation["host"] == "b7")
    assert attempts < 40
    assert sum("circuit breaker open" in line for line in result.out.splitlines()) == 1
    assert sum("circuit breaker open" in line for line in result.err.splitlines()) == 1
    about = [line for line in here.cli("report").out.splitlines() if "on b7" in line]
    assert len(about) <= 2, about
    assert f"{HOSTS * 100} planned = {HOSTS * 100 - 100} done + 100 unreachable" in result.out


def test_a_host_that_dies_and_comes_back(site: Callable[..., Site]) -> None:
    """A host that is down for a second is retried until it is back: everything ends done."""
    here = site(users=0, directors=0, backends=6, latency=0.02)
    playbook = here.cli.playbook(MANY.replace("attempts: 2", "attempts: 30").replace("max: 100ms", "max: 300ms"))
    process = here.cli.start("run", playbook, "--yes")
    while len(here.fleet.requests) < 12:
        time.sleep(0.01)
    here.fleet.stop("b3")
    time.sleep(1)
    here.fleet.start("b3")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert all(states == {"done": 20} for states in by_host(here).values())


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_a_storm_of_75_ends_done(site: Callable[..., Site], rate: float) -> None:
    """Though the whole fleet answers 75 to a third or two of requests, all is done, and every attempt is counted."""
    here = site(users=0, directors=0, backends=HOSTS, faults=(f"command=kick,rate={rate},exit=75",))
    text = MANY.replace("attempts: 2", "attempts: 60, budget: 20")
    result = here.cli("run", here.cli.playbook(text), "--yes")
    assert result.code == 0, result.said
    operations = here.cli.exported()
    assert Counter(operation["state"] for operation in operations) == {"done": 20 * HOSTS}
    kicks = sum(record["command"] == "kick" for record in records(here.record))
    assert sum(operation["attempts"] for operation in operations) == kicks


def test_a_storm_that_does_not_end_is_stopped(site: Callable[..., Site]) -> None:
    """When everything is answered 75, retries stop at the budget: exit code 3, and the rest can be resumed."""
    here = site(users=0, directors=0, backends=HOSTS, faults=("command=kick,exit=75",))
    text = MANY.replace("attempts: 2", "attempts: 60, budget: 0.1")
    result = here.cli("run", here.cli.playbook(text), "--yes")
    assert result.code == 3, result.said
    assert "retry budget exhausted" in result.out
    kicks = sum(record["command"] == "kick" for record in records(here.record))
    assert (
        kicks <= 20 * HOSTS + 100 + 0.1 * 20 * HOSTS + 100
    )  # all once, what the budget allows, and what was under way
    states = Counter(operation["state"] for operation in here.cli.exported())
    assert states["pending"] > 0
    assert "orchestrator resume" in result.out


LIMITED = """
name: Limited
steps:
  - name: Kick them
    hosts: b1
    command: kick
    for_each: [u1, u2, u3, u4, u5, u6, u7, u8, u9, u10, u11, u12, u13, u14, u15, u16, u17, u18, u19, u20]
    parameters: {mask: ["{{ item }}"]}
"""


@pytest.mark.parametrize(
    ("max_failed", "failures", "stops"),
    [
        ("0", 1, True),
        ("3", 3, False),
        ("3", 4, True),
        ("10%", 2, False),
        ("10%", 3, True),
        ("14%", 2, False),
        ("14%", 3, True),
    ],
)
def test_max_failed_is_a_boundary(site: Callable[..., Site], max_failed: str, failures: int, stops: bool) -> None:
    """So many failures as are allowed end the run with exit code 1; one more stops it at once, with 3."""
    here = site(users=0, directors=0, backends=1, faults=(f"command=kick,first={failures},exit=64",))
    words = ("--max-failed", max_failed, "--in-flight", "1")
    result = here.cli("run", here.cli.playbook(LIMITED), "--yes", *words)
    assert result.code == (3 if stops else 1), result.said
    states = Counter(operation["state"] for operation in here.cli.exported())
    assert states["failed"] == failures
    assert states["pending" if stops else "done"] == 20 - failures
    assert here.commands().count("kick") == (failures if stops else 20)


SORTED = """
name: Sorted
steps:
  - name: Kick them
    hosts: "{{ item.host }}"
    command: kick
    for_each: {csv: users.csv}
    parameters: {mask: ["{{ item.user }}"]}
"""


def test_a_file_sorted_by_host_keeps_all_hosts_busy(site: Callable[..., Site]) -> None:
    """Though all items of the first host come first in the file, every host is sent its first request at the start."""
    hosts, each, at_a_time = 8, 50, 4
    here = site(users=0, directors=0, backends=hosts, latency=0.02)
    lines = [f"b{host},user{item:03}\n" for host in range(1, hosts + 1) for item in range(each)]
    (here.cli.folder / "users.csv").write_text("host,user\n" + "".join(lines))
    result = here.cli("run", here.cli.playbook(SORTED), "--yes")
    assert result.code == 0, result.said
    order = [request.host for request in here.fleet.requests if request.command == "kick"]
    assert Counter(order) == dict.fromkeys((f"b{n}" for n in range(1, hosts + 1)), each)
    assert set(order[: hosts * at_a_time]) == set(order), order
