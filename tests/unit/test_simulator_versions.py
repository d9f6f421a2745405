"""What the simulated hosts of 2.3 and of 2.4 say, byte for byte, where no real server is asked in the contract."""

from __future__ import annotations

import json
import time

import pytest

from tests.unit.test_simulator_server import OK, WHO, fleet, one, post

NEW = {"version": "2.4", "directors": 0}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (one("kick", mask=["nobody"]), '[["doveadmResponse",[{"count":"0"}],"t"]]'),
        (one("kick", force=True, mask=["x"]), '[["error",{"type":"invalidRequest","exitCode":0},"t"]]'),
        (one("kick"), ""),
        (one("kick", mask=["a", "b"]), ""),
        (one("proxyKick", mask=["nobody"]), '[["doveadmResponse",[{"count":"0"}],"t"]]'),
        (one("authCacheFlush", user=[]), ""),
        (one("directorStatus"), '[["error",{"type":"unknownMethod","exitCode":0},"t"]]'),
        (
            one("dictGet", filterName="mail_attribute", key="shared/k"),
            '[["error",{"type":"exitCode","exitCode":68},"t"]]',
        ),
        (one("dictGet", filterName="nosuch", key="shared/k"), '[["error",{"type":"exitCode","exitCode":75},"t"]]'),
        (one("who", separateConnections=1), "Parameter `separate-connections' must be `true' or `false', not `1'\r\n"),
        ('[["who",{},""]]', ""),
        ("{}", "JSON parse error: Root is not an array\r\n"),
        ("", "JSON parse error: JSON text has no value\r\n"),
        ('[["who",{}', "JSON parse error: Encountered end of input inside array\r\n"),
        ('[["who",{},"t"],]', "JSON parse error: Expected value, but encountered ']'\r\n"),
        ('[["who",{"mask":["a"]},"t"]] x', "JSON parse error: Spurious data at end of JSON text\r\n"),
        (
            r'[["user",{"userMask":["a\ud83d"]},"t"]]',
            "JSON parse error: String contains lonely Unicode high surrogate '\\uD83D'\r\n",
        ),
        (
            '[["nosuch",{},"a"],["who",{"mask":["zz"]},"b \\u001f"]]',
            '[["error",{"type":"unknownMethod","exitCode":0},"a"],["doveadmResponse",[],"b \\u001F"]]',
        ),
        (
            one("mailboxStatus", userFile="user001\nuser002\n", field=["messages"], mailboxMask=["INBOX"]),
            (
                '[["doveadmResponse",[{"username":"user001","mailbox":"INBOX","messages":"0"},'
                '{"username":"user002","mailbox":"INBOX","messages":"0"}],"t"]]'
            ),
        ),
    ],
)
def test_2_4_answers_in_its_own_way(body: str, answer: str) -> None:
    """As captured from a 2.4.1 server."""
    with fleet(**NEW) as running:
        assert post(running, "b1", body)[1] == answer


def test_2_4_nests_who_well_and_counts_kicks() -> None:
    """Grouped rows are one list; sessions return."""
    with fleet(**NEW) as running:
        [[_, rows, _]] = json.loads(post(running, "b1", one("who"))[1])
        assert len(rows) == 4
        [[_, connections, _]] = json.loads(post(running, "b1", one("who", separateConnections=True))[1])
        assert list(connections[0]) == ["username", "service", "pid", "ip", "dest_ip"]
        assert post(running, "b1", one("kick", mask=["*"]))[1] == '[["doveadmResponse",[{"count":"4"}],"t"]]'
        time.sleep(0.5)
        assert running.fleet.live_sessions == 12


def test_2_4_takes_1024_commands() -> None:
    """The ones before the limit have run although the reply is a 400."""
    with fleet(**NEW) as running:
        body = "[" + ",".join(WHO[1:-1] for _ in range(1025)) + "]"
        assert post(running, "b1", body) == (400, "JSON parse error: Too many items in array\r\n")
        assert len(running.requests) == 1024


def test_mixed_fleet_answers_by_host() -> None:
    """One backend is ahead of the others."""
    with fleet(backend_versions={"b2": "2.4"}) as running:
        body = one("kick", mask=["nobody"])
        assert '"exitCode":68' in post(running, "b1", body)[1]
        assert '"count":"0"' in post(running, "b2", body)[1]


def test_statistics_are_numbers() -> None:
    """Counts are JSON numbers, and averages keep their two digits."""
    with fleet() as running:
        post(running, "b1", one("statsAdd", name="m", filter="event=x"))
        assert post(running, "b1", one("statsDump"))[1] == (
            '[["doveadmResponse",[{"metric_name":"m","field":"duration","count":0,"sum":0,"min":0,"max":0,'
            '"avg":0.00,"median":0,"stddev":0.00,"%95":0}],"t"]]'
        )


def test_files_are_kept() -> None:
    """Put, copied, measured, listed and deleted."""
    fs = {"fsDriver": "posix", "fsArgs": "prefix=/srv/"}
    with fleet() as running:
        assert post(running, "b1", one("fsPut", **fs, inputPath="/tmp/in", path="dir/a"))[1] == OK
        assert post(running, "b1", one("fsCopy", **fs, sourcePath="dir/a", destinationPath="b"))[1] == OK
        assert '"path":"b","size":8}' in post(running, "b1", one("fsStat", **fs, path="b"))[1]
        assert '[{"path":"b"}]' in post(running, "b1", one("fsIter", **fs, path="/"))[1]
        assert '[{"path":"dir"}]' in post(running, "b1", one("fsIterDirs", **fs, path="/"))[1]
        assert '"content":"/tmp/in\\n"' in post(running, "b1", one("fsGet", **fs, path="dir/a"))[1]
        assert '"exitCode":75' in post(running, "b1", one("fsDelete", **fs, path=["dir"]))[1]
        assert post(running, "b1", one("fsDelete", **fs, path=["dir/"], recursive=True))[1] == OK
        assert '"exitCode":68' in post(running, "b1", one("fsDelete", **fs, path=["b", "dir/a"]))[1]
        assert post(running, "b1", one("fsIter", **fs, path="/"))[1] == OK


