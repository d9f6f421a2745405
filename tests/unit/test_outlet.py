"""A text stream that never holds up who writes to it."""

from __future__ import annotations

import io
import os

import pytest

from orchestrator.views import outlet
from orchestrator.views.outlet import Outlet


class Broken(io.StringIO):
    """A stream whose disk is full."""

    def write(self, text: str) -> int:
        """No room."""
        raise OSError(28, "No space left on device")


def test_an_outlet_writes_what_it_is_given_in_order() -> None:
    """All that was written before the end is there after it, and nothing can be written then."""
    stream = io.StringIO()
    out = Outlet(stream)
    for number in range(5000):
        out.write(f"{number}\n")
    out.drain()
    assert stream.getvalue() == "".join(f"{number}\n" for number in range(5000))
    out.write("last")
    out.finish()
    assert stream.getvalue().endswith("4999\nlast")
    assert (out.failure, out.left_out) == (None, 0)


def test_a_stream_that_breaks_is_told_to_who_writes() -> None:
    """Once nothing can be written any more, whoever writes is told, so that it may stop."""
    out = Outlet(Broken())
    out.write("x")
    out.finish()
    assert out.failure is not None
    with pytest.raises(OSError, match="No space left"):
        out.write("y")


def test_a_reader_that_reads_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stopped terminal does not take is left out beyond a bound, and counted; writing never waits."""
    monkeypatch.setattr(outlet, "MOST", 200_000)
    monkeypatch.setattr(outlet, "PATIENCE", 0.05)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        out = Outlet(stream)
        for _ in range(1000):
            assert out.write("x" * 1000) == 1000
        assert out.left_out >= 1_000_000 - 200_000 - 2 * 65_536
        out.finish()
        os.close(reading)
        out._thread.join(30)  # it ends once the pipe breaks
    assert isinstance(out.failure, BrokenPipeError)


def test_an_outlet_of_nothing_takes_all() -> None:
    """Where the stream was closed before the program began, writing goes nowhere and costs nothing."""
    out = Outlet(None)
    assert out.write("x") == 1
    out.drain()
    out.finish()
    assert (out.isatty(), out.failure, out.left_out) == (False, None, 0)
    with pytest.raises(OSError, match="closed"):
        out.fileno()
