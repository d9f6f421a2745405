"""A run's time as a picture: sessions and steps as bars, with what lies between two sessions drawn short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from orchestrator.views.document import Tone
from orchestrator.views.words import safe

LONGEST_LABEL = 44  # characters, which fit a telephone
ROW, BAR, LINE = 36, 10, 17  # pixels
GAP = 6.0  # percent of the width for the time between two sessions
MOST_GAPS = 60.0
THINNEST = 0.6


class Bar(NamedTuple):
    """A row of the picture.

    Attributes:
        label: above the bar.
        start, end: milliseconds since the epoch.
        tone: its colour; None for one that says nothing.
    """

    label: str
    start: int
    end: int
    tone: Tone | None


class Mark(NamedTuple):
    """A moment, as a line through all rows."""

    at: int
    tone: Tone


@dataclass(frozen=True)
class Scale:
    """Where moments are drawn, in percent of the width: working time as long as it was, pauses between sessions short.

    Attributes:
        sessions: start and end of each, in order, milliseconds since the epoch.
    """

    sessions: Sequence[tuple[int, int]]

    def of(self, moment: int) -> float:
        """Where a moment is."""
        gaps = len(self.sessions) - 1
        gap = min(GAP, MOST_GAPS / gaps) if gaps else 0.0
        worked = sum(end - start for start, end in self.sessions) or 1
        place = 0.0
        for number, (start, end) in enumerate(self.sessions):
            if moment <= end or number == gaps:
                inside = max(0, min(moment, end) - start)
                return place + inside / worked * (100 - gap * gaps)
            place += (end - start) / worked * (100 - gap * gaps) + gap
        return place

    def within(self, start: int, end: int) -> Iterator[tuple[float, float]]:
        """A span of time as pieces, one for each session in which it falls: place and width."""
        for began, ended in self.sessions:
            if max(start, began) <= min(end, ended):
                left, right = self.of(max(start, began)), self.of(min(end, ended))
                yield min(left, 100 - THINNEST), max(THINNEST, right - left)


def timeline(
    sessions: Sequence[tuple[int, int]], bars: Iterable[Bar], marks: Iterable[Mark], ends: tuple[str, str]
) -> Element:
    """The picture.

    Args:
        sessions: start and end of each, in order, milliseconds since the epoch; at least one.
        bars: from top to bottom.
        marks: moments that are lines through all of them.
        ends: the words for the first and the last moment.
    """
    scale = Scale(sessions)
    svg = Element("svg")
    rows = list(bars)
    height = ROW * len(rows) + 2 * LINE + 6
    svg.set("height", str(height))
    for mark in marks:
        x = f"{scale.of(mark.at):.2f}%"
        SubElement(
            svg,
            "line",
            {"class": f"mark {mark.tone.name.lower()}", "x1": x, "x2": x, "y1": "0", "y2": str(height - 2 * LINE)},
        )
    for number, bar in enumerate(rows):
        top = ROW * number
        _text(svg, bar.label, "0", top + 14)
        for left, wide in scale.within(bar.start, bar.end):
            tone = f" {bar.tone.name.lower()}" if bar.tone else ""
            place = {"x": f"{left:.2f}%", "width": f"{wide:.2f}%", "y": str(top + 20), "height": str(BAR), "rx": "2"}
            SubElement(svg, "rect", {"class": f"bar{tone}", **place})
    line = str(ROW * len(rows) + 4)
    SubElement(svg, "line", {"class": "axis", "x1": "0", "x2": "100%", "y1": line, "y2": line})
    _text(svg, ends[0], "0", height - LINE - 4, soft=True)
    _text(svg, ends[1], "100%", height - 4, soft=True, anchor="end")  # below the first, since both are wide
    return svg


def _text(svg: Element, words: str, x: str, y: int, *, soft: bool = False, anchor: str = "start") -> None:
    made = SubElement(svg, "text", {"x": x, "y": str(y), "text-anchor": anchor, **({"class": "soft"} if soft else {})})
    made.text = safe(words, LONGEST_LABEL)
