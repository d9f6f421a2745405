"""Secrets stay where they are, hosts' answers stay data, and nobody is contacted whom the configuration does not name."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.command_line import CommandLine, Result, records, wait_until
from tests.integration.conftest import Site

SECRET = "cAnArY-5up3r+/s3cr3t"
Answer = Callable[[bytes, bytes], bytes]


def forms(secret: str = SECRET) -> set[str]:
    """A secret as it is, and as it travels."""
    return {
        secret,
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(f"doveadm:{secret}".encode()).decode(),
    }


def http(body: bytes, status: str = "200 OK", *headers: bytes) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}".encode(), f"Content-Length: {len(body)}".encode(), b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", body])


def answered(rows: bytes, request: bytes) -> bytes:
    """A success as doveadm gives it; rows as JSON text."""
    tag = json.loads(request)[0][2]
    return http(b'[["doveadmResponse",%s,"%s"]]' % (rows, tag.encode()))


@dataclass
class Raw:
    """A server on loopback that answers each request with what a function makes of its head and body."""

    answer: Answer
    tls: ssl.SSLContext | None = None
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                connection.settimeout(10)
                with connection, contextlib.suppress(OSError):
                    if self.tls is None:
                        self._one(connection)
                        continue
                    with self.tls.wrap_socket(connection, server_side=True) as secured:
                        self._one(secured)

    def _one(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while len(body) < int(length[1] if length else 0):
            body += connection.recv(65536)
        self.seen.append((head, body))
        connection.sendall(self.answer(head, body))
        if self.tls:
            with contextlib.suppress(OSError):
                connection.unwrap()  # type: ignore[attr-defined]


@pytest.fixture
def cli_for(tmp_path: Path) -> Iterator[Callable[..., CommandLine]]:
    """A function that gives a command line for one raw server, called b1."""
    started: list[CommandLine] = []

    def make(server: Raw, *, scheme: str = "http", more: str = "") -> CommandLine:
        secret = tmp_path / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        config = tmp_path / "config.yaml"
        config.write_text(
            f"defaults: {{scheme: {scheme}, port: {server.port}, auth: {{password: {{file: secret}}}}{more}}}\n"
            "retry: {attempts: 2, base: 5ms}\n"
            "groups: {backends: {hosts: {b1: 127.0.0.1}}}\n"
        )
        started.append(CommandLine(tmp_path, config))
        return started[-1]

    yield make
    for cli in started:
        cli.stop()


def only(answer: Answer) -> Answer:
    """That answer to commands; no list of commands can be had."""
    return lambda head, body: answer(head, body) if body else http(b"none", "404 Path Not Found")


def leaks(cli: CommandLine, *said: str) -> list[str]:
    """Where a form of the secret stands: in what was printed, or in a file."""
    files = [path for path in cli.folder.rglob("*") if path.is_file() and path.name != "secret"]
    found = [text for text in said if any(form in text for form in forms())]
    return found + [str(path) for path in files if any(form.encode() in path.read_bytes() for form in forms())]


# secrets


def headers_of(head: bytes, _body: bytes) -> bytes:
    """A server, or a proxy before it, that shows what it was sent."""
    return http(b"bad request: " + head, "400 Bad Request")


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 No", "404 No", "500 No", "502 Bad Gateway", "503 No", "418 Teapot"]
)
def test_an_echoed_secret_is_blotted_out(cli_for: Callable[..., CommandLine], status: str) -> None:
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


def test_a_secret_in_a_row_is_blotted_out(cli_for: Callable[..., CommandLine]) -> None:
    """A host that answers rows with the credentials it was sent does not bring them to the terminal or the run file."""

    def echo(head: bytes, body: bytes) -> bytes:
        value = re.search(rb"Authorization: (.*)", head)
        return answered(b'[{"sent":"%s"}]' % (value[1].strip() if value else b""), body)

    with Raw(only(echo)) as server:
        cli = cli_for(server)
        said = [cli("exec", "b1", "who").said, cli("show", "last", "1.1").said]
        assert leaks(cli, *said) == []


def test_a_secret_that_is_cut_is_blotted_out(cli_for: Callable[..., CommandLine]) -> None:
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
    headers, secret = self._targets[host].headers, self._targets[host].secret
    raise RuntimeError(f"told by a test: {secret} {secret!r} {self._targets[host].secret:>40}")

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


# terminals, spreadsheets


EVIL = "\x1b]0;pwned\x07\x1b[31mred\x1b[2J\x9b31m\x00\x7f\u202etxt.exe\r\n"
EVIL_JSON = json.dumps(EVIL).encode()
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def raw_characters(text: str) -> set[str]:
    """Control characters in what was printed, without line ends and tabs."""
    return set(RAW.findall(text))


EVIL_ANSWERS: dict[str, Answer] = {
    "value": lambda _head, body: answered(b'[{"a":%s,"b":[%s]}]' % (EVIL_JSON, EVIL_JSON), body),
    "error type": lambda _head, _body: http(b'[["error",{"type":%s,"exitCode":1},"1.1"]]' % EVIL_JSON),
    "kind": lambda _head, _body: http(b'[[%s,[],"1.1"]]' % EVIL_JSON),
    "tag": lambda _head, _body: http(b'[["doveadmResponse",[],%s]]' % EVIL_JSON),
    "page": lambda _head, _body: http(EVIL.encode(), "400 Bad Request"),
    "latin": lambda _head, _body: http(EVIL.encode("latin-1", "replace"), "502 Bad Gateway"),
    "challenge": lambda _head, _body: http(b"", "401 No", "WWW-Authenticate: \u202e\x9b31m x".encode()),
}


@pytest.mark.parametrize("kind", EVIL_ANSWERS)
def test_control_characters_stay_off_the_terminal(cli_for: Callable[..., CommandLine], kind: str) -> None:
    """Escape sequences in whatever a host answers are printed as text by exec, run, show, report and check."""
    with Raw(only(EVIL_ANSWERS[kind])) as server:
        cli = cli_for(server)
        playbook = cli.playbook("name: Look\nsteps: [{name: Look, hosts: b1, command: who, register: seen}]\n")
        for words in (
            ("exec", "b1", "who"),
            ("exec", "b1", "who", "-vv"),
            ("run", playbook, "--yes", "-vv"),
            ("show", "last", "1.1"),
            ("show", "--all"),
            ("report",),
            ("check",),
        ):
            result = cli(*words)
            assert result.code in {0, 1, 3}, result.said
            assert raw_characters(result.said) == set(), words


def test_control_characters_in_a_columns_name(cli_for: Callable[..., CommandLine]) -> None:
    """Escape sequences in the keys of an answer's rows are printed as text."""
    with Raw(only(lambda _head, body: answered(b'[{%s:"x"}]' % EVIL_JSON, body))) as server:
        result = cli_for(server)("exec", "b1", "who")
        assert result.code == 0, result.said
        assert raw_characters(result.said) == set()


