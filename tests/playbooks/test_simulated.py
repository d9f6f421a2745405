"""The shipped playbooks on a simulated fleet; effects are checked on the fleet's state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest

from tests.command_line import Result, wait_until
from tests.playbooks.conftest import Site

Start = Callable[..., Site]


def run(here: Site, name: str, *given: str) -> Result:
    """Run a playbook with parameters; nobody is asked."""
    return here.cli("run", name, *(word for value in given for word in ("-e", value)), "--yes")


def done(here: Site, name: str, *given: str) -> None:
    """Run a playbook, which must end as done."""
    result = run(here, name, *given)
    assert result.code == 0, result.said


def write(here: Site, lines: Iterable[str], name: str = "items.txt") -> str:
    """A file of lines; its path."""
    path = here.cli.folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def vhosts(here: Site) -> list[int]:
    """The vhost counts of the backends."""
    return [here.fleet.fleet.ring.hosts[address].vhosts for address in here.fleet.backends.values()]


def users_on(here: Site, backend: str) -> set[str]:
    """Whose sessions a backend has."""
    return {session.user for session in here.fleet.fleet.backends[backend].sessions.values()}


def test_rolling_reload(site: Start) -> None:
    """One backend is drained, reloaded once, and has its vhosts back; its users are on the others."""
    here = site(users=30)
    done(here, "rolling-reload", "backends=b1")
    assert [len(host.reloads) for host in here.fleet.fleet.backends.values()] == [1, 0, 0]
    assert users_on(here, "b1") == set()
    assert vhosts(here) == [100, 100, 100]
    order = [command for command in here.commands() if command in {"directorUpdate", "directorFlush", "reload"}]
    assert order == ["directorUpdate", "directorFlush", "reload", "directorUpdate"]


def test_rolling_reload_refuses_the_last_backend(site: Start) -> None:
    """With one backend alone nothing is changed."""
    here = site(users=3, backends=1)
    assert run(here, "rolling-reload").code == 5
    assert not {"directorUpdate", "reload"} & set(here.commands())


def test_rolling_reload_without_directors(site: Start) -> None:
    """Without a drain no director is needed."""
    here = site(users=9, directors=0)
    done(here, "rolling-reload", "drain=false", "backends=b2")
    assert [len(host.reloads) for host in here.fleet.fleet.backends.values()] == [0, 1, 0]


def test_reload_directors_refuses_a_lone_director(site: Start) -> None:
    """The only director of a ring would forget everything, so it is not reloaded."""
    here = site(users=3, directors=1)
    result = run(here, "reload-directors")
    assert result.code == 5
    assert "forgets" in result.said
    assert "reload" not in here.commands()


def test_reload_directors(site: Start) -> None:
    """A director is reloaded once; the ring still knows its vhosts."""
    here = site(users=9)
    done(here, "set-vhosts", "backend=b1", "vhosts=77")
    done(here, "reload-directors", "directors=d2")
    assert [len(host.reloads) for host in here.fleet.fleet.directors.values()] == [0, 1]
    assert vhosts(here) == [77, 100, 100]


def test_rolling_stop(site: Start) -> None:
    """A backend is emptied, stopped, waited for, and serves again."""
    here = site(users=30)
    process = here.cli.start("run", "rolling-stop", "-e", "backends=b2", "-e", "canary=user001", "--yes")
    wait_until(lambda: not here.fleet.fleet.backends["b2"].up)
    assert users_on(here, "b2") == set()
    assert vhosts(here) == [100, 0, 100]
    assert process.poll() is None
    threading.Timer(1.1, here.fleet.start, ["b2"]).start()  # a start is told from none by its second
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert vhosts(here) == [100, 100, 100]


def test_move_users(site: Start) -> None:
    """Users are where the file says, and who was there is not moved again."""
    here = site(users=30)
    target = here.fleet.backends["b3"]
    there = {user for user in ("user001", "user002", "user003", "user004") if user in users_on(here, "b3")}
    moves = write(here, ["user,backend", *(f"user00{n},{target}" for n in range(1, 5))])
    done(here, "move-users", f"moves={moves}")
    assert here.commands().count("directorMove") == 4 - len(there)
    wait_until(lambda: {"user001", "user002", "user003", "user004"} <= users_on(here, "b3"))


def test_move_users_in_either_case(site: Start) -> None:
    """A name that the file has in capitals is the user whom Dovecot has in lower case."""
    here = site(users=12)
    target = next(address for address in here.fleet.backends.values() if address != here.fleet.backends["b1"])
    moves = write(here, ["user,backend", f"USER001,{target}"])
    done(here, "move-users", f"moves={moves}")
    moves = here.commands().count("directorMove")
    done(here, "move-users", f"moves={write(here, ['user,backend', f'USER001,{target}'])}")
    assert here.commands().count("directorMove") == moves


def test_kick_users(site: Start) -> None:
    """Each backend gets a kick for each user; exactly those who had sessions are counted as changed."""
    here = site(users=30)
    done(here, "kick-users", f"users={write(here, ['user001', 'user002', 'user150'])}")
    kicks = [operation for operation in here.cli.exported() if operation["command"] == "kick"]
    assert len(kicks) == 9
    assert {operation["parameters"]["mask"][0] for operation in kicks if operation["changed"]} == {"user001", "user002"}


def test_kick_users_proxied(site: Start) -> None:
    """One director gets one directorKick for each user; an unknown name stops it before."""
    here = site(users=30)
    assert run(here, "kick-users-proxied", f"users={write(here, ['user001', 'usr002'])}").code == 3
    assert "directorKick" not in here.commands()
    done(here, "kick-users-proxied", f"users={write(here, ['user001', 'user002'])}")
    assert here.commands().count("directorKick") == 2


def test_kick_users_proxied_looks_at_all_backends(site: Start) -> None:
    """With sessions on a backend that the configuration does not have, nobody is kicked: the check would not see them."""
    here = site(users=30)
    there = min(users_on(here, "b3"))
    config = here.cli.config.read_text()
    here.cli.config.write_text(config.replace(f", b3: {here.fleet.backends['b3']}", ""))
    assert here.cli.config.read_text() != config
    result = run(here, "kick-users-proxied", f"users={write(here, [there])}")
    assert result.code == 5, result.said
    assert here.fleet.backends["b3"] in result.err
    assert "directorKick" not in here.commands()


@pytest.mark.parametrize(
    ("playbook", "directors"), [("force-resync", 2), ("force-resync", 0), ("quota-recalc", 2), ("purge", 2)]
)
def test_work_on_users(site: Start, playbook: str, directors: int) -> None:
    """The user with an unreadable home ends as failed, with the host's reason; all others are done."""
    here = site(users=10, directors=directors, unreadable_users=("user015",))
    users = write(here, [f"user{number:03}" for number in range(1, 31)])
    result = run(here, playbook, f"users={users}", *(() if directors else ("on=b1", "users_are_local=true")))
    assert result.code == 1, result.said
    assert "Permission denied" in result.out
    wrong = [operation for operation in here.cli.exported() if operation["state"] not in {"done", "skipped"}]
    assert [operation["parameters"]["user"] for operation in wrong] == ["user015"]
    if playbook == "quota-recalc":
        counted = {account.user for account in here.fleet.fleet.accounts.values() if account.quota_recounted}
        assert counted == {f"user{number:03}" for number in range(1, 31)} - {"user015"}


