"""An HTTP answer, read as it comes in. The parser is llhttp, by way of httptools; no sockets here."""

from __future__ import annotations

from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from orchestrator.dovecot.exchange import NoAnswer

MAX_ANSWER = 64 * 1024 * 1024  # bytes; `who` of 10 000 connections is 0.9 MB on 2.3.19.1
MAX_HEAD = 64 * 1024  # bytes that may come in one go without any of them being a part of the body
FIRST = 512  # bytes kept of the begin of an answer, for whoever wonders what it is
SWITCHING_PROTOCOLS = 101


class Response(NamedTuple):
    """A complete answer; names and values of headers as they came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Unreadable(NamedTuple):
    """Something came that is no HTTP; how it begins."""

    begin: bytes


Heard = Response | Unreadable | NoAnswer


class Answer:
    """One answer; it is complete where its framing says so, and what comes behind that is not looked at.

    As lenient as curl is where no harm is in it: lines that end with LF alone, blanks behind the size of a chunk.

    Attributes:
        size: bytes of the body so far.
        length: bytes of the body in all, where the answer says so.
    """

    def __init__(self) -> None:
        self.size = 0
        self.length: int | None = None
        self._first = b""
        self._between = 0  # bytes since the last part of the body
        self._status = 0  # as soon as the head is complete
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._heard: Response | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def feed(self, data: bytes) -> Heard | None:
        """Read on; what the answer is, as soon as that is known."""
        assert self._parser, "fed after its end"  # noqa: S101
        if len(self._first) < FIRST:
            self._first = (self._first + data)[:FIRST]
        self._between += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            return self._heard or Unreadable(self._first)
        if self._heard:
            return self._heard
        if self._between > MAX_HEAD:
            return Unreadable(self._first)
        if self.length is not None and self.length > MAX_ANSWER:
            return NoAnswer(f"an answer of {self.length} bytes is too large to be read")
        if self.size > MAX_ANSWER:
            return NoAnswer(f"the answer is larger than {MAX_ANSWER // 2**20} MiB")
        return None

    def at_eof(self) -> Heard:
        """What the answer is when nothing more comes: complete, if neither its size nor chunks were announced."""
        if not self._status:
            return NoAnswer("the connection was closed without an answer")
        chunked = any(
            name.lower() == b"transfer-encoding" and b"chunked" in value.lower() for name, value in self._headers
        )
        if chunked or self.length is not None:
            return NoAnswer("the answer is cut short")
        return Response(self._status, self._headers, b"".join(self._parts))

    def close(self) -> None:
        """Nothing more is read; answer and parser, which know each other, forget it."""
        self._parser = None

    # called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes behind the body is of no use."""
        if self._status:
            return
        self._headers.append((name, value))
        if name.lower() == b"content-length":
            self.length = int(value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._parser and not self._heard:
            self._status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._between = 0
        self.size += len(part)
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """The answer is complete, or an interim one (1xx), which says nothing, and another follows."""
        if 100 <= self._status < 200 and self._status != SWITCHING_PROTOCOLS:
            self._status, self._headers, self.length = 0, [], None
        elif not self._heard:
            self._heard = Response(self._status, self._headers, b"".join(self._parts))
