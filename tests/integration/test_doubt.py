"""What must not be repeated and got no answer is in doubt: shown with its reason, probed, or decided by a person."""

from __future__ import annotations

import contextlib
import getpass
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.command_line import CommandLine, records
from tests.integration.conftest import Site

COUNT = """
name: Count
steps:
  - name: Begin at 0
    hosts: b1
    command: dictSet
    for_each: [a, b, c, d]
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", value: "0"}
  - name: Count
    hosts: b1
    command: dictInc
    for_each: [a, b, c, d]
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", difference: 1}
    limits: {max_failed: 100%, per_host: 1}
    timeout: 1s
"""

PROBE = """
    probe:
      after: 2s
      command: dictGet
      parameters: {dictUri: "file:/x", key: "{{ parameters.key }}"}
      done: "{{ (rows | first).value == '1' }}"
"""

REPEATED = """
name: Kick
retry: {base: 5ms, max: 20ms, attempts: 4}
steps:
  - name: Kick
    hosts: b1
    command: kick
    for_each: [a, b, c, d]
    parameters: {mask: ["{{ item }}"]}
    timeout: 500ms
"""

# what a server may do in the place of an answer, whether the command was executed then, and what is said about it
TROUBLES = {
    "empty=before": (False, "closed without an answer"),
    "empty=after": (True, "closed without an answer"),
    "reset=before": (False, "connection"),
    "reset=after": (True, "connection"),
    "hang=before": (False, "no complete answer within 1 s"),
    "hang=after": (True, "no complete answer within 1 s"),
    "truncate": (True, "cut short"),
    "wrong_tag": (True, "carries the tag"),
    "http=502": (False, "HTTP 502"),
    "exit=75": (False, "exit code 75"),
    "exit=75,applied": (True, "exit code 75"),
}


def counters(here: Site, host: str = "b1") -> dict[str, str]:
    """What the counters show, on the server itself."""
    found = here.fleet.fleet.hosts[host].dictionaries["file:/x"]
    return {key.removeprefix("shared/"): value for key, value in found.items()}


def troubled(site: Callable[..., Site], troubles: Iterable[str], command: str, first: int) -> Site:
    """A fleet with a backend for each kind of trouble, which the first so many of a command's requests meet."""
    faults = [f"host=b{n},command={command},first={first},{trouble}" for n, trouble in enumerate(troubles, 1)]
    return site(users=0, directors=0, backends=len(faults), faults=tuple(faults))


def everywhere(playbook: str) -> str:
    """The playbook for all backends, one after the other in the order of operations."""
    return playbook.replace("hosts: b1", "hosts: backends")


