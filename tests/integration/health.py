"""A service of the test whose page says whether all is well, and which can be ill in many ways."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from typing import Self

from tests.command_line import wait_until
from tests.integration.raw_server import http

MOODS = {
    "OK": http(b"up 1\n"),
    "ill": http(b"no", "503 Service Unavailable"),
    "nonsense": b"\x00\xff\x00 220 mx1 ESMTP\r\n\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nup",
    "silent": b"",  # the connection stays open, and nothing comes
}


class Health:
    """A page on loopback.

    Attributes:
        mood: what it answers, one of `MOODS`; or "dead", when nobody listens.
        looks: how often it was asked.
    """

    def __init__(self) -> None:
        self.mood, self.looks = "OK", 0
        self._listening: socket.socket | None = None
        self._port = 0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._close()

    @property
    def url(self) -> str:
        """Its address, which stays the same when it dies and comes back."""
        return f"http://127.0.0.1:{self._port}/health"

    def _listen(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self._port))
        self._listening.settimeout(0.02)
        self._port = self._listening.getsockname()[1]

    def _close(self) -> None:
        if self._listening:
            self._listening.close()
            self._listening = None

    def _serve(self) -> None:
        silent: list[socket.socket] = []
        while not self._over.is_set():
            if self.mood == "dead":
                self._close()
                time.sleep(0.02)
                continue
            if self._listening is None:
                self._listen()
            with contextlib.suppress(OSError):
                connection, _ = self._listening.accept()  # type: ignore[union-attr]
                connection.settimeout(5)
                if self.mood == "silent":
                    silent.append(connection)
                else:
                    self._answer(connection)
                self.looks += 1
        for connection in silent:
            connection.close()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(MOODS.get(self.mood, b""))


class Told:
    """What a process says on stderr, as it says it; its stdout is left to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self.process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def times(self, words: str) -> int:
        """In how many lines some words are."""
        return sum(words in line for line in list(self.lines))

    def wait(self, words: str, times: int = 1) -> None:
        """Until it has said this so often."""
        try:
            wait_until(lambda: self.times(words) >= times or self.process.poll() is not None)
        finally:
            assert self.times(words) >= times, "".join(self.lines)

    def end(self) -> int:
        """Its exit code, when it has ended."""
        code = self.process.wait(timeout=60)
        self._thread.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        return code
