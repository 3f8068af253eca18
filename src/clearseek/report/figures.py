"""Numbers as people read them: `3.71e24` FLOP, 54.3 days, $0.0021; for the terminal and for pages alike."""

from __future__ import annotations

import math
from typing import Any, Protocol


class Figure(Protocol):
    """What a number needs to be shown (a `ledger.quantity.Quantity` is one). `value` None means unknown."""

    @property
    def value(self) -> float | None: ...
    @property
    def unit(self) -> str: ...
    @property
    def basis(self) -> Any: ...
    @property
    def how(self) -> str: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


# per unit: from which size on a larger name reads better, and what it is worth
_SCALES: dict[str, tuple[tuple[float, float, str], ...]] = {
    "s": ((0, 1e-6, "µs"), (1e-3, 1e-3, "ms"), (1, 1, "s"), (120, 60, "min"), (7200, 3600, "h"), (172800, 86400, "d")),
    "J": ((0, 1, "J"), (1e3, 1e3, "kJ"), (3.6e5, 3.6e6, "kWh"), (3.6e9, 3.6e9, "MWh"), (3.6e12, 3.6e12, "GWh")),
    "B": ((0, 1, "B"), (1e3, 1e3, "kB"), (1e6, 1e6, "MB"), (1e9, 1e9, "GB"), (1e12, 1e12, "TB")),
    "g": ((0, 1e-3, "mg"), (1, 1, "g"), (1e3, 1e3, "kg"), (1e6, 1e6, "t")),
    "W": ((0, 1, "W"), (1e3, 1e3, "kW"), (1e6, 1e6, "MW")),
    "FLOP": ((0, 1, "FLOP"), (1e6, 1e6, "MFLOP"), (1e9, 1e9, "GFLOP"), (1e12, 1e12, "TFLOP"), (1e15, 1e15, "PFLOP")),
}
_COUNTS = {"token": ("token", "tokens"), "parameter": ("parameter", "parameters"), "chip": ("chip", "chips")}
_BIG = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

WORDS = {
    "measured": "an instrument or a clock read it",
    "modelled": "computed from measured things by a formula that is named",
    "declared": "someone said so: a price, a datasheet",
    "unknown": "nobody knows it here",
}
"""The four bases, in words."""

MARKS = {"measured": "●", "modelled": "◐", "declared": "○", "unknown": "?"}
"""The four bases as one character, for a terminal."""


def figure(value: float, unit: str, *, digits: int = 3) -> str:
    """One number with its unit, at a size that reads well: `figure(4.69e6, "s")` is "54.3 d".

    `digits` is how many digits count. Whole counts under a million are written out.
    """
    return _at(value, *_scale(value, unit), digits)


def say(number: Figure, *, digits: int = 3) -> str:
    """A quantity in plain text: "unknown", "54.3 d", or with its interval "54.3 d (50.1 to 60.2)"."""
    if number.value is None:
        return "unknown"
    low, high = number.low, number.high
    if low is None or high is None or low == high:
        return figure(number.value, number.unit, digits=digits)
    # one scale for all three, so that they can be compared by eye
    scale = _scale(max(abs(low), abs(high)), number.unit)
    ends = [_at(end, *scale, digits, bare=True) for end in (low, high)]
    return f"{_at(number.value, *scale, digits)} ({ends[0]} to {ends[1]})"


def basis_words(number: Figure) -> str:
    """The basis and where the number came from: "modelled: 2 N per token"."""
    basis = str(number.basis)
    return f"{basis}: {number.how}" if number.how else f"{basis}: {WORDS.get(basis, '')}".rstrip(": ")


def _scale(value: float, unit: str) -> tuple[float, str]:
    size = abs(value)
    if unit in _SCALES and math.isfinite(value):
        if unit == "FLOP" and size >= 1e18:  # nobody knows what a zetta is
            return 1.0, "FLOP"
        steps = _SCALES[unit]
        factor, name = next((f, n) for at, f, n in reversed(steps) if size >= at)
        return (1.0, unit) if value == 0 else (factor, name)
    return 1.0, unit


def _at(value: float, factor: float, unit: str, digits: int, *, bare: bool = False) -> str:
    scaled = value / factor
    if unit == "USD":
        return f"{'-' if scaled < 0 else ''}${_money(abs(scaled), digits)}"
    if unit == "percent":
        return f"{_digits(scaled, digits)}%"
    text = _digits(scaled, digits)
    if bare or not unit:
        return text
    one, many = _COUNTS.get(unit, (unit, unit))
    name = (one if abs(scaled) == 1 else many).replace("**", "^").replace("*", "·")
    return f"{text} {name}"


def _money(value: float, digits: int) -> str:
    if 0.995 <= value < 1e6:
        return f"{value:,.2f}"
    return _digits(value, digits)


def _digits(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "infinite" if value > 0 else "minus infinite"
    size = abs(value)
    if value == int(value) and size < 1e6:
        return f"{int(value):,}"
    if size >= 1e15 or 0 < size < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(_RAISED)}"
    for step, letter in _BIG:
        if size >= step:
            return f"{_plain(value / step, digits)}{letter}"
    return _plain(value, digits)


def _plain(value: float, digits: int) -> str:
    size = abs(value)
    places = max(0, digits - 1 - (math.floor(math.log10(size)) if size else 0))
    return f"{value:,.{places}f}"
