"""The sums of a receipt, made from ledger entries; the same code makes them and checks them.

A run's ledger holds an entry for each span of work. Those with a label `stage` belong to that stage; the others are
gathered under the stage "". Sums are exact (`math.fsum`), so they do not depend on the order of the entries.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clearseek.ledger.entry import UNITS, Entry, unix
from clearseek.ledger.quantity import Basis, Quantity, weakest

TOLERANCE = 1e-9
"""Relative: what another program's floating point may differ by."""

_SUM = re.compile(r"^(?:sum of|unknown in \d+ of) \d+ [a-z ]+: ")
_FIGURE = re.compile(r"\d[\d.,]*")


@dataclass(slots=True)
class Sum:
    """What a group of entries comes to. `first_at` and `last_at` are the times of the first and of the last entry,
    `ended` (Unix time) is when the last work ended: an entry's time is when its work began."""

    name: str
    entries: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    first_at: str = ""
    last_at: str = ""
    ended: float = 0.0
    parts: dict[str, list[Quantity]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        self.entries += 1
        self.kinds[entry.kind] = self.kinds.get(entry.kind, 0) + 1
        self.first_at = min(self.first_at or entry.at, entry.at)
        self.last_at = max(self.last_at, entry.at)
        wall = entry.quantities.get("wall")
        self.ended = max(self.ended, unix(entry.at) + (wall.value or 0.0 if wall else 0.0))
        for name, quantity in entry.quantities.items():
            self.parts.setdefault(name, []).append(quantity)

    def quantities(self) -> dict[str, Quantity]:
        return {name: add_up(self.parts[name], UNITS[name], "entries") for name in UNITS if name in self.parts}


def counts(entry: Entry) -> bool:
    """Whether an entry is part of a sum: a span inside another is not, because the outer one has it already (the rule
    of `ledger.meter`), and what the book says about itself is no work."""
    return "parent" not in entry.labels and entry.kind not in ("healed", "broken")


def add_up(parts: list[Quantity], unit: str, of: str) -> Quantity:
    """The sum, as good as its worst part; one unknown part makes it unknown, and the account says how many were."""
    many = f"{len(parts)} {of}"
    missing = [part for part in parts if part.value is None]
    if missing:
        reason = _SUM.sub("", missing[0].how)
        why = f": {reason}" if reason else ""
        return Quantity(None, unit, Basis.UNKNOWN, f"unknown in {len(missing)} of {many}{why}"[:240])
    basis = weakest(Basis.MEASURED, *(part.basis for part in parts))
    accounts = _accounts(parts)
    how = f"sum of {many}" + (f": {'; '.join(accounts)}" if accounts else "")
    how = how if len(how) <= 240 else how[:239] + "…"
    value = math.fsum(part.value for part in parts if part.value is not None)
    if all(part.low is None for part in parts):
        return Quantity(value, unit, basis, how)
    low, high = (math.fsum(part.bounds[end] for part in parts) for end in (0, 1))
    return Quantity(value, unit, basis, how, min(low, value), max(high, value))


def _accounts(parts: list[Quantity]) -> list[str]:
    """Where the parts came from, each account once: those that differ only in a figure are one."""
    given = sorted({_SUM.sub("", part.how) for part in parts if part.how})
    alike = {_FIGURE.sub("…", account) for account in given}
    return given if len(alike) == len(given) else sorted(alike)


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """A ledger added up by stage (in the order in which stages began) and by attempt."""

    stages: list[Sum]
    attempts: list[Sum]


def add_books(entries: Iterable[Entry]) -> LedgerSums:
    """Group and add. `attempt` is a label too: a run that was cut short and resumed has several."""
    stages: dict[str, Sum] = {}
    attempts: dict[str, Sum] = {}
    for entry in entries:
        if not counts(entry):
            continue
        for groups, label in ((stages, "stage"), (attempts, "attempt")):
            name = entry.labels.get(label, "")
            groups.setdefault(name, Sum(name)).add(entry)
    return LedgerSums(list(stages.values()), list(attempts.values()))


def totals(stages: Iterable[Mapping[str, Quantity]]) -> dict[str, Quantity]:
    """The sum over stages, for every quantity that any of them has."""
    them = list(stages)
    return {
        name: add_up([stage[name] for stage in them if name in stage], unit, "stages")
        for name, unit in UNITS.items()
        if any(name in stage for stage in them)
    }


def flops_of(tokens: Mapping[str, Quantity], per_token: Mapping[str, Quantity]) -> Quantity | None:
    """Tokens times FLOPs per token, over the kinds of token that have a figure; None where one has no tokens booked."""
    if not per_token or any(name not in tokens for name in per_token):
        return None
    return add_up([(tokens[name] * per_token[name]).to("FLOP") for name in per_token], "FLOP", "kinds of token")


def same(one: Quantity, other: Quantity) -> str | None:
    """None where two quantities are the same but for rounding and for how they are told; else what differs."""
    if one.unit != other.unit:
        return f"the unit is {one.unit or 'none'} and should be {other.unit or 'none'}"
    if (one.value is None) != (other.value is None):
        return f"it is {_told(one)} and should be {_told(other)}"
    if one.value is not None and other.value is not None:
        for mine, yours in zip((one.value, *one.bounds), (other.value, *other.bounds), strict=True):
            if not math.isclose(mine, yours, rel_tol=TOLERANCE, abs_tol=1e-12):
                return f"it is {_told(one)} and should be {_told(other)}"
    if one.basis is not other.basis:
        return f"its basis is {one.basis} and should be {other.basis}"
    return None


def as_json(quantities: Mapping[str, Quantity]) -> dict[str, Any]:
    return {name: quantity.as_json() for name, quantity in quantities.items()}


def from_json(quantities: Mapping[str, Any]) -> dict[str, Quantity]:
    """What `as_json` gave. Raises UsageError for anything else."""
    return {name: Quantity.from_json(json) for name, json in quantities.items()}


def _told(quantity: Quantity) -> str:
    if quantity.value is None:
        return "unknown"
    ends = "" if quantity.low is None else f" ({quantity.low:.12g} to {quantity.high:.12g})"
    return f"{quantity.value:.12g}{f' {quantity.unit}' if quantity.unit else ''}{ends}"
