"""Why a request failed, in the host's own words: the lines that `logErrors` has of it. Pure.

A doveadm process that dies of a request answers nothing, but the log's ring buffer survives it: its last Fatal or Panic
line says what was wrong (seen on 2.3.19.1 and 2.4.1; the prefix is "doveadm(<client's address>)").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.dovecot.command import encode_parameters, request_body

COMMAND = "logErrors"
TAG = "evidence"
SKEW = 2  # seconds that the host's clock may be behind ours
MOST = 3  # lines
LONGEST = 300  # characters of a line
_CONSEQUENCES = ("Raw backtrace: ", "master: service(")  # of a Panic; the Panic itself says what was wrong


def question(started_ms: int) -> bytes:
    """The request that asks for what a host logged since just before a moment.

    Args:
        started_ms: when the failed attempt began, milliseconds since the epoch.
    """
    return request_body(COMMAND, encode_parameters({"since": started_ms // 1000 - SKEW}), TAG)


def lines(rows: Iterable[Mapping[str, Any]], parameters: str) -> str:
    """What the host logged about a request: the lines that name its user, or else doveadm's own lines of that moment.

    Args:
        rows: the answer of `logErrors`.
        parameters: the request's parameters, JSON.
    """
    own = [(row, _users(str(row["prefix"]))) for row in rows if str(row.get("prefix", "")).startswith("doveadm")]
    named = [row for row, users in own if any(f'"{user}"' in parameters for user in users)]
    nobodys = [row for row, users in own if not users and row.get("type") in {"Fatal", "Panic", "Error"}]
    chosen = named or nobodys
    telling = [row for row in chosen if not str(row.get("text", "")).startswith(_CONSEQUENCES)] or chosen
    texts = (f"{row.get('type', '')}: {row.get('text', '')}"[:LONGEST] for row in reversed(telling))
    return " | ".join(reversed(list(dict.fromkeys(texts))[:MOST]))  # the newest; one that came again is as new as that


def _users(prefix: str) -> list[str]:
    """The user that a line is about: prefixes are doveadm(<client>), doveadm(<client>,<user>), doveadm(<user>)<pid>...

    A number is a process, an address is the client.
    """
    words = prefix.partition("(")[2].partition(")")[0].split(",")
    return [word for word in words if _is_name(word)]


def _is_name(word: str) -> bool:
    address = ":" in word or word.replace(".", "").isdigit()
    return bool(word) and not address
