"""What servers send instead of a plain HTTP answer, and what is made of it."""

from __future__ import annotations

from orchestrator.dovecot.answer import Response, Unreadable
from orchestrator.dovecot.exchange import NoAnswer

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 2\r\n\r\n[]"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CUT = NoAnswer("the answer is cut short")
CLOSED = NoAnswer("the connection was closed without an answer")

# name -> what is sent before the connection is closed, and its status, where its body is [], or what else it is
ANSWERS: dict[str, tuple[bytes, int | NoAnswer | Unreadable]] = {
    "with a length": (OK + LENGTH, 200),
    "in chunks": (OK + CHUNKED + b"\r\n1\r\n[\r\n1;x=y\r\n]\r\n0\r\n\r\n", 200),
    "with a trailer": (OK + CHUNKED + b"\r\n2\r\n[]\r\n0\r\nX: 9\r\n\r\n", 200),
    "in chunks, announced twice": (OK + CHUNKED * 2 + b"\r\n2\r\n[]\r\n0\r\n\r\n", 200),
    "until it closes": (OK + b"\r\n[]", 200),
    "until it closes, HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n[]", 200),
    "until it closes, identity": (OK + b"Transfer-Encoding: identity\r\n\r\n[]", 200),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH, 200),
    "after 103 with a length": (b"HTTP/1.1 103 Early\r\nContent-Length: 9\r\n\r\n" + OK + LENGTH, 200),
    "after 100, and cut": (b"HTTP/1.1 100 Continue\r\n\r\n", CLOSED),
    "HTTP/2.0 by name": (b"HTTP/2.0 200 OK\r\n" + LENGTH, 200),
    "without a reason": (b"HTTP/1.1 200\r\n" + LENGTH, 200),
    "with lines that end with LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n[]", 200),
    "with an empty line first": (b"\r\n" + OK + LENGTH, 200),
    "with a folded header": (OK + b"X: a\r\n b\r\n" + LENGTH, 200),
    "with Latin-1 in a header": (OK + b"X: a\xffb\r\n" + LENGTH, 200),
    "with a long header": (OK + b"X: " + b"a" * 60_000 + b"\r\n" + LENGTH, 200),
    "with many headers": (OK + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + LENGTH, 200),
    "with more behind it": (OK + LENGTH + b"garbage", 200),
    "with a second one behind it": (OK + LENGTH + b"HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx", 200),
    "with more behind the last chunk": (OK + CHUNKED + b"\r\n2\r\n[]\r\n0\r\n\r\n" + OK + LENGTH, 200),
    "an odd status": (b"HTTP/1.1 999 Odd\r\n" + LENGTH, 999),
    "cut in its body": (OK + b"Content-Length: 3\r\n\r\n[]", CUT),
    "cut between chunks": (OK + CHUNKED + b"\r\n2\r\n[]\r\n", CUT),
    "cut in its head": (OK + b"Content-Le", CLOSED),
    "cut in its first letter": (b"H", CLOSED),
    "nothing": (b"", CLOSED),
    "too long by its own account": (
        OK + b"Content-Length: 99999999999\r\n\r\n[]",
        NoAnswer("an answer of 99999999999 bytes is too large to be read"),
    ),
} | {
    name: (said, Unreadable(said[:512]))
    for name, said in {
        "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        "the same length twice": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]",
        "a length and chunks": OK + CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        "a negative length": OK + b"Content-Length: -2\r\n\r\n[]",
        "a length with a sign": OK + b"Content-Length: +2\r\n\r\n[]",
        "a length without end": OK + b"Content-Length: 99999999999999999999999\r\n\r\n[]",
        "a chunk without a size": OK + CHUNKED + b"\r\nxx\r\n[]\r\n0\r\n\r\n",
        "a chunk without end": OK + CHUNKED + b"\r\nffffffffffffffffff\r\n[]\r\n0\r\n\r\n",
        "chunks whose lines end with LF": OK + CHUNKED + b"\r\n2\n[]\n0\n\n",
        "a length in a trailer": OK + CHUNKED + b"\r\n2\r\n[]\r\n0\r\nContent-Length: 9\r\n\r\n",
        "a head without end": OK + b"X: " + b"a" * 200_000,
        "a trailer without end": OK + CHUNKED + b"\r\n2\r\n[]\r\n0\r\nX: " + b"a" * 200_000,
        "interim answers without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 8000,
        "a header without a name": OK + b"X y: a\r\n" + LENGTH,
        "a header without a colon": OK + b"X\r\n" + LENGTH,
        "a blank before the colon": OK + b"X : a\r\n" + LENGTH,
        "a status of two digits": b"HTTP/1.1 99 OK\r\n" + LENGTH,
        "a status of four digits": b"HTTP/1.1 1000 OK\r\n" + LENGTH,
        "small letters": b"http/1.1 200 OK\r\n" + LENGTH,
        "a version that there is not": b"HTTP/3.7 200 OK\r\n" + LENGTH,
        "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
        "a greeting": b"* OK ready\r\n",
    }.items()
}


def expected(name: str) -> Response | Unreadable | NoAnswer:
    """What an answer is; without its headers."""
    _, meaning = ANSWERS[name]
    return Response(meaning, [], b"[]") if isinstance(meaning, int) else meaning
