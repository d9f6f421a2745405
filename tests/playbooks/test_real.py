"""The shipped playbooks on a real Dovecot 2.3 ring with live IMAP sessions; effects are checked by other means."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CommandLine, Result
from tests.playbooks.conftest import QuickCommandLine
from tests.ring import Ring, Sessions
from tests.ring.api import greeting, wait_until
from tests.ring.sessions import SessionEvent

pytestmark = pytest.mark.real_dovecot

USERS = 24
PLAYBOOKS = Path(__file__).parents[2] / "playbooks"


def run(cli: CommandLine, name: str, *given: str) -> Result:
    """Run a playbook with parameters; nobody is asked."""
    return cli("run", name, *(word for value in given for word in ("-e", value)), "--yes", timeout=90)


def done(cli: CommandLine, name: str, *given: str) -> None:
    """Run a playbook, which must end as done."""
    result = run(cli, name, *given)
    assert result.code == 0, result.said


def write(cli: CommandLine, name: str, lines: Iterable[str]) -> str:
    """A file of lines; its path."""
    path = cli.folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def hosts_of(ring: Ring, director: str = "d1") -> dict[str, dict[str, str]]:
    """What a director itself says of the backends, by name."""
    rows = {row["mail server ip"]: row for row in ring.call(director, "directorStatus")}
    return {name: rows[address] for name, address in ring.backends.items()}


def place(ring: Ring, user: str) -> dict[str, str]:
    """Where a director has a user, and where the user's home is."""
    return ring.call("d1", "directorStatus", {"user": user})[0]


def users_at(ring: Ring, backend: str) -> set[str]:
    """Whose sessions a backend has."""
    return {row["username"] for row in ring.call(backend, "who", {"separateConnections": True})}


def pids(ring: Ring, host: str, *services: str) -> dict[str, str]:
    """A host's processes of some services."""
    return {row["name"]: row["pid"] for row in ring.call(host, "processStatus", {"service": list(services)})}


def names(events: Sequence[SessionEvent]) -> set[str]:
    """Whom events happened to."""
    return {event.user for event in events}


def failed(cli: CommandLine) -> list[dict[str, Any]]:
    """The operations of the last run that are not done."""
    return [operation for operation in cli.exported() if operation["state"] in {"failed", "unreachable", "in_doubt"}]


def accepts(ring: Ring, host: str) -> bool:
    """Whether a host takes IMAP connections."""
    try:
        with socket.create_connection((ring.hosts[host], ring.imap_port), timeout=1):
            return True
    except ConnectionRefusedError:
        return False


# reload, stop


def test_rolling_reload_drains_first(changed_ring: Ring, cli: CommandLine) -> None:
    """Two drained backends run with new processes and their old vhosts; no session was told of a shutdown."""
    changed_ring.call("d1", "directorUpdate", {"host": changed_ring.backends["b1"], "vhostCount": "77"})
    before = {name: pids(changed_ring, name, "log", "config", "anvil") for name in changed_ring.backends}
    with Sessions(changed_ring, count=USERS) as sessions:
        done(cli, "rolling-reload", "backends=b1,b2")
        sessions.wait_alive()
        assert sessions.failed_logins == []
        assert [event for event in sessions.drops if "shutting down" in event.text] == []
    after = {name: pids(changed_ring, name, "log", "config", "anvil") for name in changed_ring.backends}
    for name in ("b1", "b2"):
        assert after[name]["anvil"] == before[name]["anvil"]
        assert after[name]["log"] != before[name]["log"]
        assert after[name]["config"] != before[name]["config"]
    assert after["b3"] == before["b3"]
    for director in changed_ring.directors:
        assert [row["vhosts"] for row in hosts_of(changed_ring, director).values()] == ["77", "100", "100"]


