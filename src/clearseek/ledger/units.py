"""Units of what ClearSeek counts, by name: `GFLOP/token`, `USD/h`, `kWh`, `chip*h`.

Only these units exist here (no inches, no degrees), so that a word that is not one of them is an error rather than a
surprise. Case counts, as it does in the field: `h` is an hour, `t` a tonne, `T` tera.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import Any

from clearseek.errors import UsageError

_UNITS = """
second = [time] = s
minute = 60 * second = min
hour = 3600 * second = h
day = 24 * hour = d
year = 365.25 * day = a
byte = [information] = B
bit = byte / 8 = b
joule = [energy] = J
watt = joule / second = W
gram = [mass] = g
tonne = 1e6 * gram = t
USD = [money]
token = [token]
FLOP = [operation]
chip = [chip]
parameter = [parameter]
percent = 0.01
kilo- = 1e3 = k-
mega- = 1e6 = M-
giga- = 1e9 = G-
tera- = 1e12 = T-
peta- = 1e15 = P-
exa- = 1e18 = E-
kibi- = 1024 = Ki-
mebi- = 1048576 = Mi-
gibi- = 1073741824 = Gi-
milli- = 1e-3 = m-
micro- = 1e-6 = u-
""".strip().splitlines()

KNOWN: tuple[str, ...]
KNOWN = ("s", "min", "h", "d", "a", "B", "b", "J", "W", "Wh", "kWh", "MWh", "GWh", "g", "kg", "t", "USD", "token")
KNOWN += ("FLOP", "GFLOP", "TFLOP", "chip", "chip*h", "chip*d", "parameter", "percent")

_MEANT = {
    "second": "s", "seconds": "s", "sec": "s", "secs": "s", "minute": "min", "minutes": "min", "mins": "min",
    "hour": "h", "hours": "h", "hr": "h", "hrs": "h", "day": "d", "days": "d", "year": "a", "years": "a", "yr": "a",
    "byte": "B", "bytes": "B", "bit": "b", "bits": "b", "joule": "J", "joules": "J", "watt": "W", "watts": "W",
    "gram": "g", "grams": "g", "tonne": "t", "tonnes": "t", "tons": "t", "dollar": "USD", "dollars": "USD", "$": "USD",
    "gpu": "chip", "gpus": "chip", "chips": "chip", "gpu-hours": "chip*h", "gpu-hour": "chip*h", "gpu*h": "chip*h",
    "gpuh": "chip*h", "gpu hours": "chip*h", "chip-hours": "chip*h", "chip hours": "chip*h", "gpu-days": "chip*d",
    "tokens": "token", "tok": "token", "flops": "FLOP", "flop/s": "FLOP/s", "tflops": "TFLOP/s", "gflops": "GFLOP/s",
    "parameters": "parameter", "params": "parameter", "pct": "percent",
}  # fmt: skip
"""What people write, and what it is called here. Only for suggestions: a guess is never taken for what was meant."""


_LONGEST = 60
_POWER = r"(?:\*\*|\^)"
_TOWER = re.compile(rf"{_POWER}[\s(+-]*[\d.]{{2}}|{_POWER}[\s(+-]*\d[\s)]*{_POWER}|\)\s*{_POWER}")
"""Powers of two digits, powers of powers, powers of brackets."""


class BadUnit(UsageError):
    """A unit that does not exist here, or two that cannot be set against each other."""


@functools.cache
def _registry() -> Any:
    import pint  # takes 0.2 s to import: not before a unit is really changed into another

    registry: Any = pint.UnitRegistry(None)
    for line in _UNITS:
        registry.define(line)
    registry.define("Wh = watt * hour")
    return registry


@functools.lru_cache(maxsize=4096)
def _parsed(unit: str) -> Any:
    registry = _registry()
    if len(unit) > _LONGEST or _TOWER.search(unit):
        # 3600**99999999 is a number that takes an hour to write down
        raise BadUnit(f"`{unit[:_LONGEST]}` is not a unit: it is too long, or its power is.")
    try:
        return registry.parse_units(unit.replace("·", "*").replace("%", "percent"))
    except Exception as error:
        near = _near(unit)
        hint = f"did you mean `{near}`?" if near else f"known ones are {', '.join(KNOWN)} and products of them."
        raise BadUnit(f"`{unit}` is not a unit; {hint}") from error


def _near(unit: str) -> str | None:
    """The unit that a wrong word may have meant: `hous` was `hours`, `usd` was `USD`."""
    words = {known.lower(): known for known in KNOWN} | _MEANT
    word = unit.strip().lower()
    if word in words:
        return words[word]
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return words[near[0]] if near else None


@functools.lru_cache(maxsize=4096)
def factor(source: str, target: str) -> float:
    """What a number in `source` is multiplied by to be one in `target`. Raises BadUnit where that means nothing."""
    if source == target:
        return 1.0
    one, other = _parsed(source), _parsed(target)
    if one.dimensionality != other.dimensionality:
        raise BadUnit(f"`{source}` cannot be turned into `{target}`: they measure different things.")
    return float(_registry().Quantity(1.0, one).to(other).magnitude)


def same_dimension(one: str, other: str) -> bool:
    """Whether two units measure the same thing. Raises BadUnit for a word that is no unit."""
    return one == other or bool(_parsed(one).dimensionality == _parsed(other).dimensionality)


@functools.lru_cache(maxsize=4096)
def product(one: str, other: str, power: int = 1) -> tuple[str, float]:
    """The unit of `one * other**power`, with the number it took to cancel like units (`h` times `W/s`: 3600)."""
    if not other:
        return one, 1.0
    if not one and power == 1:
        return other, 1.0
    result = _registry().Quantity(1.0, _parsed(one)) * _registry().Quantity(1.0, _parsed(other)) ** power
    reduced = result.to_reduced_units()
    return f"{reduced.units:~C}".replace("**", "^").replace("^", "**"), float(reduced.magnitude)
