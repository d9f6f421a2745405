"""Requests a second in the whole run: never more, whatever sends them, and a run with a rate comes to its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.command_line import records
from tests.integration.conftest import Site

STEPS = "name: Many steps\nsteps:\n" + "".join(
    f"  - {{name: Ask {number}, hosts: b1, command: who}}\n" for number in range(20)
)

MANY = """
name: Many
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {file: users.txt}
    parameters: {mask: ["{{ item }}"]}
"""

LOST = """
name: Lost answers
limits: {max_failed: 100%}
steps:
  - name: Count
    hosts: b1
    command: dictInc
    for_each: [a, b, c, d, e]
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", difference: 1}
    probe:
      command: dictGet
      parameters: {dictUri: "file:/x", key: "{{ parameters.key }}"}
      done: "{{ rows | length == 1 }}"
"""


def kept(times: list[float], rate: float) -> bool:
    """Whether so many requests a second were sent; a moment's lateness of one may bring the next one nearer to it."""
    return all(number <= 1 + rate * (time - times[0] + 0.1) for number, time in enumerate(times, 1))


def test_a_rate_holds_over_all_steps(site: Callable[..., Site]) -> None:
    """Twenty steps of one request each keep the run's rate among themselves."""
    here = site(users=0, directors=0, backends=1)
    done = here.cli("run", here.cli.playbook(STEPS), "--rate", "20", "--yes")
    assert done.code == 0, done.said
    times = [record["time"] for record in records(here.record)]
    assert len(times) == 20
    assert kept(times, 20)


def test_questions_belong_to_the_rate(site: Callable[..., Site]) -> None:
    """Probes and readings of a host's log take their turn among the operations."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,empty",))
    here.cli("run", here.cli.playbook(LOST), "--rate", "20", "--yes")
    seen = sorted((record["time"], record["command"]) for record in records(here.record))
    assert {command for _, command in seen} == {"dictInc", "logErrors", "dictGet"}
    assert kept([time for time, _ in seen], 20)


@pytest.mark.parametrize("rate", ["97", "300"])
def test_a_run_with_a_rate_ends(site: Callable[..., Site], rate: str) -> None:
    """A turn that comes between two readings of the clock is not lost: all is sent, and the run ends."""
    here = site(users=0, directors=0, backends=3)
    (here.cli.folder / "users.txt").write_text("".join(f"user{n:05}\n" for n in range(200)))
    done = here.cli("run", here.cli.playbook(MANY), "--rate", rate, "--yes", timeout=60)
    assert done.code == 0, done.said
    assert len(here.fleet.requests) == 600
