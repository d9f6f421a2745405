"""What a host logged about a request, and what of its log is another request's."""

from __future__ import annotations

import json

import pytest

from orchestrator.dovecot import evidence
from orchestrator.dovecot.evidence import Readings, lines
from tests.captured import ANSWERED

Row = dict[str, str]


def row(text: str, *, prefix: str = "doveadm(127.0.0.1)", kind: str = "Fatal", at: str = "Nov 22 10:43:07") -> Row:
    """A line as logErrors answers it."""
    return {"timestamp": at, "prefix": prefix, "type": kind, "text": text}


def test_the_users_own_lines_come_first() -> None:
    """Lines that name the request's user are about it; without one, doveadm's own are."""
    rows = [
        row("Permission denied", prefix="doveadm(user001)<1><x>", kind="Error"),
        row("Panic"),
        row("x", prefix="imap(3)"),
    ]
    assert lines(rows, '{"user":"user001"}') == "Error: Permission denied"
    assert lines(rows, '{"user":"user002"}') == "Fatal: Panic"


@pytest.mark.parametrize(
    ("text", "mine"),
    [
        ("Client sent invalid command. Usage: fs get <config-filter-name> <path>", "fs get"),
        ("Client sent invalid command. Usage: director update [-a <director socket path>] <host>", "director update"),
        ("Client sent invalid command. Usage: stop", "stop"),
        ("Command dict set failed", "dict set"),
        ("cmd fs put: Command fs put failed", "fs put"),
        ("cmd dict get: shared/k1 doesn't exist", "dict get"),
    ],
)
def test_a_line_that_names_another_command_is_no_evidence(text: str, mine: str) -> None:
    """It is of a request just before."""
    assert lines([row(text)], "{}", mine).endswith(text)
    assert lines([row(text)], "{}", "who") == ""
    assert lines([row(text)], "{}").endswith(text)


@pytest.mark.parametrize(
    "text", ["Panic: cmd", "Commands are not for you", "net_connect_unix(/x) failed: Permission denied"]
)
def test_a_line_that_names_no_command_may_be_evidence(text: str) -> None:
    """Nobody knows better."""
    assert lines([row(text)], "{}", "who").endswith(text)


def test_the_reading_of_the_log_is_no_evidence() -> None:
    """A reused process dies of it."""
    own = "net_connect_unix(/run/dovecot/log-errors) failed: Permission denied"
    assert lines([row(own), row("net_connect_unix(/run/dovecot/anvil) failed: Permission denied")], "{}", "who") == (
        "Fatal: net_connect_unix(/run/dovecot/anvil) failed: Permission denied"
    )


def test_what_was_in_the_log_before_is_no_evidence() -> None:
    """Of a line that is there twice, one is new; of a request that was sent before the reading, all may be."""
    readings = Readings()
    first, second = row("a"), row("b")
    assert readings.new([first], started=1.0, now=2.0) == [first]
    assert readings.new([first, second], started=3.0, now=4.0) == [second]
    assert readings.new([first, second, second], started=5.0, now=6.0) == [second]
    assert readings.new([first, second], started=1.5, now=7.0) == [first, second]


def test_the_logs_of_real_servers_name_commands_as_the_catalogue_does() -> None:
    """Each line that names a command is evidence for exactly one of those that were sent there."""
    words = {
        "dict get",
        "dict set",
        "dict inc",
        "fs get",
        "fs delete",
        "mailbox status",
        "index",
        "force-resync",
        "search",
    }
    named = 0
    for found in ANSWERED:
        if found.asked == "logErrors" and found.answers and found.answers[0][1]:
            for line in json.loads(found.body)[0][1]:
                fitting = [
                    word for word in words if lines([line | {"prefix": "doveadm(1)", "type": "Fatal"}], "{}", word)
                ]
                assert len(fitting) in {0, 1, len(words)}, line
                named += len(fitting) == 1
    assert named > 20


def test_what_went_wrong_on_the_host_itself() -> None:
    """Of a host's log the serious lines about no user are told, newest last, each once, and not many."""
    log = [
        {"prefix": "imap(user1)<9><x>", "type": "Error", "text": "a user's own trouble"},
        {"prefix": "lmtp(7)", "type": "Info", "text": "nothing serious"},
        {"prefix": "auth", "type": "Error", "text": "old"},
        {"prefix": "master", "type": "Error", "text": "Failed to read configuration: line 151"},
        {"prefix": "config", "type": "Fatal", "text": "no such setting"},
        {"prefix": "config", "type": "Fatal", "text": "Raw backtrace: x"},
        {"prefix": "master", "type": "Error", "text": "Failed to read configuration: line 151"},
        {"prefix": "doveadm(10.0.0.9)", "type": "Fatal", "text": "doveadm process died"},
    ]
    assert evidence.of_host(log) == (
        "config: Fatal: no such setting | master: Error: Failed to read configuration: line 151"
        " | doveadm(10.0.0.9): Fatal: doveadm process died"
    )
    assert evidence.of_host([{"type": "Error", "text": "x" * 5000}]).startswith(": Error: xxx")
    assert len(evidence.of_host([{"type": "Error", "text": "x" * 5000}])) <= evidence.LONGEST
