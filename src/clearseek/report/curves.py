"""Courses over steps as inline SVG: curves on plain axes, with a band for an interval; pure functions, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clearseek.report.page import Html
from clearseek.report.svg import WIDTH, apart, drawing, words_at

HEIGHT = 220
MAX_POINTS = 400
LETTER = 6.8
"""How wide a letter of a label is, at most, on average."""
_DASHES = ("", "5 4", "2 3", "8 3 2 3", "1 4")


@dataclass(frozen=True)
class Curve:
    """Points (x, y) in order of x; `band` is (x, low, high). Dots stand for few points, a line for many."""

    label: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dots: bool = False


def curves(
    title: str,
    description: str,
    drawn: Sequence[Curve],
    *,
    x_label: str = "steps",
    y_range: tuple[float, float] | None = None,
    marks: Sequence[tuple[float, str]] = (),
    x_range: tuple[float, float] | None = None,
) -> Html:
    """Curves over one x axis from 0. `marks` are vertical lines (x, what begins there). Nothing to draw is no chart."""
    drawn = [curve for curve in drawn if thinned(curve.points)]
    points = [(x, y) for curve in drawn for x, y in curve.points if math.isfinite(x) and math.isfinite(y)]
    if not points:
        return Html("")
    messages = [f"{curve.label} {thinned(curve.points)[-1][1]:.3g}" for curve in drawn]
    left, right, top, bottom = 58.0, WIDTH - max(120.0, 12 + LETTER * max(map(len, messages))), 24.0, HEIGHT - 40.0
    x_low, x_high = x_range or (min(0.0, *(x for x, _ in points)), max(1.0, *(x for x, _ in points)))
    values = [y for _, y in points] + [y for curve in drawn for _, low, high in curve.band for y in (low, high)]
    low, high = y_range or (min(values), max(values))
    if y_range is None and low >= 0 and low < 0.5 * high:
        low = 0.0
    if high - low < 1e-12:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)

    def at_x(value: float) -> float:
        return left + (right - left) * (value - x_low) / ((x_high - x_low) or 1.0)

    def at_y(value: float) -> float:
        return bottom - (bottom - top) * (min(max(value, low), high) - low) / (high - low)

    parts = []
    for tick in ticks(low, high, 4):
        parts.append(f'<line class="h" x1="{left}" x2="{right}" y1="{at_y(tick):.1f}" y2="{at_y(tick):.1f}"/>')
        parts.append(words_at(left - 8, at_y(tick) + 4, f"{tick:.4g}", "s", "end"))
    for tick in ticks(x_low, x_high, 6):
        parts.append(words_at(at_x(tick), bottom + 18, f"{tick:,.6g}", "s", "middle"))
    for place, text in marks:
        if not x_low <= place <= x_high:
            continue
        x = at_x(place)
        parts.append(f'<line class="h" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke-dasharray="3 3"/>')
        parts.append(words_at(x, top - 8, text, "s", "start"))
    named = apart([at_y(thinned(curve.points)[-1][1]) + 4 for curve in drawn], 13)
    for number, curve in enumerate(drawn):
        if curve.band:
            over = [f"{at_x(x):.1f} {at_y(up):.1f}" for x, _, up in curve.band]
            under = [f"{at_x(x):.1f} {at_y(down):.1f}" for x, down, _ in reversed(curve.band)]
            parts.append(f'<path d="M{" L".join([*over, *under])}Z" fill="var(--ink)" fill-opacity="0.12"/>')
        shown = thinned(curve.points)
        path = " ".join(f"{'L' if i else 'M'}{at_x(x):.1f} {at_y(y):.1f}" for i, (x, y) in enumerate(shown))
        stroke = "var(--ink)" if number == 0 else "var(--ink-3)"
        dash = _DASHES[number % len(_DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="1.5"{dashed}/>')
        if curve.dots or len(shown) == 1:
            parts += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{stroke}"/>' for x, y in shown]
        parts.append(words_at(at_x(shown[-1][0]) + 6, named[number], messages[number], "t", "start"))
    parts.append(words_at((left + right) / 2, bottom + 34, x_label, "s", "middle"))
    return drawing(title, description, HEIGHT, parts)


def thinned(points: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most so many points: neighbours are averaged. The last one stays as it is."""
    whole = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(whole) <= most:
        return whole
    each = math.ceil(len(whole) / (most - 1))
    results = []
    for start in range(0, len(whole), each):
        part = whole[start : start + each]
        results.append((sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)))
    return [*results, whole[-1]]


def smooth(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """The mean of each point and up to `window - 1` before it."""
    result, total = [], 0.0
    for index, (x, y) in enumerate(points):
        total += y - (points[index - window][1] if index >= window else 0.0)
        result.append((x, total / min(index + 1, window)))
    return result


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round values from low to high, roughly so many."""
    if high <= low:
        return [low]
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]