def test_rolling_reload_without_drain(changed_ring: Ring, cli: CommandLine) -> None:
    """Without a drain only sessions of that backend end, with a BYE, and users come back to it."""
    with Sessions(changed_ring, count=USERS) as sessions:
        there = users_at(changed_ring, "b3")
        log = pids(changed_ring, "b3", "log")
        done(cli, "rolling-reload", "backends=b3", "drain=false")
        assert pids(changed_ring, "b3", "log") != log
        wait_until(lambda: names(sessions.drops) == there, 60.0, "the sessions of b3 end")
        sessions.wait_alive()
        assert users_at(changed_ring, "b3") == there
        assert all("shutting down" in event.text for event in sessions.drops)


def test_rolling_reload_stops_at_a_refused_configuration(changed_ring: Ring, cli: CommandLine) -> None:
    """A backend that keeps its old processes stays without users until restore-backend; the next is not touched."""
    text = (PLAYBOOKS / "rolling-reload.yaml").read_text().replace("within: 30s", "within: 3s")
    configuration = changed_ring.nodes["b1"].configuration
    good = configuration.read_text()
    before = [pids(changed_ring, name, "log") for name in ("b1", "b2")]
    configuration.write_text(f"{good}\nno_such_setting = yes\n")
    try:
        result = run(cli, cli.playbook(text), "backends=b1,b2")
    finally:
        configuration.write_text(good)
    assert result.code == 3, result.said
    assert [pids(changed_ring, name, "log") for name in ("b1", "b2")] == before
    assert [row["vhosts"] for row in hosts_of(changed_ring).values()] == ["0", "100", "100"]
    done(cli, "restore-backend", "backend=b1")
    assert [row["vhosts"] for row in hosts_of(changed_ring).values()] == ["100", "100", "100"]


def test_rolling_reload_puts_back_what_it_changed(changed_ring: Ring, cli: CommandLine) -> None:
    """When a check before the reload fails, the backend has its vhosts back and was not reloaded."""
    text = (PLAYBOOKS / "rolling-reload.yaml").read_text()
    text = text.replace("within: 30s", "within: 2s").replace("column('vhosts') == ['0']", "column('vhosts') == ['x']")
    before = pids(changed_ring, "b1", "log")
    result = run(cli, cli.playbook(text), "backends=b1")
    assert result.code == 1, result.said
    assert "undone" in result.out
    assert pids(changed_ring, "b1", "log") == before
    assert {row["vhosts"] for row in hosts_of(changed_ring).values()} == {"100"}


def test_reload_directors(changed_ring: Ring, cli: CommandLine) -> None:
    """Both director processes are new, and vhosts, down marks and every user's place are as before."""
    changed_ring.call("d1", "directorUpdate", {"host": changed_ring.backends["b1"], "vhostCount": "77"})
    changed_ring.call("d1", "directorDown", {"host": changed_ring.backends["b2"]})
    before = {name: pids(changed_ring, name, "director") for name in changed_ring.directors}
    with Sessions(changed_ring, count=USERS) as sessions:
        places = {user: place(changed_ring, user)["status"] for user in sessions.users}
        done(cli, "reload-directors")
        sessions.wait_alive()
        assert {user: place(changed_ring, user)["status"] for user in sessions.users} == places
        first, second = (operation for operation in cli.exported() if operation["command"] == "reload")
        assert second["started_at"] - first["finished_at"] >= 10_000  # milliseconds
        assert names(sessions.drops) == set(sessions.users)
    for name in changed_ring.directors:
        assert pids(changed_ring, name, "director") != before[name]
        assert hosts_of(changed_ring, name)["b1"]["vhosts"] == "77"
        assert hosts_of(changed_ring, name)["b2"]["state"] == "down"


