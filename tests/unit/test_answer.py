"""How HTTP answers are read, whatever comes, and however it is cut."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dovecot import answer as module
from orchestrator.dovecot.answer import Answer, Response, Unreadable
from orchestrator.dovecot.exchange import NoAnswer
from orchestrator.dovecot.transport import PART
from tests.hostile import ANSWERS, CHUNKED, OK, expected


def read(*parts: bytes) -> Response | Unreadable | NoAnswer:
    """The answer that comes in these parts, after which the connection is closed."""
    answer = Answer()
    try:
        for part in parts:
            if heard := answer.feed(part):
                return heard
        return answer.at_eof()
    finally:
        answer.close()


def without_headers(heard: object) -> object:
    """An answer as `expected` has it."""
    return heard._replace(headers=[]) if isinstance(heard, Response) else heard


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_as_it_comes(name: str) -> None:
    """Each answer is read as what it is, in pieces as a socket gives them."""
    said = ANSWERS[name][0]
    assert without_headers(read(*(said[n : n + PART] for n in range(0, len(said), PART)))) == expected(name)


@pytest.mark.parametrize("name", [name for name in ANSWERS if len(ANSWERS[name][0]) < 300])
def test_an_answer_letter_by_letter(name: str) -> None:
    """The same answer is read from single bytes; of what is no HTTP no more is shown than was needed to see that."""
    said = ANSWERS[name][0]
    heard = without_headers(read(*(said[n : n + 1] for n in range(len(said)))))
    if isinstance(heard, Unreadable):
        assert said.startswith(heard.begin)
        heard = Unreadable(said)
    assert heard == expected(name)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_whatever_comes_is_something(junk: bytes, cuts: list[int]) -> None:
    """No bytes make reading fail."""
    edges = [0, *sorted(min(cut, len(junk)) for cut in cuts), len(junk)]
    parts = [junk[begin:end] for begin, end in pairwise(edges) if begin < end]
    assert isinstance(read(*parts), Response | Unreadable | NoAnswer)


@given(st.integers(0, 160), st.binary(min_size=1, max_size=3))
def test_damage_is_never_read_past_the_end(place: int, junk: bytes) -> None:
    """A damaged answer is read as some answer with what came, or as none."""
    whole = OK + b"Date: Sat, 28 Nov 2026 08:00:00 GMT\r\n" + CHUNKED + b"\r\n2\r\n[]\r\n0\r\n\r\n"
    heard = read(whole[:place] + junk + whole[place:])
    if isinstance(heard, Response):
        assert len(heard.body) <= len(whole)


def test_headers_come_as_they_are() -> None:
    """Names and values are bytes in their order, interim ones left out."""
    heard = read(
        b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 401 No\r\nX: \xff\r\nx: 2\r\nContent-Length: 0\r\n\r\n"
    )
    assert heard == Response(401, [(b"X", b"\xff"), (b"x", b"2"), (b"Content-Length", b"0")], b"")


def test_a_body_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is read up to the limit, whatever its framing."""
    monkeypatch.setattr(module, "MAX_ANSWER", 2**20)
    for head in (OK + CHUNKED + b"\r\nffffff\r\n", OK + b"\r\n"):
        answer = Answer()
        assert answer.feed(head) is None
        heard = [answer.feed(b"x" * 2**16) for _ in range(17)]
        assert heard[:16] == [None] * 16
        assert heard[16] == NoAnswer("the answer is larger than 1 MiB")


def test_small_chunks_are_no_long_head() -> None:
    """Chunk after chunk of one byte is an answer, although most of it is framing."""
    answer = Answer()
    answer.feed(OK + CHUNKED + b"\r\n")
    assert [answer.feed(b"1;" + b"x" * 1000 + b"\r\n[\r\n") for _ in range(200)] == [None] * 200
    heard = answer.feed(b"0\r\n\r\n")
    assert isinstance(heard, Response)
    assert heard.body == b"[" * 200


def test_an_answer_is_gone_with_its_end() -> None:
    """An answer that was closed needs no garbage collector, although parser and answer know each other."""
    gc.collect()
    gc.disable()
    try:
        answer = Answer()
        answer.feed(OK)
        gone = weakref.ref(answer)
        answer.close()
        del answer
        assert gone() is None
    finally:
        gc.enable()