def test_control_characters_in_a_list_of_commands(cli_for: Callable[..., CommandLine]) -> None:
    """Escape sequences in the list of commands that a host gives are printed as text."""
    listing = b'[{"command":%s,"parameters":[{"name":%s,"type":"string"}]}]' % (EVIL_JSON, EVIL_JSON)
    with Raw(lambda _head, _body: http(listing)) as server:
        cli = cli_for(server)
        said = [cli("commands", "--host", "b1").said, cli("exec", "b1", "who").said, cli("check").said]
        assert raw_characters("".join(said)) == set()


def test_json_lines_escape_what_terminals_obey(cli_for: Callable[..., CommandLine]) -> None:
    r"""JSON output writes escape sequences as \u001b, and every line can be read again."""
    with Raw(only(EVIL_ANSWERS["value"])) as server:
        cli = cli_for(server)
        result = cli("exec", "b1", "who", "--format", "json")
        assert "\x1b" not in result.out
        assert "\x07" not in result.out
        rows = next(line["rows"] for line in map(json.loads, result.out.split("\n")) if line.get("event") == "answer")
        assert rows[0]["a"] == EVIL


def test_a_live_display_shows_no_escape_sequence(cli_for: Callable[..., CommandLine]) -> None:
    """On a terminal of its own, with the moving display, a host's escape sequences do not get through."""
    with Raw(only(EVIL_ANSWERS["page"])) as server:
        cli = cli_for(server)
        playbook = cli.playbook("name: Look\nsteps: [{name: Look, hosts: b1, command: who}]\n")
        said = on_a_terminal(cli, "run", playbook, "--yes")
        assert "failed" in said
        assert "]0;pwned" in said  # as text
        assert "\x1b]0;pwned" not in said
        assert "\x1b[2J" not in said
        assert "\x9b31m" not in said


