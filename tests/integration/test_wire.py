"""What the peer of a request sees, and what is said when there is no HTTP to be had: TLS of all kinds, and strangers."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.dovecot import transport
from orchestrator.dovecot.client import Client
from orchestrator.dovecot.endpoint import Endpoint, Tls
from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent, Stranger
from orchestrator.dovecot.listing import trouble
from orchestrator.errors import InputError
from orchestrator.secret import SecretReference
from tests.integration.certificates import Authority
from tests.integration.raw_server import SECRET, Raw, http

BODY = b'[["who",{},"t"]]'
OK = http(b"[]")


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret that hosts are sent."""
    monkeypatch.setenv("WIRE_SECRET", SECRET)


def host(server: Raw, **changes: Any) -> Endpoint:
    """A server's endpoint."""
    plain = Endpoint(
        name="b1",
        address="127.0.0.1",
        scheme="https" if server.tls else "http",
        port=server.port,
        scheme_of_auth="password",
        secret=SecretReference("env", "WIRE_SECRET"),
        tls=Tls(),
        connect_timeout=5.0,
        request_timeout=60.0,
    )
    return replace(plain, **changes)


def ask(endpoint: Endpoint, *, uvloop: bool = False) -> Exchange:
    """One request."""

    async def run() -> Exchange:
        async with Client([endpoint]) as client:
            return await client.post("b1", BODY, 30.0)

    return anyio.run(run, backend_options={"use_uvloop": uvloop})


# what the peer sees


