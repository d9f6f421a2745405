"""Secrets stay where they are, and nobody is contacted whom the configuration does not name."""

from __future__ import annotations

import base64
import html
import os
import re
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import CommandLine, wait_until
from tests.integration.conftest import Site
from tests.integration.raw_server import SECRET, Answer, Raw, answered, forms, http, only, ways


def leaks(cli: CommandLine, *said: str) -> list[str]:
    """Where a form of the secret stands: in what was printed, or in a file."""
    files = [path for path in cli.folder.rglob("*") if path.is_file() and path.name != "secret"]
    found = [text for text in said if any(form in text for form in forms())]
    return found + [str(path) for path in files if any(form.encode() in path.read_bytes() for form in forms())]


def headers_of(head: bytes, _body: bytes) -> bytes:
    """A server, or a proxy before it, that shows what it was sent."""
    return http(b"bad request: " + head, "400 Bad Request")


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 No", "404 No", "500 No", "502 Bad Gateway", "503 No", "418 Teapot"]
)
def test_an_echoed_secret_is_redacted(cli_for: Callable[..., CommandLine], status: str) -> None:
    """Whatever error page repeats the request's headers: the secret is in no output and no file, not even with -vv."""
    with Raw(
        lambda head, _body: http(re.sub(rb"\s+", b" ", head)[-190:], status, b"WWW-Authenticate: " + head[-60:].strip())
    ) as server:
        cli = cli_for(server)
        said = [
            cli(*words).said
            for words in (("exec", "b1", "who", "-vv"), ("check",), ("show", "--all"), ("report",), ("export",))
        ]
        assert server.seen
        assert leaks(cli, *said) == []


def test_a_secret_is_in_no_form_of_the_report(cli_for: Callable[..., CommandLine]) -> None:
    """What a ticket, a browser or a program is shown of an error page that repeats the credentials is redacted too."""
    with Raw(headers_of) as server:
        cli = cli_for(server)
        said = [cli("exec", "b1", "who").said]
        said += [cli("report", "--format", form).said for form in ("markdown", "html", "json")]
        assert all("bad request" in text for text in said)
        assert leaks(cli, *said) == []


def test_a_secret_in_a_row_is_redacted(cli_for: Callable[..., CommandLine]) -> None:
    """A host that answers rows with the credentials it was sent does not bring them to the terminal or the run file."""

    def echo(head: bytes, body: bytes) -> bytes:
        value = re.search(rb"Authorization: (.*)", head)
        return answered(b'[{"sent":"%s"}]' % (value[1].strip() if value else b""), body)

    with Raw(only(echo)) as server:
        cli = cli_for(server)
        said = [cli("exec", "b1", "who").said, cli("show", "last", "1.1").said]
        assert leaks(cli, *said) == []


ALL_WAYS = ",".join(f'"way{number}":"%s{way}%s"' for number, way in enumerate(ways()))
PAGE = " ".join(ways())
PLACES: dict[str, Answer] = {
    "value": lambda _head, body: answered(f"[{{{ALL_WAYS % (('',) * 16)}}}]".encode(), body),
    "within a value": lambda _head, body: answered(f"[{{{ALL_WAYS % (('key=', ' sent') * 8)}}}]".encode(), body),
    "column": lambda _head, body: answered(f'[{{"{ways()[3]}":"x"}}]'.encode(), body),
    "error": lambda _head, _body: http(f'[["error",{{"type":"{ways()[2]}","exitCode":1}},"1.1"]]'.encode()),
    "answer": lambda _head, _body: http(f'[["{ways()[1]}",[],"1.1"]]'.encode()),
    "tag": lambda _head, _body: http(f'[["doveadmResponse",[],"{ways()[3]}"]]'.encode()),
    "page": lambda _head, _body: http(PAGE[:190].encode(), "400 Bad Request"),
    "rest of the page": lambda _head, _body: http(PAGE[190:380].encode(), "502 Bad Gateway"),
    "page in JSON": lambda _head, _body: http(f'{{"error":"{ways()[1]}","sent":"{ways()[2]}"}}'.encode(), "403 Forbidden"),
    "page in HTML": lambda _head, _body: http(html.escape(SECRET).replace("/", "&#x2F;").encode(), "403 Forbidden"),
    "challenge": lambda _head, _body: http(b"", "401 No", f"WWW-Authenticate: {SECRET} {PAGE[:100]}".encode()),
    "no HTTP": lambda _head, _body: f"{ways()[0]} {ways()[1]}\r\n\r\n".encode(),
    "log": lambda _head, body: answered(
        f'[{{"timestamp":"0","prefix":"doveadm(10.0.0.9)","type":"Panic","text":"sent {ways()[1]} {ways()[3]}"}}]'.encode(), body
    )
    if b"logErrors" in body
    else http(b"no", "400 Bad Request"),
}  # fmt: skip


