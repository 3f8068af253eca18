"""Modules that the interpreter itself lacks and small programs want: `statistics`, `calendar` and `string`.

Their functions run in this process, so what they are given is bounded before they see it.
"""

from __future__ import annotations

import calendar
import functools
import statistics
import string
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_monty import ExternalModule

MAX_ITEMS = 10_000
MAX_BITS = 4096
_STATISTICS = (
    "mean", "fmean", "median", "median_low", "median_high", "mode", "multimode", "stdev", "pstdev", "variance",
    "pvariance", "geometric_mean", "harmonic_mean", "quantiles",
)  # fmt: skip
_CALENDAR = ("isleap", "leapdays", "weekday", "monthrange")
_CONSTANTS = ("ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits", "octdigits", "punctuation")


@functools.cache
def host_modules() -> Mapping[str, ExternalModule]:
    """By the name they are imported by."""
    from pydantic_monty import ExternalModule

    days = {"day_name": list(calendar.day_name), "day_abbr": list(calendar.day_abbr)}
    months = {"month_name": list(calendar.month_name), "month_abbr": list(calendar.month_abbr)}
    return {
        "statistics": ExternalModule({name: _bounded(getattr(statistics, name)) for name in _STATISTICS}),
        "calendar": ExternalModule({name: _bounded(getattr(calendar, name)) for name in _CALENDAR} | days | months),
        "string": ExternalModule({name: getattr(string, name) for name in _CONSTANTS}),
    }


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        _check([*given, *named.values()])
        return function(*given, **named)

    return call


def _check(values: list[Any]) -> None:
    """Raises ValueError for more, or for larger numbers, than are computed here."""
    count, line = 0, list(values)
    while line:
        value = line.pop()
        if isinstance(value, list | tuple | set | frozenset):
            count += len(value)
            line.extend(value if count <= MAX_ITEMS else ())
        elif isinstance(value, dict):
            raise TypeError("a list of numbers is wanted here")
        elif isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise ValueError(f"a number of more than {MAX_BITS} bits")
        elif isinstance(value, Decimal) and not -MAX_BITS < value.adjusted() < MAX_BITS:
            raise ValueError("a number that is too large or too small")
        if count > MAX_ITEMS:
            raise ValueError(f"more than {MAX_ITEMS:,} values")