def hosts_of(cli: CommandLine, key: str) -> dict[str, list[dict[str, Any]]]:
    """The operations of a step by host, in the order of the hosts' numbers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for operation in of_step(cli, key):
        found.setdefault(operation["host"], []).append(operation)
    return {host: found[host] for host in sorted(found, key=lambda name: int(name[1:]))}


def of_step(cli: CommandLine, key: str) -> list[dict[str, Any]]:
    """The operations of a step."""
    return [operation for operation in cli.exported() if operation["step"] == key]


def sent(here: Site) -> Counter[str]:
    """How often each operation was sent."""
    return Counter(record["tag"] for record in records(here.record))


def arrived(here: Site, operation: str) -> int:
    """How often an operation has reached a server, also when that is still at it."""
    return sum(request.tag == operation for request in here.fleet.requests)


def doubtful(site: Callable[..., Site], trouble: str, playbook: str = COUNT) -> Site:
    """A fleet of one, whose first two dictInc meet that trouble, and a run of the playbook that ended in doubt."""
    here = site(users=0, directors=0, backends=1, faults=(f"command=dictInc,first=2,{trouble}",))
    result = here.cli("run", here.cli.playbook(playbook), "--yes")
    assert result.code == 4, result.said
    return here


def test_a_lost_answer_is_doubt(site: Callable[..., Site]) -> None:
    """However the answer of a dictInc is lost: in doubt, exit code 4, the reason and the time on record, sent once."""
    here = troubled(site, TROUBLES, "dictInc", 2)
    result = here.cli("run", here.cli.playbook(everywhere(COUNT)), "--yes")
    assert result.code == 4, result.said
    assert "orchestrator show" in result.out
    assert "--in-doubt" in result.out
    by_host = hosts_of(here.cli, "2")
    for host, (trouble, (executed, words)) in zip(by_host, TROUBLES.items(), strict=True):
        operations = by_host[host]
        assert [operation["state"] for operation in operations] == ["in_doubt", "in_doubt", "done", "done"], trouble
        assert all(words in operation["error"] for operation in operations[:2]), operations[0]["error"]
        assert all(0 < operation["started_at"] <= operation["finished_at"] for operation in operations)
        first = "1" if executed else "0"
        assert counters(here, host) == {"a": first, "b": first, "c": "1", "d": "1"}, trouble
    assert all(count == 1 for tag, count in sent(here).items() if tag.startswith("2."))
    listed = here.cli("show", "last", "--in-doubt").out.splitlines()
    assert len(listed) == 2 * len(TROUBLES)
    for host, (_, words) in zip(by_host, TROUBLES.values(), strict=True):
        assert sum(f"dictInc on {host} " in line and words in line for line in listed) == 2
    attempt = here.cli("show", "last", "2.1", "--format", "json").json()[0]["attempt_list"]
    assert [(one["number"], one["kind"]) for one in attempt] == [(1, "unknown")]


def test_the_hosts_log_is_shown(site: Callable[..., Site]) -> None:
    """What the host logged about a command that killed its process is shown with it: in the report and alone."""
    here = site(users=0, directors=0, backends=1)
    playbook = here.cli.playbook("""
name: Crash
steps:
  - {name: Kick two, hosts: b1, command: kick, effect: unrepeatable, parameters: {mask: [user001, user002]}}
""")
    here = site(users=0, directors=0, backends=1, version="2.4")
    result = here.cli("run", playbook, "--yes")
    assert result.code == 4, result.said
    assert "b1 logged: " in result.out
    assert "Fatal" in result.out
    shown = here.cli("show", "last", "1.1")
    assert "b1 logged: " in shown.out
    assert here.cli("show", "last", "1.1", "--format", "json").json()[0]["evidence"]
    assert here.commands() == ["kick", "logErrors"]


def test_decide_settles_and_says_who(site: Callable[..., Site]) -> None:
    """Decisions are recorded with who made them; `resume` goes on when none is left, and sends again only what it may."""
    here = doubtful(site, "empty=before")
    first = here.cli("decide", "last", "2.1", "--as", "retry")
    assert first.code == 4, first.said
    assert "1 left in doubt" in first.err
    second = here.cli("decide", "last", "2.2", "--as", "done")
    assert second.code == 0, second.said
    assert here.cli("decide", "last", "2.2", "--as", "done").code == 2  # it is not in doubt any more
    assert here.cli("decide", "last", "2.3", "--as", "failed").code == 2  # and this one never was
    assert "next: orchestrator resume" in here.cli("report").out
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    assert [operation["state"] for operation in of_step(here.cli, "2")] == ["done"] * 4
    assert counters(here) == {"a": "1", "b": "0", "c": "1", "d": "1"}
    assert sent(here)["2.1"] == 2
    assert sent(here)["2.2"] == 1
    for operation, verdict in (("2.1", "retry"), ("2.2", "done")):
        assert f"decided {verdict}: by {getpass.getuser()} on " in here.cli("show", "last", operation).out
    (path,) = here.cli.state.glob("*.run")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        sessions = connection.execute("SELECT began, ended, status FROM session ORDER BY number").fetchall()
        decided = connection.execute("SELECT at, text FROM event WHERE kind = 'decided' ORDER BY rowid").fetchall()
    assert [status for *_, status in sessions] == ["in_doubt", "done"]
    assert [text.partition(" ")[0] for _, text in decided] == ["retry", "done"]
    moments = [*sessions[0][:2], *(at for at, _ in decided), *sessions[1][:2]]
    assert moments == sorted(moments)


@pytest.mark.parametrize(
    ("verdict", "code", "state", "value"),
    [("retry", 0, "done", "1"), ("done", 0, "done", "0"), ("failed", 1, "failed", "0")],
)
def test_resume_decides_all(site: Callable[..., Site], verdict: str, code: int, state: str, value: str) -> None:
    """`resume --in-doubt` settles everything one way, records who did, and goes on."""
    here = doubtful(site, "reset=before")
    resumed = here.cli("resume", "--in-doubt", verdict)
    assert resumed.code == code, resumed.said
    assert f"2 operations in doubt decided as {verdict}" in resumed.err
    assert [operation["state"] for operation in of_step(here.cli, "2")] == [state, state, "done", "done"]
    assert counters(here) == {"a": value, "b": value, "c": "1", "d": "1"}
    assert f"decided {verdict}: by {getpass.getuser()} on " in here.cli("show", "last", "2.1").out


def test_every_attempt_stays_on_record(site: Callable[..., Site]) -> None:
    """After a decision to send again, the operation's record has both attempts, and why the first was in doubt."""
    here = doubtful(site, "empty=before")
    assert here.cli("resume", "--in-doubt", "retry").code == 0
    attempts = here.cli("show", "last", "2.1", "--format", "json").json()[0]["attempt_list"]
    assert [attempt["number"] for attempt in attempts] == [1, 2]
    assert "closed without an answer" in attempts[0]["error"]


