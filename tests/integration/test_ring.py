"""The real ring which other tests rely on does what it says: it is whole, it is alone, and it leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.ring import CommandError, Ring, RingError, Sessions, api, leftovers, start_ring
from tests.ring import ring as ring_module
from tests.ring.api import wait_until

pytest_plugins = ["tests.ring.fixtures"]
pytestmark = pytest.mark.real_dovecot

RingFactory = Callable[..., Ring]
HOSTS = ("d1", "d2", "b1", "b2", "b3")
REPOSITORY = Path(__file__).parents[2]

OWNER_PROGRAM = """
    from tests.ring import start_ring
    ring = start_ring(directors=1, backends=1, users=5)
    print(ring.root, ring._guard.pid, flush=True)
    input()
"""


def dies_holding_a_ring(*, with_guard: bool) -> Path:
    """Let a process start a ring and SIGKILL it, on request together with the ring's guard; the ring's directory."""
    command = [sys.executable, "-c", textwrap.dedent(OWNER_PROGRAM)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        root, guard = owner.stdout.readline().split()
        assert len(leftovers.servers(Path(root))) > 2
        if with_guard:
            os.kill(int(guard), signal.SIGKILL)
        owner.kill()
    return Path(root)


def test_every_api_takes_the_password_and_the_key(ring: Ring) -> None:
    """All five hosts answer with either way of authentication, and turn a wrong one away."""
    assert tuple(ring.hosts) == HOSTS
    for host in HOSTS:
        for authorization in (api.basic(ring.password), api.api_key(ring.api_key)):
            rows = ring.call(host, "serviceStatus", {"service": ["doveadm"]}, authorization=authorization)
            assert [row["name"] for row in rows] == ["doveadm"]
        for authorization in (api.basic("wrong"), api.api_key("wrong")):
            with pytest.raises(RingError, match="HTTP 401"):
                ring.call(host, "who", authorization=authorization)


def test_an_error_keeps_its_kind_and_exit_code(ring: Ring) -> None:
    """A command's failure arrives as what the server said."""
    with pytest.raises(CommandError) as failure:
        ring.call("b1", "kick", {"mask": ["nobody"]})
    assert (failure.value.kind, failure.value.exit_code) == ("exitCode", 68)


def test_the_ring_is_synced(ring: Ring) -> None:
    """Both directors see themselves and each other in sync, and every backend up with 100 vhosts."""
    assert ring.synced()
    for director in ring.directors:
        states = {(row["director ip"], row["status"]) for row in ring.call(director, "directorRingStatus")}
        other = {address for name, address in ring.directors.items() if name != director}
        assert states == {(ring.directors[director], "ring synced")} | {(address, "synced") for address in other}
        rows = ring.call(director, "directorStatus")
        assert {row["mail server ip"] for row in rows} == set(ring.backends.values())
        assert {(row["vhosts"], row["state"]) for row in rows} == {("100", "up")}


def test_directors_and_backends_know_the_users(ring: Ring) -> None:
    """All users are listed on both kinds of host, and directorMap tells them by name."""
    names = {*ring.users, "unreadable"}
    assert len(names) == 201
    for host in ("d1", "b1"):
        [listed] = ring.call(host, "user", {"userMask": ["*"]})
        assert set(listed["userList"]) == names
    assert isinstance(ring.call("d1", "directorMap"), list)


def test_the_unreadable_user_fails_where_others_do_not(ring: Ring) -> None:
    """Mail commands work for an ordinary user and end with 75 for the user whose home cannot be opened."""
    status = {"field": ["messages"], "mailboxMask": ["INBOX"]}
    assert ring.call("b1", "mailboxStatus", {"user": "user200", **status})[0]["messages"] == "0"
    with pytest.raises(CommandError) as failure:
        ring.call("b1", "mailboxStatus", {"user": "unreadable", **status})
    assert failure.value.exit_code == 75


def test_servers_may_open_as_many_files_as_there_may_be(ring: Ring) -> None:
    """The soft limit of file descriptors of every master is the hard limit."""
    for node in ring.nodes.values():
        limits = Path(f"/proc/{node.pid}/limits").read_text().splitlines()
        soft, hard = next(line for line in limits if line.startswith("Max open files")).split()[3:5]
        assert soft == hard


def test_write_config_names_all_hosts_and_keeps_secrets_apart(ring: Ring, tmp_path: Path) -> None:
    """The configuration is what the orchestrator documents, and only the owner can read the secrets it points to."""
    path = ring.write_config(tmp_path / "config.yaml")
    assert path == tmp_path / "config.yaml"
    assert yaml.safe_load(path.read_text()) == {
        "defaults": {"scheme": "http", "port": ring.port, "auth": {"password": {"file": "doveadm.password"}}},
        "groups": {"directors": {"hosts": ring.directors}, "backends": {"hosts": ring.backends}},
    }
    for name, secret in (("doveadm.password", ring.password), ("doveadm.api_key", ring.api_key)):
        assert (tmp_path / name).read_text().strip() == secret
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert secret not in path.read_text()


