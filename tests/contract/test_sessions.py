"""What commands do to live sessions: the contract's moving part."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.contract.cases import V24, V245
from tests.contract.exchange import unordered
from tests.contract.targets import eventually, targets

if TYPE_CHECKING:
    from tests.contract.targets import Target

USERS = 24


def _who(target: Target, backend: str) -> set[str]:
    return {row["username"] for row in target.run(backend, "who", separateConnections=True)}


def _home(target: Target, user: str) -> str:
    """The backend that a user's session is on."""
    [backend] = [name for name in target.backends if user in _who(target, name)]
    return backend


def _mapped(target: Target, director: str = "d1") -> dict[str, int]:
    """How many users the directors count on each backend."""
    names = {address: name for name, address in target.hosts.items()}
    return {names[row["mail server ip"]]: int(row["users"]) for row in target.run(director, "directorStatus")}


def _live(target: Target) -> int:
    return sum(len(_who(target, backend)) for backend in target.backends)


def _fullest(target: Target) -> str:
    return max(target.backends, key=lambda backend: len(_who(target, backend)))


def test_sessions_are_where_the_directors_say(busy: Target) -> None:
    """who, proxyList and directorStatus tell one story, on both directors."""
    assert _mapped(busy, "d1") == _mapped(busy, "d2")
    assert _mapped(busy) == {backend: len(_who(busy, backend)) for backend in busy.backends}
    listed = [row for director in busy.directors for row in busy.run(director, "proxyList")]
    assert len(listed) == USERS
    for row in listed[:5]:
        [status] = busy.run("d1", "directorStatus", user=row["username"])
        assert status["status"] == status["hashed"] == status["initial-config"] == row["dest-ip"]
        assert row == {
            "username": row["username"],
            "service": "imap",
            "src-ip": "127.0.0.1",
            "dest-ip": busy.hosts[_home(busy, row["username"])],
            "dest-port": row["dest-port"],
        }
    assert {row["username"] for row in busy.run("d1", "proxyList")} == {
        f"user{number:03}" for number in range(1, USERS, 2)
    }


def test_grouped_who_is_misnested(busy: Target) -> None:
    """All rows but the first stand beside the list; the bytes are valid JSON all the same."""
    body = busy.ask(_fullest(busy), '[["who",{},"t"]]').body
    row = r'\{"username":"user\d+","connections":"1","service":"imap","pids":"\(\d+\)","ips":"\([\d.]+\)"\}'
    assert re.fullmatch(rf'\[\["doveadmResponse",\[{row}\](,{row})+,"t"\]\]', body)
    [[_, first, *others, _]] = json.loads(body)
    assert len(first) == 1
    assert others


def test_who_by_connection_and_by_mask(busy: Target) -> None:
    """One row a connection, well nested; masks are patterns of users and networks."""
    backend = _fullest(busy)
    user = min(_who(busy, backend))
    body = busy.ask(backend, f'[["who",{{"mask":["{user}","127.0.0.0/8"],"separateConnections":true}},"t"]]').body
    assert re.fullmatch(
        rf'\[\["doveadmResponse",\[\{{"username":"{user}","service":"imap","pid":"\d+","ip":"127.0.0.1"\}}\],"t"\]\]',
        body,
    )
    assert busy.run(backend, "who", mask=[user, "10.0.0.0/8"]) == []
    assert len(busy.run(backend, "who", mask=["user*"])) == len(_who(busy, backend))


def test_kicked_user_comes_back_to_the_same_backend(busy: Target) -> None:
    """A mapping outlives its sessions; kicking before flushing is in vain."""
    backend = _fullest(busy)
    users = _who(busy, backend)
    dropped = busy.clients.dropped()
    rows = busy.run(backend, "kick", mask=["user*"])
    assert sorted(row["result"] for row in rows) == sorted(users)
    assert eventually(lambda: _who(busy, backend) == users and busy.clients.dropped() - dropped == len(users))
    assert busy.clients.failed() == 0


def test_proxy_kick_counts_its_own_sessions_alone(busy: Target) -> None:
    """Names are exact, and another director's sessions are not its affair."""
    assert busy.run("d2", "proxyKick", user=["user003"]) == [{"count": "0"}]
    assert busy.run("d1", "proxyKick", user=["user0*"]) == [{"count": "0"}]
    dropped = busy.clients.dropped()
    assert busy.run("d1", "proxyKick", user=["user003"]) == [{"count": "1"}]
    assert eventually(lambda: busy.clients.dropped() == dropped + 1 and _live(busy) == USERS)


def test_proxy_kick_of_an_empty_list(busy: Target) -> None:
    """Exit code 75 once somebody has logged in through the director; before that it is count 0."""
    reply = busy.ask("d1", '[["proxyKick", {"user": []}, "t"]]')
    assert reply.body == '[["error",{"type":"exitCode", "exitCode":75},"t"]]'


