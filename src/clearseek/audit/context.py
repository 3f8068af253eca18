"""What a claim is about, what can be known of a fleet, and where its chips could be bought: context, never guilt."""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.audit.claim import Claim
from clearseek.ledger.quantity import Quantity, declared, modelled, unknown

SCOPE_WORDS = {
    "stage": "one stage of making a model: what came before and after it is not in it",
    "final-run": "the run, or the runs one after another, that made the model: research, ablations and failed runs are "
    "not in it, nor salaries",
    "programme": "all that was spent on making a model, research and failed runs included",
    "service": "a service while it ran: what making its models took is not in it",
    "fleet": "chips that somebody has: what they were used for is not in it",
}
_STATUS = {
    "allowed": "could be exported to China without a licence",
    "licence": "needed a licence for China, and none is known to have been given",
    "licensed": "needed a licence for China, and licences were given",
    "case-by-case": "could be licensed for China case by case",
    "denied": "was denied to China",
    "not-sold": "was not sold to China",
}


@dataclass(frozen=True)
class Fleet:
    """A fleet as claimed, what of it is in evidence, and what it could do. `capacity` is in FLOP/s, dense BF16."""

    claimed: Quantity
    floor: Quantity
    ceiling: Quantity
    capacity: Quantity
    lines: tuple[str, ...]


def fleet(claim: Claim) -> Fleet | None:
    """What can be said of a fleet from outside. None for a claim that names none."""
    if not claim.fleet and not claim.evidence:
        return None
    low = sum(part.count.quantity.bounds[0] for part in claim.fleet)
    high = sum(part.count.quantity.bounds[1] for part in claim.fleet)
    value = sum(part.count.quantity.value or 0 for part in claim.fleet)
    claimed = declared(value, "chip", "the sum of the kinds claimed", low, high) if claim.fleet else unknown("chip")
    lines = [
        f"{piece.what}: {piece.count.quantity.value:,.0f}{f' ({piece.at})' if piece.at else ''}"
        for piece in claim.evidence
    ]
    if claim.evidence:
        most = max(claim.evidence, key=lambda piece: piece.count.quantity.value or 0)
        floor = declared(
            most.count.quantity.value or 0,
            "chip",
            f"the most in evidence at one time ({most.what}); uses at other times may have been the same chips, "
            "so they are not added",
        )
    else:
        floor = unknown("chip", "nothing in evidence is stated")
    ceiling = unknown("chip", "not identifiable from outside: a chip that does nothing public leaves no trace in it")
    capacity = sum((part.chip.peak("bf16") or 0) * (part.count.quantity.value or 0) for part in claim.fleet)
    power = modelled(capacity, "FLOP/s", "dense BF16 peaks, summed") if capacity else unknown("FLOP/s")
    return Fleet(claimed, floor, ceiling, power, tuple(lines))


def legality(claim: Claim) -> tuple[str, ...]:
    """Whether each chip could be exported to where it is said to stand, by date. Only the rules for China are known."""
    chips = {part.chip.name: part.chip for part in claim.fleet}
    if claim.chip:
        chips.setdefault(claim.chip.name, claim.chip)
    if claim.country != "CN" or not chips:
        return ()
    lines = []
    for chip in chips.values():
        periods = []
        for period in chip.row.china:
            start = f"from {period.start}" if period.start else ""
            end = f"until {period.end}" if period.end and not period.start else ""
            when = f"{start}{end}" or "at all times"
            periods.append(f"{when} it {_STATUS.get(period.status, period.status)}")
        at = f" On {claim.date} it {_STATUS[status]}." if claim.date and (
            status := chip.row.china_status(claim.date)) in _STATUS else ""  # fmt: skip
        lines.append(f"{chip.name}: {'; '.join(periods) or 'no rule is known here'}.{at}")
    lines.append(
        "The rules bound exports by sellers. Chips bought while that was allowed, rented abroad, or resold are not "
        "told apart by any number in the claim."
    )
    return tuple(lines)
