"""What signals do to a run: it stops cleanly, at once, or goes on, and the run file is true all the same."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.command_line import CommandLine, records, wait_until
from tests.integration.conftest import Site

MANY = """
name: Many
retry: {base: 10ms, attempts: 30}
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {file: users.txt}
    parameters: {mask: ["{{ item }}"]}
finally:
  - {name: Look at last, hosts: b1, command: who}
"""

COUNT = """
name: Count
limits: {max_failed: 100%}
steps:
  - name: Count
    hosts: b1
    command: dictInc
    for_each: [a, b, c]
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", difference: 1}
finally:
  - {name: Look at last, hosts: b1, command: who}
"""


def many(here: Site, count: int = 300) -> str:
    """Write a list of users and the playbook that kicks them."""
    (here.cli.folder / "users.txt").write_text("".join(f"user{n:05}\n" for n in range(count)))
    return here.cli.playbook(MANY)


def sent(here: Site, number: int) -> Callable[[], bool]:
    """Whether so many requests have arrived."""
    return lambda: len(here.fleet.requests) >= number


def end(process: subprocess.Popen[str]) -> str:
    """Wait for the end; what was said."""
    out, err = process.communicate(timeout=60)
    return out + err


def states(cli: CommandLine, step: str = "1") -> Counter[str]:
    """The operations of a step by state."""
    return Counter(operation["state"] for operation in cli.exported() if operation["step"] == step)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_stops_cleanly(site: Callable[..., Site], number: int, code: int) -> None:
    """Answers on the wire are recorded, `finally` runs, the exit code names the signal, `resume` sends the rest alone."""
    here = site(users=0, directors=0, backends=2, latency=0.03)
    process = here.cli.start("run", many(here), "--yes")
    wait_until(sent(here, 20))
    process.send_signal(number)
    said = end(process)
    assert process.returncode == code, said
    assert "orchestrator resume" in said
    executed = Counter(record["tag"] for record in records(here.record) if record["executed"])
    found = states(here.cli)
    assert set(found) == {"done", "pending"}
    assert found["done"] == sum(tag.startswith("1.") for tag in executed)
    assert here.commands().count("who") == 1
    assert here.cli("resume").code == 0
    assert states(here.cli) == {"done": 600}
    assert max(Counter(r["tag"] for r in records(here.record) if r["tag"].startswith("1.")).values()) == 1


def test_the_second_signal_waits_for_no_answer(site: Callable[..., Site]) -> None:
    """With hosts that hang, the second signal ends the run; what must not be sent twice is in doubt, which the exit code says."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,hang",))
    process = here.cli.start("run", here.cli.playbook(COUNT), "--yes")
    wait_until(sent(here, 3))
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    wait_until(lambda: "stopping" in process.stderr.readline())
    process.send_signal(signal.SIGINT)
    said = end(process)
    assert process.returncode == 4, said
    assert states(here.cli) == {"in_doubt": 3}


def test_the_third_signal_exits_at_once(site: Callable[..., Site]) -> None:
    """Whatever it is doing, the third signal ends the process; the run is resumable and what is unknown is in doubt."""
    here = site(
        users=0, directors=0, backends=1, faults=("command=dictInc,hang", "command=logErrors,hang", "command=who,hang")
    )
    process = here.cli.start("run", here.cli.playbook(COUNT), "--yes")
    wait_until(sent(here, 3))
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "not waiting" in process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    said = end(process)
    assert process.returncode == 143, said
    assert here.cli("runs").out.split()[1] in {"crashed", "interrupted", "in"}
    assert states(here.cli)["done"] == 0


def test_the_second_signal_while_a_log_is_read(site: Callable[..., Site]) -> None:
    """A second signal while the host's log is asked for a lost answer's reason ends the run as well."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,empty", "command=logErrors,hang"))
    process = here.cli.start("run", here.cli.playbook(COUNT), "--yes")
    wait_until(lambda: "logErrors" in here.commands())
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    wait_until(lambda: "stopping" in process.stderr.readline())
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        pytest.fail("it does not end")
    assert process.returncode == 4


def test_hangup_does_not_stop_a_run(site: Callable[..., Site]) -> None:
    """SIGHUP, as when the terminal is closed, changes nothing: all is done, exit code 0."""
    here = site(users=0, directors=0, backends=2, latency=0.01)
    process = here.cli.start("run", many(here, 100), "--yes")
    for goal in (20, 60, 120):
        wait_until(sent(here, goal))
        process.send_signal(signal.SIGHUP)
    said = end(process)
    assert process.returncode == 0, said
    assert states(here.cli) == {"done": 200}


def test_stopped_and_continued(site: Callable[..., Site]) -> None:
    """A process that is stopped for 3 s in mid-run goes on as if nothing had been: all done, nothing sent twice."""
    here = site(users=0, directors=0, backends=2, latency=0.02)
    process = here.cli.start("run", many(here, 200), "--yes")
    wait_until(sent(here, 40))
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    said = end(process)
    assert process.returncode == 0, said
    assert states(here.cli) == {"done": 400}
    assert max(Counter(r["tag"] for r in records(here.record) if r["tag"].startswith("1.")).values()) == 1


PAUSED = """
name: Wait
steps:
  - {name: Kick, hosts: b1, command: kick, parameters: {mask: [a]}}
  - {name: Wait long, pause: 1h}
  - {name: Kick again, hosts: b1, command: kick, parameters: {mask: [b]}}
