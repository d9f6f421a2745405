"""What stands in the head of a request."""

from __future__ import annotations

import pytest

from orchestrator.dovecot.client import _target
from orchestrator.dovecot.endpoint import Endpoint, Tls
from orchestrator.secret import Secret, SecretReference


def endpoint(address: str, port: int, scheme: str = "http") -> Endpoint:
    """A host."""
    return Endpoint(
        name="b1",
        address=address,
        scheme=scheme,
        port=port,
        scheme_of_auth="password",
        secret=SecretReference("env", "X"),
        tls=Tls(),
        connect_timeout=5.0,
        request_timeout=60.0,
    )


@pytest.mark.parametrize(
    ("address", "port", "scheme", "host"),
    [
        ("127.0.0.1", 8080, "http", "127.0.0.1:8080"),
        ("127.0.0.1", 80, "http", "127.0.0.1"),
        ("127.0.0.1", 443, "https", "127.0.0.1"),
        ("127.0.0.1", 443, "http", "127.0.0.1:443"),
        ("::1", 8080, "http", "[::1]:8080"),
        ("fe80::1%lo", 80, "http", "[fe80::1]"),
        ("b1.example.", 8080, "https", "b1.example.:8080"),
    ],
)
def test_the_host_that_is_asked_for(address: str, port: int, scheme: str, host: str) -> None:
    """A request names its host as RFC 9110 has it: an IPv6 address in brackets, without its zone; a usual port is left out."""
    target = _target(endpoint(address, port, scheme), Secret("x"), {})
    for head in (target.post, target.get):
        assert f"\r\nHost: {host}\r\n".encode() in head


def test_only_addresses_are_known_before_they_are_asked_for() -> None:
    """An address needs no lookup; a name is looked up when it is needed."""
    assert [place[:2] for *_, place in _target(endpoint("::1", 8080), Secret("x"), {}).route.addresses] == [
        ("::1", 8080)
    ]
    assert _target(endpoint("localhost", 8080), Secret("x"), {}).route.addresses == ()


def test_the_head_is_in_no_traceback() -> None:
    """The head holds the secret in base64, and is not shown where a target is."""
    target = _target(endpoint("127.0.0.1", 8080), Secret("hunter2x"), {})
    assert b"ZG92ZWFkbTpodW50ZXIyeA==" in target.post
    assert "ZG92ZWFkbTpodW50ZXIyeA==" not in repr(target)