@pytest.mark.parametrize(
    ("scheme", "expected"), [("password", f"Basic {base64.b64encode(f'doveadm:{SECRET}'.encode()).decode()}"),
                             ("api_key", f"X-Dovecot-API {base64.b64encode(SECRET.encode()).decode()}")]
)  # fmt: skip
def test_the_header_of_each_kind_of_secret(scheme: str, expected: str) -> None:
    """A password travels as Basic of the user doveadm, an API key alone, as Dovecot wants them."""
    with Raw(lambda _head, _body: OK) as server:
        assert ask(host(server, scheme_of_auth=scheme)) == Answered(200, b"[]")
    head = server.seen[0][0].decode()
    assert [line for line in head.split("\r\n") if line.startswith("Authorization:")] == [f"Authorization: {expected}"]
    assert head.startswith("POST /doveadm/v1 HTTP/1.1\r\n")


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1"])
def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """With a proxy in the environment requests go to the host itself, also where it has a name."""
    with Raw(lambda _head, _body: http(b"proxy", "502 No")) as proxy, Raw(lambda _head, _body: OK) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            for word in (name, name.lower()):
                monkeypatch.setenv(word, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(host(server, address=address)) == Answered(200, b"[]")
        assert (len(proxy.seen), len(server.seen)) == (0, 1)


@pytest.mark.parametrize(("name", "seen"), [("mail.example.org", "mail.example.org"), (None, None)])
def test_the_peer_is_told_the_name_that_is_expected(authority: Authority, name: str | None, seen: str | None) -> None:
    """`server_name` is what the certificate is compared with, and what the host is asked for (SNI)."""
    asked: list[str | None] = []
    tls = authority.server("named", names="IP:127.0.0.1,DNS:mail.example.org")
    tls.sni_callback = lambda _socket, asked_for, _context: asked.append(asked_for)
    with Raw(lambda _head, _body: OK, tls) as server:
        assert ask(host(server, tls=Tls(ca_file=str(authority.file), server_name=name))) == Answered(200, b"[]")
    assert asked == [seen]


def test_a_client_certificate_is_shown(authority: Authority) -> None:
    """A host that asks for a client certificate gets the one of the configuration."""
    tls = authority.server()
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(authority.file)
    certificate = authority.issue("operator", subject="/CN=operator", names="")
    shown: list[Any] = []

    class Looks(Raw):
        def _one(self, connection: Any) -> None:
            shown.append(connection.getpeercert()["subject"])
            super()._one(connection)

    ours = Tls(ca_file=str(authority.file), cert_file=str(certificate), key_file=str(authority.folder / "operator.key"))
    with Looks(lambda _head, _body: OK, tls) as server:
        assert ask(host(server, tls=ours)) == Answered(200, b"[]")
    assert shown == [((("commonName", "operator"),),)]


def test_a_page_loses_the_secret_in_the_midst_of_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an error page and in a challenge a secret that is a usual word goes too, wherever it stands."""
    monkeypatch.setenv("WIRE_SECRET", "mail")
    with Raw(lambda _head, _body: http(b"no mailer here", "401 No", b"WWW-Authenticate: mailed realm")) as server:
        assert ask(host(server)) == Answered(401, b"no ***er here", ("***ed",))


def test_large_answers_are_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of answers whose sizes are not known no more are read at a time than there is room for."""
    monkeypatch.setattr(transport, "LARGE", 1024)
    monkeypatch.setattr(transport, "MAX_ANSWER", 8192)
    monkeypatch.setattr(transport, "ROOM", 8192)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

    async def run() -> list[str]:
        order: list[str] = []
        asked, first_may_end = (anyio.Event(), anyio.Event()), anyio.Event()

        async def answer(stream: Any) -> None:
            async with stream:
                await stream.receive(65536)
                number = order.count("asked")
                order.append("asked")
                asked[number].set()
                await stream.send(head + b"x" * 4096)
                if not number:
                    await first_may_end.wait()

        async def one(client: Client, name: str) -> None:
            assert isinstance(await client.post("b1", BODY, 30.0), Answered)
            order.append(name)

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            with Raw(lambda _head, _body: OK) as server:
                endpoint = host(server, port=port)
            async with Client([endpoint]) as client, anyio.create_task_group() as asking:
                asking.start_soon(one, client, "first")
                await asked[0].wait()
                await anyio.sleep(0.1)
                asking.start_soon(one, client, "second")
                await asked[1].wait()
                await anyio.sleep(0.3)
                first_may_end.set()
            group.cancel_scope.cancel()
        return order

    assert anyio.run(run) == ["asked", "asked", "first", "second"]


# TLS that does not come about


def _old(authority: Authority) -> ssl.SSLContext:
    tls = authority.server()
    tls.set_ciphers("ALL:@SECLEVEL=0")
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1
    return tls


def _wants(authority: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    tls = authority.server()
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(authority.file)
    tls.maximum_version = version
    return tls


FAILURES: dict[str, tuple[Callable[[Authority], ssl.SSLContext], str, str]] = {
    "TLS 1.0 alone": (_old, "TLS handshake failed: tlsv1 alert protocol version", "ssl_min_protocol"),
    "wants a certificate": (
        _wants,
        "TLS handshake failed: sslv3 alert handshake failure",
        "wants a client certificate",
    ),
    "expired": (lambda a: a.server("expired", days=(-9, -1)), "certificate has expired", "renew"),
    "not yet valid": (lambda a: a.server("early", days=(2, 9)), "certificate is not yet valid", "clocks"),
    "CN alone": (lambda a: a.server("cn", subject="/CN=127.0.0.1", names=""), "IP address mismatch", "not its CN"),
    "other name": (
        lambda a: a.server("other", names="DNS:x.example"),
        "IP address mismatch",
        "say tls: {server_name: NAME}",
    ),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize("kind", FAILURES)
def test_a_failed_handshake_has_its_reason_and_its_remedy(authority: Authority, kind: str, uvloop: bool) -> None:
    """OpenSSL's own reason is told, with what to do about that reason; nothing was sent."""
    make, reason, remedy = FAILURES[kind]
    with Raw(lambda _head, _body: OK, make(authority)) as server:
        endpoint = host(server, tls=Tls(ca_file=str(authority.file)))
        exchange = ask(endpoint, uvloop=uvloop)
        assert isinstance(exchange, NotSent)
        told = trouble(exchange, endpoint.url)
        assert reason in told[0]
        assert remedy in told[1]
        assert server.seen == []


def test_a_foreign_client_certificate_is_told(authority: Authority, tmp_path: Path) -> None:
    """A client certificate that the host does not accept is named as what is wrong."""
    other = Authority(tmp_path)
    ours = Tls(
        ca_file=str(authority.file), cert_file=str(other.issue("operator")), key_file=str(tmp_path / "operator.key")
    )
    with Raw(lambda _head, _body: OK, _wants(authority)) as server:
        exchange = ask(host(server, tls=ours))
    assert isinstance(exchange, NotSent)
    assert "unknown ca" in exchange.reason
    assert "does not accept the certificate" in exchange.remedy


def test_an_unknown_ca_is_told(authority: Authority, tmp_path: Path) -> None:
    """A certificate of a CA that nobody named: name it."""
    with Raw(lambda _head, _body: OK, Authority(tmp_path).server()) as server:
        exchange = ask(host(server, tls=Tls(ca_file=str(authority.file))))
    assert isinstance(exchange, NotSent)
    assert "name the CA in tls" in exchange.remedy


def test_a_ca_need_not_be_perfect(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA without key usage is accepted, also where Python's default is strict (3.13); so is the host's own certificate as ca_file."""
    made = ssl.create_default_context

    def strict(*words: Any, **named: Any) -> ssl.SSLContext:
        context = made(*words, **named)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    with Raw(lambda _head, _body: OK, authority.server()) as server:
        for trusted in (authority.file, authority.folder / "server.pem"):
            assert ask(host(server, tls=Tls(ca_file=str(trusted)))) == Answered(200, b"[]")


def test_a_server_name_that_is_none(authority: Authority) -> None:
    """A name that no certificate can have is an error before anything is sent."""
    with Raw(lambda _head, _body: OK, authority.server()) as server:
        with pytest.raises(InputError, match="'.example' is not a name that a certificate can have"):
            ask(host(server, tls=Tls(server_name=".example")))
        assert server.seen == []


# others than doveadm


STRANGERS = {
    "* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n": "IMAP",
    "+OK Dovecot ready.\r\n": "POP3",
    "220 mx ESMTP Postfix\r\n": "SMTP or LMTP",
    "SSH-2.0-OpenSSH_9.2\r\n": "SSH",
    '"IMPLEMENTATION" "Dovecot Pigeonhole"\r\n': "ManageSieve",
}


@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("greeting", STRANGERS)
def test_a_stranger_is_known_by_its_greeting(greeting: str, address: str, uvloop: bool) -> None:
    """A port where another protocol is spoken is called by its name."""
    with Raw(lambda _head, _body: greeting.encode()) as server:
        endpoint = host(server, address=address)
        exchange = ask(endpoint, uvloop=uvloop)
    assert exchange == Stranger(STRANGERS[greeting])
    assert STRANGERS[greeting] in trouble(exchange, endpoint.url)[0]


def test_what_is_no_http_is_shown() -> None:
    """An answer in an unknown protocol is shown as it begins, without the secret, and may have been an execution."""
    with Raw(lambda _head, _body: f"\x16\x03 {SECRET} whatever\r\n\r\n".encode()) as server:
        exchange = ask(host(server))
    assert exchange == NoAnswer(
        "the answer cannot be read as HTTP; it begins with '\\x16\\x03 *** whatever\\r\\n\\r\\n'"
    )
