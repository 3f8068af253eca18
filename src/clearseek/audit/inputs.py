"""The inputs of a claim that a reader may move, with sensible ends for a slider."""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.audit.claim import Claim
from clearseek.audit.known import PLAUSIBLE_MFU, Base
from clearseek.audit.variables import VARIABLES
from clearseek.audit.words import label
from clearseek.ledger.quantity import Quantity, modelled

_SHARES = {"mfu": (0.01, 1.0), "mfu_non_causal": (0.01, 1.0), "pue": (1.0, 2.0)}


@dataclass(frozen=True)
class Input:
    """`path` is what to set, `quantity` what it is now, `low` to `high` how far a slider goes (`log`: by factors)."""

    name: str
    path: str
    label: str
    quantity: Quantity
    low: float
    high: float
    log: bool
    assumed: bool


def inputs(claim: Claim, base: Base) -> tuple[Input, ...]:
    """Every number the claim states or assumes, and the utilisation that is assumed for it where it has none."""
    results = []
    for name, statements in claim.stated.items():
        reported = statements[0]
        results.append(_input(name, reported.variable.path, reported.quantity, False))
    for name, reported in claim.assumed.items():
        if name not in claim.stated:
            results.append(_input(name, f"assume.{name}", reported.quantity, True))
    have = {item.name for item in results}
    if "tokens" not in have and any(item.name == "tokens" for item in base.known):
        item = next(item for item in base.known if item.name == "tokens")
        quantity = Quantity(item.value, "token", item.basis, item.how, item.low, item.high)
        results.append(_input("tokens", "data.tokens", quantity, False))
    if not {"mfu", "gpu_hours", "wall_time"} & have and claim.work == "pretraining" and claim.chip:
        low, high = PLAUSIBLE_MFU
        quantity = modelled((low * high) ** 0.5, "", "assumed: the plausible band", low, high)
        results.append(_input("mfu", "assume.mfu", quantity, True))
    return tuple(results)


def _input(name: str, path: str, quantity: Quantity, assumed: bool) -> Input:
    variable, value = VARIABLES[name], quantity.value or 1.0
    if name in _SHARES:
        low, high = _SHARES[name]
        return Input(name, path, label(name) if name != "mfu" else "MFU", quantity, low, high, False, assumed)
    low, high = max(value / 10, variable.low), min(value * 10, variable.high)
    return Input(name, path, label(name), quantity, low, high, True, assumed)
