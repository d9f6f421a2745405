"""What a host says it can do, and why it does not say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent, Obstacle, Stranger
from orchestrator.dovecot.listing import Listing, read_listing, trouble
from tests.strategies import json_values

DATA = Path(__file__).parents[1] / "data"
URL = "https://b1:8080/doveadm/v1"


@pytest.mark.parametrize(
    ("name", "release", "command", "parameters"),
    [
        ("catalog-2.3-backend.json", "2.3", "kick", {"mask": "array", "force": "boolean"}),
        ("catalog-2.3-director.json", "2.3", "directorKick", {"passdbField": "string", "user": "string"}),
        ("catalog-2.4.1-backend.json", "2.4 before 2.4.3", "kick", {"passdbField": "string", "destHost": "string"}),
        ("catalog-2.4.1-proxy.json", "2.4 before 2.4.3", "authCacheFlush", {"user": "array"}),
        ("catalog-2.4.5-backend.json", "2.4.3 or later", "authCacheFlush", {"userMask": "array"}),
        ("catalog-2.4.5-proxy.json", "2.4.3 or later", "kick", {"mask": "array"}),
    ],
)
def test_lists_of_real_hosts_are_read(name: str, release: str, command: str, parameters: dict[str, str]) -> None:
    """The lists of real servers are read, with the parameters' types, and their release is recognised."""
    listing = read_listing(Answered(200, (DATA / name).read_bytes()))
    assert listing is not None
    assert (listing.release, listing.version, len(listing.commands) > 90) == (release, release[:3], True)
    assert parameters.items() <= dict(listing.commands[command]).items()


@pytest.mark.parametrize(
    ("commands", "version", "release"),
    [
        ([], "unknown", "unknown"),
        (["kick", "who"], "unknown", "unknown"),
        (["directorStatus", "indexerAdd"], "2.3", "2.3"),
        (["replicatorStatus"], "2.3", "2.3"),
        (["indexerAdd"], "2.4", "2.4"),
        (["kick destHost"], "2.4", "2.4"),
        (["kick destHost", "authCacheFlush user"], "2.4", "2.4 before 2.4.3"),
        (["indexerAdd", "authCacheFlush userMask"], "2.4", "2.4.3 or later"),
        (["authCacheFlush userMask"], "unknown", "unknown"),
    ],
)
def test_a_version_is_told_by_what_only_it_has(commands: list[str], version: str, release: str) -> None:
    """One command that a version alone has is enough; where there is none nothing is claimed."""
    names = [entry.partition(" ") for entry in commands]
    listing = Listing({command: {parameter: "string"} if parameter else {} for command, _, parameter in names})
    assert (listing.version, listing.release) == (version, release)


@pytest.mark.parametrize(
    "exchange",
    [
        NotSent("connection refused"),
        NoAnswer("closed"),
        Answered(401, b""),
        Answered(200, b""),
        Answered(200, b"<html>"),
        Answered(200, b"{}x"),
        Answered(200, b"5"),
        Answered(200, b"null"),
        Answered(200, b'[["command"]]'),
        Answered(200, b'[{"command":"kick"}]'),
        Answered(200, b'[{"command":"kick","parameters":5}]'),
        Answered(200, b'[{"command":"kick","parameters":[{"name":"x"}]}]'),
        Answered(200, b"\xff\xfe"),
        Answered(200, b"[" * 100_000),
    ],
)
def test_what_is_no_list_is_none(exchange: Exchange) -> None:
    """Any other answer gives no list, and no exception."""
    assert read_listing(exchange) is None


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_list_or_none(body: bytes) -> None:
    """Whatever a host answers, it is a list or none."""
    read_listing(Answered(200, body))