def test_login_processes_of_one_session_add_header_rows() -> None:
    """Dovecot's default: every process but the first prints its header as a row, and one count alone arrives."""
    with fleet(network="127.114", login_service_count=1, users=4) as running:
        session = '{"username":"%s","service":"imap","src-ip":"127.0.0.1","dest-ip":"%s","dest-port":"1143"}'
        header = (
            '{"username":"username","service":"service","src-ip":"src-ip","dest-ip":"dest-ip","dest-port":"dest-port"}'
        )
        homes = {row["username"]: row["dest-ip"] for row in json.loads(post(running, "d1", one("proxyList"))[1])[0][1]}
        rows = f"{session % ('user001', homes['user001'])},{header},{session % ('user003', homes['user003'])}"
        assert post(running, "d1", one("proxyList"))[1] == f'[["doveadmResponse",[{rows}],"t"]]'
        kicked = post(running, "d1", one("proxyKick", user=["user001", "user003"]))[1]
        assert kicked == '[["doveadmResponse",[{"count":"1"}],"t"]]'
        assert running.fleet.counters.dropped == 2


def test_newline_in_a_user_reaches_the_director() -> None:
    """What follows it is a command of its own; the answer is that of a normal lookup."""
    with fleet() as running:
        body = one("directorStatus", user=f"x\nHOST-UPDATE\t{running.backends['b3']}\t42")
        assert '"status":"n/a"' in post(running, "d1", body)[1]
        assert '"vhosts":"42"' in post(running, "d2", one("directorStatus"))[1]


def test_director_without_its_peer_holds_changes() -> None:
    """Moves are not held, changes of hosts are, and nothing shows of them meanwhile."""
    with fleet(time_scale=0.02) as running:
        running.stop("d2")
        status = post(running, "d1", one("directorRingStatus"))[1]
        assert '"status":"ring syncing - last sync' in status
        started = time.monotonic()
        assert post(running, "d1", one("directorKick", user="user001")) == (200, OK)
        assert time.monotonic() - started < 0.2
        assert post(running, "d1", one("directorUpdate", host=running.backends["b1"], vhostCount="0")) == (200, OK)
        assert 0.2 < time.monotonic() - started < 0.8
        assert '"status":"ring synced"' in post(running, "d1", one("directorRingStatus"))[1]


def test_a_director_that_removes_itself_is_alone() -> None:
    """It says that all is OK, in a ring of its own; the others do not list it any more."""
    with fleet(time_scale=0.01) as running:
        assert post(running, "d1", one("directorRingRemove", ip=running.directors["d1"])) == (200, OK)
        [[_, rows, _]] = json.loads(post(running, "d1", one("directorRingStatus"))[1])
        assert [(row["type"], row["status"]) for row in rows] == [("self", "ring synced"), ("", "")]
        [[_, rows, _]] = json.loads(post(running, "d2", one("directorRingStatus"))[1])
        assert [row["director ip"] for row in rows] == [running.directors["d2"]]


def test_a_ring_of_four_has_rows_that_say_nothing() -> None:
    """Of a director that is no neighbour there is a row without type and status."""
    with fleet(directors=4) as running:
        [[_, rows, _]] = json.loads(post(running, "d1", one("directorRingStatus"))[1])
        assert [(row["type"], row["status"]) for row in rows] == [
            ("self", "ring synced"),
            ("right", "synced"),
            ("", ""),
            ("left", "synced"),
        ]


def test_director_command_on_a_backend_gets_nothing() -> None:
    """The process waits for a director that is not there."""
    with fleet() as running:
        started = time.monotonic()
        assert post(running, "b1", one("directorStatus")) == (0, "")
        assert time.monotonic() - started > 0.4


def test_log_tells_why_there_was_no_answer() -> None:
    """The ring buffer survives the process."""
    with fleet() as running:
        before = int(time.time())
        post(running, "d1", one("directorUp"))
        post(running, "d1", one("directorUp", host="127.0.0.9"))
        [[_, lines, _]] = json.loads(post(running, "d1", one("logErrors", since=before))[1])
        assert [(line["prefix"], line["type"], line["text"]) for line in lines] == [
            (
                "doveadm(127.0.0.1)",
                "Fatal",
                "Client sent invalid command. Usage: director up [-a <director socket path>] <host>",
            ),
            ("doveadm(127.0.0.1)", "Error", "127.0.0.9: doesn't exist"),
            ("doveadm(127.0.0.1)", "Error", "Command director up failed"),
        ]


def test_large_fleet_starts_soon() -> None:
    """Fifty thousand users on forty backends, and a drain of one of them."""
    with fleet(users=50_000, backends=40) as running:
        address = running.backends["b7"]
        assert post(running, "d1", one("directorUpdate", host=address, vhostCount="0")) == (200, OK)
        assert post(running, "d1", one("directorFlush", host=address, maxParallel=1000), timeout=30.0) == (200, OK)
        assert post(running, "b7", one("who", separateConnections=True)) == (200, OK)
        assert len(json.loads(post(running, "b8", one("who"))[1])[0]) > 1000
