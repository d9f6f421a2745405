"""HTTP errors, of hosts and of what stands before them: what was turned away is retried, what may have run is not sent twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.command_line import CommandLine
from tests.integration.raw_server import Answer, Raw, answered, http

COUNT = ("exec", "b1", "dictInc", "user=u", "dictUri=file:/x", "key=shared/n", "difference=1", "--yes")
LIST = (
    b'[{"command":"dictInc","parameters":[{"name":"user","type":"string"},{"name":"dictUri","type":"string"},'
    b'{"name":"key","type":"string"},{"name":"difference","type":"integer"}]}]'
)


def then_well(*first: bytes, listed: bytes | None = None) -> Answer:
    """These answers to commands, one after the other, and good ones from then on; a list of commands."""
    left = list(first)

    def answer(_head: bytes, body: bytes) -> bytes:
        if not body:
            return listed or http(LIST)
        return left.pop(0) if left else answered(b"[]", body)

    return answer


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("429 Too Many Requests", [b"Retry-After: 1"]),
        (
            "429 Too Many Requests",
            [b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Retry-After: Sun, 06 Nov 1994 08:49:38 GMT"],
        ),
        ("429 Too Many Requests", []),
        ("503 Service Unavailable", [b"Retry-After: 0"]),
        ("425 Too Early", []),
        ("423 Locked", []),
    ],
)
def test_what_was_turned_away_is_sent_again(
    cli_for: Callable[..., CommandLine], status: str, headers: Sequence[bytes]
) -> None:
    """Of a request that was turned away nothing was executed: it is retried, also one that must not be repeated."""
    with Raw(then_well(http(b"busy", status, *headers))) as server:
        result = cli_for(server)(*COUNT)
        assert result.code == 0, result.said
        assert len([body for _head, body in server.seen if b"dictInc" in body]) == 2


@pytest.mark.parametrize(
    "header", [b"Retry-After: 86400", b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", b"Retry-After: " + b"9" * 300]
)
def test_nobody_waits_beyond_the_deadline(cli_for: Callable[..., CommandLine], header: bytes) -> None:
    """A host that wants to be left alone for a day is a failure that says so, and not a run of a day."""
    with Raw(then_well(http(b"busy", "429 Too Many Requests", header))) as server:
        result = cli_for(server)(*COUNT)
        assert result.code == 1, result.said
        assert "(HTTP 429): busy; it asks to wait 86400 s" in " ".join(result.said.split())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(b"", "202 Accepted"), "the answer (HTTP 202) cannot be read: an empty body"),
        (http(b"<html>", "203 Non-Authoritative Information"), "the answer (HTTP 203) cannot be read"),
        (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "the answer (HTTP 204) cannot be read"),
        (http(b"slow", "408 Request Timeout"), "(HTTP 408): slow"),
        (http(b"oops", "500 Internal Server Error"), "(HTTP 500): oops"),
        (http(b"oops", "502 Bad Gateway"), "(HTTP 502): oops"),
        (http(b"busy", "503 Service Unavailable"), "(HTTP 503): busy"),
        (http(b"late", "504 Gateway Timeout"), "(HTTP 504): late"),
        (http(b"done", "303 See Other", b"Location: /"), "HTTP 303"),
    ],
)
def test_what_may_have_run_is_not_sent_twice(cli_for: Callable[..., CommandLine], answer: bytes, words: str) -> None:
    """An answer that does not say whether the command ran leaves what must not be repeated in doubt, sent once."""
    with Raw(then_well(answer)) as server:
        cli = cli_for(server)
        result = cli(*COUNT)
        assert result.code == 4, result.said
        assert len([body for _head, body in server.seen if b"dictInc" in body]) == 1
        assert words in cli.exported()[0]["error"]


def test_another_success_is_judged_by_its_body(cli_for: Callable[..., CommandLine]) -> None:
    """A doveadm answer under any 2xx is the answer."""

    def reply(_head: bytes, body: bytes) -> bytes:
        return (
            answered(b'[{"username":"u1"}]', body).replace(b"200 OK", b"203 Changed") if body else http(b"[]", "404 No")
        )

    with Raw(reply) as server:
        result = cli_for(server)("exec", "b1", "who")
        assert result.code == 0, result.said
        assert "u1" in result.out


def test_a_host_without_a_password_says_so(cli_for: Callable[..., CommandLine]) -> None:
    """A host that answers its list of commands with 500 as well has no password set; the command was not executed."""
    error = http(b"Internal Server Error\r\n", "500 Internal Server Error")
    with Raw(lambda _head, _body: error) as server:
        cli = cli_for(server)
        result = cli(*COUNT)
        assert result.code == 1, result.said
        assert cli.exported()[0]["error"] == "the host has neither doveadm_password nor doveadm_api_key set (HTTP 500)"
        checked = cli("check")
        assert "set doveadm_password or doveadm_api_key on the host" in checked.out