def test_proxy_kick_by_host(busy: Target) -> None:
    """All of this director's sessions to a backend, and no others."""
    backend = _fullest(busy)
    address = busy.hosts[backend]
    own = [row for row in busy.run("d1", "proxyList") if row["dest-ip"] == address]
    dropped = busy.clients.dropped()
    busy.run("d1", "proxyKick", host=f"@{backend}@")
    assert eventually(lambda: busy.clients.dropped() == dropped + len(own) and _live(busy) == USERS)


def test_director_kick_reaches_every_director(busy: Target) -> None:
    """One call on either director drops a user; the mapping stays."""
    home, dropped = _home(busy, "user003"), busy.clients.dropped()
    assert busy.run("d1", "directorKick", user="user00*") == []
    assert busy.run("d1", "directorKick", user="user003") == []
    assert eventually(lambda: busy.clients.dropped() == dropped + 1 and _live(busy) == USERS)
    assert _home(busy, "user003") == home


def test_drain(busy: Target) -> None:
    """No weight moves nobody; a flush moves everyone, so many at a time, and nobody's login fails."""
    backend = _fullest(busy)
    count, dropped, mapped = len(_who(busy, backend)), busy.clients.dropped(), _mapped(busy, "d1")[backend]
    busy.run("d1", "directorUpdate", host=f"@{backend}@", vhostCount="0")
    busy.sleep(1)
    assert _mapped(busy, "d2")[backend] == mapped
    assert busy.clients.dropped() == dropped
    parallel = -(-count // 2)
    started = time.monotonic()
    busy.run("d1", "directorFlush", host=f"@{backend}@", maxParallel=parallel)
    took = time.monotonic() - started
    full_batches = count // parallel  # the reply waits for these, even when the last of them is full
    assert 2.0 * full_batches * busy.scale - 0.2 < took < 2.0 * full_batches * busy.scale + 0.5
    assert eventually(lambda: _live(busy) == USERS)
    assert _mapped(busy, "d1")[backend] == _mapped(busy, "d2")[backend] == 0
    assert _who(busy, backend) == set()
    assert busy.clients.dropped() - dropped == count
    assert busy.clients.failed() == 0


def test_restore_brings_nobody_back(busy: Target) -> None:
    """Weight regained is for new users; a flush of the others brings the old ones home."""
    backend = _fullest(busy)
    users = _who(busy, backend)
    busy.run("d1", "directorDown", host=f"@{backend}@")
    busy.run("d1", "directorFlush", host=f"@{backend}@")
    assert eventually(lambda: _live(busy) == USERS and not _who(busy, backend))
    busy.run("d2", "directorUp", host=f"@{backend}@")
    busy.sleep(1)
    assert _who(busy, backend) == set()
    busy.sleep(2)
    busy.run("d1", "directorFlush", host="all")
    assert eventually(lambda: _live(busy) == USERS and _who(busy, backend) == users)


def test_flush_of_a_serving_backend_does_nothing(busy: Target) -> None:
    """The wrong order answers ok."""
    backend, dropped = _fullest(busy), busy.clients.dropped()
    assert busy.run("d1", "directorFlush", host=f"@{backend}@") == []
    busy.sleep(1)
    assert busy.clients.dropped() == dropped


def test_forced_flush_forgets_and_leaves_sessions(busy: Target) -> None:
    """The directors count nobody while everyone is still there."""
    backend = _fullest(busy)
    users, dropped = _who(busy, backend), busy.clients.dropped()
    busy.run("d1", "directorFlush", host=f"@{backend}@", forceFlush=True)
    busy.sleep(0.5)
    assert _mapped(busy, "d1")[backend] == _mapped(busy, "d2")[backend] == 0
    assert _who(busy, backend) == users
    assert busy.clients.dropped() == dropped


def test_moved_user_is_dropped_once_and_arrives(busy: Target) -> None:
    """A move is answered at once, holds the next login, and cannot be followed by another for two seconds."""
    home = _home(busy, "user005")
    target = next(backend for backend in busy.backends if backend != home)
    dropped = busy.clients.dropped()
    assert busy.run("d1", "directorMove", user="user005", host=f"@{target}@") == []
    again = busy.fill(f'[["directorMove",{{"user":"user005","host":"@{home}@"}},"t"]]')
    assert '"exitCode":75' in busy.ask("d2", again).body
    assert eventually(lambda: "user005" in _who(busy, target))
    assert busy.clients.dropped() == dropped + 1
    [status] = busy.run("d2", "directorStatus", user="user005")
    assert (status["status"], status["hashed"]) == (busy.hosts[target], busy.hosts[home])
    busy.sleep(2.2)
    assert busy.run("d1", "directorMove", user="user005", host=f"@{target}@") == []
    busy.sleep(0.5)
    assert busy.clients.dropped() == dropped + 1


def test_removed_backend_keeps_its_sessions(busy: Target) -> None:
    """DirectorRemove forgets the mappings, and the dump shows what was removed."""
    backend, dropped = _fullest(busy), busy.clients.dropped()
    users = _who(busy, backend)
    busy.run("d1", "directorRemove", host=f"@{backend}@")
    assert backend not in _mapped(busy, "d2")
    assert [row["host"] for row in busy.run("d1", "directorDump") if row["command"] == "remove"] == [
        busy.hosts[backend]
    ]
    assert _who(busy, backend) == users
    busy.run("d1", "directorAdd", host=f"@{backend}@", vhostCount="100")
    assert _mapped(busy, "d2")[backend] == 0
    assert busy.clients.dropped() == dropped


def test_stopped_service_leaves_sessions_and_reload_brings_it_back(busy: Target) -> None:
    """ServiceStop is for new logins; the reload that undoes it cuts every session some seconds later."""
    backend, dropped = _fullest(busy), busy.clients.dropped()
    users = _who(busy, backend)
    busy.run(backend, "serviceStop", service=["imap-login"])
    [row] = busy.run(backend, "serviceStatus", service=["imap-login"])
    assert (row["listening"], row["doveadm_stop"]) == ("n", "y")
    busy.sleep(1)
    assert (_who(busy, backend), busy.clients.dropped()) == (users, dropped)
    busy.run(backend, "reload")
    assert (_who(busy, backend), busy.clients.dropped()) == (users, dropped)
    assert eventually(lambda: busy.clients.dropped() == dropped + len(users), within=10.0)
    assert eventually(lambda: _who(busy, backend) == users)
    [row] = busy.run(backend, "serviceStatus", service=["imap-login"])
    assert row["doveadm_stop"] == "n"  # "listening" is also "n" where a process waits for logins itself


on_24 = pytest.mark.parametrize("busy", targets(V24, V245), indirect=True)


@on_24
def test_2_4_nests_who_well(busy: Target) -> None:
    """Grouped or by connection, all rows are in one list; proxyList is the same."""
    row = r'\{"username":"user\d+","connections":"1","service":"imap","pids":"\(\d+\)","ips":"\([\d.]+\)"\}'
    body = busy.ask("b1", '[["who",{},"t"]]').body
    assert re.fullmatch(rf'\[\["doveadmResponse",\[{row}(,{row})*\],"t"\]\]', body)
    assert len(json.loads(body)[0][1]) == USERS
    assert unordered(busy.ask("b1", '[["proxyList",{},"t"]]').body) == unordered(body)
    [connection] = busy.run("b1", "who", mask=["user001", "127.0.0.0/8"], separateConnections=True)
    assert {**connection, "pid": ""} == {
        "username": "user001",
        "service": "imap",
        "pid": "",
        "ip": "127.0.0.1",
        "dest_ip": "",
    }
    assert busy.run("b1", "who", mask=["user001", "10.0.0.0/8"]) == []


@on_24
@pytest.mark.parametrize("command", ["kick", "proxyKick"])
def test_2_4_counts_the_kicked(busy: Target, command: str) -> None:
    """Users, patterns and networks are counted; everybody comes back."""
    for mask, count in (["user001"], 1), (["user00?"], 9), (["user00?", "10.0.0.0/8"], 0), (["127.0.0.1"], USERS):
        dropped = busy.clients.dropped()
        assert busy.run("b1", command, mask=mask) == [{"count": str(count)}]
        assert eventually(lambda: busy.clients.dropped() == dropped + count and _live(busy) == USERS)
    assert busy.clients.failed() == 0


@on_24
def test_2_4_stopped_logins_leave_sessions_and_a_reload_cuts_them(busy: Target) -> None:
    """As in 2.3."""
    dropped, users = busy.clients.dropped(), _who(busy, "b1")
    busy.run("b1", "serviceStop", service=["imap-login"])
    [row] = busy.run("b1", "serviceStatus", service=["imap-login"])
    assert (row["listening"], row["doveadm_stop"]) == ("n", "y")
    busy.sleep(1)
    assert (_who(busy, "b1"), busy.clients.dropped()) == (users, dropped)
    busy.run("b1", "reload")
    assert (_who(busy, "b1"), busy.clients.dropped()) == (users, dropped)
    assert eventually(lambda: busy.clients.dropped() == dropped + USERS, within=10.0)
    assert eventually(lambda: _who(busy, "b1") == users)
