"""Who watches a run only watches."""

from __future__ import annotations

from orchestrator.events import Audience, Event, Note, Question


class Watching:
    """Remembers what it was told; raises from some event on."""

    def __init__(self, interval: float = 1.0, *, breaks_at: int | None = None, closes: bool = True) -> None:
        self.interval = interval
        self.told: list[Event] = []
        self.closed = 0
        self._breaks_at = breaks_at
        self._closes = closes

    def tell(self, event: Event) -> None:
        """Something happened."""
        if len(self.told) == self._breaks_at:
            raise BrokenPipeError(32, "Broken pipe")
        self.told.append(event)

    def close(self) -> None:
        """It is over."""
        self.closed += 1
        if not self._closes:
            raise OSError("no")


LOST = Note("a display was lost ([Errno 32] Broken pipe); the run goes on")


def test_an_observer_that_raises_is_detached_and_the_others_are_told_once() -> None:
    """Who breaks is told nothing more; each of the others learns of it once, and hears every event, in order."""
    first, broken, last = Watching(), Watching(breaks_at=1), Watching()
    audience = Audience([first, broken, last])
    for text in ("a", "b", "c"):
        audience.tell(Note(text))
    assert broken.told == [Note("a")]
    assert broken.closed == 1
    for watching in (first, last):
        assert watching.told == [Note("a"), Note("b"), LOST, Note("c")]
    assert [str(error) for error in audience.lost] == ["[Errno 32] Broken pipe"]


def test_all_may_break_at_once() -> None:
    """When nobody is left, telling goes nowhere; also when closing fails."""
    broken = [Watching(breaks_at=0), Watching(breaks_at=0, closes=False)]
    audience = Audience(broken)
    audience.note("a")
    audience.tell(Question("b"))
    audience.close()
    assert len(audience.lost) == 2
    assert [watching.closed for watching in broken] == [1, 1]


def test_closing_tells_nobody_anything_more() -> None:
    """Each observer is closed once, whatever another one's closing raises."""
    observers = [Watching(closes=False), Watching()]
    audience = Audience(observers)
    audience.close()
    audience.close()
    audience.note("a")
    assert [(watching.closed, watching.told) for watching in observers] == [(1, []), (1, [])]


def test_the_most_curious_observer_decides_how_often() -> None:
    """Progress is told as often as the one who asks most often wants it; a lost one asks for nothing."""
    quick = Watching(0.2, breaks_at=0)
    audience = Audience([Watching(5.0), quick])
    assert audience.interval == 0.2
    audience.note("a")
    assert (audience.interval, Audience().interval) == (5.0, 1.0)
