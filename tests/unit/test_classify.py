"""From an exchange to an outcome: what happened, what follows, and what to do about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dovecot import catalog
from orchestrator.dovecot.classify import classify
from orchestrator.dovecot.exchange import LONGEST_WAIT, Answered, Exchange, NoAnswer, NotSent, retry_after
from orchestrator.outcome import Kind, Outcome


def error(kind: str, code: int = 0) -> Answered:
    """An error as doveadm answers it."""
    return Answered(200, b'[["error",{"type":"%s", "exitCode":%d},"1.1"]]' % (kind.encode(), code))


def success(rows: str = "[]", tag: str = "1.1") -> Answered:
    """A success as doveadm answers it."""
    return Answered(200, f'[["doveadmResponse",{rows},"{tag}"]]'.encode())


def outcome(exchange: Exchange, command: str = "reload", accept: tuple[int, ...] = ()) -> Outcome:
    """What an exchange means for a command."""
    return classify(exchange, catalog.find(command), "1.1", accept)


@pytest.mark.parametrize(
    ("exchange", "kind", "words"),
    [
        (success(), Kind.DONE, ""),
        (error("exitCode", 75), Kind.TEMPORARY, "exit code 75"),
        (error("exitCode", 64), Kind.FAILED, "exit code 64"),
        (error("exitCode", 67), Kind.FAILED, "exit code 67"),
        (error("exitCode", 68), Kind.FAILED, "exit code 68"),
        (error("exitCode", 99), Kind.FAILED, "exit code 99: no meaning is known"),
        (error("invalidRequest", 75), Kind.FAILED, "does not know one of the parameters"),
        (error("unknownMethod", 75), Kind.FAILED, "this host has no such command"),
        (error("unAuthorized", 75), Kind.FAILED, "doveadm_allowed_commands"),
        (error("internalError", 75), Kind.FAILED, "the error 'internalError'"),
        (Answered(200, b'[["error",{"type":"exitCode"},"1.1"]]'), Kind.FAILED, "without an exit code"),
        (NotSent("connection refused"), Kind.UNREACHABLE, "connection refused"),
        (NotSent("too many open files", local=True), Kind.UNREACHABLE, "too many open files"),
        (NoAnswer("closed without an answer"), Kind.UNKNOWN, "closed without an answer"),
        (success(tag="1.2"), Kind.UNKNOWN, "carries the tag '1.2', not '1.1'"),
        (Answered(200, b""), Kind.UNKNOWN, "an empty body"),
        (Answered(200, b'[["doveadmResponse",[{"a"'), Kind.UNKNOWN, "cut short"),
        (Answered(200, b"<html>"), Kind.UNKNOWN, "cannot be read"),
        (Answered(200, b"[]"), Kind.UNKNOWN, "0 answers to one command"),
        (Answered(400, b"Command ID must be a string\r\n"), Kind.FAILED, "(HTTP 400): Command ID must be a string"),
        (Answered(401, b"", ("Basic", "X-Dovecot-API")), Kind.FAILED, "the host offers Basic or X-Dovecot-API"),
        (Answered(401, b""), Kind.FAILED, "the host offers nothing"),
        (Answered(403, b"no"), Kind.FAILED, "HTTP 403: no"),
        (Answered(404, b"Path Not Found\r\n"), Kind.FAILED, "no doveadm HTTP API here"),
        (Answered(413, b""), Kind.FAILED, "too large"),
        (Answered(408, b"slow"), Kind.UNKNOWN, "did not get the whole request in time (HTTP 408): slow"),
        (Answered(423, b"locked"), Kind.NOT_EXECUTED, "(HTTP 423): locked"),
        (Answered(425, b"early"), Kind.NOT_EXECUTED, "(HTTP 425): early"),
        (
            Answered(429, b"slow down"),
            Kind.NOT_EXECUTED,
            "too many requests for a proxy before the host (HTTP 429): slow",
        ),
        (Answered(429, b"", (), 0.0), Kind.NOT_EXECUTED, "(HTTP 429): (no text)"),
        (Answered(500, b"Internal Server Error\r\n"), Kind.UNKNOWN, "(HTTP 500): Internal Server Error"),
        (Answered(500, b"", (), 3.0), Kind.UNKNOWN, "(HTTP 500)"),
        (Answered(302, b""), Kind.FAILED, "a redirect (HTTP 302), which is not followed"),
        (Answered(303, b""), Kind.UNKNOWN, "HTTP 303, which says nothing about the command"),
        (Answered(101, b""), Kind.UNKNOWN, "HTTP 101, which says nothing about the command"),
        (Answered(502, b"bad gateway"), Kind.UNKNOWN, "a proxy before the host failed (HTTP 502): bad gateway"),
        (Answered(503, b"busy"), Kind.UNKNOWN, "a proxy before the host says it is unavailable (HTTP 503)"),
        (Answered(503, b"busy", (), 7.0), Kind.NOT_EXECUTED, "(HTTP 503): busy; it asks to wait 7 s"),
        (Answered(504, b""), Kind.LATE, "HTTP 504"),
        (Answered(599, b""), Kind.UNKNOWN, "a proxy before the host failed (HTTP 599)"),
        (Answered(301, b""), Kind.FAILED, "a redirect (HTTP 301)"),
        (Answered(307, b""), Kind.FAILED, "a redirect (HTTP 307)"),
        (Answered(308, b""), Kind.FAILED, "a redirect (HTTP 308)"),
        (NoAnswer("no complete answer within 9 s", late=True), Kind.LATE, "within 9 s"),
        (Answered(204, b""), Kind.UNKNOWN, "the answer (HTTP 204) cannot be read: an empty body"),
        (Answered(202, b"queued"), Kind.UNKNOWN, "the answer (HTTP 202) cannot be read"),
        (Answered(203, success().body), Kind.DONE, ""),
        (Answered(202, error("exitCode", 64).body), Kind.FAILED, "exit code 64"),
    ],
)
def test_what_happened_has_a_kind_and_a_cause(exchange: Exchange, kind: Kind, words: str) -> None:
    """Each exchange is of one kind, and every kind but done says why."""
    found = outcome(exchange)
    assert found.kind is kind
    assert words in found.error
    assert bool(found.error) == (kind is not Kind.DONE)


def test_a_remedy_follows_what_kept_a_request_from_being_sent() -> None:
    """Where more is known than the reason; nothing is added where it is not."""
    assert outcome(NotSent("connection refused")).error == "connection refused"
    assert outcome(NotSent("TLS failed", remedy="renew it")).error == "TLS failed; renew it"


@pytest.mark.parametrize(
    ("status", "wait", "expected"),
    [(429, 5.0, 5.0), (503, 5.0, 5.0), (425, 5.0, 5.0), (429, None, 0.0), (502, 5.0, 0.0), (400, 5.0, 0.0)],
)
def test_a_wait_is_asked_for_with_what_turns_away(status: int, wait: float | None, expected: float) -> None:
    """How long a host wants to be left alone counts where the request was turned away, and nowhere else."""
    assert outcome(Answered(status, b"", (), wait)).wait == expected


@pytest.mark.parametrize(
    ("listed", "kind"), [(500, Kind.FAILED), (200, Kind.UNKNOWN), (404, Kind.UNKNOWN), (None, Kind.UNKNOWN)]
)
def test_a_host_without_a_secret_says_500_to_everything(listed: int | None, kind: Kind) -> None:
    """A 500 is no password only where the list of commands gets it too; else the command may have run."""
    found = classify(Answered(500, b"Internal Server Error"), None, "1.1", listed=listed)
    assert found.kind is kind
    assert ("neither doveadm_password nor doveadm_api_key" in found.error) == (kind is Kind.FAILED)


@pytest.mark.parametrize(
    ("value", "now", "seconds"),
    [
        ("0", 0, 0.0),
        (" 120 ", 0, 120.0),
        ("9" * 400, 0, LONGEST_WAIT),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111770, 7.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111770, 7.0),
        ("Sun Nov  6 08:49:37 1994", 784111770, 7.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784112000, 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 784112000, LONGEST_WAIT),
        ("", 0, None),
        ("-5", 0, None),
        ("1.5", 0, None),
        ("soon", 0, None),
        ("٣", 0, None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", 0, None),
        ("Sun, 06 Nov 99999999 08:49:37 GMT", 0, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, now: float, seconds: float | None) -> None:
    """Seconds or a date; what is absurd is bounded, and what cannot be read says nothing."""
    assert retry_after(value, now) == seconds


@given(st.text(max_size=40), st.floats(0, 1e11))
def test_retry_after_is_bounded(value: str, now: float) -> None:
    """Whatever stands there, it is no more than a day, and never an error."""
    found = retry_after(value, now)
    assert found is None or 0 <= found <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("command", "code", "kind"),
    [
        ("kick", 68, Kind.UNCHANGED),
        ("directorRemove", 68, Kind.UNCHANGED),
        ("directorRingRemove", 68, Kind.UNCHANGED),
        ("mailboxDelete", 68, Kind.UNCHANGED),
        ("fsDelete", 68, Kind.UNCHANGED),
        ("directorUp", 68, Kind.FAILED),
        ("directorFlush", 68, Kind.FAILED),
        ("mailboxStatus", 67, Kind.FAILED),
        ("directorMove", 75, Kind.TEMPORARY),
        ("dictInc", 75, Kind.TEMPORARY),
        ("kick", 64, Kind.FAILED),
    ],
)
def test_an_exit_code_means_what_it_means_for_its_command(command: str, code: int, kind: Kind) -> None:
    """The same code is "already so" for one command and a failure for another."""
    found = outcome(error("exitCode", code), command)
    assert (found.kind, found.exit_code) == (kind, code)
    assert found.changed is (False if kind is Kind.UNCHANGED else None)


@pytest.mark.parametrize("code", [64, 68, 75])
def test_accepted_codes_are_done(code: int) -> None:
    """An exit code that the playbook accepts is done, with nothing changed; other codes are not."""
    assert outcome(error("exitCode", code), accept=(code,)) == Outcome(Kind.UNCHANGED, exit_code=code, changed=False)
    assert outcome(error("exitCode", 67), accept=(code,)).kind is Kind.FAILED


def test_a_refusal_cannot_be_accepted() -> None:
    """The left-over number of another error is no exit code, so accepting it changes nothing."""
    assert outcome(error("unknownMethod", 68), accept=(68, 0)).kind is Kind.FAILED


def test_an_unlisted_command_has_general_codes_only() -> None:
    """For a command without a catalogue entry, 75 is temporary and all else failed."""
    assert classify(error("exitCode", 75), None, "1.1").kind is Kind.TEMPORARY
    assert classify(error("exitCode", 68), None, "1.1").kind is Kind.FAILED


@pytest.mark.parametrize(
    ("command", "rows", "changed"),
    [
        ("kick", '[{"result":"user001"}]', True),
        ("kick", '[{"count":"1"}]', True),
        ("kick", '[{"count":"0"}]', False),
        ("reload", "[]", None),
    ],
)
def test_whether_something_changed_is_told_where_it_can_be(command: str, rows: str, changed: bool | None) -> None:
    """The catalogue knows how an answer shows a change; else nobody knows."""
    assert outcome(success(rows), command).changed is changed


def test_a_bodys_text_is_shown_in_one_short_line() -> None:
    """Of an HTTP error's body only the first line is shown, and not more than fits."""
    found = outcome(Answered(400, b"x" * 5000 + b"\nsecond"))
    assert len(found.error) < 300
    assert "\n" not in outcome(Answered(400, b"first\r\nsecond")).error


@given(st.integers(100, 599), st.binary(max_size=120))
def test_only_a_proper_answer_is_done(status: int, body: bytes) -> None:
    """Whatever a host sends, it becomes an outcome, and none that is done by accident."""
    found: Any = outcome(Answered(status, body))
    assert found.kind not in {Kind.DONE, Kind.UNCHANGED}
    assert found.error
