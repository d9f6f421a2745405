"""Answers, and anything else that may come over the wire; what real servers sent is read in `test_exchanges.py`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.dovecot.jsontext import loads
from orchestrator.dovecot.reply import Reply, ReplyError, read_replies, read_reply
from tests.captured import EXCHANGES, SINGLE, Captured
from tests.strategies import json_values

GROUPED_WHO = (
    b'[["doveadmResponse",[{"username":"user001","connections":"1","service":"imap","pids":"(2242)","ips":"(127.0.0.1)"}],'
    b'{"username":"user006","connections":"1","service":"imap","pids":"(2248)","ips":"(127.0.0.1)"},"t1"]]'
)
HEADER = b'{"username":"username","service":"service","src-ip":"src-ip","dest-ip":"dest-ip","dest-port":"dest-port"}'


def test_one_command_has_one_answer() -> None:
    """The answer to one command is found by its tag, and by no other tag."""
    for found in SINGLE:
        [tag] = found.tags
        assert read_reply(found.raw, tag) == read_replies(found.raw)[0]
        with pytest.raises(ReplyError, match="carries the tag"):
            read_reply(found.raw, tag + "x")


@pytest.mark.parametrize("found", [found for found in EXCHANGES if found.status != 200 and found.body], ids=str)
def test_the_text_of_an_http_error_is_no_answer(found: Captured) -> None:
    """What a server sends with an HTTP error is never taken for an answer."""
    with pytest.raises(ReplyError):
        read_replies(found.raw)


def test_misnested_rows_are_gathered() -> None:
    """Rows beside the list, as grouped `who` of 2.3 writes them, belong to the answer."""
    assert [row["username"] for row in read_reply(GROUPED_WHO, "t1").rows] == ["user001", "user006"]


def test_header_rows_are_left_out() -> None:
    """Header rows, as `proxyList` of 2.3 writes them between its processes' rows, are no rows."""
    row = HEADER.replace(b':"username"', b':"user044"')
    body = b'[["doveadmResponse",[%s,%s,%s],"t1"]]' % (row, HEADER, row)
    assert [row["username"] for row in read_reply(body, "t1").rows] == ["user044", "user044"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'[["doveadmResponse",[],"a"]["error",{"type":"unknownMethod", "exitCode":0},"b"],["doveadmResponse",[],"c"]]',
            [Reply("a"), Reply("b", error="unknownMethod"), Reply("c")],
        ),
        (
            b'[["error",{"type":"exitCode", "exitCode":68},"a"]["error",{"type":"unknownMethod", "exitCode":68},"b"]]',
            [Reply("a", error="exitCode", exit_code=68), Reply("b", error="unknownMethod")],
        ),
        (
            b'[["doveadmResponse",[{"a":"][\\"]["}],"]["]\n["error",{"type":"invalidRequest"},"b"]]',
            [Reply("][", ({"a": ']["]['},)), Reply("b", error="invalidRequest")],
        ),
    ],
)
def test_missing_commas_are_put_in(body: bytes, expected: list[Reply]) -> None:
    """A comma that 2.3 left out between two answers is put in, and nothing is changed within texts."""
    assert read_replies(body) == expected


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('{"user001":{"uid":"1","home":"/h"}}', [{"user": "user001", "uid": "1", "home": "/h"}]),
        ('{"userList":["a","b"]}', [{"user": "a"}, {"user": "b"}]),
        ('{"userList":[]}', []),
        ("{}", []),
        ('{"uid":"1","home":"/h"}', [{"uid": "1", "home": "/h"}]),
        ('{"a":{"uid":"1"},"b":{"uid":"2"}}', [{"user": "a", "uid": "1"}, {"user": "b", "uid": "2"}]),
        ('{"a":{"uid":"1"},"b":"2"}', [{"a": {"uid": "1"}, "b": "2"}]),
        ('[{"username":"username"}]', [{"username": "username"}]),  # a user of that name: one column makes no header
        ('[{"count":2,"avg":4244.00,"%95":1}]', [{"count": 2, "avg": 4244.0, "%95": 1}]),
    ],
)
def test_contents_become_rows(content: str, rows: list[dict[str, Any]]) -> None:
    """Objects, as `user` answers them, become rows: of one user's fields, or one for each user; nothing becomes none."""
    assert list(read_reply(f'[["doveadmResponse",{content},"t"]]'.encode(), "t").rows) == rows