def test_rolling_stop(changed_ring: Ring, cli: CommandLine) -> None:
    """Two backends are emptied, stopped, started by somebody else, and serve again; no login failed."""
    before = {name: pids(changed_ring, name, "anvil") for name in changed_ring.backends}
    with Sessions(changed_ring, count=USERS) as sessions:
        process = cli.start("run", "rolling-stop", "-e", "backends=b1,b2", "-e", "canary=user001", "--yes")
        for name in ("b1", "b2"):
            node = changed_ring.nodes[name]
            wait_until(lambda node=node: not node.processes() or process.poll() is not None, 40, f"{name} is stopped")
            assert hosts_of(changed_ring)[name] | {"vhosts": "0", "users": "0"} == hosts_of(changed_ring)[name]
            assert process.poll() is None
            changed_ring.start_host(name)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        sessions.wait_alive()
        assert sessions.failed_logins == []
        assert [event for event in sessions.drops if "shutting down" in event.text] == []
    assert pids(changed_ring, "b1", "anvil") != before["b1"]
    assert pids(changed_ring, "b2", "anvil") != before["b2"]
    assert pids(changed_ring, "b3", "anvil") == before["b3"]
    for director in changed_ring.directors:
        assert {row["vhosts"] for row in hosts_of(changed_ring, director).values()} == {"100"}


def test_rolling_stop_leaves_a_lost_backend_without_users(changed_ring: Ring, cli: CommandLine) -> None:
    """A backend that does not come back stays at vhost count 0, and the next is not touched."""
    result = run(cli, "rolling-stop", "backends=b1,b2", "wait=2s")
    assert result.code == 3, result.said
    assert changed_ring.nodes["b1"].pid is None
    assert changed_ring.nodes["b2"].pid is not None
    assert [row["vhosts"] for row in hosts_of(changed_ring).values()] == ["0", "100", "100"]
    changed_ring.start_host("b1")
    retried = cli("retry", "last", "--yes")
    assert retried.code == 3, retried.said  # on to b2, which does not come back either
    assert [row["vhosts"] for row in hosts_of(changed_ring).values()] == ["100", "0", "100"]


# users


def test_move_users(changed_ring: Ring, cli: CommandLine) -> None:
    """Users of the file end up where it says, cut once each; who was there, and everybody else, is left alone."""
    with Sessions(changed_ring, count=USERS) as sessions:
        movers = sessions.users[:12]
        wanted = {user: ("b1", "b2")[number % 2] for number, user in enumerate(movers)}
        there = {user for user, backend in wanted.items() if user in users_at(changed_ring, backend)}
        moves = [f"{user},{changed_ring.backends[backend]}" for user, backend in wanted.items()]
        done(cli, "move-users", f"moves={write(cli, 'moves.csv', ['user,backend', *moves])}")
        assert sum(operation["command"] == "directorMove" for operation in cli.exported()) == len(movers)
        wait_until(lambda: names(sessions.drops) == set(movers) - there, 60.0, "the moved users are cut")
        sessions.wait_alive()
        for backend in ("b1", "b2"):
            assert {user for user in movers if wanted[user] == backend} <= users_at(changed_ring, backend)
        assert len(sessions.drops) == len(movers) - len(there)
        assert sessions.failed_logins == []
        done(cli, "move-users", f"moves={cli.folder / 'moves.csv'}")
        assert {operation["state"] for operation in cli.exported() if "user" in operation["parameters"]} == {"skipped"}
        assert len(sessions.drops) == len(movers) - len(there)


def test_move_users_to_a_strange_backend(changed_ring: Ring, cli: CommandLine) -> None:
    """A backend that is not in the ring fails that user."""
    moves = write(cli, "moves.csv", ["user,backend", "user150,127.9.9.9"])
    assert run(cli, "move-users", f"moves={moves}").code == 3
    assert [operation["exit_code"] for operation in failed(cli)] == [68]


def test_kick_users(changed_ring: Ring, cli: CommandLine) -> None:
    """Exactly the users of the file lose their sessions; one without a session does not matter."""
    with Sessions(changed_ring, count=USERS) as sessions:
        kicked = set(sessions.users[:5])
        done(cli, "kick-users", f"users={write(cli, 'users.txt', [*kicked, 'user199'])}")
        wait_until(lambda: names(sessions.drops) == kicked, 60.0, "the users are kicked")
        sessions.wait_alive()
        assert len(sessions.drops) == len(kicked)