def on_a_terminal(cli: CommandLine, *arguments: str) -> str:
    """Run a command on a terminal; all that it wrote."""
    controller, terminal = pty.openpty()
    environment = {**cli.environment, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR")
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        env=environment,
        cwd=cli.folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    parts, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([controller], [], [], 1)[0]:
            try:
                part = os.read(controller, 65536)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
    os.close(controller)
    process.wait(timeout=30)
    return b"".join(parts).decode(errors="replace")


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_no_formula_in_a_spreadsheet(cli_for: Callable[..., CommandLine], word: str) -> None:
    """No cell of a CSV export begins like a formula, wherever the text came from."""
    with Raw(only(lambda _head, _body: http(word.encode(), "400 Bad Request"))) as server:
        cli = cli_for(server)
        text = {
            "name": word,
            "steps": [{"name": word, "hosts": "b1", "command": "kick", "parameters": {"mask": [word]}}],
        }
        cli("run", cli.playbook(json.dumps(text)), "--yes")
        exported = cli("export", "--format", "csv").out
        cells = [cell for row in csv.reader(io.StringIO(exported)) for cell in row]
        assert any(word in cell for cell in cells)
        assert [
            cell
            for cell in cells
            if cell[:1] in {"=", "+", "@", "\t", "\r"} or (cell[:1] == "-" and not cell[1:].isdigit())
        ] == []


# odd answers


ODD = {
    "half a character": b'[{"a":"\\ud800"}]',
    "a large number": b'[{"a":123456789012345678901234567890,"b":1e999}]',
    "nested deeply": b'[{"a":' + b"[" * 400 + b"]" * 400 + b"}]",
    "no rows": b'[[],null,"x",7]',
    "a null character": b'[{"a\\u0000":"\\u0000"}]',
    "many keys": b"[{" + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}]",
}


def odd_answers(kind: str) -> Answer:
    """The first two commands are answered oddly, the others well."""
    count = 0

    def reply(_head: bytes, body: bytes) -> bytes:
        nonlocal count
        count += 1
        return answered(ODD[kind] if count <= 2 else b"[]", body)

    return only(reply)


FASTER = [False, pytest.param(True, id="orjson")]


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_answer_ends_one_operation(cli_for: Callable[..., CommandLine], kind: str) -> None:
    """Whatever JSON a host answers, that operation alone ends with it, in either way; the others go on, and it is recorded."""
    pytest.importorskip("orjson")
    odd_answer_ends_one_operation(cli_for, kind, [sys.executable, "-m", "orchestrator"])


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_answer_without_orjson(cli_for: Callable[..., CommandLine], kind: str) -> None:
    """The same where only the standard library reads JSON."""
    without = "import sys; sys.modules['orjson'] = None; from orchestrator.__main__ import main; main()"
    odd_answer_ends_one_operation(cli_for, kind, [sys.executable, "-c", without])