"""

SOAKED = """
name: Soak
steps:
  - name: In batches
    batches:
      hosts: backends
      size: 1
      soak: 1h
      steps:
        - {name: Kick, command: kick, parameters: {mask: [a]}}
"""


@pytest.mark.parametrize("text", [PAUSED, SOAKED], ids=["pause", "soak"])
def test_a_pause_is_interrupted_at_once(site: Callable[..., Site], text: str) -> None:
    """A signal in a pause of an hour, or a soak between batches, ends the run; it is resumable where it stood."""
    here = site(users=0, directors=0, backends=2)
    process = here.cli.start("run", here.cli.playbook(text), "--yes")
    assert process.stderr is not None
    wait_until(lambda: "waiting 1h" in process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    said = end(process)
    assert process.returncode == 143, said
    assert len(here.fleet.requests) == 1
    assert here.cli("runs").out.split()[1] == "interrupted"
    again = here.cli.start("resume")
    assert again.stderr is not None
    wait_until(lambda: "waiting 1h" in again.stderr.readline())
    again.send_signal(signal.SIGINT)
    end(again)
    assert again.returncode == 130
    assert len(here.fleet.requests) == 1


UNDONE = """
name: Change and fail
on_failure: undo
steps:
  - name: Change
    hosts: directors
    run_once: true
    command: directorUpdate
    parameters: {host: ADDRESS, vhostCount: "7"}
    undo: {command: directorUpdate, parameters: {host: ADDRESS, vhostCount: "100"}}
  - name: Change again
    hosts: directors
    run_once: true
    command: directorUpdate
    parameters: {host: ADDRESS, vhostCount: "8"}
    undo: {command: directorUpdate, parameters: {host: ADDRESS, vhostCount: "7"}}
  - name: Fail
    hosts: b1
    command: kick
    parameters: {mask: [a]}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_an_undo_that_was_cut_short_is_resumed(site: Callable[..., Site], number: int) -> None:
    """Whether interrupted or killed while it undoes, a run takes back the rest when it is resumed."""
    here = site(users=0, backends=1, latency=0.5, faults=("command=kick,exit=64",))
    playbook = here.cli.playbook(UNDONE.replace("ADDRESS", here.fleet.backends["b1"]))
    process = here.cli.start("run", playbook, "--yes")
    wait_until(lambda: here.commands().count("directorUpdate") == 3)  # the first of the two undo steps
    process.send_signal(number)
    end(process)
    refused = here.cli("retry")
    assert refused.code == 5
    assert "is being undone" in refused.said
    resumed = here.cli("resume")
    assert {row.vhosts for row in here.fleet.fleet.ring.hosts.values()} == {100}
    assert resumed.code == 1, resumed.said
    assert "undone" in resumed.out


def test_a_failure_after_the_signal_is_undone_by_resume(site: Callable[..., Site]) -> None:
    """When an answer that comes after Ctrl-C is a failure, the run ends as interrupted, and `resume` takes it back."""
    here = site(users=0, backends=1, latency=0.5, faults=("command=kick,exit=64",))
    process = here.cli.start("run", here.cli.playbook(UNDONE.replace("ADDRESS", here.fleet.backends["b1"])), "--yes")
    wait_until(lambda: "kick" in here.commands())
    process.send_signal(signal.SIGINT)
    said = end(process)
    assert process.returncode == 130, said
    assert here.commands().count("directorUpdate") == 2
    resumed = here.cli("resume")
    assert resumed.code == 1, resumed.said
    assert {row.vhosts for row in here.fleet.fleet.ring.hosts.values()} == {100}


def test_interrupted_while_planning(site: Callable[..., Site]) -> None:
    """SIGINT while a large plan is made: exit code 130, no run, no draft, nothing sent."""
    here = site(users=0, directors=0, backends=3)
    playbook = many(here, 150_000)
    process = here.cli.start("run", playbook, "--yes")
    wait_until(lambda: list(here.cli.state.glob(".*.planning")) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    said = end(process)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert list(here.cli.state.iterdir()) == []
    assert here.fleet.requests == []


def test_terminated_while_planning(site: Callable[..., Site]) -> None:
    """SIGTERM while a large plan is made leaves no draft behind either, and the exit code is 143."""
    here = site(users=0, directors=0, backends=3)
    playbook = many(here, 150_000)
    process = here.cli.start("run", playbook, "--yes")
    wait_until(lambda: list(here.cli.state.glob(".*.planning")) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    said = end(process)
    assert process.returncode == 143, said
    assert list(here.cli.state.iterdir()) == []


def test_a_killed_draft_goes_with_the_next_run(site: Callable[..., Site]) -> None:
    """A draft that SIGKILL left behind is removed by the next command that plans."""
    here = site(users=0, directors=0, backends=3)
    process = here.cli.start("run", many(here, 150_000), "--yes")
    wait_until(lambda: list(here.cli.state.glob(".*.planning")) or process.poll() is not None)
    process.kill()
    end(process)
    assert list(here.cli.state.glob(".*.planning"))
    assert here.cli("exec", "b1", "who").code == 0
    assert list(here.cli.state.glob(".*.planning")) == []