def test_kick_users_proxied(changed_ring: Ring, cli: CommandLine) -> None:
    """One directorKick for each user on one director ends the sessions on both."""
    with Sessions(changed_ring, count=USERS) as sessions:
        kicked = set(sessions.users[:6])  # three through each director
        done(cli, "kick-users-proxied", f"users={write(cli, 'users.txt', kicked)}")
        kicks = [operation for operation in cli.exported() if operation["command"] == "directorKick"]
        assert {operation["host"] for operation in kicks} == {"d1"}
        wait_until(lambda: names(sessions.drops) == kicked, 60.0, "the users are kicked")
        sessions.wait_alive()
        assert len(sessions.drops) == len(kicked)
        result = run(cli, "kick-users-proxied", f"users={write(cli, 'users.txt', ['user007', 'usr008'])}")
        assert result.code == 3, result.said
        assert names(sessions.drops) == kicked


@pytest.mark.parametrize(
    ("playbook", "logged", "count"),
    [("force-resync", "force-resync", 100), ("quota-recalc", "quota recalc", 40), ("purge", "purge", 40)],
)
def test_work_on_many_users(changed_ring: Ring, cli: CommandLine, playbook: str, logged: str, count: int) -> None:
    """Each user is worked on where the ring has the user; of all of them the one unreadable home ends as failed."""
    users = [*changed_ring.users[: count - 1], "unreadable"]
    with Sessions(changed_ring, count=USERS) as sessions:
        logs = {name: len(changed_ring.log(name)) for name in changed_ring.backends}
        result = run(cli, playbook, f"users={write(cli, 'users.txt', users)}")
        assert result.code == 1, result.said
        assert "Permission denied" in result.out
        wrong = failed(cli)
        assert [(operation["command"], operation["parameters"]["user"]) for operation in wrong] == [
            ("mailboxStatus", "unreadable")
        ]
        worked: dict[str, set[str]] = {}
        for name, start in logs.items():
            for line in changed_ring.log(name)[start:].splitlines():
                if f"Executing command '{logged}' as '" in line:
                    worked.setdefault(line.rsplit("'", 2)[1], set()).add(name)
        assert set(worked) == set(users)
        for user in sessions.users:
            assert worked[user] == {name for name in changed_ring.backends if user in users_at(changed_ring, name)}
        assert sessions.drops == []


def test_work_on_users_of_one_host(changed_ring: Ring, cli: CommandLine) -> None:
    """With on=b2 no director is asked, and a user whom nobody knows fails while the others are done."""
    users = write(cli, "users.txt", ["user001", "user002", "nobody"])
    result = run(cli, "force-resync", f"users={users}", "on=b2", "users_are_local=true")
    assert result.code == 1, result.said
    assert {operation["host"] for operation in cli.exported() if operation["state"] != "skipped"} == {"b2"}
    assert [operation["exit_code"] for operation in failed(cli)] == [67]


@pytest.mark.parametrize("playbook", ["force-resync", "quota-recalc", "purge"])
def test_a_backend_is_not_believed_to_have_all_users(changed_ring: Ring, cli: CommandLine, playbook: str) -> None:
    """With on=b2 alone nobody's mailbox is opened."""
    users = changed_ring.users[-2:]
    log = len(changed_ring.log("b2"))
    result = run(cli, playbook, f"users={write(cli, 'users.txt', users)}", "on=b2")
    assert result.code == 5, result.said
    assert "users_are_local" in result.err
    asked = [line for line in changed_ring.log("b2")[log:].splitlines() if "Executing command" in line]
    assert len(asked) == 2
    assert all("Executing command 'user'" in line for line in asked)


def test_flush_auth_cache(changed_ring: Ring, cli: CommandLine) -> None:
    """Every host, directors too, gets the command."""
    logs = {name: len(changed_ring.log(name)) for name in changed_ring.hosts}
    done(cli, "flush-auth-cache")
    for name, start in logs.items():
        assert "Executing command 'auth cache flush'" in changed_ring.log(name)[start:]


# the ring


