"""A number of a claim: its unit, what its digits promise, and where it comes from.

A claim that says "14.8T" says something between 14.75T and 14.85T: the digits are the interval where none is given.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from clearseek.audit.variables import Variable
from clearseek.errors import UsageError
from clearseek.ledger import units
from clearseek.ledger.quantity import Basis, Quantity

PROVENANCES = ("primary", "copy", "press", "estimate", "derived", "recalled", "assumed")
"""Read in the original document; a verbatim copy of it; press or an analyst; an estimate by others; derived by us from
such; written from memory and not checked; set by us to see what would follow."""
DISTRIBUTIONS = ("uniform", "loguniform", "triangular", "normal", "lognormal")
_KEYS = ("value", "low", "high", "unit", "distribution", "source", "provenance", "basis", "note")
_SUFFIX = {"K": 3, "M": 6, "B": 9, "T": 12}
# possessive where a run of digits could be cut in many ways; longer texts were refused before
_NUMBER = re.compile(r"([+-]?[0-9][0-9_,]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?)([KMBT](?=\s|$))?\s*(.*)")
_MAX_TEXT = 2000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Reported:
    """One number that somebody stated, in its variable's unit, with what its digits or its author leave open.

    `rounded` says that the interval is that of its digits. With distribution normal or lognormal the interval is where
    nine in ten draws fall; with the others, where all do.
    """

    variable: Variable
    quantity: Quantity
    text: str
    source: str = ""
    provenance: str = "press"
    rounded: bool = True
    distribution: str = "uniform"
    note: str = ""


def clean(text: Any, where: str) -> str:
    """Text from a file, without control characters, for a terminal or a page. Raises UsageError if it is none."""
    if not isinstance(text, str):
        raise UsageError(f"{where} must be text.")
    if len(text) > _MAX_TEXT:
        raise UsageError(f"{where} is longer than {_MAX_TEXT:,} characters.")
    return _CONTROL.sub(" ", text).strip()


def suggestion(key: str, known: Any) -> str:
    """The end of a sentence about a name that is not there."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}."


def read(variable: Variable, given: Any, *, source: str = "", provenance: str = "press") -> Reported:
    """One number as written in TOML: text with its unit, a table, or, for counts, a bare number.

    `source` and `provenance` are those of the table it stands in. Raises UsageError, one sentence.
    """
    if not isinstance(given, dict):
        value, low, high = _parsed(variable, given, "")
        return _checked(
            variable, Reported(variable, Quantity(value, variable.unit, Basis.DECLARED, source, low, high),
                               _as_text(given), source, provenance)
        )  # fmt: skip
    for key in given:
        if key not in _KEYS:
            raise UsageError(f"{variable.path}: there is no `{key}`{suggestion(key, _KEYS)}")
    where = variable.path
    unit = clean(given.get("unit", ""), f"{where}: `unit`")
    source = clean(given.get("source", source), f"{where}: `source`")
    provenance = _one_of(given.get("provenance", provenance), PROVENANCES, f"{where}: `provenance`")
    distribution = _one_of(given.get("distribution", "uniform"), DISTRIBUTIONS, f"{where}: `distribution`")
    basis = _one_of(given.get("basis", "declared"), ("measured", "modelled", "declared"), f"{where}: `basis`")
    if ("low" in given) != ("high" in given):
        raise UsageError(f"{where}: an interval needs both `low` and `high`.")
    if "value" not in given and "low" not in given:
        raise UsageError(f"{where}: give `value`, or `low` and `high`.")
    rounded = "low" not in given
    if rounded:
        value, low, high = _parsed(variable, given["value"], unit)
        text = _as_text(given["value"], unit)
    else:
        low, high = (_parsed(variable, given[end], unit)[0] for end in ("low", "high"))
        if low > high:
            raise UsageError(f"{where}: `low` is above `high`.")
        middle = (low * high) ** 0.5 if "log" in distribution else (low + high) / 2
        value = _parsed(variable, given["value"], unit)[0] if "value" in given else middle
        if not low <= value <= high:
            raise UsageError(f"{where}: the value lies outside its own interval.")
        text = f"{_as_text(given['low'], unit)} to {_as_text(given['high'], unit)}"
    quantity = Quantity(value, variable.unit, Basis(basis), source, low, high)
    note = clean(given.get("note", ""), f"{where}: `note`")
    return _checked(variable, Reported(variable, quantity, text, source, provenance, rounded, distribution, note))