def test_a_decision_is_no_crash(site: Callable[..., Site]) -> None:
    """A run of which one operation was decided and one is still in doubt is in doubt, not crashed."""
    here = doubtful(site, "empty=before")
    here.cli("decide", "last", "2.1", "--as", "done")
    assert "crashed" not in here.cli("runs").out
    assert here.cli("show").out.splitlines()[1].strip().startswith("in doubt")


AFTER = """
  - name: Build upon it
    hosts: b1
    command: kick
    parameters: {mask: [a]}
"""


@pytest.mark.parametrize("max_failed", ["0", "100%"])
def test_nothing_is_built_upon_doubt(site: Callable[..., Site], max_failed: str) -> None:
    """Without a decision, `resume` ends with exit code 4 again: nothing in doubt is sent again, no later step begins."""
    here = doubtful(site, "empty=after", (COUNT + AFTER).replace("max_failed: 100%", f"max_failed: {max_failed}"))
    assert here.cli("resume").code == 4
    assert here.cli("resume").code == 4
    assert sent(here)["2.1"] == 1
    assert "kick" not in here.commands()


def test_a_probe_settles(site: Callable[..., Site]) -> None:
    """Where the step has a probe, nobody is asked: what was executed is done, what was not is sent again; each counts once."""
    troubles = {trouble: executed for trouble, (executed, _) in TROUBLES.items() if not trouble.startswith("hang")}
    here = troubled(site, troubles, "dictInc", 2)
    result = here.cli("run", here.cli.playbook("retry: {base: 5ms}\n" + everywhere(COUNT) + PROBE), "--yes")
    assert result.code == 0, result.said
    count = sent(here)
    for (host, operations), (trouble, executed) in zip(hosts_of(here.cli, "2").items(), troubles.items(), strict=True):
        assert counters(here, host) == {"a": "1", "b": "1", "c": "1", "d": "1"}, trouble
        assert sum(count[operation["id"]] for operation in operations) == (4 if executed else 6), trouble
        assert ("the probe says that it was executed" in operations[0]["error"]) == executed, trouble


def test_a_probe_that_cannot_tell_leaves_doubt(site: Callable[..., Site]) -> None:
    """A probe that is not answered decides nothing; on `resume` it is asked again, and settles."""
    faults = ("command=dictInc,first=1,empty=after", "command=dictGet,first=1,empty")
    here = site(users=0, directors=0, backends=1, faults=faults)
    assert here.cli("run", here.cli.playbook(COUNT + PROBE), "--yes").code == 4
    assert of_step(here.cli, "2")[0]["state"] == "in_doubt"
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    assert sent(here)["2.1"] == 1
    assert counters(here)["a"] == "1"
    assert "decided done: by the step's probe" in here.cli("show", "last", "2.1").out


