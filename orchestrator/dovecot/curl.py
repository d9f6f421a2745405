"""A request as a `curl` command line, for people who want to see, or send, what the program sends, without the program.

The secret stands in a file that curl reads (`-H @FILE`, since curl 7.55), and in no command line: others on the machine can
see those. The line that makes the file reads the secret where the configuration says that it is.
"""

from __future__ import annotations

import shlex

from orchestrator.dovecot.endpoint import API_PATH, Endpoint
from orchestrator.secret import SecretReference

_SCHEMES = {"password": "Basic", "api_key": "X-Dovecot-API"}


def curl_line(endpoint: Endpoint, body: bytes, header_file: str) -> str:
    """What a shell sends a request with.

    Args:
        endpoint: of the host.
        body: as `request_body` made it.
        header_file: the file with the line that authenticates.
    """
    words = ["curl", "-sS", *_tls(endpoint), "-H", f"@{header_file}", "-H", "Content-Type: application/json"]
    return shlex.join([*words, "--data-binary", body.decode(), _url(endpoint)])


def header_command(endpoint: Endpoint, header_file: str) -> str:
    """What a shell makes that file with, readable for nobody else; the secret is in no process's command line."""
    user = "doveadm:" if endpoint.scheme_of_auth == "password" else ""
    line = f'"$(printf %s "{user}{_reading(endpoint.secret)}" | base64 -w0)"'  # printf is the shell's own
    scheme = _SCHEMES[endpoint.scheme_of_auth]
    return f"(umask 077; printf 'Authorization: {scheme} %s\\n' {line} > {shlex.quote(header_file)})"


def _reading(secret: SecretReference) -> str:
    if secret.kind == "env":
        return f"${secret.target}"
    if secret.kind == "file":
        return f"$(cat {shlex.quote(str(secret.target))})"
    return f"$({shlex.join(secret.target)} | head -n1)"


def _tls(endpoint: Endpoint) -> list[str]:
    tls = endpoint.tls
    if endpoint.scheme != "https":
        return []
    words = [] if tls.verify else ["--insecure"]
    for option, value in (("--cacert", tls.ca_file), ("--cert", tls.cert_file), ("--key", tls.key_file)):
        words += [option, value] if value else []
    if tls.server_name:  # the name of the certificate, at the address of the host
        words += ["--connect-to", f"{tls.server_name}:{endpoint.port}:{_host(endpoint)}:{endpoint.port}"]
    return words


def _host(endpoint: Endpoint) -> str:
    return f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address


def _url(endpoint: Endpoint) -> str:
    if endpoint.scheme == "https" and endpoint.tls.server_name:
        return f"https://{endpoint.tls.server_name}:{endpoint.port}{API_PATH}"
    return endpoint.url
