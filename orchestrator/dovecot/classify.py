"""From what came back over the wire to an `Outcome`: what it means for this command, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from orchestrator.dovecot.catalog import UNLISTED, Command, exit_code
from orchestrator.dovecot.exchange import Answered, Exchange, NotSent, Stranger
from orchestrator.dovecot.reply import Reply, ReplyError, read_reply
from orchestrator.outcome import Kind, Outcome


def classify(
    exchange: Exchange, command: Command | None, tag: str, accept: Collection[int] = (), *, listed: int | None = None
) -> Outcome:
    """What an exchange means.

    Args:
        exchange: what happened on the wire.
        command: the command's catalogue entry, None when it has none.
        tag: what the request carried.
        accept: exit codes that the playbook counts as done.
        listed: the HTTP status that the host gave when it was asked for its list of commands, where that is known. One
            without password and key answers 500 to everything (2.3.19.1, 2.4.1).
    """
    if isinstance(exchange, NotSent):
        return Outcome(Kind.UNREACHABLE, error=exchange.reason + (f"; {exchange.remedy}" if exchange.remedy else ""))
    if isinstance(exchange, Stranger):
        return Outcome(
            Kind.FAILED, error=f"this port speaks {exchange.protocol}, not doveadm's HTTP API: check the port"
        )
    if not isinstance(exchange, Answered):
        return Outcome(Kind.LATE if exchange.late else Kind.UNKNOWN, error=exchange.reason)
    if not exchange.is_success:
        return _http_error(exchange, listed)
    try:
        reply = read_reply(exchange.body, tag)
    except ReplyError as error:
        status = "" if exchange.status == 200 else f" (HTTP {exchange.status})"
        return Outcome(Kind.UNKNOWN, error=f"the answer{status} cannot be read: {error}")
    return _of_reply(reply, command or UNLISTED, accept)


def _of_reply(reply: Reply, command: Command, accept: Collection[int]) -> Outcome:
    if not reply.error:
        return Outcome(Kind.DONE, reply.rows, changed=command.changes(reply.rows))
    if reply.error != "exitCode":
        return Outcome(
            Kind.FAILED, error=_REFUSALS.get(reply.error, f"the host answered the error {reply.error[:40]!r}")
        )
    code = reply.exit_code
    if code is None:
        return Outcome(Kind.FAILED, error="the host answered an error without an exit code")
    if code in accept:
        return Outcome(Kind.UNCHANGED, exit_code=code, changed=False)
    meaning = exit_code(command, code)
    if meaning.outcome == "unchanged":
        return Outcome(Kind.UNCHANGED, exit_code=code, changed=False)
    words = f"exit code {code}: {meaning.means}" + (f"; {meaning.remedy}" if meaning.remedy else "")
    return Outcome(Kind.TEMPORARY if meaning.outcome == "temporary" else Kind.FAILED, exit_code=code, error=words)


_REFUSALS = {
    "unknownMethod": "this host has no such command (another version, or its plugin is not loaded); "
    "`orchestrator commands --host HOST` lists what it has",
    "invalidRequest": "this host does not know one of the parameters, or a value has the wrong type",
    "unAuthorized": "`doveadm_allowed_commands` on this host does not list the command",
}


class _Meaning(NamedTuple):
    """What an HTTP status other than 2xx means, and how it is told."""

    kind: Kind
    words: str


_NO_SECRET = _Meaning(Kind.FAILED, "the host has neither doveadm_password nor doveadm_api_key set (HTTP 500)")
_WITH_RETRY_AFTER = {503: _Meaning(Kind.NOT_EXECUTED, "unavailable for a while (HTTP 503): {text}")}
_STATUSES = {
    301: _Meaning(
        Kind.FAILED, "the host answered a redirect (HTTP {status}), which is not followed: check the address"
    ),
    400: _Meaning(Kind.FAILED, "the host refused the request (HTTP 400): {text}"),
    401: _Meaning(
        Kind.FAILED,
        "authentication refused (HTTP 401); the host offers {offered}: check auth in the configuration{doubt}",
    ),
    404: _Meaning(
        Kind.FAILED, "no doveadm HTTP API here (HTTP 404): check the port; the listener must be named http (2.3)"
    ),
    408: _Meaning(Kind.UNKNOWN, "a proxy before the host did not get the whole request in time (HTTP 408): {text}"),
    413: _Meaning(Kind.FAILED, "the request is too large for this host (HTTP 413)"),
    423: _Meaning(Kind.NOT_EXECUTED, "a proxy before the host did not let it through now (HTTP 423): {text}"),
    425: _Meaning(Kind.NOT_EXECUTED, "a proxy before the host did not let it through now (HTTP 425): {text}"),
    429: _Meaning(Kind.NOT_EXECUTED, "too many requests for a proxy before the host (HTTP 429): {text}"),
    500: _Meaning(Kind.UNKNOWN, "the host, or a proxy before it, failed (HTTP 500): {text}"),
    503: _Meaning(Kind.UNKNOWN, "a proxy before the host says it is unavailable (HTTP 503): {text}"),
    504: _Meaning(Kind.LATE, "a proxy before the host gave up waiting for it (HTTP 504): {text}"),
}
_STATUSES |= dict.fromkeys((302, 307, 308), _STATUSES[301])  # 303 says "done, look there", and is of the rest
_OF_CLASS = {
    4: _Meaning(Kind.FAILED, "HTTP {status}: {text}"),
    5: _Meaning(Kind.UNKNOWN, "a proxy before the host failed (HTTP {status}): {text}"),
}
_REST = _Meaning(Kind.UNKNOWN, "HTTP {status}, which says nothing about the command: {text}")


def _http_error(answer: Answered, listed: int | None) -> Outcome:
    status, wait = answer.status, answer.retry_after
    kind, words = _STATUSES.get(status) or _OF_CLASS.get(status // 100, _REST)
    if status == 500 and listed == 500:
        kind, words = _NO_SECRET
    if wait is not None:
        kind, words = _WITH_RETRY_AFTER.get(status, (kind, words))
    error = words.format(
        status=status,
        text=_first_line(answer.body),
        offered=" or ".join(answer.offered) or "nothing",
        doubt=f" ({answer.doubt})" if answer.doubt else "",
    )
    if kind is not Kind.NOT_EXECUTED or not wait:
        return Outcome(kind, error=error)
    return Outcome(kind, error=f"{error}; it asks to wait {wait:.0f} s", wait=wait)


def _first_line(body: bytes) -> str:
    text = body[:400].decode("utf-8", errors="replace").strip().splitlines()
    return text[0][:200] if text else "(no text)"