EVERY_SINK = (
    ("exec", "b1", "who", "-vv"), ("exec", "b1", "who", "--format", "json"), ("plan", "playbook.yaml", "--live"), ("check",),
    ("run", "playbook.yaml", "--yes", "-vv"), ("show", "--all"), ("show", "last", "1.1"), ("report",), ("report", "--format", "json"),
    ("export",), ("export", "--format", "csv"), ("check", "--format", "json"),
)  # fmt: skip
SINKS = dict.fromkeys(PLACES, (("show", "--all"), ("show", "last", "1.1"))) | dict.fromkeys(
    ("within a value", "log"), EVERY_SINK
)


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_in_no_sink(cli_for: Callable[..., CommandLine], place: str) -> None:
    """Wherever a host writes the secret, and however: it is in nothing that is printed, told to programs, or kept."""
    with Raw(only(PLACES[place])) as server:
        cli = cli_for(server)
        playbook = cli.playbook(
            "name: Look\nsteps:\n"
            "  - {name: Look, hosts: b1, command: who, register: seen, on_failure: continue}\n"
            "  - {name: Wait, hosts: b1, command: who, until: '{{ rows | length > 5 }}', every: 1ms, within: 5ms}\n"
        )
        said = [cli(*words).said for words in (("run", playbook, "--yes", "--format", "json", "-vv"), *SINKS[place])]
        assert sum(bool(body) for _head, body in server.seen) >= 2
        assert leaks(cli, *said) == []
        assert "***" in "".join(said)


def test_a_secret_that_is_cut_is_redacted(cli_for: Callable[..., CommandLine]) -> None:
    """A message that is shortened in the middle of an echoed secret shows nothing of it."""

    def echo(head: bytes, _body: bytes) -> bytes:
        value = re.search(rb"Authorization: Basic (.*)", head)
        encoded = value[1].strip() if value else b""
        return http(b"x" * (200 - len(encoded) + 2) + encoded, "400 Bad Request")

    with Raw(only(echo)) as server:
        cli = cli_for(server)
        said = cli("exec", "b1", "who").said
        assert "HTTP 400" in said
        assert base64.b64encode(f"doveadm:{SECRET}".encode()).decode()[:12] not in said


_RAISES = """
import sys
from orchestrator.dovecot.client import Client

async def broken(self, host, body, timeout):
    target, secret = self._targets[host], self._targets[host].secret
    raise RuntimeError(f"told by a test: {target} {secret} {secret!r} {self._targets[host].secret:>40}")

Client.post = broken
from orchestrator.__main__ import main
main()
"""


def test_a_bug_shows_no_secret(cli_for: Callable[..., CommandLine]) -> None:
    """A bug of ours with -vv, in asyncio's debug mode, prints a traceback that holds no secret; exit code 70."""
    with Raw(headers_of) as server:
        cli = cli_for(server)
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", _RAISES, "exec", "b1", "who", "-vv"],
            env={**cli.environment, "PYTHONASYNCIODEBUG": "1"},
            cwd=cli.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 70, done.stderr
        assert "told by a test" in done.stderr
        assert "Traceback" in done.stderr
        assert leaks(cli, done.stdout, done.stderr) == []


