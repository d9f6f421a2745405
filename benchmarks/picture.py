"""Curves over the number of operations as an SVG file: both axes logarithmic, one panel a quantity. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN = 360, 260, 56
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One quantity.

    Attributes:
        title: with its unit.
        curves: what is drawn -> points (operations, value), values above 0.
    """

    title: str
    curves: Mapping[str, Points]


def svg(panels: Sequence[Panel]) -> str:
    """The panels side by side."""
    width = WIDTH * len(panels)
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}"'
            ' font-family="sans-serif" font-size="11">'
        ),
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
    ]
    for place, panel in enumerate(panels):
        lines += [f'<g transform="translate({place * WIDTH} 0)">', *_panel(panel), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def _panel(panel: Panel) -> Iterator[str]:
    points = [point for curve in panel.curves.values() for point in curve]
    across = _Axis([x for x, _ in points], MARGIN, WIDTH - 16)
    up = _Axis([y for _, y in points], HEIGHT - 40, 34)
    yield f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-weight="bold">{escape(panel.title)}</text>'
    for value in across.ticks:
        x = across.at(value)
        yield f'<line x1="{x:.1f}" y1="34" x2="{x:.1f}" y2="{HEIGHT - 40}" stroke="#ddd"/>'
        anchor = "end" if value == across.ticks[-1] else "middle"  # else the picture's edge cuts it
        yield f'<text x="{x:.1f}" y="{HEIGHT - 24}" text-anchor="{anchor}">{_shown(value)}</text>'
    for value in up.ticks:
        y = up.at(value)
        yield f'<line x1="{MARGIN}" y1="{y:.1f}" x2="{WIDTH - 16}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{_shown(value)}</text>'
    yield f'<text x="{(MARGIN + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">operations</text>'
    for number, (name, curve) in enumerate(panel.curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(across.at(x), up.at(y)) for x, y in curve]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
        place = (
            f'x="{WIDTH - 24}" y="{HEIGHT - 50 - 14 * number}" text-anchor="end"'  # what grows leaves this corner free
        )
        yield f'<text {place} fill="{colour}">{escape(name)}</text>'


class _Axis:
    """Powers of ten around the values, from one place to another."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self._low, self._high = low, max(high, low + 1)
        self._begin, self._end = begin, end
        self.ticks = [10.0**power for power in range(self._low, self._high + 1)]

    def at(self, value: float) -> float:
        """Where a value is."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)


def _shown(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 1 else f"{value:g}"