def test_rebalance(changed_ring: Ring, cli: CommandLine) -> None:
    """After a drain and a restore the users whose home it is, and nobody else, are cut once and come home."""
    address = changed_ring.backends["b1"]
    with Sessions(changed_ring, count=USERS) as sessions:
        home = users_at(changed_ring, "b1")
        changed_ring.call("d1", "directorUpdate", {"host": address, "vhostCount": "0"})
        changed_ring.call("d1", "directorFlush", {"host": address})
        wait_until(lambda: names(sessions.drops) == home, 60.0, "the users of b1 are moved")
        sessions.wait_alive()
        changed_ring.call("d1", "directorUpdate", {"host": address, "vhostCount": "100"})
        sessions.events.clear()
        done(cli, "rebalance", "parallel=4")
        wait_until(lambda: names(sessions.drops) == home, 60.0, "they are cut again")
        sessions.wait_alive()
        assert users_at(changed_ring, "b1") == home
        assert len(sessions.drops) == len(home)
        for user in sessions.users:
            assert place(changed_ring, user)["status"] == place(changed_ring, user)["hashed"]


def test_set_vhosts(changed_ring: Ring, cli: CommandLine) -> None:
    """Every director has the new count; the last backend that serves is not taken."""
    done(cli, "set-vhosts", "backend=b2", "vhosts=30")
    for director in changed_ring.directors:
        assert [row["vhosts"] for row in hosts_of(changed_ring, director).values()] == ["100", "30", "100"]
    for name in ("b1", "b3"):
        changed_ring.call("d1", "directorDown", {"host": changed_ring.backends[name]})
    assert run(cli, "set-vhosts", "backend=b2", "vhosts=0").code == 5
    assert hosts_of(changed_ring)["b2"]["vhosts"] == "30"


def test_director_out_and_in(changed_ring: Ring, cli: CommandLine) -> None:
    """A stopped director comes back with the ring's vhosts; in between the other one works alone."""
    changed_ring.call("d1", "directorUpdate", {"host": changed_ring.backends["b1"], "vhostCount": "77"})
    done(cli, "director-out", "director=d2")
    assert changed_ring.nodes["d2"].processes() == []
    changed_ring.call("d1", "directorUpdate", {"host": changed_ring.backends["b3"], "vhostCount": "33"}, timeout=30)
    process = cli.start("run", "director-in", "-e", "director=d2", "--yes")
    changed_ring.start_host("d2")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert [row["vhosts"] for row in hosts_of(changed_ring, "d2").values()] == ["77", "100", "33"]


def test_director_out_waits_for_clients(changed_ring: Ring, cli: CommandLine) -> None:
    """While sessions go through it, a director is not stopped."""
    with Sessions(changed_ring, count=2) as sessions:
        result = run(cli, "director-out", "director=d2", "leave=1s")
        assert result.code == 3, result.said
        assert changed_ring.nodes["d2"].pid is not None
        assert sessions.drops == []


def test_ring_remove_and_add(changed_ring: Ring, cli: CommandLine) -> None:
    """A removed director is stopped and forgotten; added again it knows what the ring knows."""
    changed_ring.call("d1", "directorUpdate", {"host": changed_ring.backends["b1"], "vhostCount": "77"})
    done(cli, "ring-remove", "director=d2")
    assert changed_ring.nodes["d2"].processes() == []
    members = {row["director ip"] for row in changed_ring.call("d1", "directorRingStatus")}
    assert members == {changed_ring.directors["d1"]}
    changed_ring.start_host("d2")
    done(cli, "ring-add", "director=d2")
    for director in changed_ring.directors:
        members = {row["director ip"] for row in changed_ring.call(director, "directorRingStatus")}
        assert members == set(changed_ring.directors.values())
        assert hosts_of(changed_ring, director)["b1"]["vhosts"] == "77"


