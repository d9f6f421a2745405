"""The exit code is what the run came to; a signal's own only where the signal left work. What was chosen for a run is kept."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.command_line import wait_until
from tests.integration.conftest import Site
from tests.terminal import Terminal

ONCE = """
name: Once
steps:
  - {name: Count, hosts: b1, command: dictInc, timeout: 60s, parameters: {dictUri: "file:/x", key: shared/n, difference: 1}}
"""

LAST = """
name: Last
steps:
  - {name: Look, hosts: b1, command: who}
finally:
  - {name: Look again, hosts: b1, command: who}
"""

KICK = "name: Kick\nsteps:\n  - {name: Kick, hosts: backends, command: kick, for_each: [a, b, c], parameters: {mask: ['{{ item }}']}}\n"

PAUSE = """
name: Pause
steps:
  - {name: Sure, pause: {confirm: "Is it so?"}}
  - {name: Kick, hosts: b1, command: kick, parameters: {mask: [a]}}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_doubt_counts_more_than_the_signal(site: Callable[..., Site], number: int) -> None:
    """When answers are not waited for and something unrepeatable is in doubt, that is the exit code."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,hang",))
    process = here.cli.start("run", here.cli.playbook(ONCE), "--yes")
    wait_until(lambda: "dictInc" in here.commands())
    for _ in range(2):
        process.send_signal(number)
        assert process.stderr is not None
        while "again: " not in (line := process.stderr.readline()):
            assert line, "ended without output"
    process.communicate(timeout=60)
    assert process.returncode == 4


def test_a_signal_that_left_nothing_undone_is_no_interruption(site: Callable[..., Site]) -> None:
    """A signal while the last answer is under way: all is done, and so says the exit code."""
    here = site(users=0, directors=0, backends=1, latency=2.0, time_scale=1)
    process = here.cli.start("run", here.cli.playbook(LAST.partition("finally")[0]), "--yes")
    wait_until(lambda: "who" in here.commands())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "stopping (Ctrl-C)" in err
    assert (process.returncode, out.splitlines()[0]) == (0, "done"), out


def test_what_a_run_is_limited_to_is_kept(site: Callable[..., Site]) -> None:
    """--limit holds for the resumed run too: hosts outside of it are sent nothing."""
    here = site(users=0, directors=0, backends=3, latency=0.2, time_scale=1)
    process = here.cli.start("run", here.cli.playbook(KICK), "--yes", "--limit", "b[1-2]", "--in-flight", "1")
    wait_until(lambda: "kick" in here.commands())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert here.cli("resume").code == 0
    assert {request.host for request in here.fleet.requests if request.command == "kick"} == {"b1", "b2"}
    assert len(here.cli.exported()) == 6


def test_enter_alone_is_a_no_before_a_run(site: Callable[..., Site]) -> None:
    """Nothing but a y begins a run; nothing was sent, and no run is kept."""
    here = site(users=0, directors=0, backends=1)
    with Terminal(here.cli, "run", here.cli.playbook(KICK)) as terminal:
        terminal.wait_for("Type b1 to run it, or Enter to leave: ")
        terminal.type("\n")
        assert terminal.end() == 5
        assert "not confirmed; nothing was sent" in terminal.shown
    assert (here.fleet.requests, here.cli("runs").out) == ([], f"no runs in {here.cli.state}\n")


def test_enter_alone_is_a_no_within_a_run(site: Callable[..., Site]) -> None:
    """At a question of the playbook the run stops there, and is asked again when it is resumed."""
    here = site(users=0, directors=0, backends=1)
    with Terminal(here.cli, "run", here.cli.playbook(PAUSE)) as terminal:
        terminal.wait_for("or Enter to leave: ")
        terminal.type("b1\n")
        terminal.wait_for("Is it so? [y/N]")
        terminal.type("\n")
        assert terminal.end() == 3
    assert here.commands() == []
    with Terminal(here.cli, "resume") as terminal:
        terminal.wait_for("Is it so? [y/N]")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert here.commands()[-1] == "kick"
