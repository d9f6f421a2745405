"""Runs against a simulated fleet: storms, undo, conditions, limits, signals, locks."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable

from orchestrator.journal.sqlite.store import open_file
from orchestrator.report import make_report
from tests.command_line import records, wait_until

KICK_MANY = """
name: Kick many
parameters:
  users: {type: integer, default: 200}
retry: {base: 20ms, max: 200ms, attempts: 30}
steps:
  - name: Kick them
    hosts: b1
    command: kick
    for_each: {file: users.txt}
    parameters: {mask: ["{{ item }}"]}
"""


def users(here, count: int) -> str:
    """Write a list of users and the playbook that kicks them."""
    (here.cli.folder / "users.txt").write_text("".join(f"user{n:05}\n" for n in range(1, count + 1)))
    return here.cli.playbook(KICK_MANY)


def test_a_storm_of_75_ends_done(site: Callable) -> None:
    """A server that answers 75 to 30 % of requests: all operations end done, every attempt is on record."""
    here = site(directors=0, users=0, faults=("command=kick,rate=0.3,exit=75",))
    result = here.cli("run", users(here, 300), "--yes")
    assert result.code == 0, result.said
    operations = here.cli.exported()
    assert [operation["state"] for operation in operations] == ["done"] * 300
    assert sum(operation["attempts"] for operation in operations) == len(list(records(here.record)))
    tried = next(operation for operation in operations if operation["attempts"] > 1)
    shown = here.cli("show", "last", tried["id"], "--format", "json").json()[0]
    attempts = shown["attempt_list"]
    assert [attempt["number"] for attempt in attempts] == list(range(1, tried["attempts"] + 1))
    assert {attempt["exit_code"] for attempt in attempts[:-1]} == {75}
    assert all(attempt["finished"] >= attempt["started"] > 0 for attempt in attempts)


def test_a_failing_check_undoes(site: Callable) -> None:
    """When a verify does not come true, the steps before it are taken back, and the exit code says so."""
    here = site(users=9)
    address = here.fleet.backends["b1"]
    playbook = here.cli.playbook(f"""
name: Change and fail
on_failure: undo
steps:
  - name: See
    hosts: directors
    command: directorStatus
    register: before
  - name: Change
    hosts: directors
    run_once: true
    command: directorUpdate
    parameters: {{host: {address}, vhostCount: "7"}}
    undo:
      command: directorUpdate
      parameters:
        host: {address}
        vhostCount: "{{{{ before.rows | where('mail server ip', '{address}') | column('vhosts') | first }}}}"
    verify:
      command: directorStatus
      until: false
      every: 10ms
      within: 100ms
  - name: Never reached
    hosts: backends
    command: kick
    parameters: {{mask: ["*"]}}
""")
    result = here.cli("run", playbook, "--yes")
    assert result.code == 1, result.said
    assert "undone" in result.out
    assert here.commands().count("directorUpdate") == 2
    assert "kick" not in here.commands()
    status = here.cli("exec", "d2", "directorStatus", "--format", "json").json()
    assert here.cli.exported("change")[-1]["state"] in {"done", "skipped"}
    assert next(line for line in status if line["event"] == "report")["counts"] == {"done": 1}
    assert {row.vhosts for row in here.fleet.fleet.ring.hosts.values()} == {100}


def test_require_refuses_before_anything_is_sent(site: Callable) -> None:
    """A `require` that fails stops the run with its message and exit code 5; nothing was changed."""
    here = site(users=3, backends=1)
    result = here.cli("run", "drain-backend", "-e", "backend=b1", "--yes")
    assert result.code == 5
    assert "no other backend is up" in result.said
    assert "directorUpdate" not in here.commands()


def test_when_is_decided_per_item(site: Callable) -> None:
    """A `when` that reads the item skips single operations, on record."""
    here = site(users=0, directors=0)
    playbook = here.cli.playbook("""
name: Some
steps:
  - name: Kick some
    hosts: b1
    command: kick
    for_each: [a, b, c]
    when: "{{ item != 'b' }}"
    parameters: {mask: ["{{ item }}"]}
