"""Charts as inline SVG: pure functions from numbers to markup, in the page's own colours, light and dark.

Every chart has a title and a description for those who do not see it, and no script. Colours are the variables of
page.css, so a chart follows the page from paper to carbon. Text in a chart is escaped here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from clearseek.report.page import Html

WIDTH = 680
"""Units of the drawing; it scales with the page."""
_STYLE = (
    ".t{font:13px var(--sans,system-ui,sans-serif);fill:var(--ink,#222)}"
    ".s{font:12px var(--sans,system-ui,sans-serif);fill:var(--ink-2,#666)}"
    ".h{stroke:var(--hair,#ddd);fill:none}.r{stroke:var(--rule,#aaa);fill:none}.k{stroke:var(--ink,#222);fill:none}"
)


@dataclass(frozen=True)
class Band:
    """A stretch of a ruler; `tone` is good, bad or empty."""

    label: str
    low: float
    high: float
    tone: str = ""


@dataclass(frozen=True)
class Mark:
    """A place on a ruler, or an interval of a bar; `strong` is the one that is meant."""

    label: str
    value: float
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Bar:
    """A bar from `low` to `high`, with a tick at `value` where there is one; `text` is written at its end."""

    label: str
    low: float
    high: float
    text: str
    value: float | None = None
    strong: bool = False
    warn: bool = False


@dataclass(frozen=True)
class Line:
    """A curve through points (x, y)."""

    label: str
    points: Sequence[tuple[float, float]]
    strong: bool = False


def bands(title: str, description: str, stretches: Sequence[Band], marks: Sequence[Mark]) -> Html:
    """A ruler from 0 to 100% with its bands, and a row for each mark below it. Values are fractions; above 1, at 1."""
    left, right, top = 150.0, WIDTH - 60.0, 46.0
    row = 24.0
    height = top + row * len(marks) + 14

    def x(value: float) -> float:
        return left + (right - left) * min(max(value, 0.0), 1.0)

    parts = []
    for band in stretches:
        start, end = x(band.low), x(min(band.high, 1.0))
        fill = {"good": "var(--good)", "bad": "var(--bad)"}.get(band.tone, "var(--ink-3)")
        opacity = "0.14" if band.tone else "0.07"
        parts.append(
            f'<rect x="{start:.1f}" y="{top - 12:.1f}" width="{end - start:.1f}" height="{height - top:.1f}" '
            f'fill="{fill}" fill-opacity="{opacity}"/>'
        )
        if end - start > 50:  # a name that does not fit is in the description
            parts.append(words_at((start + end) / 2, 14, band.label, "s", "middle"))
        parts.append(words_at(start, 30, f"{band.low:.0%}", "s", "middle"))
    parts.append(words_at(x(1.0), 30, "100%", "s", "middle"))
    for index, mark in enumerate(marks):
        y = top + row * index + 6
        at = x(mark.value)
        parts.append(words_at(left - 10, y + 4, mark.label, "t" if mark.strong else "s", "end", mark.strong))
        parts.append(f'<line class="h" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        fill = "var(--ink)" if mark.strong else "var(--paper)"
        parts.append(
            f'<circle cx="{at:.1f}" cy="{y}" r="{5 if mark.strong else 4}" fill="{fill}" stroke="var(--ink)"/>'
        )
        parts.append(words_at(right + 8, y + 4, mark.text, "t" if mark.strong else "s", "start", mark.strong))
    return drawing(title, description, height, parts)


def bars(title: str, description: str, rows: Sequence[Bar], *, unit: str, log: bool = False) -> Html:
    """Horizontal intervals, one a row; `unit` names the axis. On a logarithmic axis all ends must be above zero."""
    rows = [bar for bar in rows if bar.high > 0 and (not log or bar.low > 0)]
    if not rows:
        return Html("")
    left, right, row = 190.0, _room(rows), 26.0
    height = row * len(rows) + 34
    low = min(bar.low for bar in rows) * 0.8 if log else 0.0
    x, ticks = _axis(low, max(bar.high for bar in rows) * (1.15 if log else 1.02), left, right, log)
    parts = []
    for value in ticks:
        parts.append(f'<line class="h" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="4" y2="{height - 28:.1f}"/>')
        parts.append(words_at(x(value), height - 12, _plain(value), "s", "middle"))
    parts.append(words_at(right + 10, height - 12, unit, "s", "start"))
    for index, bar in enumerate(rows):
        y = 4 + row * index + row / 2
        start, end = x(bar.low), max(x(bar.high), x(bar.low) + 2)
        fill = "var(--bad)" if bar.warn else "var(--ink)" if bar.strong else "var(--ink-3)"
        parts.append(words_at(left - 10, y + 4, bar.label, "t" if bar.strong else "s", "end", bar.strong))
        parts.append(
            f'<rect x="{start:.1f}" y="{y - 6:.1f}" width="{end - start:.1f}" height="12" fill="{fill}" '
            f'fill-opacity="{0.85 if bar.strong or bar.warn else 0.5}"/>'
        )
        if bar.value is not None:
            at = x(bar.value)
            parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}" stroke="var(--paper)" '
                         f'stroke-width="3"/><line class="k" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 9:.1f}" '
                         f'y2="{y + 9:.1f}" stroke-width="1.5"/>')  # fmt: skip
        parts.append(words_at(right + 10, y + 4, bar.text, "t" if bar.strong else "s", "start"))
    return drawing(title, description, height, parts)


def tornado(title: str, description: str, rows: Sequence[Bar], *, middle: float) -> Html:
    """Bars around a line at `middle`, the widest first as given; values are fractions, shown as percent."""
    if not rows:
        return Html("")
    left, right, row = 190.0, _room(rows), 28.0
    height = row * len(rows) + 34
    x, ticks = _axis(0.0, max(max(bar.high for bar in rows), middle) * 1.05, left, right, False)
    parts = []
    for value in ticks:
        parts.append(f'<line class="h" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="4" y2="{height - 28:.1f}"/>')
        parts.append(words_at(x(value), height - 12, f"{value * 100:.3g}%", "s", "middle"))
    for index, bar in enumerate(rows):
        y = 4 + row * index + row / 2
        start, end = x(bar.low), max(x(bar.high), x(bar.low) + 2)
        parts.append(words_at(left - 10, y + 4, bar.label, "t", "end"))
        fill = "var(--bad)" if bar.warn else "var(--ink-3)"
        parts.append(f'<rect x="{start:.1f}" y="{y - 7:.1f}" width="{end - start:.1f}" height="14" fill="{fill}" '
                     f'fill-opacity="0.7"/>')  # fmt: skip
        parts.append(words_at(right + 10, y + 4, bar.text, "s", "start"))
    parts.append(f'<line class="k" x1="{x(middle):.1f}" x2="{x(middle):.1f}" y1="2" y2="{height - 26:.1f}"/>')
    return drawing(title, description, height, parts)


def lines(
    title: str,
    description: str,
    curves: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    point: tuple[float, float, str] | None = None,
) -> Html:
    """Curves on two logarithmic axes, each named at its end; `point` is (x, y, its name). All values above zero."""
    left, right, top, bottom = 60.0, WIDTH - 110.0, 14.0, 286.0
    xs = [px for curve in curves for px, _ in curve.points] + ([point[0]] if point else [])
    ys = [py for curve in curves for _, py in curve.points] + ([point[1]] if point else [])
    if not xs or min(*xs, *ys) <= 0:
        return Html("")
    x, x_ticks = _axis(min(xs), max(xs), left, right, True)
    y, y_ticks = _axis(min(ys), max(ys), bottom, top, True)
    parts = []
    for value in x_ticks:
        parts.append(f'<line class="h" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(words_at(x(value), bottom + 18, _plain(value), "s", "middle"))
    for value in y_ticks:
        parts.append(f'<line class="h" x1="{left}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(words_at(left - 8, y(value) + 4, _plain(value), "s", "end"))
    for curve in curves:
        path = " ".join(f"{'L' if i else 'M'}{x(px):.1f} {y(py):.1f}" for i, (px, py) in enumerate(curve.points))
        stroke = "var(--ink)" if curve.strong else "var(--ink-3)"
        dash = "" if curve.strong else ' stroke-dasharray="5 4"'
        parts.append(f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="1.5"{dash}/>')
        end = curve.points[-1]
        parts.append(words_at(x(end[0]) + 8, y(end[1]) + 4, curve.label, "t" if curve.strong else "s", "start"))
    if point:
        px, py = x(point[0]), y(point[1])
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5" fill="var(--ink)"/>')
        anchor, shift = ("end", -10) if px > (left + right) / 2 else ("start", 10)
        parts.append(words_at(px + shift, py - 10, point[2], "t", anchor, True))
    parts.append(words_at((left + right) / 2, bottom + 38, x_label, "s", "middle"))
    parts.append(words_at(left - 8, top - 2, y_label, "s", "end"))
    return drawing(title, description, bottom + 48, parts)


def _axis(low: float, high: float, start: float, end: float, log: bool):  # type: ignore[no-untyped-def]
    if log:
        a, b = math.log(low), math.log(high)
        span = (b - a) or 1.0
        results = [
            step * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for step in ((1, 2, 5) if span < math.log(2000) else (1,))
        ]
        ticks = [value for value in results if low * 0.999 <= value <= high * 1.001]
        return (lambda value: start + (end - start) * (math.log(value) - a) / span), ticks
    step = 10.0 ** math.floor(math.log10(high or 1.0))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if high / s <= 6)
    ticks = [step * index for index in range(int(high / step + 1e-9) + 1)]
    return (lambda value: start + (end - start) * value / (high or 1.0)), ticks


def _room(rows: Sequence[Bar]) -> float:
    """Where bars end, so that the longest text beside them has room."""
    return WIDTH - 18.0 - 6.6 * max(8, *(len(bar.text) for bar in rows))


def _plain(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def apart(places: Sequence[float], least: float) -> list[float]:
    """The same places, moved down where two would be nearer than `least`."""
    results = list(places)
    last = float("-inf")
    for index in sorted(range(len(places)), key=places.__getitem__):
        results[index] = last = max(places[index], last + least)
    return results


def words_at(x: float, y: float, text: str, kind: str, anchor: str, strong: bool = False) -> str:
    weight = ' font-weight="600"' if strong else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{html.escape(text)}</text>'


def drawing(title: str, description: str, height: float, parts: Sequence[str]) -> Html:
    """The parts as one inline picture, with a name and a description for whoever cannot see it."""
    label = html.escape(title, quote=True)
    named = f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
    return Html(
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" role="img" aria-label="{label}" '
        f'xmlns="http://www.w3.org/2000/svg">{named}<style>{_STYLE}</style>{"".join(parts)}</svg>'
    )