@pytest.mark.parametrize("version", ["2.3", "2.4", "2.4.5"])
@pytest.mark.parametrize("playbook", ["force-resync", "quota-recalc", "purge"])
def test_a_backend_is_not_believed_to_have_all_users(site: Start, playbook: str, version: str) -> None:
    """A host that has homes for the users is refused before any mailbox is opened there."""
    here = site(users=0, directors=0, version=version)
    result = run(here, playbook, f"users={write(here, ['user001', 'user002', 'nobody'])}", "on=b1")
    assert result.code == 5, result.said
    assert "users_are_local" in result.err
    assert set(here.commands()) == {"user", "logErrors"}  # why nobody is not known


def test_rebalance(site: Start) -> None:
    """Whose home is the restored backend is there again."""
    here = site(users=30)
    home = users_on(here, "b1")
    done(here, "drain-backend", "backend=b1")
    done(here, "restore-backend", "backend=b1")
    assert users_on(here, "b1") == set()
    done(here, "rebalance")
    wait_until(lambda: users_on(here, "b1") == home)


def test_services(site: Start) -> None:
    """Services stop and start; doveadm, unknown services and directors are refused."""
    here = site(users=6)
    assert run(here, "stop-service", "hosts=b1,b2", "services=imap-login,doveadm").code == 5
    assert run(here, "stop-service", "hosts=b1,b2", "services=imap-login,smurf").code == 5
    assert here.fleet.fleet.backends["b1"].stopped == set()
    done(here, "stop-service", "hosts=b1,b2", "services=imap,imap-login")
    assert here.fleet.fleet.backends["b1"].stopped == {"imap", "imap-login"}
    assert run(here, "start-service", "hosts=b1,d1").code == 5
    proxied = here.cli("plan", "start-service", "-e", "hosts=d1", "--live").out
    assert "sessions are proxied through these hosts, and a reload cuts them all" in proxied
    done(here, "start-service", "hosts=backends")
    assert [len(host.reloads) for host in here.fleet.fleet.backends.values()] == [1, 1, 0]
    assert here.fleet.fleet.backends["b1"].stopped == set()


def test_set_vhosts(site: Start) -> None:
    """The count is set; the last backend that serves keeps its own."""
    here = site(users=3, backends=2)
    done(here, "set-vhosts", "backend=b1", "vhosts=0")
    assert run(here, "set-vhosts", "backend=b2", "vhosts=0").code == 5
    assert vhosts(here) == [0, 100]