def odd_answer_ends_one_operation(cli_for: Callable[..., CommandLine], kind: str, program: list[str]) -> None:
    """Run four reads of which the first two are answered oddly."""
    with Raw(odd_answers(kind)) as server:
        cli = cli_for(server)
        playbook = cli.playbook(
            "name: Look\nsteps:\n  - {name: Look, hosts: b1, command: who, for_each: [a, b, c, d], register: seen,"
            " parameters: {mask: ['{{ item }}']}, limits: {max_failed: 100%, per_host: 1}}\n"
        )
        done = subprocess.run(
            [*program, "run", playbook, "--yes"],
            env=cli.environment, cwd=cli.folder, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        states = [operation["state"] for operation in cli.exported()]
        assert states[2:] == ["done", "done"]
        assert set(states) <= {"done", "failed"}
        assert cli("show", "last", "1.1").code == 0


def test_an_odd_header_ends_one_operation(cli_for: Callable[..., CommandLine]) -> None:
    """A 401 whose challenge is no UTF-8 is a failure like any other."""
    with Raw(lambda _head, _body: http(b"", "401 No", b"WWW-Authenticate: B\xff\xfe realm")) as server:
        cli = cli_for(server)
        result = cli("exec", "b1", "who", timeout=60)
        assert result.code == 1, result.said
        assert cli("show").code == 0
        assert cli("check").code == 1


def test_a_commands_name_is_no_payload(cli_for: Callable[..., CommandLine]) -> None:
    """A command's name with quotes in it cannot add a second command to the request."""
    with Raw(only(lambda _head, _body: http(b"[]"))) as server:
        cli = cli_for(server)
        cli("exec", "b1", 'who",{},"x"],["kick', "--repeatable", "--yes")
        bodies = [body for _head, body in server.seen if body]
        assert all(len(json.loads(body)) == 1 for body in bodies)


# files


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


# text that is meant to harm


def bombs() -> dict[str, str]:
    """Playbooks that are small to write and large to read."""
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    return {
        "billion laughs": laughs,
        "itself": "name: &a {b: *a}\n",
        "nested lists": "steps: " + "[" * 200_000,
        "nested closed": "steps: " + "[" * 20_000 + "]" * 20_000,
        "nested mappings": "{a: " * 50_000,
        "nested blocks": "".join(" " * n + "a:\n" for n in range(3000)),
        "nested dashes": "- " * 50_000,
        "many unknown keys": "".join(f"key{n}: {n}\n" for n in range(20_000)),
        "the same key": "name: x\n" * 20_000,
        "not YAML 1.2": "x: [" + "no, " * 20_000 + "no]\n",
        "a long number": "name: x\nsteps: " + "9" * 1_000_000 + "\n",
        "a tag": "name: !!python/object/apply:os.system ['touch pwned']\nsteps: []\n",
        "a nested expression": "name: x\nsteps:\n  - {name: y, when: '{{ "
        + "(" * 1900
        + "1"
        + ")" * 1900
        + " }}', hosts: b1, command: who}\n",
        "a long expression": "name: x\nsteps:\n  - {name: y, when: '{{ "
        + "1 + " * 100_000
        + "1 }}', hosts: b1, command: who}\n",
        "null characters": "name: \x00\x00\nsteps: []\n",
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_bomb_is_refused_quickly(tmp_path: Path, kind: str) -> None:
    """Each is refused with exit code 2 and a message of bounded length, in little time and memory, and nothing is run."""
    cli = CommandLine(tmp_path, tmp_path / "none.yaml")
    result = limited(cli, "validate", cli.playbook(bombs()[kind]))
    assert result.code == 2, (result.code, result.said[-300:])
    assert "Traceback" not in result.said
    assert not (tmp_path / "pwned").exists()
    assert len(result.said) < 100_000_000


@pytest.mark.parametrize("kind", ["billion laughs", "itself", "nested lists", "nested mappings"])
def test_a_bomb_as_configuration(tmp_path: Path, kind: str) -> None:
    """The configuration is read as carefully as a playbook."""
    cli = CommandLine(tmp_path, tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text(bombs()[kind])
    result = limited(cli, "check")
    assert result.code == 2, (result.code, result.said[-300:])


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A playbook of a gigabyte is refused for its size, without being read."""
    cli = CommandLine(tmp_path, tmp_path / "none.yaml")
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(2**30)
    result = limited(cli, "validate", str(path))
    assert result.code == 2
    assert "larger than" in result.said


def limited(cli: CommandLine, *arguments: str) -> Result:
    """Run a command with a gigabyte of memory, and half a minute."""
    done = subprocess.run(
        ["sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh", sys.executable, "-m", "orchestrator", *arguments],
        env=cli.environment,
        cwd=cli.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Result(done.returncode, done.stdout, done.stderr)


ESCAPES = [
    "().__class__.__mro__[1].__subclasses__()",
    "''.__class__",
    "''['__class__']",
    "'' | attr('__class__')",
    "groups | attr('__class__')",
    "groups.backends[0].__init__.__globals__",
    "groups.backends[0].endpoint.secret.resolve()",
    "groups.backends[0].endpoint.secret.reveal",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__.os.popen('touch pwned').read()",
    "lipsum.__globals__",
    "namespace()",
    "range(10 ** 9) | list",
    "'x' * 1000000000",
    "['x'] * 1000000000",
    "9 ** 9 ** 9",
    "'%1000000000d' % 1",
    "'{0.__class__}'.format(1)",
    "'' | format(1)",
    "joiner().__class__",
    "x.__class__",
    "[].append",
    "groups.backends.__class__.__base__",
    "groups.keys().__class__",
    "groups | map('attr', '__class__') | list",
    "groups | map(attribute='__class__') | list",
    "groups.backends | sort(attribute='__class__') | list",
    "groups.backends | unique(attribute='__class__')",
    "groups.backends | join('', attribute='__class__')",
    "groups.backends | column('__class__')",
    "groups.backends | where('__class__', 'x')",
    "('a' ~ 'b') * 99999999",
    "(1).__class__",
    "none.__class__",
    "true.__class__.__base__",
    "1 if [].__class__ else 2",
]


@pytest.mark.parametrize("expression", ESCAPES)
def test_no_expression_reaches_python(cli_for: Callable[..., CommandLine], expression: str) -> None:
    """Attempts to reach Python's inside, or to use up the machine, end with exit code 2 or 5, quickly, and send nothing."""
    with Raw(only(lambda _head, body: answered(b"[]", body))) as server:
        cli = cli_for(server)
        step = {"name": "y", "hosts": "b1", "command": "who", "parameters": {"mask": ["{{ " + expression + " }}"]}}
        playbook = cli.playbook(json.dumps({"name": "x", "steps": [step]}))
        result = limited(cli, "run", playbook, "--yes")
        assert result.code in {2, 5}, result.said[-500:]
        assert "Traceback" not in result.said
        assert "<class" not in result.said
        assert "object at 0x" not in result.said
        assert not (cli.folder / "pwned").exists()
        assert not [body for _head, body in server.seen if body]


def test_a_hosts_answer_is_never_evaluated(site: Callable[..., Site]) -> None:
    """Braces in what a host answers, or in a file of items, are sent on as they stand."""
    here = site(users=0, directors=0, backends=1)
    (here.cli.folder / "items.txt").write_text("{{ groups }}\n{% raw %}\n")
    playbook = here.cli.playbook(
        "name: x\nsteps:\n"
        "  - {name: a, hosts: b1, command: dictSet, for_each: {file: items.txt},"
        " parameters: {dictUri: 'file:/x', key: 'shared/k', value: '{{ item }}'}}\n"
        "  - {name: b, hosts: b1, command: dictGet, register: seen, parameters: {dictUri: 'file:/x', key: shared/k}}\n"
        "  - {name: c, hosts: b1, command: kick, for_each: '{{ seen.rows | column(\"value\") }}', parameters: {mask: ['{{ item }}']}}\n"
    )
    result = here.cli("run", playbook, "--yes")
    assert result.code == 0, result.said
    sent = [record["parameters"] for record in records(here.record)]
    assert [parameters.get("value") for parameters in sent[:2]] == ["{{ groups }}", "{% raw %}"] or [
        parameters.get("value") for parameters in sent[:2]
    ] == ["{% raw %}", "{{ groups }}"]
    assert sent[3]["mask"][0] in {"{{ groups }}", "{% raw %}"}