def test_sessions_are_distributed(changed_ring: Ring) -> None:
    """40 users are logged in, through both directors, on all backends, and each director knows of all 40."""
    ring = changed_ring
    with Sessions(ring, count=40) as sessions:
        assert sessions.alive() == 40
        assert (len(sessions.logins), sessions.failed_logins, sessions.drops) == (40, [], [])
        assert [len(ring.call(director, "proxyList")) for director in ring.directors] == [20, 20]
        counts = [ring.users_on(backend) for backend in ring.backends]
        assert [sum(column) for column in zip(*counts, strict=True)] == [40, 40]
        who = [row for backend in ring.backends for row in ring.call(backend, "who")]
        assert {row["username"] for row in who} == set(sessions.users)
        assert all(min(count) > 0 for count in counts)
    assert sessions.drops == []
    assert sessions.alive() == 0


def test_a_dropped_session_comes_back_only_on_request(changed_ring: Ring) -> None:
    """A kick is noted as a drop; with `relogin` the user is back soon, without he stays away."""
    ring = changed_ring
    with Sessions(ring, count=2, relogin=0.05) as back, Sessions(ring, count=2, first=3, relogin=None) as gone:
        for director in ring.directors:
            ring.call(director, "proxyKick", {"user": [*back.users, *gone.users]})
        wait_until(lambda: len(back.logins) == 4, 60.0, "two more logins")
        back.wait_alive(2)
        gone.wait_alive(0)
        assert sorted(event.user for event in back.drops) == ["user001", "user002"]
        assert sorted(event.user for event in gone.drops) == ["user003", "user004"]
        assert len(gone.logins) == 2


def test_failed_logins_are_seen(changed_ring: Ring) -> None:
    """A director that is gone makes failed logins, and they end when it is back."""
    ring = changed_ring
    with Sessions(ring, count=4, relogin=0.05) as sessions:
        ring.stop_host("d2")
        sessions.wait_alive(2)
        wait_until(lambda: bool(sessions.failed_logins), 60.0, "a failed login")
        assert {event.host for event in sessions.failed_logins} == {"d2"}
        ring.start_host("d2")
        sessions.wait_alive(4)


def test_a_drain_by_hand_loses_no_login(changed_ring: Ring) -> None:
    """Vhost count 0 and a flush empty b1: its sessions are cut once, and every user is in again elsewhere."""
    ring = changed_ring
    b1 = ring.backends["b1"]
    with Sessions(ring, count=40) as sessions:
        there = ring.users_on("b1")[0]
        ring.call("d1", "directorUpdate", {"host": b1, "vhostCount": "0"})
        ring.call("d1", "directorFlush", {"host": b1})
        wait_until(lambda: len(sessions.drops) == there, 60.0, "every session on b1 dropped")
        sessions.wait_alive(40)
        assert ring.users_on("b1") == [0, 0]
        assert ring.call("b1", "who") == []
        assert not any(row["dest-ip"] == b1 for name in ring.directors for row in ring.call(name, "proxyList"))
        assert sessions.failed_logins == []
        assert len(sessions.drops) == there > 0


def test_reset_undoes_what_tests_do(changed_ring: Ring) -> None:
    """After vhost, state, membership, services and processes were changed, a reset ring is as a new one."""
    ring = changed_ring
    b1, b2, b3 = ring.backends.values()
    with Sessions(ring, count=10, relogin=None):
        ring.call("d1", "directorUpdate", {"host": b1, "vhostCount": "7"})
        ring.call("d1", "directorDown", {"host": b2})
        ring.call("d2", "directorRemove", {"host": b3})
        ring.call("d2", "directorAdd", {"host": f"{ring.network}.9.9"})
        ring.call("b2", "serviceStop", {"service": ["imap"]})
        ring.call("b3", "serviceStop", {"service": ["doveadm"]})
        ring.nodes["b1"].freeze()
        ring.stop_host("d1")
        ring.reset()
    test_the_ring_is_synced(ring)
    assert [ring.users_on(backend) for backend in ring.backends] == [[0, 0]] * 3
    with Sessions(ring, count=10) as sessions:
        assert sessions.failed_logins == []


def test_a_killed_host_starts_again(changed_ring: Ring) -> None:
    """A server that went down hard comes back although its old pid file and sockets are there."""
    ring = changed_ring
    pid = ring.nodes["d2"].pid
    ring.nodes["d2"].kill()
    assert ring.nodes["d2"].processes() == []
    ring.start_host("d2")
    assert ring.nodes["d2"].pid not in (None, pid)
    ring.wait_synced()
    ring.signal_host("b1", signal.SIGKILL)
    ring.start_host("b1")
    assert "starting up" in ring.log("b1")


