"""HTTP itself: status lines, headers, credentials, paths, and what is no HTTP at all."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.simulator.commands.registry import COMMANDS
from tests.contract.cases import V23, V24, V245
from tests.contract.exchange import PATH, basic, exchange, request
from tests.contract.targets import targets

if TYPE_CHECKING:
    from tests.contract.targets import Target

BODY = '[["who",{"mask":["zz"]},"t"]]'
ANSWER = '[["doveadmResponse",[],"t"]]'
STREAM = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


def _key(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_reply_closes_the_connection_and_tells_its_length(target: Target) -> None:
    """Every API reply has these headers and no others."""
    reply = target.ask("b1", BODY)
    assert (reply.status, reply.reason, reply.body) == (200, "OK", ANSWER)
    assert [name for name, _ in reply.headers] == ["Date", "Content-Length", "Connection", "Content-Type"]
    assert reply.header("Connection") == ["close"]
    assert reply.header("Content-Length") == [str(len(ANSWER))]
    assert reply.header("Content-Type") == [STREAM]


@pytest.mark.parametrize("scheme", ["Basic", "basic", "bAsIc", "Basic  "])
def test_password_is_admitted(target: Target, scheme: str) -> None:
    """The scheme's case and blanks do not matter."""
    credentials = basic(target.password).replace("Basic", scheme)
    assert target.send("b1", request("x", BODY, authorization=credentials)).body == ANSWER


def test_key_is_admitted(target: Target) -> None:
    """The API key is as good as the password."""
    credentials = "X-Dovecot-API " + _key(target.api_key)
    assert target.send("b1", request("x", BODY, authorization=credentials)).body == ANSWER


@pytest.mark.parametrize(
    "credentials",
    [
        None,
        "",
        "Basic ***",
        basic("wrong"),
        basic("", "doveadm"),
        "X-Dovecot-API " + _key("wrong"),
        "X-Dovecot-API ***",
        "Bearer " + _key("doveadm"),
    ],
)
def test_nobody_else_is_admitted(target: Target, credentials: str | None) -> None:
    """A 401 has no body and one challenge for each scheme that is configured, the key's first."""
    reply = target.send("b1", request("x", BODY, authorization=credentials))
    assert (reply.status, reply.reason, reply.body) == (401, "Authentication required", "")
    assert reply.header("WWW-Authenticate") == ["X-Dovecot-API", 'Basic Realm="doveadm"']
    assert [name for name, _ in reply.headers][:3] == ["Date", "Content-Length", "Connection"]


def test_another_user_is_not_admitted(target: Target) -> None:
    """The user is literally doveadm."""
    reply = target.send("b1", request("x", BODY, authorization=basic(target.password, "root")))
    assert reply.status == 401


def test_401_comes_before_400(target: Target) -> None:
    """A body is not looked at without credentials."""
    assert target.send("b1", request("x", "[5", authorization=None)).status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/"), ("POST", "/nope"), ("POST", PATH + "/"), ("PUT", PATH), ("GET", "/doveadm"), ("DELETE", PATH)],
)
def test_other_paths_and_methods_are_not_found(target: Target, method: str, path: str) -> None:
    """A 404 needs no credentials."""
    reply = target.send("b1", request("x", BODY, authorization=None, method=method, path=path))
    assert (reply.status, reply.reason, reply.body) == (404, "Path Not Found", "Path Not Found\r\n")
    assert reply.header("Content-Type") == [TEXT]


def test_head_is_not_found_and_has_no_body(target: Target) -> None:
    """A 404 without a length."""
    reply = target.send("b1", request("x", authorization=None, method="HEAD"))
    assert (reply.status, reply.body) == (404, "")
    assert [name for name, _ in reply.headers] == ["Date", "Connection"]


@pytest.mark.parametrize("path", [PATH, "/", "/nope"])
def test_options_needs_no_credentials(target: Target, path: str) -> None:
    """Any path has the same options."""
    reply = target.send("b1", request("x", authorization=None, method="OPTIONS", path=path))
    assert (reply.status, reply.body) == (200, "")
    crossing = target.version != V245  # which web pages of other sites might use it, 2.4.5 does not say any more
    assert reply.header("Access-Control-Allow-Methods") == (["GET, POST, OPTIONS"] if crossing else [])
    assert len(reply.headers) == (7 if crossing else 3)


def test_mounts_are_listed(target: Target) -> None:
    """GET / lists four mounts, for those who may."""
    assert target.send("b1", request("x", authorization=None, method="GET", path="/")).status == 401
    mounts = json.loads(target.get("b1", "/").body)
    assert [(mount["method"], mount["path"]) for mount in mounts] == [
        ("OPTIONS", "*"),
        ("GET", "/"),
        ("GET", PATH),
        ("POST", PATH),
    ]


def test_catalogue_lists_the_simulated_commands(target: Target) -> None:
    """What the simulator declares is, entry for entry and in order, part of the real catalogue's text."""
    for role, hosts in (("director", target.directors), ("backend", target.backends)):
        for host in hosts[:1]:
            reply = target.get(host, PATH)
            assert reply.header("Content-Type") == [STREAM]
            declared = [
                {"command": command.name, "parameters": [{"name": n, "type": t} for n, t in command.parameters.items()]}
                for command in COMMANDS[target.version, role].values()
                if not command.name.startswith("quota")  # there where the plugin is loaded
            ]
            names = {entry["command"] for entry in declared}
            assert [entry for entry in json.loads(reply.body) if entry["command"] in names] == declared


