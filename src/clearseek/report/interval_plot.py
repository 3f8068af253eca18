"""Shares with their intervals, always from 0 to 100%: bars, and curves against something that grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clearseek.report.page import Html
from clearseek.report.svg import WIDTH, apart, drawing, words_at


@dataclass(frozen=True)
class Point:
    """A share `y` (0 to 1) between `low` and `high` at `x`, whose name on the axis is `label`."""

    x: float
    label: str
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """Points in the order of their x."""

    label: str
    points: Sequence[Point]
    strong: bool = False


@dataclass(frozen=True)
class Share:
    """A bar to `value` (0 to 1) with a whisker from `low` to `high`; `text` is written at its end."""

    value: float
    low: float
    high: float
    text: str
    strong: bool = False


@dataclass(frozen=True)
class ShareRow:
    """Bars that belong together, under one name: before and after."""

    label: str
    bars: Sequence[Share]


def share_bars(title: str, description: str, rows: Sequence[ShareRow]) -> Html:
    """Horizontal bars, those of a row below each other. Charts made by this have the same axis, so they compare."""
    if not rows:
        return Html("")
    left, right, thick, gap = 200.0, WIDTH - 70.0, 16.0, 8.0
    height = sum(thick * len(row.bars) + gap for row in rows) + 32

    def x(share: float) -> float:
        return left + (right - left) * min(max(share, 0.0), 1.0)

    parts = []
    for tick in range(0, 101, 25):
        at = x(tick / 100)
        parts.append(f'<line class="h" x1="{at:.1f}" x2="{at:.1f}" y1="2" y2="{height - 26:.1f}"/>')
        parts.append(words_at(at, height - 10, f"{tick}%", "s", "middle"))
    top = 4.0
    for row in rows:
        middle = top + thick * len(row.bars) / 2
        parts.append(words_at(left - 10, middle + 4, row.label, "t", "end", all(bar.strong for bar in row.bars)))
        for bar in row.bars:
            y = top + thick / 2
            fill, opacity = ("var(--ink)", 0.8) if bar.strong else ("var(--ink-3)", 0.45)
            low, high, end = x(bar.low), x(bar.high), x(bar.value)
            parts.append(
                f'<rect x="{left}" y="{y - 5:.1f}" width="{end - left:.1f}" height="10" fill="{fill}" '
                f'fill-opacity="{opacity}"/>'
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--paper)" '
                f'stroke-width="4"/>'
                f'<line class="k" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke-width="1.5"/>'
            )
            parts.append(words_at(right + 12, y + 4, bar.text, "t" if bar.strong else "s", "start"))
            top += thick
        top += gap
    return drawing(title, description, height, parts)


def interval_plot(title: str, description: str, series: Sequence[Series], *, x_label: str) -> Html:
    """Curves with a whisker at every point, each named at its end. The places of x are even, in order of size."""
    places = sorted({(point.x, point.label) for one in series for point in one.points})
    if not places:
        return Html("")
    left, right, top, bottom = 60.0, WIDTH - 150.0, 16.0, 256.0
    step = (right - left - 40) / max(1, len(places) - 1)

    def x(point: Point) -> float:
        return left + 20 + step * places.index((point.x, point.label))

    def y(share: float) -> float:
        return bottom - (bottom - top) * min(max(share, 0.0), 1.0)

    parts = []
    for tick in range(0, 101, 25):
        at = y(tick / 100)
        parts.append(f'<line class="h" x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(words_at(left - 8, at + 4, f"{tick}%", "s", "end"))
    for number, (_, label) in enumerate(places):
        parts.append(words_at(left + 20 + step * number, bottom + 18, label, "s", "middle"))
    names = apart([y(one.points[-1].y) for one in series if one.points], 14.0)
    for one, named in zip([one for one in series if one.points], names, strict=True):
        stroke = "var(--ink)" if one.strong else "var(--ink-3)"
        path = " ".join(f"{'L' if i else 'M'}{x(p):.1f} {y(p.y):.1f}" for i, p in enumerate(one.points))
        dash = "" if one.strong else ' stroke-dasharray="5 4"'
        parts.append(f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="1.5"{dash}/>')
        for point in one.points:
            at = x(point)
            parts.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}" '
                f'stroke="{stroke}" stroke-width="1"/>'
                f'<circle cx="{at:.1f}" cy="{y(point.y):.1f}" r="{4 if one.strong else 3}" fill="{stroke}"/>'
            )
        parts.append(words_at(x(one.points[-1]) + 10, named + 4, one.label, "t" if one.strong else "s", "start"))
    parts.append(words_at((left + right) / 2, bottom + 38, x_label, "s", "middle"))
    return drawing(title, description, bottom + 48, parts)