def test_rings_live_side_by_side(ring: Ring, dovecot_ring_factory: RingFactory) -> None:
    """A second ring has a network, secrets and users of its own, and its end does not touch the first."""
    before = {name: node.pid for name, node in ring.nodes.items()}
    with Sessions(ring, count=10, first=101) as sessions:
        with dovecot_ring_factory(directors=1, backends=2, users=12) as second:
            assert second.network != ring.network
            assert second.password != ring.password
            with Sessions(second, count=12) as others:
                assert sum(second.users_on(backend)[0] for backend in second.backends) == 12
                assert others.failed_logins == []
        assert second.nodes["b1"].processes() == []
        assert sessions.alive() == 10
        assert (sessions.drops, sessions.failed_logins) == ([], [])
    assert {name: node.pid for name, node in ring.nodes.items()} == before
    assert ring.synced()


def test_close_leaves_nothing(dovecot_ring_factory: RingFactory) -> None:
    """After close there is no process, no directory and no guard, even if servers hang; a second close is harmless."""
    ring = dovecot_ring_factory(directors=1, backends=1, users=3)
    pids = leftovers.servers(ring.root)
    assert len(pids) > 2
    ring.nodes["b1"].freeze()
    ring.close()
    assert leftovers.servers(ring.root) == []
    assert not ring.root.exists()
    assert ring._guard.returncode == 0
    for address in ring.hosts.values():
        with pytest.raises(ConnectionRefusedError):
            ring.call(address, "who")
    ring.close()


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, ring: Ring) -> None:
    """A broken configuration ends in one error with Dovecot's words, and nothing is left of the ring."""
    roots: list[Path] = []
    monkeypatch.setattr(leftovers, "write_owner", roots.append)
    with pytest.raises(RingError, match=r"did not start.*(?s:.)*Unknown setting: .*nonsense"):
        start_ring(doveadm_service="nonsense = 1")
    assert leftovers.servers(roots[0]) == []
    assert not roots[0].exists()


def test_a_server_that_does_not_answer_shows_its_log(ring: Ring) -> None:
    """Waiting for a server in vain ends with the tail of its log."""
    node = ring.nodes["b1"]
    with pytest.raises(RingError, match=r"b1 .*its API sleeps; the end of its log:\n(?s:.)*starting up"):
        node._wait(lambda: False, 0.0, "its API sleeps")


def test_a_directory_closed_to_the_mail_user_is_refused(ring: Ring, tmp_path: Path) -> None:
    """A root below a private directory is refused at once, instead of logins failing later."""
    tmp_path.chmod(0o700)
    with pytest.raises(RingError, match="not open to the user mail"):
        start_ring(tmp_path / "ring")


@pytest.mark.parametrize("with_guard", [False, True], ids=["owner", "owner and guard"])
def test_a_killed_owner_leaves_no_ring(ring: Ring, with_guard: bool) -> None:
    """SIGKILL of the process that made a ring: its guard clears up, and without guard the next ring's start does."""
    root = dies_holding_a_ring(with_guard=with_guard)
    if with_guard:  # another session's start on this machine may have been first
        assert leftovers.is_abandoned(root) or not root.exists()
        leftovers.remove_abandoned(root.parent)
    wait_until(lambda: not root.exists(), 60.0, f"{root} removed")
    assert leftovers.servers(root) == []
    assert not leftovers.is_abandoned(ring.root)
    assert ring.synced()


def test_a_machine_without_a_ring_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not Linux, not root, no Dovecot, no imapd, a Dovecot without directors: each has a reason of its own."""

    def why() -> str:
        return str(ring_module.unavailable.__wrapped__())  # not what it remembers of this machine

    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert "needs Linux" in why()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert why() == "a real ring needs root"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert why() == "dovecot is not installed: apt-get install dovecot-core dovecot-imapd"
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    outputs = {"dovecot": "2.4.1 (abc)", "doveconf": "/nonexistent"}
    monkeypatch.setattr(ring_module, "_output", lambda *command: outputs[command[0]])
    assert "needs Dovecot 2.3" in why()
    outputs["dovecot"] = "2.3.19.1 (9b53102964)"
    assert "dovecot lacks director, imap, imap-login: apt-get install" in why()


@pytest.mark.parametrize(("required", "outcome"), [("", "skipped"), ("1", "error")])
def test_without_dovecot_tests_skip_unless_it_is_required(required: str, outcome: str) -> None:
    """A missing Dovecot skips the tests that want it, and breaks a run that promised it."""
    test = f"{__file__}::{test_the_ring_is_synced.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={"PATH": "/nonexistent", "ORCHESTRATOR_REQUIRE_DOVECOT": required},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"1 {outcome}" in done.stdout
    assert "dovecot is not installed" in done.stdout or os.geteuid() != 0
    assert (done.returncode == 0) is (outcome == "skipped")