@pytest.mark.parametrize("target", targets(V23), indirect=True)
def test_catalogue_of_2_3_is_laid_out_in_lines(target: Target) -> None:
    """Commands and parameters have lines of their own."""
    reply = target.get("b1", PATH)
    assert reply.body.startswith('[\n\t{"command":"')
    assert '\n\t{"command":"stop", "parameters":[]},\n' in reply.body
    assert '", "parameters":[\n\t\t{"name":"service","type":"array"}\n\t]},\n' in reply.body


@pytest.mark.parametrize("target", targets(V24), indirect=True)
def test_catalogue_of_2_4_is_one_line(target: Target) -> None:
    """No blank and no line end."""
    reply = target.get("b1", PATH)
    assert reply.body.startswith('[{"command":"')
    assert ',{"command":"stop","parameters":[]},' in reply.body
    assert "\n" not in reply.body


@pytest.mark.parametrize(
    ("head", "status", "closed"),
    [
        ("POST /doveadm/v1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "400 Bad Request", False),
        ("hello\r\n\r\n", "400 Bad Request", True),
        ("POST /doveadm/v1\r\nHost: x\r\n\r\n", "400 Bad Request", True),
        ("POST /doveadm/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", "400 Bad Request", True),
        ("POST /doveadm/v1 HTTP/2.0\r\nHost: x\r\n\r\n", "505 HTTP Version Not Supported", False),
    ],
)
def test_garbage_gets_a_text(target: Target, head: str, status: str, closed: bool) -> None:
    """Some of it without an end of the connection."""
    reply = target.send("b1", head.encode())
    assert f"{reply.status} {reply.reason}" == status
    assert reply.body == status.partition(" ")[2] + "\r\n"
    assert reply.header("Connection") == ["close"] * closed


@pytest.mark.parametrize(
    "head",
    [
        "POST /doveadm/v1 HTTP/1.0",
        "POST /doveadm/v1?x=1 HTTP/1.1\r\nHost: x",
        "POST http://x/doveadm/v1 HTTP/1.1\r\nHost: x",
        "POST /doveadm/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nConnection: keep-alive",
        "POST /doveadm/v1 HTTP/1.1\r\nhost: x\r\nAccept-Encoding: gzip",
        "POST /doveadm/v1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue",
    ],
)
def test_unusual_requests_are_answered(target: Target, head: str) -> None:
    """Old versions, queries, other types and wishes to stay make no difference."""
    text = f"{head}\r\nAuthorization: {basic(target.password)}\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
    reply = target.send("b1", text.encode())
    assert (reply.status, reply.body, reply.header("Connection")) == (200, ANSWER, ["close"])


def test_chunked_request(target: Target) -> None:
    """A body may come in chunks."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: {basic(target.password)}"
    chunks = f"5\r\n{BODY[:5]}\r\n{len(BODY) - 5:x}\r\n{BODY[5:]}\r\n0\r\n\r\n"
    assert target.send("b1", f"{head}\r\n\r\n{chunks}".encode()).body == ANSWER


def test_a_second_pipelined_request_is_dropped(target: Target) -> None:
    """One connection is one request."""
    data = request("x", BODY, authorization=basic(target.password))
    assert target.send("b1", data + data).body == ANSWER


@pytest.mark.parametrize("target", targets(V23), indirect=True)
def test_body_of_a_mebibyte_is_the_largest(target: Target) -> None:
    """One byte more is too large for 2.3."""
    mebibyte = 1024 * 1024
    assert target.ask("b1", BODY.rjust(mebibyte)).body == ANSWER
    too_large = target.ask("b1", BODY.rjust(mebibyte + 1))
    assert too_large.empty or (too_large.status, too_large.body) == (413, "Payload Too Large\r\n")


@pytest.mark.parametrize("target", targets(V24), indirect=True)
def test_2_4_takes_larger_bodies(target: Target) -> None:
    """Only values and lists have a limit."""
    assert target.ask("b1", BODY.rjust(4 * 1024 * 1024)).body == ANSWER


@pytest.mark.parametrize("target", targets(V24), indirect=True)
@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (json.dumps([["who", {"mask": "x" * 32768}, "t"]]), ANSWER),
        (json.dumps([["who", {"mask": "x" * 32769}, "t"]]), "JSON parse error: Excessive string size (> 32768)\r\n"),
        (json.dumps([["user", {"userMask": ["x*"] * 1024}, "t"]]), '[["doveadmResponse",{"userList":[]},"t"]]'),
        (json.dumps([["user", {"userMask": ["x*"] * 1025}, "t"]]), "JSON parse error: Too many items in array\r\n"),
        (f"[{','.join([BODY[1:-1]] * 1025)}]", "JSON parse error: Too many items in array\r\n"),
    ],
    ids=["value", "larger value", "list", "longer list", "commands"],
)
def test_2_4_limits_values_and_lists(target: Target, body: str, answer: str) -> None:
    """32768 bytes a value, 1024 items a list, and as many commands."""
    assert target.ask("b1", body).body == answer


def test_closed_port_refuses(target: Target) -> None:
    """Nothing listens on the neighbouring port."""
    with pytest.raises(ConnectionRefusedError):
        exchange(target.hosts["b1"], target.port + 7, b"")