def _one_of(word: Any, known: tuple[str, ...], where: str) -> str:
    if word not in known:
        raise UsageError(f"{where} is one of {', '.join(known)}, not {str(word)[:40]!r}.")
    return str(word)


def _as_text(given: Any, unit: str = "") -> str:
    return " ".join(f"{_CONTROL.sub(' ', str(given))} {unit}".split())


def _parsed(variable: Variable, given: Any, unit: str) -> tuple[float, float, float]:
    """Value and the interval of its digits, in the variable's unit."""
    where = variable.path
    if isinstance(given, bool) or not isinstance(given, (int, float, Decimal, str)):
        raise UsageError(f'{where} must be a number with its unit, as in "{variable.example}".')
    text = str(given).strip()
    if len(text) > 80:
        raise UsageError(f"{where}: a number of {len(text)} characters is none.")
    match = _NUMBER.fullmatch(text)
    if not match:
        raise UsageError(f'{where}: "{text}" is not a number with its unit; write it as in "{variable.example}".')
    digits, suffix, own_unit = match.groups()
    if own_unit and unit and own_unit != unit:
        raise UsageError(f"{where}: its unit is given twice, as `{own_unit}` and as `{unit}`.")
    try:
        number = Decimal(digits.replace(",", "").replace("_", ""))
    except InvalidOperation:
        raise UsageError(f'{where}: "{text}" is not a number.') from None
    # a float was computed or moved by a slider, not written by somebody: its digits promise nothing
    exponent = None if isinstance(given, float) else _last_digit(number, digits, bool(suffix))
    power = _SUFFIX[suffix] if suffix else 0
    half = 0.0 if exponent is None else 0.5 * 10.0 ** min(exponent + power, 300)
    value = float(number) * 10.0**power
    factor = _factor(variable, own_unit or unit, text)
    return value * factor, (value - half) * factor, (value + half) * factor


def _last_digit(number: Decimal, digits: str, suffixed: bool) -> int | None:
    """The power of ten that the last digit stands for; None for a whole number, which is taken as it is.

    A whole number that is written out ("2664000") ends in zeros that may or may not count: those after the second
    digit are taken not to. A count that is written out ("2048") is exact.
    """
    _, result, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return None
    if "." in digits or "e" in digits.lower() or suffixed:
        return exponent
    zeros = len(result) - len(str(int(number)).rstrip("0").lstrip("-")) if number else 0
    return max(0, min(zeros, len(result) - 2))


def _factor(variable: Variable, unit: str, text: str) -> float:
    where = variable.path
    if not unit:
        if variable.plain:
            return 1.0
        raise UsageError(
            f"{where}: {text} has no unit; it is measured in {variable.unit.replace('*', '·')}, as in "
            f'"{variable.example}".'
        )
    try:
        for known in (variable.unit, *variable.accepted):
            if known and units.same_dimension(unit, known):
                return units.factor(unit, known)
        if not variable.unit and units.same_dimension(unit, "percent"):
            return units.factor(unit, "")
    except units.BadUnit as error:
        raise UsageError(f"{where}: {error}") from None
    raise UsageError(
        f"{where}: `{unit}` does not measure this; it is given in {variable.unit or 'plain numbers or %'}, as in "
        f'"{variable.example}".'
    )


def _checked(variable: Variable, reported: Reported) -> Reported:
    quantity, where = reported.quantity, variable.path
    assert quantity.value is not None
    if quantity.value <= 0:
        raise UsageError(f"{where}: {reported.text} cannot be; it must be above zero.")
    low, high = quantity.bounds
    if variable.unit and variable.plain and reported.rounded and re.fullmatch(r"[0-9_,]+", reported.text):
        low = high = quantity.value  # a count written out to the last digit: 2048 chips are 2048 chips
    if reported.rounded:  # digits promise nothing beyond what can be
        low, high = max(low, quantity.value / 2), min(high, max(variable.high, quantity.value))
    if not (low > 0 and variable.low <= quantity.value <= variable.high and high <= variable.high):
        limit = f"between {_plain(variable, variable.low)} and {_plain(variable, variable.high)}"
        raise UsageError(f"{where}: {reported.text} is absurd; it lies {limit}.")
    return replace(reported, quantity=replace(quantity, low=low, high=high))


def _plain(variable: Variable, number: float) -> str:
    return f"{number:g} {variable.unit}".strip()
