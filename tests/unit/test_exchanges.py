"""Every captured exchange with real servers is read as it was meant: rows, errors, what follows, and what is said."""

from __future__ import annotations

import json

import pytest

from orchestrator.dovecot import catalog
from orchestrator.dovecot.classify import classify
from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent
from orchestrator.dovecot.listing import read_listing
from orchestrator.dovecot.reply import read_replies
from orchestrator.outcome import Kind
from tests.captured import ANSWERED, EXCHANGES, SINGLE, Captured

# "Was so already": the code says that what was to be gone is gone. Everywhere else it may mean a wrong name.
UNCHANGED = {
    ("kick", 68),
    ("directorRemove", 68),
    ("directorRingRemove", 68),
    ("mailboxDelete", 68),
    ("fsDelete", 68),
    ("instanceRemove", 68),
    ("replicatorRemove", 64),
}
LASTING = {("directorMap", 75)}  # a 75 that no repetition helps: a userdb that cannot list its users
HTTP = {
    400: "the host refused the request (HTTP 400): ",
    401: "authentication refused (HTTP 401); the host offers ",
    404: "no doveadm HTTP API here (HTTP 404)",
    500: "the host has neither doveadm_password nor doveadm_api_key set (HTTP 500)",
}
REFUSALS = {
    "unknownMethod": "has no such command",
    "invalidRequest": "does not know one of the parameters, or a value has the wrong type",
    "unAuthorized": "doveadm_allowed_commands",
}
LOST: dict[str, tuple[Exchange, Kind]] = {
    "closed": (NoAnswer("the connection was closed without an answer"), Kind.UNKNOWN),
    "timeout": (NoAnswer("no complete answer within 10 s"), Kind.UNKNOWN),
    "refused": (NotSent("connection refused"), Kind.UNREACHABLE),
    "tls": (NotSent("TLS handshake failed: WRONG_VERSION_NUMBER"), Kind.UNREACHABLE),
    "certificate": (NotSent("the server's certificate is not accepted"), Kind.UNREACHABLE),
}


def exchange(found: Captured) -> Exchange:
    """What the client makes of it."""
    if found.status is None:
        return LOST[found.lost][0]
    return Answered(found.status, found.raw, tuple(found.offered))


def kind(command: str, error: str, code: int | None) -> Kind:
    """What an answer means for its command."""
    if not error:
        return Kind.DONE
    if code is None:
        return Kind.FAILED
    if (command, code) in UNCHANGED:
        return Kind.UNCHANGED
    return Kind.TEMPORARY if code == 75 and (command, code) not in LASTING else Kind.FAILED


def test_all_captures_are_here() -> None:
    """There are 827, none of them twice; 713 with an HTTP answer, 103 closed without one."""
    names = [name for found in EXCHANGES for name in found.names]
    assert len(names) == len(set(names)) == 827
    assert sum(len(found.names) for found in EXCHANGES if found.lost == "closed") == 103
    assert {found.status for found in EXCHANGES} == {None, 200, 400, 401, 404, 500}


@pytest.mark.parametrize("found", ANSWERED, ids=str)
def test_every_answer_has_its_tags_rows_and_errors(found: Captured) -> None:
    """Each list of answers is read, the malformed ones of 2.3 too; every row says something."""
    replies = read_replies(found.raw)
    assert [[reply.tag, len(reply.rows), reply.error, reply.exit_code] for reply in replies] == found.answers
    assert [reply.tag for reply in replies] == found.tags
    assert all(isinstance(row, dict) and row for reply in replies for row in reply.rows)


@pytest.mark.parametrize("found", SINGLE, ids=str)
def test_every_answer_means_something_for_its_command(found: Captured) -> None:
    """Done, already so, failed or to be repeated; with exit code, rows, and words where it is not done."""
    assert found.answers is not None
    [(tag, rows, error, code)] = found.answers
    outcome = classify(exchange(found), catalog.find(found.asked), tag)
    assert (outcome.kind, outcome.exit_code, len(outcome.rows)) == (kind(found.asked, error, code), code, rows)
    assert bool(outcome.error) == (outcome.kind not in {Kind.DONE, Kind.UNCHANGED})
    if outcome.error:
        assert (REFUSALS.get(error) or f"exit code {code}: ") in outcome.error


@pytest.mark.parametrize("found", [found for found in EXCHANGES if found.status in HTTP], ids=str)
def test_every_http_error_says_what_it_is(found: Captured) -> None:
    """A status other than 200 has failed, and says what the host said: its text, or the schemes that it offers.

    A host without a secret answers 500 to all, its list of commands too.
    """
    assert found.status is not None
    outcome = classify(exchange(found), None, "t", listed=found.status)
    told = {400: found.body.strip(), 401: " or ".join(found.offered)}.get(found.status, "")
    assert (outcome.kind, outcome.exit_code, outcome.rows) == (Kind.FAILED, None, ())
    assert HTTP[found.status] + told in outcome.error


@pytest.mark.parametrize("found", [found for found in EXCHANGES if found.lost], ids=str)
def test_no_answer_is_unknown_and_nothing_sent_is_unreachable(found: Captured) -> None:
    """Where no byte came back the command may have been executed, unless nothing was sent."""
    sent, expected = LOST[found.lost]
    outcome = classify(sent, catalog.find(found.asked), "t")
    assert (outcome.kind, outcome.exit_code) == (expected, None)
    assert outcome.error


def test_an_answer_that_is_cut_is_unknown_and_says_so() -> None:
    """Of one answer, of 50 000 users, the capture kept the beginning alone."""
    [found] = [found for found in EXCHANGES if found.cut]
    outcome = classify(exchange(found), catalog.find("user"), found.tags[0])
    assert (outcome.kind, outcome.rows) == (Kind.UNKNOWN, ())
    assert outcome.error == "the answer cannot be read: not JSON, or JSON that is cut short"


def test_what_is_no_list_of_answers_is_read_as_none() -> None:
    """Lists of commands are such, with all their commands; the list of mounts and an empty body are nothing."""
    others = [found for found in EXCHANGES if found.status == 200 and found.answers is None and not found.cut]
    assert {found.asked for found in others} == {"GET /doveadm/v1", "GET /", "OPTIONS /doveadm/v1"}
    for found in others:
        listing = read_listing(exchange(found))
        assert (len(listing.commands) if listing else None) == found.commands
        assert listing is None or listing.version == found.version
        assert classify(exchange(found), None, "t").kind is Kind.UNKNOWN
    assert sorted(found.commands for found in others if found.commands) == [101, 105, 111]


def test_the_captures_have_all_malformed_forms() -> None:
    """Bodies that are no JSON, rows beside the list, header rows: each is there, and all of them are of 2.3."""

    def strict(found: Captured) -> bool:
        try:
            json.loads(found.body)
        except ValueError:
            return False
        return True

    malformed = [found for found in ANSWERED if not strict(found)]
    assert (len(malformed), {found.version for found in malformed}) == (4, {"2.3"})
    misnested = [found for found in ANSWERED if strict(found) and any(len(a) > 3 for a in json.loads(found.body))]
    assert {(found.version, found.asked) for found in misnested} == {("2.3", "who")}
    headers = [found for found in ANSWERED if '"dest-ip":"dest-ip"' in found.body]
    assert {(found.version, found.asked) for found in headers} == {("2.3", "proxyList")}