@pytest.mark.parametrize("half", ["\\ud83d", "\\uD83D", "\\ude00", "\\uDE00x"])
@pytest.mark.parametrize("read", [json.loads, loads], ids=["json", "quick"])
def test_half_a_character_is_no_answer(half: str, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that could be written nowhere is refused, whichever library reads it; a whole character is not."""
    monkeypatch.setattr("orchestrator.dovecot.reply.loads", read)
    with pytest.raises(ReplyError):
        read_replies(f'[["doveadmResponse",[{{"a":"{half}"}}],"t"]]'.encode())
    [found] = read_replies(b'[["doveadmResponse",[{"a":"\\ud83d\\ude00"}],"t"]]')
    assert found.rows == ({"a": "\U0001f600"},)


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    """A name in another encoding is read with its bad bytes replaced."""
    assert read_reply(b'[["doveadmResponse",[{"u":"latin\xe9"}],"t"]]', "t").rows == ({"u": "latin�"},)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" \r\n", b"null", b"5", b'"text"', b"{}", b"<html>502</html>", b"[5]", b"[[]]", b'[["doveadmResponse"]]',
        b'[["doveadmResponse","t"]]', b'[["doveadmResponse",[],5]]', b'[["other",[],"t"]]', b'[["error","x","t"]]',
        b'[["error",[],"t"]]', b'[["doveadmResponse",[5],"t"]]', b'[["doveadmResponse",null,"t"]]',
        b'[["doveadmResponse",[["a"]],"t"]]', b'[["doveadmResponse",["a"],"t"]]', b'[["doveadmResponse",[],"t"]] x',
        b'[["doveadmResponse",[],"t"]', b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b'[{"a":1}]', b"[]",
        b'[["doveadmResponse",[],"t"],["doveadmResponse",[],"t"]]', b"\x00", b"\xff\xfe[\x00", b"Infinity",
    ],
    ids=lambda body: repr(body[:40]),
)  # fmt: skip
def test_anything_else_is_no_answer(body: bytes) -> None:
    """What is not one answer in doveadm's form is a ReplyError."""
    with pytest.raises(ReplyError):
        read_reply(body, "t")


@pytest.mark.parametrize(
    "error", ["exitCode", "unknownMethod", "invalidRequest", "unAuthorized", "internalError", "new"]
)
def test_the_exit_code_of_another_error_is_left_over(error: str) -> None:
    """Only an error of the type exitCode has an exit code; in all others the number means nothing."""
    reply = read_reply(b'[["error",{"type":"%s", "exitCode":75},"t"]]' % error.encode(), "t")
    assert (reply.error, reply.exit_code) == (error, 75 if error == "exitCode" else None)


@pytest.mark.parametrize("code", ["null", '"75"', "7.5", "[]"])
def test_an_exit_code_is_a_whole_number(code: str) -> None:
    """What is no whole number is no exit code."""
    reply = read_reply(b'[["error",{"type":"exitCode","exitCode":%s},"t"]]' % code.encode(), "t")
    assert (reply.error, reply.exit_code) == ("exitCode", None)


def test_a_cut_answer_is_never_a_success() -> None:
    """Cut at any byte, an answer is no answer."""
    for found in [found for found in SINGLE if len(found.body) < 1000]:
        raw = found.raw.rstrip()
        for size in range(len(raw)):
            with pytest.raises(ReplyError):
                read_reply(raw[:size], found.tags[0])


@given(st.binary(max_size=300))
@example(GROUPED_WHO)
@example(b'[["doveadmResponse",[{"a":"\\ud800"}],"t"]]')
@example(b'[["doveadmResponse",[{"a":1e999}],"t"]]')
@example(b'[["doveadmResponse",[{"a":' + b"9" * 5000 + b'}],"t"]]')
def test_any_bytes_are_an_answer_or_a_reply_error(body: bytes) -> None:
    """No bytes whatever raise anything but ReplyError."""
    try:
        read_reply(body, "t")
    except ReplyError as error:
        assert str(error)


@given(json_values)
def test_any_json_is_an_answer_or_a_reply_error(value: Any) -> None:
    """No JSON whatever raises anything but ReplyError, at any depth of an answer."""
    for body in (value, [value], [["doveadmResponse", value, "t"]], [["error", value, "t"]], [[value, [value], "t"]]):
        try:
            reply = read_reply(json.dumps(body).encode(), "t")
        except ReplyError:
            continue
        assert all(isinstance(row, dict) for row in reply.rows)


@given(st.sampled_from(SINGLE), st.data())
def test_a_garbled_answer_carries_no_other_tag(found: Captured, data: st.DataObject) -> None:
    """With one byte changed, an answer is still this command's, or none."""
    raw = bytearray(found.raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read_reply(bytes(raw), found.tags[0]).tag == found.tags[0]
    except ReplyError as error:
        assert str(error)
