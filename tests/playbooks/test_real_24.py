"""The shipped playbooks on real Dovecot 2.4: two proxies before two backends, each with homes of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.playbooks.conftest import QuickCommandLine
from tests.playbooks.test_real import PLAYBOOKS, done, failed, names, run, write
from tests.playbooks.test_reviewed import live
from tests.real.fixtures import EACH
from tests.real.server24 import Fleet24
from tests.ring import Sessions
from tests.ring.api import wait_until

USERS = 12
ON_MAIL = ["force-resync", "quota-recalc", "purge"]

# A second userdb, whose answers are cached.
CACHE = """\
auth_cache_size = 1M
userdb passwd {
}
"""


@pytest.fixture(scope="module", params=EACH)
def fleet(request: pytest.FixtureRequest, dovecot24_factory: Callable[..., Fleet24]) -> Fleet24:
    """Two proxies and two backends of a version."""
    return dovecot24_factory(request.param, proxies=2, backends=2, users=60, settings=CACHE)


@pytest.fixture
def cli(fleet: Fleet24, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line for the fleet."""
    command_line = QuickCommandLine(tmp_path, fleet.write_config(tmp_path / "config.yaml"))
    yield command_line
    command_line.stop()


def fresh(fleet: Fleet24, backend: str, count: int) -> list[str]:
    """Users of a backend whose mail nobody has touched yet, on any backend."""
    ours = [user for user in fleet.users[USERS:] if fleet.backend_of(user) == backend]
    return [user for user in ours if not any(fleet.home(user, name).exists() for name in fleet.backends)][:count]


def sessions_of(fleet: Fleet24, user: str) -> list[str]:
    """The processes that serve a user, on the user's backend."""
    rows = fleet.call(fleet.backend_of(user), "who", {"mask": [user], "separateConnections": True})
    return [row["pid"] for row in rows]


@pytest.mark.parametrize("playbook", ON_MAIL)
def test_a_proxy_hands_on(fleet: Fleet24, cli: CommandLine, playbook: str) -> None:
    """Through a proxy each user is worked on where the user's mail is, and nowhere else."""
    users = fresh(fleet, "b1", 2) + fresh(fleet, "b2", 2)
    done(cli, playbook, f"users={write(cli, 'users.txt', users)}", "on=p1")
    for user in users:
        there = {name for name in fleet.backends if fleet.home(user, name).exists()}
        assert there == {fleet.backend_of(user)}


@pytest.mark.parametrize("playbook", ON_MAIL)
def test_a_wrong_backend_is_not_touched(fleet: Fleet24, cli: CommandLine, playbook: str) -> None:
    """For users of another backend a backend is refused, and nothing of them is on its disk afterwards."""
    users = fresh(fleet, "b2", 2)
    result = run(cli, playbook, f"users={write(cli, 'users.txt', users)}", "on=b1")
    assert result.code == 5, result.said
    assert "users_are_local" in result.err
    assert users == fresh(fleet, "b2", 2)


def test_a_backend_of_which_it_is_known(fleet: Fleet24, cli: CommandLine) -> None:
    """Where it is said that the users are a backend's own, they are worked on there."""
    users = fresh(fleet, "b1", 2)
    done(cli, "force-resync", f"users={write(cli, 'users.txt', users)}", "on=b1", "users_are_local=true")
    assert all(fleet.home(user, "b1").exists() and not fleet.home(user, "b2").exists() for user in users)


def test_a_proxy_without_the_plugin(fleet: Fleet24, cli: CommandLine) -> None:
    """A proxy that does not know the command is refused before it is sent."""
    users = fresh(fleet, "b1", 1)
    result = run(cli, "quota-recalc", f"users={write(cli, 'users.txt', users)}", "on=p2")
    assert result.code == 5, result.said
    assert "no command quotaRecalc" in result.err
    assert users == fresh(fleet, "b1", 1)


def test_kick_users(fleet: Fleet24, cli: CommandLine) -> None:
    """The sessions of these users are gone from the backends, and nobody else's."""
    with Sessions(fleet, count=USERS) as sessions:  # type: ignore[arg-type]
        kicked = sessions.users[:5]
        before = {user: sessions_of(fleet, user) for user in kicked}
        done(cli, "kick-users", f"users={write(cli, 'users.txt', [*kicked, 'user060'])}")
        wait_until(lambda: names(sessions.drops) == {*kicked}, 60.0, "the users are kicked")
        sessions.wait_alive()
        assert len(sessions.drops) == len(kicked)
        for user in kicked:
            assert before[user]
            assert not set(before[user]) & set(sessions_of(fleet, user))


