"""Whoever waits sees for what: the values that a condition looks at, and which host does not answer since when."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.conftest import Site
from tests.terminal import Terminal

POLLED = """
name: Polled
steps:
  - name: Wait for nobody
    hosts: d1
    command: directorStatus
    until: "{{ rows | column('users') | total == 12345 }}"
    every: 100ms
    within: 1500ms
"""

SLOW = """
name: Slow
steps:
  - {name: Ask, hosts: backends, command: who, timeout: 6s, retry: {attempts: 2}}
"""


def test_a_condition_that_stays_false_ends_with_what_it_saw(site: Callable[..., Site]) -> None:
    """The failure names the value that was compared, on the terminal, in the report and in JSON."""
    here = site(users=7, directors=1, backends=1)
    playbook = here.cli.playbook(POLLED)
    with Terminal(here.cli, "run", playbook) as terminal:
        terminal.wait_for("users=7 on d1; polled for ")
        assert terminal.end() == 3
    assert "condition still false; last answer: users=7" in here.cli("report").out
    attempts = [line for line in here.cli("run", playbook, "--format", "json").json() if line["event"] == "attempt"]
    assert {attempt["error"] for attempt in attempts} == {"condition still false; last answer: users=7"}


def test_a_host_that_hangs_is_named_with_how_long_it_hangs(site: Callable[..., Site]) -> None:
    """The display names the host, the time and the attempt."""
    here = site(users=0, directors=0, backends=3, faults=("host=b3,command=who,hang",), time_scale=1)
    with Terminal(here.cli, "run", here.cli.playbook(SLOW)) as terminal:
        terminal.wait_for("waiting for b3, 4s, attempt 1/2")
        terminal.wait_for("waiting for b3, 4s, attempt 2/2")
        assert terminal.end() == 3


def test_a_plan_fits_the_terminal_and_a_pipe_gets_whole_lines(site: Callable[..., Site]) -> None:
    """On a terminal prose is folded at its width; in a file each line is as long as it is."""
    here = site(users=0, directors=2, backends=3)
    with Terminal(here.cli, "plan", "drain-backend", "-e", "backend=b1") as terminal:
        assert terminal.end() == 0
        prose = [line.rstrip() for line in terminal.shown.splitlines() if "[[" not in line and "doveadm" not in line]
        assert max(map(len, prose)) <= 100
    assert max(map(len, here.cli("plan", "drain-backend", "-e", "backend=b1").out.splitlines())) > 120
