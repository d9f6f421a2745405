"""The simulator on real sockets: troubles on the wire, records, hosts that come and go, and 2.4's ways."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec, serve
from tests.command_line import wait_until

if TYPE_CHECKING:
    from pathlib import Path

WHO = '[["who",{"mask":["zz"]},"t"]]'
OK = '[["doveadmResponse",[],"t"]]'


def post(
    fleet: BackgroundFleet, host: str, body: str, *, credentials: str | None = None, timeout: float = 10.0
) -> tuple[int, str]:
    """Status and body of one request; (0, "") when not a byte came back."""
    data = read_all(connect(fleet, host, body, credentials=credentials, timeout=timeout))
    head, _, rest = data.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]), rest.decode()) if data else (0, "")


def connect(
    fleet: BackgroundFleet, host: str, body: str, *, credentials: str | None = None, timeout: float = 10.0
) -> socket.socket:
    """A connection on which one request was sent."""
    address = (fleet.directors | fleet.backends)[host]
    connection = socket.create_connection((address, fleet.port), timeout)
    known = base64.b64encode(f"doveadm:{fleet.password}".encode()).decode()
    head = f"POST /doveadm/v1 HTTP/1.1\r\nHost: x\r\nAuthorization: {credentials or 'Basic ' + known}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode())
    return connection


def read_all(connection: socket.socket) -> bytes:
    """All bytes until the end."""
    data = bytearray()
    with connection:
        while part := connection.recv(65536):
            data += part
    return bytes(data)


def one(command: str, /, **parameters: object) -> str:
    """A payload of one command."""
    return json.dumps([[command, parameters, "t"]])


def fleet(*faults: str, **changes: object) -> BackgroundFleet:
    """Twelve users, ten times faster than Dovecot."""
    return BackgroundFleet(FleetSpec(faults=faults, **{"time_scale": 0.1, "users": 12} | changes))  # type: ignore[arg-type]


KEY = {"dictUri": "file:/x", "key": "shared/n"}
SET = one("dictSet", **KEY, value="1")
INC = one("dictInc", **KEY, difference=1)
GET = one("dictGet", **KEY)


def value(running: BackgroundFleet) -> str:
    """What the dictionary holds now."""
    return json.loads(post(running, "b1", GET)[1])[0][1][0]["value"]


@pytest.mark.parametrize(
    ("fault", "answer", "after"),
    [
        ("exit=75", (200, '[["error",{"type":"exitCode", "exitCode":75},"t"]]'), "1"),
        ("exit=75,applied", (200, '[["error",{"type":"exitCode", "exitCode":75},"t"]]'), "2"),
        ("empty", (0, ""), "1"),
        ("empty=after", (0, ""), "2"),
        ("http=503", (503, "scripted fault\r\n"), "1"),
        ("http=500,applied", (500, "scripted fault\r\n"), "2"),
        ("wrong_tag", (200, '[["doveadmResponse",[],"t-other"]]'), "2"),
        ("drip=0", (200, OK), "2"),
        ("slow=0.05", (200, OK), "2"),
        ("truncate", (200, OK[: len(OK) // 2]), "2"),
    ],
)
def test_trouble_and_whether_the_command_ran(fault: str, answer: tuple[int, str], after: str) -> None:
    """A fault decides what the client sees and, apart from it, what took effect; the record tells both."""
    with fleet(f"command=dictInc,{fault}") as running:
        post(running, "b1", SET)
        assert post(running, "b1", INC) == answer
        assert value(running) == after
        record = running.requests[1]
        assert (record.command, record.executed) == ("dictInc", after == "2")
        assert record.answered is (answer != (0, "") and fault != "truncate")
        assert record.outcome.startswith("fault ")


def test_reset_is_a_reset() -> None:
    """The connection ends with RST, not with FIN."""
    with fleet("reset") as running, pytest.raises(ConnectionResetError):
        post(running, "b1", WHO)


def test_hang_never_answers() -> None:
    """Not a byte until the client gives up; other hosts go on."""
    with fleet("host=b1,hang") as running:
        with connect(running, "b1", WHO, timeout=0.3) as connection, pytest.raises(TimeoutError):
            connection.recv(1)
        assert post(running, "b2", WHO) == (200, OK)


def test_huge_body_has_its_megabytes() -> None:
    """Valid JSON that no client should have to keep."""
    with fleet("huge=1.5") as running:
        status, body = post(running, "b1", WHO)
        assert status == 200
        assert len(body) > 1_500_000
        assert json.loads(body)[0][2] == "t"


def test_echo_shows_the_request_and_only_there() -> None:
    """A server that repeats credentials in an error; the records never hold any."""
    with fleet("echo_auth") as running:
        status, body = post(running, "b1", WHO)
        assert status == 500
        assert "Authorization: Basic " in body
        assert running.password not in repr(running.requests)
        assert "Basic" not in repr(running.requests)


def test_refused_host_has_a_closed_port() -> None:
    """From the start, and only there."""
    with fleet("host=b2,refuse") as running:
        with pytest.raises(ConnectionRefusedError):
            post(running, "b2", WHO)
        assert post(running, "b1", WHO)[0] == 200


def test_fault_in_a_payload_ends_it() -> None:
    """What ran before has run, what follows has not."""
    with fleet("command=kick,empty") as running:
        triples = [json.loads(SET)[0], ["kick", {"mask": ["zz"]}, "k"], json.loads(INC)[0]]
        assert post(running, "b1", json.dumps(triples)) == (0, "")
        assert [record.command for record in running.requests] == ["dictSet", "kick"]
        assert value(running) == "1"


def test_exit_fault_leaves_the_rest_of_a_payload_alone() -> None:
    """One command fails, with its comma in its place."""
    with fleet("command=who,after=1,first=1,exit=75,applied") as running:
        body = "[" + ",".join(WHO[1:-1] for _ in range(3)) + "]"
        kinds = [item[0] for item in json.loads(post(running, "b1", body)[1])]
        assert kinds == ["doveadmResponse", "error", "doveadmResponse"]


def test_client_that_leaves_does_not_cancel() -> None:
    """The command runs to its end; the record says that nobody heard of it."""
    with fleet("command=dictSet,slow=0.2") as running:
        connect(running, "b1", SET).close()
        wait_until(lambda: len(running.requests) == 1 and running.requests[0].executed)
        [record] = running.requests
        assert (record.executed, record.answered) == (True, False)
        assert value(running) == "1"


def test_record_file_has_a_line_for_each_command(tmp_path: Path) -> None:
    """Flushed when the reply has left, for tests that kill the client."""
    path = tmp_path / "requests.jsonl"
    with fleet(record=path) as running:
        post(running, "b1", SET)
        post(running, "d1", '[["nosuch",{},"a"],["directorUp",{"host":"127.0.0.9"},"b"]]')
        post(running, "b1", one("fsGet"))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["host"], line["command"], line["tag"], line["outcome"]) for line in lines] == [
        ("b1", "dictSet", "t", "ok"),
        ("d1", "nosuch", "a", "unknownMethod"),
        ("d1", "directorUp", "b", "exit 68"),
        ("b1", "fsGet", "t", "died"),
    ]
    assert list(lines[0]) == [
        "time",
        "host",
        "command",
        "parameters",
        "tag",
        "executed",
        "answered",
        "outcome",
    ]
    assert lines[0]["parameters"] == {**KEY, "value": "1"}
    assert [line["executed"] for line in lines] == [True, False, True, False]
    assert [line["answered"] for line in lines] == [True, True, True, False]


def test_memory_keeps_as_many_requests_as_asked() -> None:
    """The newest ones."""
    with fleet(keep_requests=2) as running:
        for host in ("b1", "b2", "b3"):
            post(running, host, WHO)
        assert [record.host for record in running.requests] == ["b2", "b3"]


def test_stopped_host_refuses_and_comes_back() -> None:
    """Connections under way get nothing; its sessions are cut and return."""
    with fleet("host=b1,command=who,hang", users=60) as running:
        connection = connect(running, "b1", WHO)
        time.sleep(0.1)
        running.stop("b1")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            post(running, "b1", GET)
        assert running.fleet.counters.dropped > 0
        running.start("b1")
        assert post(running, "b1", GET)[0] == 200


def test_command_under_way_dies_with_its_host() -> None:
    """Its record says that it was not executed."""
    with fleet("command=dictSet,slow=0.2") as running:
        connection = connect(running, "b1", SET)
        time.sleep(0.05)
        running.stop("b1")
        connection.close()
        time.sleep(0.3)
        [record] = running.requests
        assert (record.executed, record.answered) == (False, False)
        running.start("b1")
        assert '"exitCode":68' in post(running, "b1", GET)[1]


def test_stop_command_answers_and_then_refuses() -> None:
    """The reply leaves when the master has stopped."""
    with fleet() as running:
        assert post(running, "b1", one("stop")) == (200, OK)
        with pytest.raises(ConnectionRefusedError):
            post(running, "b1", WHO)
        running.start("b1")
        assert post(running, "b1", WHO) == (200, OK)


def test_stopping_the_doveadm_service_locks_out() -> None:
    """The answer still comes; starting the host again lets callers in."""
    with fleet() as running:
        assert post(running, "b1", one("serviceStop", service=["doveadm"])) == (200, OK)
        with pytest.raises(ConnectionRefusedError):
            post(running, "b1", WHO)
        running.start("b1")
        assert post(running, "b1", WHO) == (200, OK)


def test_stop_and_start_work_from_another_thread() -> None:
    """BackgroundFleet is for synchronous callers, several of them."""
    with fleet() as running:
        threads = [threading.Thread(target=action, args=("b2",)) for action in (running.stop, running.start)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        running.start("b2")
        assert post(running, "b2", WHO)[0] == 200


def test_unreadable_home_fails_status_and_nothing_else() -> None:
    """Repairs say ok on it, which is why they must be verified."""
    with fleet(unreadable_users=("user005",)) as running:
        assert post(running, "b1", one("forceResync", user="user005", mailboxMask="*")) == (200, OK)
        assert post(running, "b1", one("quotaRecalc", user="user005")) == (200, OK)
        status = one("mailboxStatus", user="user005", field=["messages"], mailboxMask=["INBOX"])
        assert '"exitCode":75' in post(running, "b1", status)[1]
        everyone = one("mailboxStatus", user="user00*", field=["messages"], mailboxMask=["INBOX"])
        assert '"exitCode":75' in post(running, "b1", everyone)[1]
        log = json.loads(post(running, "b1", one("logErrors"))[1])[0][1]
        assert any("Permission denied" in line["text"] for line in log)


def test_latency_is_spent_on_each_command() -> None:
    """Commands of one payload are run one after the other."""
    with fleet(latency=0.05) as running:
        started = time.monotonic()
        post(running, "b1", "[" + ",".join(WHO[1:-1] for _ in range(4)) + "]")
        assert time.monotonic() - started >= 0.2


def test_config_refers_to_the_password(tmp_path: Path) -> None:
    """The configuration names a file that only its owner may read."""
    with fleet(network="127.113") as running:
        text = running.config(tmp_path)
        path = tmp_path / "doveadm.password"
        assert path.read_text() == running.password + "\n"
        assert path.stat().st_mode & 0o777 == 0o600
        assert running.password not in text
    assert text.splitlines() == [
        "defaults:",
        "  scheme: http",
        "  port: 8080",
        f"  auth: {{password: {{file: {path}}}}}",
        "groups:",
        "  directors: {hosts: {d1: 127.113.1.1, d2: 127.113.1.2}}",
        "  backends: {hosts: {b1: 127.113.2.1, b2: 127.113.2.2, b3: 127.113.2.3}}",
    ]


def test_two_fleets_find_networks_of_their_own() -> None:
    """And a network that is taken is refused when it was asked for."""
    with fleet() as one_fleet, fleet() as other:
        assert set(one_fleet.backends.values()).isdisjoint(other.backends.values())
        taken = ".".join(one_fleet.backends["b1"].split(".")[:2])
        with pytest.raises(OSError, match="address already in use"), fleet(network=taken):
            pass


def test_bad_fault_stops_the_start() -> None:
    """The caller's thread gets the ValueError."""
    with pytest.raises(ValueError, match="has no action"), fleet("host=b1"):
        pass


def test_serve_is_an_async_context() -> None:
    """The same fleet inside a caller's own loop."""

    async def main() -> int:
        async with serve(FleetSpec(users=3)) as running:
            await running.stop("b1")
            await running.start("b1")
            async with await anyio.connect_tcp(running.backends["b1"], running.port) as stream:
                await stream.send(b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
                return int((await stream.receive()).split(b" ")[1])

    assert anyio.run(main) == 404