def test_a_ring_of_four(dovecot_ring_factory: Callable[..., Ring], tmp_path: Path) -> None:
    """Directors that are no neighbours have nothing to say of each other, and are not waited for."""
    with dovecot_ring_factory(directors=4, backends=1, users=2) as ring:
        rows = {row["director ip"]: row for row in ring.call("d1", "directorRingStatus")}
        assert (rows[ring.directors["d3"]]["type"], rows[ring.directors["d3"]]["status"]) == ("", "")
        cli = QuickCommandLine(tmp_path, ring.write_config(tmp_path / "config.yaml"))
        done(cli, "reload-directors", "directors=d2")
        done(cli, "director-out", "director=d3")
        ring.start_host("d3")
        done(cli, "director-in", "director=d3")
        done(cli, "ring-remove", "director=d4")
        ring.start_host("d4")
        done(cli, "ring-add", "director=d4")
        members = {row["director ip"] for row in ring.call("d2", "directorRingStatus")}
        assert members == set(ring.directors.values())


# services, collecting, dictionaries, files


def test_stop_and_start_services(changed_ring: Ring, cli: CommandLine) -> None:
    """Stopped logins refuse connections until they are started; doveadm and unknown services are refused."""
    assert run(cli, "stop-service", "hosts=b3", "services=imap-login,doveadm").code == 5
    assert run(cli, "stop-service", "hosts=b3", "services=imap-login,smurf").code == 5
    assert accepts(changed_ring, "b3")
    log = pids(changed_ring, "b2", "log")
    done(cli, "stop-service", "hosts=b3", "services=imap-login")
    assert not accepts(changed_ring, "b3")
    assert run(cli, "start-service", "hosts=b3,d1").code == 5
    done(cli, "start-service", "hosts=b2,b3")
    wait_until(lambda: greeting(changed_ring.hosts["b3"], changed_ring.imap_port) != "", 60.0, "b3 greets")
    assert pids(changed_ring, "b2", "log") == log  # nothing was stopped there, so it was not reloaded


def test_collect(changed_ring: Ring, cli: CommandLine) -> None:
    """The answers kept with the run are what the hosts themselves say."""
    with Sessions(changed_ring, count=6) as sessions:
        done(cli, "collect-sessions")
        kept = cli("show", "last", "1.1", "--format", "json").json()[0]["rows"]
        assert {row["username"] for row in kept} == users_at(changed_ring, "b1")
        kept = cli("show", "last", "2.1", "--format", "json").json()[0]["rows"]
        assert sorted(row["username"] for row in kept) == sorted(sessions.users[::2])  # those through d1
    changed_ring.call("b2", "logTest")
    done(cli, "collect-errors", "hosts=b2", "last=1m")
    shown = cli("show", "last", "1.1", "--format", "json").json()[0]["rows"]
    assert any("This is Dovecot's error log" in row["text"] for row in shown)
    done(cli, "collect-stats", "hosts=b1")
    shown = cli("show", "last", "1.1", "--format", "json").json()[0]["rows"]
    assert [row["metric_name"] for row in shown] == ["imap_commands"]


def test_dictionary(changed_ring: Ring, cli: CommandLine) -> None:
    """A key is set, set again, and counted up once."""
    uri = f"file:{changed_ring.root / 'b1' / 'test.dict'}"
    for value in ("5", "7"):
        done(cli, "dict-set", "via=b1", f"dict={uri}", "key=shared/n", f"value={value}")
        assert changed_ring.call("b1", "dictGet", {"dictUri": uri, "key": "shared/n"}) == [{"value": value}]
    done(cli, "dict-count", "via=b1", f"dict={uri}", "key=shared/n", "add=3")
    assert changed_ring.call("b1", "dictGet", {"dictUri": uri, "key": "shared/n"}) == [{"value": "10"}]


def test_files(changed_ring: Ring, cli: CommandLine) -> None:
    """The files of the list are gone, one that never was does not matter, the others stay."""
    folder = changed_ring.root / "b1" / "files"
    folder.mkdir()
    for name in ("one", "two", "kept"):
        (folder / name).touch()
    files = write(cli, "files.txt", ["one", "two", "three"])
    done(cli, "fs-clean", "via=b1", f"files={files}", f"arguments=prefix={folder}/")
    assert [path.name for path in folder.iterdir()] == ["kept"]