WHAT_CUTS = """
name: All that ends sessions
parameters: {{user: {{type: string, required: true}}}}
steps:
  - {{name: Everybody, hosts: b1, command: kick, parameters: {{mask: ["*"]}}}}
  - {{name: One of them, hosts: backends, command: kick, parameters: {{mask: ["{{{{ user | upper }}}}"]}}}}
  - {{name: To a backend, hosts: p1, command: kick, parameters: {{destHost: {b1}}}}}
  - {{name: The same, hosts: p1, command: proxyKick, parameters: {{destHost: {b1}, mask: ["user*"]}}}}
  - {{name: Through a proxy, hosts: p1, command: proxyKick, parameters: {{mask: ["*"]}}}}
  - {{name: Reload a proxy, hosts: p1, command: reload}}
  - {{name: Reload a backend, hosts: b2, command: reload}}
  - {{name: Stop a service, hosts: b1, command: serviceStop, parameters: {{service: [imap]}}}}
"""


def test_what_the_catalogue_counts_is_what_the_hosts_say(fleet: Fleet24, cli: CommandLine) -> None:
    """For each command that ends sessions the numbers are those of who; no session is counted twice on a host."""
    with Sessions(fleet, count=USERS) as sessions:  # type: ignore[arg-type]
        found = live(cli, cli.playbook(WHAT_CUTS.format(b1=fleet.backends["b1"])), f"user={sessions.users[0]}")
        through = fleet.call("p1", "who", {"separateConnections": True})
        to_b1 = len([row for row in through if row["dest_ip"] == fleet.backends["b1"]])
        on = {name: len(fleet.call(name, "who", {"separateConnections": True})) for name in fleet.backends}
        assert sum(on.values()) == USERS
        counts = [on["b1"], 1, to_b1, to_b1, len(through), len(through), on["b2"], on["b1"]]
        assert found == {str(number): (count, count) for number, count in enumerate(counts, 1)}
        assert sessions.drops == []


def test_kick_users_tells_who_is_still_there(fleet: Fleet24, cli: CommandLine) -> None:
    """Of a session whose process hangs the kick says that there was none; the run says that it is there."""
    text = (PLAYBOOKS / "kick-users.yaml").read_text().replace("within: 30s", "within: 2s")
    with Sessions(fleet, count=2, relogin=None) as sessions:  # type: ignore[arg-type]
        stuck, other = sessions.users
        [pid] = sessions_of(fleet, stuck)
        os.kill(int(pid), signal.SIGSTOP)
        try:
            result = run(cli, cli.playbook(text), f"users={write(cli, 'users.txt', [stuck, other])}")
            assert pid in sessions_of(fleet, stuck)
        finally:
            os.kill(int(pid), signal.SIGCONT)
        assert result.code == 1, result.said
        [left] = failed(cli)
        assert (left["command"], left["host"], left["parameters"]["mask"]) == ("who", fleet.backend_of(stuck), [stuck])
        kicks = [operation for operation in cli.exported() if operation["command"] == "kick"]
        assert {operation["state"] for operation in kicks} == {"done"}
        wait_until(lambda: other in names(sessions.drops), 60.0, "the other user is kicked")


def test_flush_auth_cache(fleet: Fleet24, cli: CommandLine) -> None:
    """What is cached is forgotten; where the command would kill its process, nothing is sent and the way out is told."""
    logs = {name: len(node.log()) for name, node in fleet.nodes.items()}
    for name in fleet.backends:
        fleet.call(name, "user", {"userMask": ["mail"]})
    result = run(cli, "flush-auth-cache", "hosts=backends", "users=ma?l,nobody@*")
    if fleet.version == "2.4.1":
        assert result.code == 5, result.said
        assert "doveadm auth cache flush" in result.err
        assert not [name for name, start in logs.items() if "auth cache flush" in fleet.nodes[name].log()[start:]]
        return
    assert result.code == 0, result.said
    flushed = [operation for operation in cli.exported() if operation["command"] == "authCacheFlush"]
    assert {op["host"]: op["changed"] for op in flushed if op["state"] == "done"} == {"b1": True, "b2": True}
    for name in fleet.backends:
        assert fleet.call(name, "authCacheFlush", {"userMask": ["mail"]}) == [{"entries": "0"}]


def test_a_reload_with_a_bad_configuration_says_why(fleet: Fleet24, cli: CommandLine) -> None:
    """A reload that the host answers with "ok", and that changed nothing, fails with the master's own words."""
    configuration = fleet.nodes["b2"].configuration
    good = configuration.read_text()
    text = Path(PLAYBOOKS / "rolling-reload.yaml").read_text().replace("within: 30s", "within: 2s")
    try:
        configuration.write_text(good + "\nnonsense_setting = yes\n")
        result = cli("run", cli.playbook(text), "-e", "backends=b2", "-e", "drain=false", "--yes")
        assert result.code in {1, 3}, result.said
        assert "nonsense_setting" in result.said
        assert "nonsense_setting" in cli("report").out
    finally:
        configuration.write_text(good)
        fleet.call("b2", "reload")
