"""The doveadm HTTP API as plain `http.client` calls: a second opinion, sharing nothing with the orchestrator's client."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable
from typing import Any

POLL = 0.01  # seconds between two looks at something awaited


class RingError(Exception):
    """The ring, or a host of it, is not as it should be."""


class CommandError(RingError):
    """A host answered a command with an error.

    Attributes:
        kind: the `type` of the answer: exitCode, unknownMethod, invalidRequest, unAuthorized.
        exit_code: its `exitCode`; means something only with the kind exitCode.
    """

    def __init__(self, command: str, kind: str, exit_code: int) -> None:
        super().__init__(f"{command}: {kind} {exit_code}")
        self.kind = kind
        self.exit_code = exit_code


def wait_until(check: Callable[[], bool], timeout: float, what: str | Callable[[], str]) -> None:
    """Poll until `check()` holds; a RingError saying `what` was awaited after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            text = what if isinstance(what, str) else what()
            raise RingError(f"not within {timeout:g} s: {text}")
        time.sleep(POLL)


def basic(password: str) -> str:
    """The Authorization header of `doveadm_password`."""
    return "Basic " + base64.b64encode(f"doveadm:{password}".encode()).decode()


def api_key(key: str) -> str:
    """The Authorization header of `doveadm_api_key`."""
    return "X-Dovecot-API " + base64.b64encode(key.encode()).decode()


def post(address: str, port: int, body: str, authorization: str, timeout: float) -> tuple[int, str]:
    """One POST to the API: HTTP status and body, nothing judged."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    with contextlib.closing(connection):
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        connection.request("POST", "/doveadm/v1", body.encode(), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def call(
    address: str, port: int, command: str, parameters: dict[str, Any], authorization: str, timeout: float
) -> list[Any]:
    """One command's rows.

    Raises:
        CommandError: the host answered with an error.
        RingError: it answered something else, such as 401.
        OSError, http.client.HTTPException: it did not answer.
    """
    status, text = post(address, port, json.dumps([[command, parameters, "ring"]]), authorization, timeout)
    if status != http.client.OK:
        raise RingError(f"{command} on {address}: HTTP {status} {text.strip()}")
    kind, *rows, tag = json.loads(text)[0]
    if tag != "ring":
        raise RingError(f"{command} on {address}: {text}")
    if kind == "error":
        raise CommandError(command, rows[0]["type"], rows[0]["exitCode"])
    return flatten(rows)


def flatten(rows: list[Any]) -> list[Any]:
    """All rows of an answer; 2.3 writes every row of a grouped `who` after the first beside the list."""
    flat: list[Any] = []
    for row in rows:
        if isinstance(row, list):
            flat.extend(row)
        else:
            flat.append(row)
    return flat


def greeting(address: str, port: int, timeout: float = 1.0) -> str:
    """The first line an IMAP server says; empty when it does not."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, port), timeout=timeout) as connection,
        connection.makefile("rb") as stream,
    ):
        return stream.readline().decode(errors="replace").strip()
    return ""
