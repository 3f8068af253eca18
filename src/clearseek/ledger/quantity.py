"""A number that says what it rests on: value or interval, unit, basis, and how it came about.

Arithmetic keeps the weakest basis, widens the interval and leaves the unknown unknown. Intervals are bounds, not
standard errors: `a - a` is as wide as twice `a`, because nothing here knows that the two are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from clearseek.errors import UsageError
from clearseek.ledger import units

_MAX_HOW = 240
_FIELDS = frozenset({"value", "unit", "basis", "how", "low", "high"})


class Basis(StrEnum):
    """What a number rests on, from the strongest to the weakest."""

    MEASURED = "measured"
    """An instrument or a clock read it."""
    MODELLED = "modelled"
    """Computed from measured things by a formula that is named."""
    DECLARED = "declared"
    """Someone said so: a price, a datasheet."""
    UNKNOWN = "unknown"


_STRENGTH = {basis: rank for rank, basis in enumerate(Basis)}


def weakest(*bases: Basis) -> Basis:
    """The one that a result resting on all of them has."""
    return max(bases, key=_STRENGTH.__getitem__)


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` in `unit` (see `units.py`; "" is a plain number), between `low` and `high` where those are given.

    `value` is None exactly where `basis` is unknown. `how` says in a few words where it came from: an instrument, a
    formula, a source. Raises UsageError for numbers that are no quantity (NaN, a value outside its own interval).
    """

    value: float | None
    unit: str
    basis: Basis
    how: str = ""
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.basis is Basis.UNKNOWN):
            raise UsageError("A quantity has a value exactly when its basis is not unknown.")
        if self.value is None:
            if self.low is not None or self.high is not None:
                raise UsageError("An unknown quantity has no interval.")
            return
        if (self.low is None) != (self.high is None):
            raise UsageError("An interval needs both its ends.")
        if math.isnan(self.value):
            raise UsageError(f"{self.how or 'A quantity'} is not a number.")
        low, high = self.bounds
        if not low <= self.value <= high:
            raise UsageError(f"{self.value:g} lies outside its own interval, {low:g} to {high:g}.")

    @property
    def known(self) -> bool:
        return self.value is not None

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval; a point where none was given. Raises ValueError where the quantity is unknown."""
        if self.value is None:
            raise ValueError("an unknown quantity has no bounds")
        if self.low is None or self.high is None:
            return self.value, self.value
        return self.low, self.high

    @property
    def exact(self) -> bool:
        return self.value is not None and self.bounds == (self.value, self.value)

    def to(self, unit: str) -> Quantity:
        """The same in another unit. Raises BadUnit where they measure different things."""
        return self if unit == self.unit else self._scaled(units.factor(self.unit, unit), unit)

    def because(self, how: str) -> Quantity:
        """The same with another account of where it came from."""
        return replace(self, how=how)

    def _scaled(self, factor: float, unit: str) -> Quantity:
        if self.value is None:
            return replace(self, unit=unit)
        low, high = sorted(bound * factor for bound in self.bounds)
        if self.low is None:
            return replace(self, value=self.value * factor, unit=unit)
        return replace(self, value=self.value * factor, unit=unit, low=low, high=high)

    def __add__(self, other: Quantity) -> Quantity:
        return _joined(self, other.to(self.unit), "+", self.unit, lambda a, b: a + b)

    def __sub__(self, other: Quantity) -> Quantity:
        return _joined(self, other.to(self.unit), "-", self.unit, lambda a, b: a - b)

    def __mul__(self, other: Quantity | float) -> Quantity:
        if not isinstance(other, Quantity):
            return self._scaled(float(other), self.unit)
        unit, factor = units.product(self.unit, other.unit)
        return _joined(self, other, "x", unit, lambda a, b: a * b * factor)

    __rmul__ = __mul__

    def __truediv__(self, other: Quantity | float) -> Quantity:
        if not isinstance(other, Quantity):
            return self._scaled(1.0 / float(other), self.unit)
        unit, factor = units.product(self.unit, other.unit, -1)
        if other.known and other.bounds[0] <= 0 <= other.bounds[1]:
            how = f"({self.how}) / ({other.how}), which may be zero"
            return Quantity(None, unit, Basis.UNKNOWN, how[:_MAX_HOW])
        return _joined(self, other, "/", unit, lambda a, b: a / b * factor)

    def as_json(self) -> dict[str, Any]:
        """Plain data; an interval only where there is one."""
        json: dict[str, Any] = {"value": self.value, "unit": self.unit, "basis": str(self.basis), "how": self.how}
        if self.low is not None:
            json |= {"low": self.low, "high": self.high}
        return json

    @classmethod
    def from_json(cls, json: Any) -> Quantity:
        """What `as_json` gave. Raises UsageError for anything else."""
        try:
            if not json.keys() <= _FIELDS:
                raise UsageError(f"A quantity has no `{min(json.keys() - _FIELDS)}`.")
            value, low, high = json.get("value"), json.get("low"), json.get("high")
            for number in (value, low, high):
                if number is not None and type(number) is not float and type(number) is not int:
                    raise UsageError("A quantity's value must be a number.")
            if not isinstance(json["unit"], str) or not isinstance(json.get("how", ""), str):
                raise UsageError("A quantity's unit and account must be text.")
            value = None if value is None else float(value)
            low = None if low is None else float(low)
            high = None if high is None else float(high)
            return cls(value, json["unit"], Basis(json["basis"]), json.get("how", ""), low, high)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
            raise UsageError("This is not a quantity: it needs a value, a unit and a basis.") from None


def measured(value: float, unit: str, how: str = "", low: float | None = None, high: float | None = None) -> Quantity:
    return Quantity(float(value), unit, Basis.MEASURED, how, low, high)


def modelled(value: float, unit: str, how: str = "", low: float | None = None, high: float | None = None) -> Quantity:
    return Quantity(float(value), unit, Basis.MODELLED, how, low, high)


def declared(value: float, unit: str, how: str = "", low: float | None = None, high: float | None = None) -> Quantity:
    return Quantity(float(value), unit, Basis.DECLARED, how, low, high)


def unknown(unit: str, how: str = "") -> Quantity:
    """`how` says why it is not known, and what would make it so."""
    return Quantity(None, unit, Basis.UNKNOWN, how)


def total(parts: Iterable[Quantity], unit: str, how: str = "") -> Quantity:
    """The sum, in `unit`; nothing at all is a measured zero. One unknown part makes it unknown."""
    result = measured(0.0, unit, how)
    for part in parts:
        result = result + part
    return replace(result, how=how or result.how)


def _joined(one: Quantity, other: Quantity, sign: str, unit: str, combine: Callable[[float, float], float]) -> Quantity:
    how = _how(one, other, sign)
    if one.value is None or other.value is None:
        return Quantity(None, unit, Basis.UNKNOWN, how)
    basis, value = weakest(one.basis, other.basis), combine(one.value, other.value)
    if one.low is None and other.low is None:
        return Quantity(value, unit, basis, how)
    corners = [combine(a, b) for a in one.bounds for b in other.bounds]
    # a product's corners and its value round differently: never let the value fall out of its own interval
    return Quantity(value, unit, basis, how, min(*corners, value), max(*corners, value))


def _how(one: Quantity, other: Quantity, sign: str) -> str:
    if one.value is None and other.value is not None:
        return one.how
    if other.value is None and one.value is not None:
        return other.how
    if not one.how or one.how == other.how or not other.how:
        return one.how or other.how
    how = f"{one.how} {sign} {other.how}"
    return how if len(how) <= _MAX_HOW else how[: _MAX_HOW - 1] + "…"