def test_director_out_and_in(site: Start) -> None:
    """A director is stopped once nobody is on it, and comes back synced."""
    here = site(users=6)
    assert run(here, "director-out", "director=d2", "leave=1s").code == 3
    assert here.fleet.fleet.directors["d2"].up
    done(here, "director-out", "director=d2", "cut=true")
    assert not here.fleet.fleet.directors["d2"].up
    here.fleet.start("d2")
    done(here, "director-in", "director=d2")


def test_ring_remove_and_add(site: Start) -> None:
    """A director leaves the ring and is stopped; started and added it is a member again."""
    here = site(users=0)
    done(here, "ring-remove", "director=d2")
    assert here.fleet.fleet.ring_members == [here.fleet.directors["d1"]]
    assert not here.fleet.fleet.directors["d2"].up
    here.fleet.start("d2")
    done(here, "ring-add", "director=d2")
    assert here.fleet.fleet.ring_members == list(here.fleet.directors.values())


def test_a_ring_of_four(site: Start) -> None:
    """Directors that are no neighbours say nothing of each other; what waits for a synced ring goes on all the same."""
    here = site(users=0, directors=4)
    done(here, "reload-directors", "directors=d2")
    done(here, "director-out", "director=d3")
    here.fleet.start("d3")
    done(here, "director-in", "director=d3")
    done(here, "ring-remove", "director=d2")
    assert here.fleet.directors["d2"] not in here.fleet.fleet.ring_members
    here.fleet.start("d2")
    done(here, "ring-add", "director=d2")
    assert here.fleet.fleet.ring_members == list(here.fleet.directors.values())


def test_collect(site: Start) -> None:
    """Every host is asked, once, and the answers are kept."""
    here = site(users=6)
    done(here, "collect-sessions")
    for operation, host in (("1.1", "b1"), ("2.1", "d1")):
        rows = here.cli("show", "last", operation, "--format", "json").json()[0]["rows"]
        sessions = here.fleet.fleet.hosts[host].sessions.values()
        assert sorted(row["username"] for row in rows) == sorted(session.user for session in sessions)
    done(here, "collect-errors")
    done(here, "collect-stats")
    assert here.commands().count("logErrors") == here.commands().count("statsDump") == 5


def cached(here: Site) -> set[str]:
    """Whom the hosts' caches know."""
    return {user for host in here.fleet.fleet.hosts.values() for user in host.auth_cache}


def test_flush_auth_cache(site: Start) -> None:
    """Every host's cache is empty afterwards; with names only these are gone."""
    here = site(users=6)
    done(here, "flush-auth-cache", "users=user001,user002")
    assert cached(here) == {"user003", "user004", "user005", "user006"}
    done(here, "flush-auth-cache")
    assert cached(here) == set()


def test_flush_auth_cache_where_it_has_another_name(site: Start) -> None:
    """Hosts of 2.3 and of 2.4.5 are each told in their own words, and 2.4.5 takes patterns."""
    here = site(users=0, directors=0, backend_versions={"b2": "2.4.5"})
    for host in here.fleet.fleet.hosts.values():
        host.auth_cache |= {"user001", "user002"}
    done(here, "flush-auth-cache", "hosts=b1,b2", "users=user001")
    assert [host.auth_cache for host in here.fleet.fleet.hosts.values()][:2] == [{"user002"}, {"user002"}]
    done(here, "flush-auth-cache", "hosts=b2", "users=user*")
    assert [bool(host.auth_cache) for host in here.fleet.fleet.hosts.values()] == [True, False, True]
    done(here, "flush-auth-cache")
    assert cached(here) == set()


def test_flush_auth_cache_where_it_kills(site: Start) -> None:
    """With a host of 2.4.1 among them nothing is sent to any host; it is told what to do there."""
    here = site(users=0, directors=0, backend_versions={"b2": "2.4", "b3": "2.4.5"})
    result = run(here, "flush-auth-cache")
    assert result.code == 5, result.said
    assert "doveadm auth cache flush" in result.err
    assert "authCacheFlush" not in here.commands()


@pytest.mark.parametrize("lost", ["empty", "empty=after"])
def test_dictionary(site: Start, lost: str) -> None:
    """A key is set, set again, and counted up once, although an answer is lost: before it was executed, or after."""
    here = site(users=0, directors=0, faults=(f"command=dictInc,first=1,{lost}",))
    for value in ("5", "7"):
        done(here, "dict-set", "via=b1", "dict=file:/x", "key=shared/n", f"value={value}")
    done(here, "dict-count", "via=b1", "dict=file:/x", "key=shared/n", "add=3")
    assert here.fleet.fleet.backends["b1"].dictionaries["file:/x"]["shared/n"] == "10"


def test_files(site: Start) -> None:
    """The files of the list are gone, one that never was does not matter, the others stay."""
    here = site(users=0, directors=0)
    folder = here.fleet.fleet.backends["b1"].files.setdefault("prefix=/srv/", {})
    folder |= {"one": b"1", "kept": b"2"}
    files = write(here, ["one", "two"])
    done(here, "fs-clean", "via=b1", f"files={files}", "arguments=prefix=/srv/")
    assert list(folder) == ["kept"]