""")
    assert here.cli("run", playbook, "--yes").code == 0
    assert [operation["state"] for operation in here.cli.exported()] == ["done", "skipped", "done"]
    assert len(here.fleet.requests) == 2


def test_max_failed_is_exact(site: Callable) -> None:
    """With max_failed: 2 the third failure stops the run, and what was not sent stays pending for `retry`."""
    here = site(users=0, directors=0, faults=("command=kick,first=3,exit=64",))
    playbook = users(here, 50)
    result = here.cli("run", playbook, "--yes", "--max-failed", "2", "--in-flight", "1")
    assert result.code == 3, result.said
    states = [operation["state"] for operation in here.cli.exported()]
    assert states.count("failed") == 3
    assert states.count("pending") == 47
    assert "orchestrator retry" in result.out
    again = here.cli("retry")
    assert again.code == 0, again.said
    assert {operation["state"] for operation in here.cli.exported()} == {"done"}


def test_one_dead_host_leaves_the_others_alone(site: Callable) -> None:
    """Hosts take turns: while one refuses connections, all operations of the others end done."""
    here = site(users=0, directors=0, backends=4, faults=("host=b2,refuse",))
    playbook = here.cli.playbook("""
name: Ask all
limits: {max_failed: "30%"}
retry: {attempts: 2, base: 10ms}
steps:
  - name: Kick on all
    hosts: backends
    command: kick
    for_each: [u1, u2, u3, u4, u5, u6, u7, u8, u9]
    parameters: {mask: ["{{ item }}"]}
""")
    result = here.cli("run", playbook, "--yes")
    assert result.code == 1, result.said
    by_host = {(o["host"], o["state"]) for o in here.cli.exported()}
    assert by_host == {("b1", "done"), ("b2", "unreachable"), ("b3", "done"), ("b4", "done")}
    assert "unreachable in step 1 (first on b2): circuit breaker open: connection refused" in result.out


def test_first_interrupt_lets_answers_come(site: Callable) -> None:
    """SIGINT: nothing more is sent, what is on the wire is answered and recorded, exit 130, `resume` ends it."""
    here = site(users=0, directors=0, latency=0.05)
    process = here.cli.start("run", users(here, 400), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 20)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 130, out + err
    assert "orchestrator resume" in out
    operations = here.cli.exported()
    assert {operation["state"] for operation in operations} == {"done", "pending"}
    done = sum(operation["state"] == "done" for operation in operations)
    assert done == len(here.fleet.requests)
    assert here.cli("resume").code == 0
    assert len(here.fleet.requests) == 400


def test_second_interrupt_waits_for_nothing(site: Callable) -> None:
    """A second signal gives up on answers; the run file is valid and resumable."""
    here = site(users=0, directors=0, faults=("after=10,hang",))
    process = here.cli.start("run", users(here, 40), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 12)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 143, out + err
    assert here.cli("runs").out.split()[1] == "interrupted"


def test_an_undo_that_cannot_be_done_is_resumed_and_not_retried(site: Callable) -> None:
    """A run that is being undone and stopped names `resume` as what is next, and `retry` refuses it."""
    here = site(users=0)
    playbook = here.cli.playbook(f"""
name: Change and fail
on_failure: undo
steps:
  - {{name: See, hosts: directors, command: directorStatus, register: before}}
  - name: Change
    hosts: directors
    run_once: true
    command: directorUpdate
    parameters: {{host: {here.fleet.backends["b1"]}, vhostCount: "7"}}
    undo:
      command: directorUpdate
      parameters: {{host: b1, vhostCount: "{{{{ before.rows | where('state', 'x') | column('vhosts') | first }}}}"}}
  - name: Fail
    hosts: b1
    command: mailboxStatus
    parameters: {{user: nobody, field: [messages], mailboxMask: [INBOX]}}
