"""Numbers of an audit as people write them: 2.664M chip-hours, 54.3 days, 14.8T tokens, 39.1%."""

from __future__ import annotations

import math

from clearseek.audit.variables import VARIABLES
from clearseek.ledger.quantity import Quantity

_BIG = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
_LABELS = {
    "flops_per_token_full": "FLOP per token, non-causal",
    "peak": "Peak per chip",
    "mfu": "Goodput",
    "serving_input_nodes": "Nodes reading",
    "serving_output_nodes": "Nodes writing",
}


def label(name: str) -> str:
    """What a variable is called."""
    if name in _LABELS:
        return _LABELS[name]
    return VARIABLES[name].label if name in VARIABLES else name.replace("_", " ")


def within(name: str) -> str:
    """A variable in the middle of a sentence: chip-hours, but FLOP and CO2."""
    text = label(name)
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def unit_of(name: str) -> str:
    """The unit a variable is reckoned in."""
    if name == "flops_per_token_full":
        return "FLOP/token"
    return VARIABLES[name].unit if name in VARIABLES else ""


def number(value: float, digits: int = 4) -> str:
    """A number with so many digits that count, no more: 2.664M, 989, 0.0212, 3.71e24."""
    if not math.isfinite(value):
        return "infinite"
    size = abs(value)
    if size >= 1e16 or 0 < size < 1e-4:
        mantissa, exponent = f"{value:.{max(digits - 2, 1)}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    for step, letter in _BIG:
        if size >= step * 0.99995:
            return f"{_digits(value / step, digits)}{letter}"
    return _digits(value, digits)


def _digits(value: float, digits: int) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{min(places, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_SCALED = {
    "FLOP/s": ((1e15, "PFLOP/s"), (1e12, "TFLOP/s"), (1e9, "GFLOP/s")),
    "FLOP/token": ((1e12, "TFLOP/token"), (1e9, "GFLOP/token"), (1e6, "MFLOP/token")),
    "kWh": ((1e6, "GWh"), (1e3, "MWh"), (0.1, "kWh"), (0, "J")),
    "kg": ((1e3, "t"), (1, "kg"), (0, "g")),
    "B/s": ((1e9, "GB/s"), (1e6, "MB/s")),
    "B/token": ((1e6, "MB/token"), (1e3, "kB/token")),
    "h": ((100, "days"), (1, "h"), (1 / 60, "min"), (0, "s")),
    "chip*h": ((0.1, "chip-hours"), (0, "chip-seconds")),
    "W": ((1e6, "MW"), (1e4, "kW"), (1, "W")),
}
_FACTOR = {
    "days": 24.0, "kW": 1e3, "h": 1.0, "min": 1 / 60, "s": 1 / 3600, "chip-hours": 1.0, "chip-seconds": 1 / 3600,
    "kWh": 1.0, "J": 1 / 3.6e6, "g": 1e-3,
}  # fmt: skip
_NAMES = {
    "chip*h": "chip-hours",
    "token": "tokens",
    "parameter": "parameters",
    "chip": "chips",
    "d": "days",
    "token/d": "tokens/day",
    "token/s": "tokens/s",
    "token/(chip*s)": "tokens/s a chip",
    "TFLOP/(s*chip)": "TFLOP/s",
}


def amount(value: float, unit: str, digits: int = 4) -> str:
    """A number with its unit, at a size that reads well."""
    if unit == "USD":
        return (
            f"${value:,.2f}"
            if 0.01 <= abs(value) < 1e4
            else f"${value:,.0f}"
            if 1e4 <= abs(value) < 1e6
            else f"${number(value, digits)}"
        )
    if unit in ("USD/(chip*h)", "USD/h"):
        return f"${value:,.2f}/h"
    if unit == "USD/token":
        return f"${number(value * 1e6, digits)} a million tokens"
    if unit == "FLOP/s" and value >= 1e15 and value < 1e16:
        return f"{number(value / 1e12, digits)} TFLOP/s"
    for step, name in _SCALED.get(unit, ()):
        if abs(value) >= step:
            return f"{number(value / _FACTOR.get(name, step), digits)} {name}"
    name = _NAMES.get(unit, unit.replace("*", "·"))
    if value == 1 and unit in ("chip", "token", "parameter"):
        name = unit
    return f"{number(value, digits)} {name}".strip()


def peak(value: float) -> str:
    """A chip's peak, in FLOP/s, as vendors write it: whole TFLOP/s, and what is too small for that as it is."""
    return f"{value / 1e12:,.0f} TFLOP/s" if value >= 1e13 else amount(value, "FLOP/s", 3)


def show(name: str, value: float, digits: int = 4) -> str:
    """A variable's value as people write it."""
    if name in ("mfu", "mfu_non_causal", "serving_margin"):
        return f"{value * 100:.{digits}g}%"
    return amount(value, unit_of(name), digits)


def span(name: str, low: float, high: float, digits: int = 3) -> str:
    """An interval; one number where its ends read the same."""
    return between(show(name, low, digits), show(name, high, digits))


def between(one: str, other: str) -> str:
    """ "38.5 to 106 days": two numbers with their unit said once; one of them where they read the same."""
    if one == other:
        return one
    first, _, unit = one.partition(" ")
    return f"{first if unit and other.endswith(f' {unit}') else one} to {other}"


def say(quantity: Quantity, digits: int = 3) -> str:
    """A quantity with its interval, in a line; "unknown" where it is."""
    if quantity.value is None:
        return "unknown"
    low, high = quantity.bounds
    middle = amount(quantity.value, quantity.unit, digits)
    if low == high or amount(low, quantity.unit, 2) == amount(high, quantity.unit, 2):
        return middle
    return between(amount(low, quantity.unit, digits), amount(high, quantity.unit, digits))


def times(off: float) -> str:
    """How far apart two numbers are: "0.1%", "12%", "158 times"."""
    if off <= 0:
        return "a gain and a loss"
    ratio = max(off, 1 / off)
    if ratio < 1.0005:
        return "nothing"
    if ratio < 2:
        return f"{(off - 1) * 100:+.1f}%" if ratio < 1.1 else f"{(off - 1) * 100:+.0f}%"
    return f"{ratio:,.1f} times" if ratio < 10 else f"{ratio:,.0f} times"
