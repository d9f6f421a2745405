"""A thousand repairs on a real server that says success also where it could not do anything: the playbook finds out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.cases import LOST
from tests.real.exec import ONE_ATTEMPT, Exec
from tests.ring import Ring
from tests.ring.api import wait_until

pytestmark = [pytest.mark.real_dovecot, pytest.mark.timeout(600)]

USERS = 1000
PLAYBOOK = """\
name: Repair mailboxes
on_failure: continue
limits: {max_failed: 100%}
retry: {attempts: 2, base: 100ms}
parameters:
  users: {type: file, required: true, help: names of the users}
steps:
  - name: Repair
    hosts: b1
    for_each: {file: "{{ users }}"}
    command: forceResync
    parameters: {user: "{{ item }}", mailboxMask: "*"}
  - name: See whether the mail can be read
    hosts: b1
    for_each: {file: "{{ users }}"}
    command: mailboxStatus
    parameters: {user: "{{ item }}", field: [messages], mailboxMask: [INBOX]}
"""


@pytest.fixture(scope="module")
def quick_ring(dovecot_ring_factory: Callable[..., Ring]) -> Iterator[Ring]:
    """One backend with 1000 users whose doveadm processes serve many requests, as large sites set it."""
    with dovecot_ring_factory(directors=1, backends=1, users=USERS, doveadm_service="service_count = 100") as ring:
        yield ring


def test_a_process_that_served_a_user_cannot_serve_the_host(
    quick_ring: Ring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reused doveadm process keeps the user's rights and crashes on the next `who`; the retry is answered."""
    config = quick_ring.write_config(tmp_path / "config.yaml")
    cli = Exec(config, tmp_path / "state", capsys)
    usual = config.read_text()
    config.write_text(usual + ONE_ATTEMPT)
    served = cli("b1", "mailboxStatus", [f"user={quick_ring.users[0]}", "field=messages", "mailboxMask=INBOX"])
    assert served.state == "done", served
    lost = cli("b1", "who", [])
    assert (lost.state, lost.error) == ("failed", LOST), lost
    wait_until(lambda: "/anvil) failed: Permission denied" in quick_ring.log("b1"), 60.0, "it says why")
    served = cli("b1", "mailboxStatus", [f"user={quick_ring.users[0]}", "field=messages", "mailboxMask=INBOX"])
    config.write_text(usual + "retry: {base: 10ms}\n")
    assert cli("b1", "who", []).state == "done"


def test_the_log_is_asked_once_more(quick_ring: Ring, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The process that failed for a user is asked for the log first, and dies of it; the next one tells why."""
    config = quick_ring.write_config(tmp_path / "config.yaml")
    config.write_text(config.read_text() + ONE_ATTEMPT)
    cli = Exec(config, tmp_path / "state", capsys)
    failed = cli("b1", "mailboxStatus", ["user=unreadable", "field=messages", "mailboxMask=INBOX"])
    assert (failed.state, failed.exit_code) == ("failed", 75), failed
    assert failed.sent.commands == ["mailboxStatus", "logErrors", "logErrors"]
    assert "Permission denied" in failed.evidence
    assert "unreadable" in failed.evidence


LOOKUPS = """\
name: Look for what is not there
on_failure: continue
limits: {max_failed: 100%, per_host: 1}
retry: {attempts: 1}
steps:
  - name: Look
    hosts: b1
    for_each: [shared/first, shared/second, shared/third]
    command: dictGet
    parameters: {dictUri: "file:@root@/nothing.dict", key: "{{ item }}"}
"""


def test_a_failure_is_not_explained_by_the_one_before(
    quick_ring: Ring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three lookups fail within a second, and each shows what the host logged about it alone."""
    (tmp_path / "look.yaml").write_text(LOOKUPS.replace("@root@", str(quick_ring.root)))
    cli = Exec(quick_ring.write_config(tmp_path / "config.yaml"), tmp_path / "state", capsys)
    code, text = cli.run("run", str(tmp_path / "look.yaml"), "--yes")
    assert code == 1, text
    for number, word in enumerate(("first", "second", "third"), 1):
        code, text = cli.run("show", "last", f"1.{number}")
        [logged] = [line for line in text.splitlines() if "logged:" in line]
        assert {name for name in ("first", "second", "third") if f"shared/{name}" in logged} == {word}, logged


def test_exactly_the_unreadable_are_reported(
    quick_ring: Ring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 1000 users 10 have homes that cannot be read: forceResync says ok to all, and exactly those 10 end as failed."""
    ring = quick_ring
    broken = set(ring.users[37::100])
    assert len(broken) == USERS // 100
    for user in broken:
        (ring.root / "mail" / user).mkdir(mode=0)
    (tmp_path / "users.txt").write_text("\n".join(ring.users) + "\n")
    (tmp_path / "repair.yaml").write_text(PLAYBOOK)
    cli = Exec(ring.write_config(tmp_path / "config.yaml"), tmp_path / "state", capsys)
    code, text = cli.run("run", str(tmp_path / "repair.yaml"), "-e", f"users={tmp_path / 'users.txt'}", "--yes")
    assert code == 1, text
    code, text = cli.run("export", "last")
    assert code == 0, text
    operations = [json.loads(line) for line in text.splitlines()]
    repairs = [operation for operation in operations if operation["command"] == "forceResync"]
    looks = [operation for operation in operations if operation["command"] == "mailboxStatus"]
    assert [operation["state"] for operation in repairs] == ["done"] * USERS
    assert [operation["parameters"]["user"] for operation in looks] == ring.users
    failed = [operation for operation in looks if operation["state"] != "done"]
    assert {operation["parameters"]["user"] for operation in failed} == broken
    assert {(operation["state"], operation["exit_code"]) for operation in failed} == {("failed", 75)}
    code, text = cli.run("report", "last")
    assert "2000 planned = 1990 done + 10 failed" in text