@pytest.mark.parametrize(
    ("exchange", "url", "reason", "hint"),
    [
        (NotSent("connection refused", obstacle=Obstacle.REFUSED), URL, "connection refused", "is Dovecot running"),
        (
            NotSent("certificate verify failed", obstacle=Obstacle.CERTIFICATE),
            URL,
            "certificate verify failed",
            "name the CA",
        ),
        (NotSent("TLS failed: wrong version number", obstacle=Obstacle.TLS), URL, "TLS failed", "set scheme: http"),
        (NotSent("no address for the name refused.example", obstacle=Obstacle.NAME), URL, "name", "check the address"),
        (NotSent("TLS failed", obstacle=Obstacle.TLS, remedy="renew it"), URL, "TLS failed", "renew it"),
        (
            NotSent("unreachable"),
            URL,
            "unreachable",
            "check network, firewall and address, and whether the port speaks TLS",
        ),
        (Stranger("IMAP"), URL, "this port speaks IMAP", "give the port of doveadm's HTTP listener"),
        (NoAnswer("closed without an answer"), URL, "closed", "wants a client certificate closes without it"),
        (NoAnswer("closed without an answer"), URL, "closed", "not named http"),
        (NoAnswer("closed without an answer"), URL.replace("https", "http"), "closed", "set scheme: https"),
        (Answered(401, b"", ("X-Dovecot-API",)), URL, "HTTP 401", "the host offers X-Dovecot-API"),
        (Answered(401, b"", ("Basic", "X-Dovecot-API")), URL, "HTTP 401", "the host offers Basic or X-Dovecot-API"),
        (
            Answered(401, b"", doubt="the secret ends with a blank"),
            URL,
            "HTTP 401",
            "offers nothing; the secret ends with a blank",
        ),
        (Answered(401, b""), URL, "HTTP 401", "the host offers nothing"),
        (Answered(404, b""), URL, "HTTP 404", "must be named http"),
        (Answered(500, b""), URL, "HTTP 500", "set doveadm_password or doveadm_api_key"),
        (Answered(302, b""), URL, "HTTP 302", "a redirect is not followed"),
        (Answered(403, b""), URL, "HTTP 403", "check address and port"),
        (Answered(429, b""), URL, "HTTP 429", "lets nothing through now"),
        (Answered(503, b""), URL, "HTTP 503", "is Dovecot running there?"),
        (Answered(204, b""), URL, "not a list of commands", "something else listens here"),
        (Answered(200, b"<html>"), URL, "not a list of commands", "something else listens here"),
    ],
)
def test_trouble_comes_with_a_remedy(exchange: Exchange, url: str, reason: str, hint: str) -> None:
    """Each way of not getting the list has its cause and what to do."""
    found = trouble(exchange, url)
    assert reason in found[0]
    assert hint in found[1]


@pytest.mark.parametrize(
    ("statuses", "remedy"),
    [
        ([301, 302, 307, 308], "a redirect is not followed: give the address of the host itself"),
        ([408, 423, 425, 429], "a proxy before the host lets nothing through now: wait, or ask who runs it"),
        ([502, 503, 504], "a proxy before the host does not reach it: is Dovecot running there?"),
        ([300, 303, 400, 403, 409, 426, 501, 505], "check address and port"),
    ],
)
def test_statuses_of_one_cause_have_one_remedy(statuses: list[int], remedy: str) -> None:
    """What proxies answer is told from what the host answers."""
    assert {trouble(Answered(status, b""), URL) for status in statuses} == {
        (f"HTTP {status}", remedy) for status in statuses
    }


def test_of_plain_http_nothing_is_said_of_tls() -> None:
    """Whoever configured http is told of TLS only where TLS may be the cause."""
    plain = URL.replace("https", "http")
    assert trouble(NotSent("unreachable"), plain) == ("unreachable", "check network, firewall and address")
    assert trouble(NotSent("TLS failed", obstacle=Obstacle.TLS), plain) == ("TLS failed", "")
    assert "client certificate" not in trouble(NoAnswer("closed"), plain)[1]
    assert "scheme: https" not in trouble(NoAnswer("closed"), URL)[1]
