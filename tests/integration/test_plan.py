"""`plan` promises: nothing is sent, or read-only commands alone, and `apply` sends exactly what was listed."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.dovecot import catalog
from tests.command_line import CommandLine, Result

KICKS = """
name: Kick three
steps:
  - name: See who is there
    hosts: b1
    command: who
    register: there
  - name: Kick them
    hosts: backends
    command: kick
    for_each: [user001, user002, user003]
    parameters: {mask: ["{{ item }}"]}
  - name: Kick who was there
    hosts: b1
    command: kick
    for_each: "{{ there.rows | column('username') | unique }}"
    parameters: {mask: ["{{ item }}"]}
"""


@contextmanager
def counting_listener() -> Iterator[tuple[int, list[str]]]:
    """A port that notes who connects."""
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, peer = listener.accept()
                except OSError:
                    return
                seen.append(str(peer))
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_plan_opens_not_one_connection(tmp_path: Path) -> None:
    """Planning without --live does not even connect."""
    with counting_listener() as (port, seen):
        config = tmp_path / "config.yaml"
        (tmp_path / "secret").write_text("x")
        (tmp_path / "secret").chmod(0o600)
        hosts = "{d1: 127.0.0.1}", "{b1: 127.0.0.1}"
        config.write_text(
            f"defaults: {{scheme: http, port: {port}, auth: {{password: {{file: secret}}}}}}\n"
            f"groups: {{directors: {{hosts: {hosts[0]}}}, backends: {{hosts: {hosts[1]}}}}}\nretry: {{base: 5ms}}\n"
        )
        cli = CommandLine(tmp_path, config)
        result = cli("plan", "drain-backend", "-e", "backend=b1", "-v")
        assert result.code == 0, result.said
        assert "Nothing was sent." in result.out
        assert seen == []
        assert cli("exec", "b1", "who").code == 1  # the listener does notice who connects
        assert seen


def test_live_plan_sends_questions_alone(site: Callable) -> None:
    """`plan --live` sends read-only commands, follows their answers, and changes nothing."""
    here = site(users=12)
    plan = here.cli("plan", here.cli.playbook(KICKS), "--live")
    assert plan.code == 0, plan.said
    assert here.commands()
    assert {catalog.find(command).effect for command in here.commands()} == {"read"}
    assert "as of now: b1" in plan.out
    assert f"{len(here.commands())} read-only requests were sent, and nothing else" in plan.out


def test_live_drain_plan_changes_nothing(site: Callable) -> None:
    """The shipped drain, planned live, says what would be refused and leaves the fleet as it was."""
    here = site(users=12)
    text = here.cli("plan", "drain-backend", "-e", "backend=b2", "--live").out
    assert f"{len(here.commands())} read-only requests were sent, and nothing else" in text  # those of conditions too
    plan = here.cli("plan", "drain-backend", "-e", "backend=b2", "--live", "--format", "json")
    assert plan.code == 0, plan.said
    assert any("true now" in line.get("text", "") for line in plan.json())
    verdict = plan.json()[-1]
    assert (verdict["event"], verdict["would_stop"], verdict["conditions_hold"]) == ("verdict", False, 6)
    assert {catalog.find(command).effect for command in here.commands()} == {"read"}
    assert here.fleet.fleet.counters.dropped == 0


def test_a_live_plan_that_would_stop_says_so_last(site: Callable) -> None:
    """The last line is the verdict with the time it was true at, the exit code is that of a refusal; in JSON it is the last object."""
    here = site(users=12)
    held = here.cli("plan", "drain-backend", "-e", "backend=b2", "--live")
    assert re.fullmatch(r"all 6 conditions hold \(\d\d:\d\d \S+\)", held.out.splitlines()[-1])
    config = here.cli.config.read_text()
    here.cli.config.write_text(re.sub(r"d2: 127\.\d+\.1\.2", "d2: 127.0.0.99", config))
    for saved in ((), ("-o", "saved.plan")):
        stopped = here.cli("plan", "drain-backend", "-e", "backend=b2", "--live", *saved)
        assert stopped.code == 5
        assert stopped.out.splitlines()[-1].startswith(
            "would stop at step 1 (Read the ring status): d2: connection refused ("
        )
    verdict = here.cli("plan", "drain-backend", "-e", "backend=b2", "--live", "--format", "json")
    assert verdict.code == 5
    assert verdict.json()[-1]["would_stop"]
    assert (verdict.json()[-1]["step"], verdict.json()[-1]["reason"]) == ("1", "d2: connection refused")


def test_apply_sends_what_the_plan_listed(site: Callable) -> None:
    """The requests of a saved plan reach the hosts exactly: command, parameters, host and tag."""
    here = site(users=12)
    playbook = here.cli.playbook(KICKS.split("  - name: Kick who was there", maxsplit=1)[0])
    assert here.cli("plan", playbook, "-o", "saved.plan").code == 0
    assert (here.cli.folder / "saved.plan").stat().st_mode & 0o777 == 0o600
    listed = here.cli("plan", playbook, "--format", "json").json()
    assert here.cli("apply", "saved.plan", "--yes").code == 0
    planned = sorted(
        (p["id"], p["host"], p["command"], str(p["parameters"])) for p in listed if p["event"] == "request"
    )
    sent = sorted((r.tag, r.host, r.command, str(r.parameters)) for r in here.fleet.requests)
    assert sent == planned
    assert len(sent) == 10


def test_a_plan_is_applied_once(site: Callable) -> None:
    """Applying a saved plan a second time is refused, and names the run."""
    here = site(users=2)
    here.cli("plan", here.cli.playbook(KICKS), "-o", "saved.plan")
    assert here.cli("apply", "saved.plan", "--yes").code == 0
    before = len(here.fleet.requests)
    again = here.cli("apply", "saved.plan", "--yes")
    assert again.code == 5
    assert "was already applied" in again.err
    assert len(here.fleet.requests) == before


def test_a_stale_plan_is_refused(site: Callable) -> None:
    """A plan for hosts that are not what they were is refused, and says which."""
    here = site(users=2)
    here.cli("plan", here.cli.playbook(KICKS), "-o", "saved.plan")
    config = here.cli.config
    config.write_text(config.read_text().replace(here.fleet.backends["b1"], "127.0.0.9"))
    refused = here.cli("apply", "saved.plan", "--yes")
    assert refused.code == 5
    assert "b1 was" in refused.err
    assert "127.0.0.9" in refused.err
    assert here.fleet.requests == []


def test_nothing_is_changed_without_a_yes(site: Callable) -> None:
    """Without a terminal and without --yes a changing run is refused, and leaves no run behind."""
    here = site(users=2)
    refused = here.cli("run", here.cli.playbook(KICKS))
    assert refused.code == 5
    assert "--yes" in refused.err
    assert here.fleet.requests == []
    assert here.cli("runs", "--format", "json").json() == []


def takes(plan: Result) -> dict[str, Any]:
    """How long a plan takes, as JSON."""
    assert plan.code == 0, plan.said
    return dict(plan.json()[0]["takes"])


def test_a_plan_says_how_long_it_takes(site: Callable) -> None:
    """Nobody knows at first; a look tells a little, and runs tell all, those of saved plans included."""
    here = site(backends=2, users=6, latency=0.2)
    playbook = here.cli.playbook(KICKS)
    first = here.cli("plan", playbook)
    assert "Takes: unknown; no earlier run tells of who, kick. --live may tell" in first.out
    assert takes(here.cli("plan", playbook, "--format", "json"))["high"] is None
    looked = takes(here.cli("plan", playbook, "--live", "--format", "json"))
    assert looked["basis"] == "answers seen just now"
    assert looked["low"] >= 0.2
    assert here.cli("plan", playbook, "-o", "saved.plan").code == 0
    assert here.cli("apply", "saved.plan", "--yes").code == 0
    assert here.cli("run", playbook, "--yes").code == 0
    found = takes(here.cli("plan", playbook, "--format", "json"))
    assert (found["basis"], found["known"], found["missing"]) == ("2 earlier runs", True, "")
    assert found["high"] >= 0.6
    assert re.search(
        r"^Takes .* \(from 2 earlier runs\), if nothing fails\.$", here.cli("plan", playbook).out, re.MULTILINE
    )
