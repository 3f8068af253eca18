"""What chip-hours cost at the claim's date: rented, owned and amortised, and with the work around the run.

Every figure is an interval with its basis; a price that no source gives for that date is unknown, not guessed.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from clearseek.audit.claim import Claim
from clearseek.audit.solve import Known
from clearseek.ledger import prices
from clearseek.ledger.quantity import Quantity, declared, modelled, unknown

DEVELOPMENT = modelled(
    2.9,
    "",
    "total over final run, from energy: 1.5 (OLMo 2, arXiv 2503.05804) to 5.6 (OLMo 3: 82.2% was development)",
    1.5,
    5.6,
)
_CHIP_USD = {
    "A100": (10_000.0, 15_000.0),
    "H100": (25_000.0, 40_000.0),
    "H800": (25_000.0, 40_000.0),
    "H20": (12_000.0, 15_000.0),
}
"""What one chip was bought for, recalled from press reports of 2023 to 2025: an order of magnitude, no price list."""
_AROUND = (1.5, 2.1)
_YEARS = (3.0, 5.0)
_IN_USE = (0.6, 0.95)
_USD_KWH = (0.05, 0.12)


@dataclass(frozen=True)
class Cost:
    """One way to pay for the run."""

    what: str
    each: Quantity
    """Per chip and hour, where it has such a price."""
    whole: Quantity


def costs(claim: Claim, known: Mapping[str, Known]) -> tuple[Cost, ...]:
    """What the chip-hours cost: as claimed, rented at the date, owned; and with the work before and around the run."""
    if "gpu_hours" not in known or (claim.chip is None and "price" not in known):
        return ()
    known_hours = known["gpu_hours"]
    hours = Quantity(known_hours.value, "chip*h", known_hours.basis, "chip-hours", known_hours.low, known_hours.high)
    results = []
    if "price" in known and known["price"].relation is None:
        price = known["price"]
        each = Quantity(price.value, "USD/(chip*h)", price.basis, price.how, price.low, price.high)
        results.append(Cost("at the price the claim gives", each, _money(hours, each)))
    if claim.chip:
        each = rent(claim.chip.name, claim.date)
        results.append(Cost(f"rented{_when(claim.date)}", each, _money(hours, each)))
        each = owned(claim)
        results.append(Cost("owned, written off over 3 to 5 years", each, _money(hours, each)))
    first = next((cost for cost in results if cost.whole.known), None)
    if first and claim.scope != "programme":
        whole = (first.whole * DEVELOPMENT).because(f"{first.what}, x {DEVELOPMENT.how}")
        results.append(
            Cost("with failed runs, ablations and research (1.5 to 5.6 times)", unknown("USD/(chip*h)"), whole)
        )
    return tuple(results)


def rent(chip: str, date: datetime.date | None) -> Quantity:
    """The rent of a chip on a day, USD per chip and hour, from the dated table; unknown without a day or a source."""
    if date is None:
        return unknown("USD/(chip*h)", "the claim has no date, and rents change by the month")
    return prices.rent(chip, date)


def owned(claim: Claim) -> Quantity:
    """What an hour of a chip that one owns costs: purchase, server and network over its life, and electricity."""
    chip = claim.chip
    bought = _CHIP_USD.get(chip.row.family) if chip else None
    if chip is None or bought is None or chip.power is None:
        return unknown("USD/(chip*h)", "no purchase price of this chip is known here")
    ends = []
    for index in (0, 1):
        hours = _YEARS[1 - index] * 8766 * _IN_USE[1 - index]
        power = chip.power * (0.8, 1.6)[index] / 1000 * _USD_KWH[index]
        ends.append(bought[index] * _AROUND[index] / hours + power)
    how = (
        f"bought at {bought[0]:,.0f} to {bought[1]:,.0f} USD (press reports, recalled), x 1.5 to 2.1 for server and "
        "network, over 3 to 5 years in use 60 to 95% of the time, electricity at 0.05 to 0.12 USD/kWh"
    )
    return declared((ends[0] * ends[1]) ** 0.5, "USD/(chip*h)", how, ends[0], ends[1])


def _money(hours: Quantity, each: Quantity) -> Quantity:
    return (hours * each).to("USD") if each.known else unknown("USD", each.how)


def _when(date: datetime.date | None) -> str:
    return f" in {date:%B %Y}" if date else ""