def test_debug_mode_shows_no_secret(cli_for: Callable[..., CommandLine]) -> None:
    """Neither asyncio's debug output nor Python's development mode brings the secret out."""
    with Raw(headers_of) as server:
        cli = cli_for(server)
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-m", "orchestrator", "exec", "b1", "who", "-vv"],
            env={**cli.environment, "PYTHONASYNCIODEBUG": "1"},
            cwd=cli.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1, done.stderr
        assert leaks(cli, done.stdout, done.stderr) == []


def test_the_process_list_shows_no_secret(cli_for: Callable[..., CommandLine]) -> None:
    """While a request is on the wire, no argument of the process or of a child holds the secret."""
    asked = threading.Event()

    def slow(_head: bytes, body: bytes) -> bytes:
        asked.set()
        time.sleep(1)
        return answered(b"[]", body)

    with Raw(only(slow)) as server:
        cli = cli_for(server)
        process = cli.start("exec", "b1", "who", "-vv")
        assert asked.wait(30)
        lines = [line.read_text(errors="replace") for line in Path("/proc").glob("[0-9]*/cmdline") if _readable(line)]
        assert any("orchestrator" in line and "who" in line for line in lines)
        process.communicate(timeout=60)
        assert not [line for line in lines if any(form in line for form in forms())]


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_a_secret_from_a_command_is_nowhere(cli_for: Callable[..., CommandLine]) -> None:
    """A command that prints the secret and complains with it: a failure of it names the command alone."""
    with Raw(only(lambda _head, body: answered(b"[]", body))) as server:
        cli = cli_for(server)
        script = cli.folder / "secret"
        script.write_text(f"#!/bin/sh\necho '{SECRET}'\necho '{SECRET}' >&2\nexit $1\n")
        script.chmod(0o700)
        text = cli.config.read_text()
        cli.config.write_text(text.replace("{file: secret}", f"{{command: [{script}, '3']}}"))
        failed = cli("exec", "b1", "who", "-vv")
        assert failed.code == 2, failed.said
        cli.config.write_text(text.replace("{file: secret}", f"{{command: [{script}, '0']}}"))
        done = cli("exec", "b1", "who", "-vv")
        assert done.code == 0, done.said
        assert base64.b64encode(f"doveadm:{SECRET}".encode()) in server.seen[-1][0]
        assert leaks(cli, failed.said, done.said) == []


# whom it talks to


def test_no_redirect_is_followed(cli_for: Callable[..., CommandLine]) -> None:
    """A host that redirects elsewhere, the credentials with it, has failed; elsewhere sees nothing."""
    with Raw(lambda _head, _body: http(b"[]")) as elsewhere:
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            location = f"Location: http://127.0.0.1:{elsewhere.port}/doveadm/v1".encode()
            with Raw(lambda _head, _body, s=status, to=location: http(b"", s, to)) as server:
                result = cli_for(server)("exec", "b1", "who")
                assert result.code == 1
                assert "redirect" in result.said
                assert len(server.seen) >= 2  # the list of commands, and the command
        assert elsewhere.seen == []


