"""From what came back over the wire to an `Outcome`: what it means for this command, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.dovecot.catalog import UNLISTED, Command, exit_code
from orchestrator.dovecot.exchange import Answered, Exchange, NotSent
from orchestrator.dovecot.reply import Reply, ReplyError, read_reply
from orchestrator.outcome import Kind, Outcome

GATEWAY_TIMEOUT = 504


def classify(exchange: Exchange, command: Command | None, tag: str, accept: Collection[int] = ()) -> Outcome:
    """What an exchange means.

    Args:
        exchange: what happened on the wire.
        command: the command's catalogue entry, None when it has none.
        tag: what the request carried.
        accept: exit codes that the playbook counts as done.
    """
    if isinstance(exchange, NotSent):
        return Outcome(Kind.UNREACHABLE, error=exchange.reason)
    if not isinstance(exchange, Answered):
        return Outcome(Kind.LATE if exchange.late else Kind.UNKNOWN, error=exchange.reason)
    if exchange.status != 200:
        return _http_error(exchange)
    try:
        reply = read_reply(exchange.body, tag)
    except ReplyError as error:
        return Outcome(Kind.UNKNOWN, error=f"the answer cannot be read: {error}")
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


def _http_error(answer: Answered) -> Outcome:
    status, text = answer.status, _first_line(answer.body)
    if status == 401:
        offered = " or ".join(answer.offered) or "nothing"
        return _failed(f"authentication refused (HTTP 401); the host offers {offered}: check auth in the configuration")
    if status == 400:
        return _failed(f"the host refused the request (HTTP 400): {text}")
    if status == 404:
        return _failed("no doveadm HTTP API here (HTTP 404): check the port; the listener must be named http (2.3)")
    if status == 413:
        return _failed("the request is too large for this host (HTTP 413)")
    if status == 500:
        return _failed("the host has neither doveadm_password nor doveadm_api_key set (HTTP 500)")
    if 300 <= status < 400:
        return _failed(f"the host answered a redirect (HTTP {status}), which is not followed: check the address")
    if status == 503:
        return Outcome(Kind.TEMPORARY, error=f"a proxy before the host says it is unavailable (HTTP 503): {text}")
    if status >= 500:
        kind = Kind.LATE if status == GATEWAY_TIMEOUT else Kind.UNKNOWN  # the proxy gave up waiting, the host did not
        return Outcome(kind, error=f"a proxy before the host failed (HTTP {status}): {text}")
    return _failed(f"HTTP {status}: {text}")


def _failed(error: str) -> Outcome:
    return Outcome(Kind.FAILED, error=error)


def _first_line(body: bytes) -> str:
    text = body[:400].decode("utf-8", errors="replace").strip().splitlines()
    return text[0][:200] if text else "(no text)"