def test_a_probe_cannot_settle_what_still_runs(site: Callable[..., Site]) -> None:
    """A host that is slow executes after the timeout: what the probe does not see yet is in doubt, never sent twice."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,first=1,slow=2.5",))
    here.cli("run", here.cli.playbook(COUNT + PROBE), "--yes")
    assert arrived(here, "2.1") == 1
    first = of_step(here.cli, "2")[0]
    assert first["state"] == "in_doubt"
    assert "may still be executing it" in first["error"]


def test_a_probe_is_not_believed_too_early(site: Callable[..., Site]) -> None:
    """Resumed at once, a run does not send again what a slow host may still be executing."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,first=1,slow=4",))
    playbook = here.cli.playbook(COUNT + PROBE.replace("after: 2s", "after: 6s"))
    assert here.cli("run", playbook, "--yes").code == 4
    resumed = here.cli("resume")
    assert "the host may still be executing what is in doubt" in resumed.err
    assert resumed.code == 0, resumed.said
    assert arrived(here, "2.1") == 1


def test_what_may_be_repeated_is(site: Callable[..., Site]) -> None:
    """Kicks whose answers are lost are sent again until they are answered; all attempts are on record, and counted."""
    here = troubled(site, TROUBLES, "kick", 3)
    result = here.cli("run", here.cli.playbook(everywhere(REPEATED)), "--yes", "--format", "json")
    assert result.code == 0, result.said
    (report,) = [line for line in result.json() if line["event"] == "report"]
    assert report["retries"] == 3 * len(TROUBLES)
    operations = [operation for found in hosts_of(here.cli, "1").values() for operation in found]
    assert {operation["state"] for operation in operations} == {"done"}
    kicks = Counter({tag: count for tag, count in sent(here).items() if tag.startswith("1.")})
    assert kicks.total() == 7 * len(TROUBLES)
    assert {operation["id"]: operation["attempts"] for operation in operations} == kicks
    tried = max(operations, key=lambda operation: operation["attempts"])
    shown = here.cli("show", "last", tried["id"], "--format", "json").json()[0]["attempt_list"]
    assert len(shown) == kicks[tried["id"]]
    assert all(attempt["error"] for attempt in shown[:-1])


def test_repeating_is_bounded(site: Callable[..., Site]) -> None:
    """A host that never answers OK gets as many attempts as `attempts` says, and then the operation has failed."""
    here = troubled(site, ("empty", "exit=75", "wrong_tag"), "kick", 1000)
    words = ("--max-failed", "100%", "--in-flight", "3")
    result = here.cli("run", here.cli.playbook(everywhere(REPEATED)), "--yes", *words)
    assert result.code == 1, result.said
    assert max(count for tag, count in sent(here).items() if tag.startswith("1.")) == 4
    assert {operation["state"] for operation in here.cli.exported()} <= {"failed", "unreachable"}


NO_SECRET = """
name: Fail
steps:
  - {name: Fail, hosts: b1, command: kick, parameters: {mask: [a]}}
"""


def test_a_retry_that_could_not_begin_can_be_made_again(site: Callable[..., Site]) -> None:
    """When `retry` fails for a secret that is not there, it can be given again once it is."""
    here = site(users=0, directors=0, backends=1, faults=("command=kick,first=1,exit=64",))
    assert here.cli("run", here.cli.playbook(NO_SECRET), "--yes").code == 3
    secret = here.cli.folder / "doveadm.password"
    kept = secret.read_text()
    secret.unlink()
    assert here.cli("retry").code == 2
    secret.write_text(kept)
    secret.chmod(0o600)
    again = here.cli("retry")
    assert again.code == 0, again.said
    assert {operation["state"] for operation in here.cli.exported()} == {"done"}
