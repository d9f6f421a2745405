"""A text stream that never holds up who writes to it: a thread writes, and what cannot be written is left out.

A terminal that was stopped with Ctrl-S, a pipe that nobody reads and a disk that is full are no reason for a run to wait: its
answers would be judged too late.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

MOST = 32 * 1024 * 1024  # characters that wait to be written; more are left out
TOGETHER = 1000  # texts that are written in one go
PATIENCE = 2.0  # seconds that the last lines may take when the run is over


class Outlet(io.TextIOBase):
    """Writes to a file descriptor.

    Args:
        stream: what stands for it in this process (`sys.stderr`); None when it is closed.

    Attributes:
        failure: why nothing can be written any more, or None.
        left_out: characters that were not written, since too many waited.
    """

    def __init__(self, stream: io.TextIOBase | None) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self.left_out = 0
        self._stream = stream
        self._queued = self._written = 0  # characters; each is counted by one thread alone
        self._queue: SimpleQueue[str | Callable[[], None] | None] = SimpleQueue()
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._descriptor = _descriptor(stream)
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)
        if stream is not None:
            stream.flush()
            self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of what is written."""
        return self._encoding

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The file descriptor, which displays ask for its size."""
        if self._descriptor < 0:
            raise OSError("closed")
        return self._descriptor

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Queue a text.

        Raises:
            OSError: nothing can be written any more; whoever writes may stop trying.
        """
        if self.failure is not None:
            raise self.failure
        if self._stream is not None and self._queued - self._written + len(text) > MOST:
            self.left_out += len(text)
        elif self._stream is not None:
            self._queued += len(text)
            self._queue.put(text)
        return len(text)

    def flush(self) -> None:
        """The thread does that."""

    def drain(self) -> None:
        """Wait until all that is queued is written, as far as that takes no long time."""
        if self._thread.is_alive():
            through = threading.Event()
            self._queue.put(through.set)
            through.wait(PATIENCE)

    def finish(self) -> None:
        """Have what is queued written, as far as that takes no long time; nothing can be written afterwards."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(PATIENCE)

    def _work(self) -> None:
        going_on = True
        while going_on:
            parts = [self._queue.get()]
            with contextlib.suppress(Empty):
                while isinstance(parts[-1], str) and len(parts) < TOGETHER:
                    parts.append(self._queue.get_nowait())
            last = parts[-1]
            self._put("".join(part for part in parts if isinstance(part, str)))
            if callable(last):
                last()
            going_on = last is not None

    def _put(self, text: str) -> None:
        data = text.encode(self._encoding, "backslashreplace")
        try:
            if self._descriptor < 0 and self._stream is not None:  # something in memory stands for it
                self._stream.write(text)
                data = b""
            while data and self.failure is None:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # another process made the descriptor so
                    select.select([], [self._descriptor], [])
        except OSError as error:
            self.failure = error
        self._written += len(text)


def _descriptor(stream: io.TextIOBase | None) -> int:
    try:
        return -1 if stream is None else stream.fileno()
    except io.UnsupportedOperation:
        return -1