""")
    result = here.cli("run", playbook, "--yes")
    assert result.code == 3, result.said
    assert "next: orchestrator resume " in result.out
    assert here.cli("retry").code == 5


def test_a_run_is_held_by_one_process(site: Callable) -> None:
    """A second process on the same run is refused and told who holds it."""
    here = site(users=0, directors=0, latency=0.1)
    process = here.cli.start("run", users(here, 3000), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 4)
    refused = here.cli("resume", "kick-many")
    assert refused.code == 5
    assert f"pid {process.pid}" in refused.err
    assert here.cli("show").out.splitlines()[1].strip() == "running"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)


def test_json_alone_on_stdout(site: Callable) -> None:
    """With --format json, stdout has JSON lines and nothing else, the report last."""
    here = site(users=0, directors=0)
    result = here.cli("run", users(here, 5), "--yes", "--format", "json")
    lines = result.json()
    assert lines[-1]["event"] == "report"
    assert lines[-1]["counts"] == {"done": 5}
    assert sum(line["event"] == "attempt" for line in lines) == 5


def test_finally_runs_after_a_failure(site: Callable) -> None:
    """Steps under `finally` run whatever happened before."""
    here = site(users=0, directors=0, faults=("command=kick,exit=64",))
    playbook = here.cli.playbook("""
name: Fail, then look
steps:
  - {name: Fail, hosts: b1, command: kick, parameters: {mask: [x]}}
finally:
  - {name: Look, hosts: b1, command: who}
""")
    assert here.cli("run", playbook, "--yes").code == 3
    assert [command for command in here.commands() if command != "logErrors"] == ["kick", "who"]


def test_resume_goes_by_the_configuration_of_the_run(site: Callable) -> None:
    """Without -c, `resume` takes the configuration that the run was planned with, wherever it is called."""
    here = site(users=0, directors=0, latency=0.05)
    process = here.cli.start("run", users(here, 60), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 10)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)
    other = here.cli.folder / "elsewhere.yaml"
    other.write_text(here.cli.config.read_text().replace("b2", "c2"))
    here.cli.config = other
    assert here.cli("resume").code == 0
    assert {operation["state"] for operation in here.cli.exported()} == {"done"}


def test_two_runs_do_not_change_the_same_hosts(site: Callable) -> None:
    """While a run changes hosts, another that would change them too is refused, naming it; --force overrides."""
    here = site(users=0, directors=0, latency=0.05)
    playbook = users(here, 3000)
    process = here.cli.start("run", playbook, "--yes")
    wait_until(lambda: len(here.fleet.requests) > 10)
    refused = here.cli("exec", "b1", "kick", "mask=x", "--yes")
    assert refused.code == 5, refused.said
    assert f"is changing b1 at this moment (pid {process.pid}" in refused.err
    assert here.cli("exec", "b1", "who").code == 0
    assert here.cli("exec", "b2", "kick", "mask=x", "--yes").code == 0
    assert here.cli("exec", "b1", "kick", "mask=x", "--yes", "--force").code == 0
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)


def test_attempts_that_end_in_the_same_moment(site: Callable) -> None:
    """Attempts of one operation that are recorded together are all on record, and the last one decides."""
    here = site(users=0, directors=0, backends=1, faults=("command=kick,first=150,exit=75",))
    playbook = here.cli.playbook(KICK_MANY.replace("base: 20ms, max: 200ms", "base: 1ms, max: 1ms"))
    users(here, 40)
    result = here.cli("run", playbook, "--yes")
    assert result.code == 0, result.said
    operations = here.cli.exported()
    assert {operation["state"] for operation in operations} == {"done"}
    assert {o["id"]: o["attempts"] for o in operations} == Counter(record["tag"] for record in records(here.record))
    tried = max(operations, key=lambda operation: operation["attempts"])
    attempts = here.cli("show", "last", tried["id"], "--format", "json").json()[0]["attempt_list"]
    assert [attempt["number"] for attempt in attempts] == list(range(1, tried["attempts"] + 1))
    assert attempts[-1]["exit_code"] != 75


def test_a_run_can_be_looked_at_while_it_goes_on(site: Callable) -> None:
    """Reports that are read again and again while a run is worked on are each of one moment, and never fail."""
    here = site(users=0, directors=0, backends=1, faults=("command=kick,rate=0.2,exit=75",))
    process = here.cli.start("run", users(here, 2100), "--yes")
    wait_until(lambda: list(here.cli.state.glob("*.run")))
    (path,) = here.cli.state.glob("*.run")
    seen = 0
    while process.poll() is None:
        with open_file(str(path)).read() as reader:
            for _ in range(20):
                report = make_report(reader, "somebody")
                assert sum(report.counts.values()) == report.planned == 2100
                seen += 1
        if seen % 100 == 0:
            shown = here.cli("show")
            assert shown.code == 0, shown.said
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert seen > 20
