"""A request as a `curl` command line, and the file that authenticates: what a shell makes of both."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.dovecot.curl import curl_line, header_command
from orchestrator.dovecot.endpoint import Endpoint, Tls
from orchestrator.secret import SecretReference
from tests.strategies import fleet

PLAIN = fleet().hosts["b1"].endpoint
SECRET = "p$(id)\"w' ü\\n`x`" + "x" * 80
BODY = '[["kick",{"mask":["o\'x\\u00e9 $HOME `id`"]},"1.1"]]'


def in_shell(line: str, folder: Path, shell: str = "sh", **environment: str) -> str:
    """What a shell prints."""
    done = subprocess.run(
        [shell, "-c", line], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("kind", ["env", "file", "command"])
@pytest.mark.parametrize(
    ("auth", "scheme", "user"), [("password", "Basic", "doveadm:"), ("api_key", "X-Dovecot-API", "")]
)
def test_the_file_has_the_header_that_is_sent(
    tmp_path: Path, shell: str, kind: str, auth: str, scheme: str, user: str
) -> None:
    """Of each kind of secret, whatever signs it has, a shell makes the header; nobody else can read the file."""
    (tmp_path / "a secret").write_text(SECRET + "\n")
    print_it = (sys.executable, "-c", f"print({SECRET!r}); print('notes')")
    target = {"env": "PW", "file": str(tmp_path / "a secret"), "command": print_it}[kind]
    endpoint = replace(PLAIN, scheme_of_auth=auth, secret=SecretReference(kind, target))
    line = header_command(endpoint, "my header")
    if kind != "command":
        assert SECRET not in line
    in_shell(line, tmp_path, shell, PW=SECRET, PYTHONUTF8="1")
    made = tmp_path / "my header"
    value = base64.b64encode((user + SECRET).encode()).decode()
    assert made.read_text() == f"Authorization: {scheme} {value}\n"
    assert made.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"scheme": "https"}, []),
        ({"scheme": "https", "tls": Tls(verify=False)}, ["--insecure"]),
        ({"scheme": "https", "tls": Tls(ca_file="/c a", cert_file="/c", key_file="/k")},
         ["--cacert", "/c a", "--cert", "/c", "--key", "/k"]),
        ({"scheme": "https", "tls": Tls(server_name="mail.example.com")}, ["--connect-to", "mail.example.com:8080:10.0.1.1:8080"]),
    ],
)  # fmt: skip
def test_certificates_are_checked_as_the_program_does(
    tmp_path: Path, changes: dict[str, object], words: list[str]
) -> None:
    """The configuration's TLS settings are options; the body comes through a shell as it is."""
    endpoint = replace(PLAIN, **changes)
    line = curl_line(endpoint, BODY.encode(), "doveadm.header")
    read = in_shell(f"printf '%s\\n' {line}", tmp_path).splitlines()
    assert read == shlex.split(line)
    assert read[:2] == ["curl", "-sS"]
    assert read[2:-7] == words
    assert read[-7:-3] == ["-H", "@doveadm.header", "-H", "Content-Type: application/json"]
    assert read[-3:-1] == ["--data-binary", BODY]
    host = "mail.example.com" if "--connect-to" in words else "10.0.1.1"
    assert read[-1] == f"{endpoint.scheme}://{host}:8080/doveadm/v1"


def test_an_ipv6_address_stands_in_brackets() -> None:
    """Where a name of the certificate is connected to an address."""
    endpoint: Endpoint = replace(PLAIN, address="::1", scheme="https", tls=Tls(server_name="m.example.com"))
    assert "m.example.com:8080:[::1]:8080" in curl_line(endpoint, b"[]", "h")