def test_no_proxy_is_taken_from_the_environment(
    cli_for: Callable[..., CommandLine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With HTTP_PROXY, HTTPS_PROXY and ALL_PROXY set, requests go to the hosts themselves."""
    with Raw(lambda _head, _body: http(b"[]")) as proxy, Raw(only(lambda _head, body: answered(b"[]", body))) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            for word in (name, name.lower()):
                monkeypatch.setenv(word, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        cli = cli_for(server)
        assert cli("exec", "b1", "who").code == 0
        cli("check")
        assert proxy.seen == []
        assert len(server.seen) >= 3


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 that signs itself, one for another name, and their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, subject in (("good", "IP:127.0.0.1"), ("other", "DNS:elsewhere.example")):
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
        files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run([*words, "-addext", f"subjectAltName={subject}", *files], check=True, capture_output=True)
    return folder


def tls(folder: Path, name: str) -> ssl.SSLContext:
    """A server's side of TLS with one of the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def test_an_unknown_ca_is_refused(cli_for: Callable[..., CommandLine], certificates: Path) -> None:
    """A certificate of nobody's, or for another name, is refused before anything is sent; a known one is taken."""
    reply = only(lambda _head, body: answered(b"[]", body))
    with Raw(reply, tls(certificates, "good")) as server:
        refused = cli_for(server, scheme="https")("exec", "b1", "who")
        assert refused.code == 1, refused.said
        assert "certificate" in refused.said
        assert server.seen == []
        taken = cli_for(server, scheme="https", more=f", tls: {{ca_file: {certificates}/good.pem}}")(
            "exec", "b1", "who"
        )
        assert taken.code == 0, taken.said
        assert "warning" not in taken.said
    with Raw(reply, tls(certificates, "other")) as server:
        refused = cli_for(server, scheme="https", more=f", tls: {{ca_file: {certificates}/other.pem}}")(
            "exec", "b1", "who"
        )
        assert refused.code == 1, refused.said
        assert server.seen == []


def test_verify_false_warns_every_time(cli_for: Callable[..., CommandLine], certificates: Path) -> None:
    """With `verify: false` every command that contacts hosts says so on stderr."""
    with Raw(only(lambda _head, body: answered(b"[]", body)), tls(certificates, "other")) as server:
        cli = cli_for(server, scheme="https", more=", tls: {verify: false}")
        playbook = cli.playbook("name: Look\nsteps: [{name: Look, hosts: b1, command: who}]\n")
        for words in (
            ("exec", "b1", "who"),
            ("check",),
            ("plan", playbook),
            ("plan", playbook, "--live"),
            ("run", playbook, "--yes"),
            ("commands", "--host", "b1"),
        ):
            result = cli(*words)
            assert "tls verify is false" in result.err, words
        assert len(server.seen) > 3


def test_the_secret_is_not_sent_in_the_clear_by_mistake(cli_for: Callable[..., CommandLine]) -> None:
    """A port that speaks plain HTTP where TLS was configured gets no request at all."""
    with Raw(headers_of) as server:
        result = cli_for(server, scheme="https")("exec", "b1", "who")
        assert result.code == 1, result.said
        assert server.seen == []


def test_everything_is_private(site: Callable[..., Site], tmp_path: Path) -> None:
    """Even with umask 000: state directories 0700, and run files, side files, locks and saved plans 0600."""
    here = site(users=0, directors=0, backends=1, latency=0.02)
    here.cli.state = tmp_path / "a" / "b" / "state"
    (tmp_path / "users.txt").write_text("".join(f"u{n}\n" for n in range(400)))
    playbook = here.cli.playbook(
        "name: Kick\nsteps:\n  - {name: Kick, hosts: b1, command: kick, for_each: {file: users.txt}, parameters: {mask: ['{{ item }}']}}\n"
    )
    before = os.umask(0)
    try:
        saved = here.cli("plan", playbook, "-o", "saved.plan")
        process = here.cli.start("run", playbook, "--yes")
        wait_until(lambda: len(here.fleet.requests) > 20)
        files = {path.name: mode(path) for path in here.cli.state.iterdir()}
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        files |= {path.name: mode(path) for path in here.cli.state.iterdir()}
        files["saved.plan"] = mode(tmp_path / "saved.plan")
        here.cli("apply", "saved.plan", "--yes")
        files |= {path.name: mode(path) for path in here.cli.state.iterdir()}
    finally:
        os.umask(before)
    assert saved.code == 0
    assert {name.partition(".")[2] for name in files} >= {"run", "run-wal", "run-shm", "run.lock", "plan"}
    assert {name: mode for name, mode in files.items() if mode != 0o600} == {}
    assert mode(here.cli.state) == 0o700


def mode(path: Path) -> int:
    """A file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)
