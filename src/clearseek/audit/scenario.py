"""What if: the same work on other chips, and what a fleet could have done in a run's time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clearseek.audit import chips
from clearseek.audit.claim import Claim, FleetPart
from clearseek.audit.known import PLAUSIBLE_MFU, Base
from clearseek.audit.solve import Known
from clearseek.ledger.quantity import Quantity, modelled

_OTHERS = ("A100-80-SXM", "H100-SXM", "H20")
LLAMA_405B = 3.8e25
"""FLOP of Llama 3.1 405B, as its report gives them (The Llama 3 Herd of Models)."""


@dataclass(frozen=True)
class Scenario:
    """One "what if": how long it takes, or how much it makes (`amount`), and the words around it."""

    what: str
    amount: Quantity
    words: str = ""
    own: bool = False


def same_work(claim: Claim, base: Base, known: Mapping[str, Known], goodput: Known | None) -> tuple[Scenario, ...]:
    """The claim's FLOP on as many chips of other kinds, at its own goodput or else the plausible ones."""
    if not {"flops", "count"} <= set(known) or claim.chip is None:
        return ()
    work, count = known["flops"].value, known["count"].value
    if goodput and PLAUSIBLE_MFU[0] <= goodput.value <= PLAUSIBLE_MFU[1]:
        low, middle, high = PLAUSIBLE_MFU[0], goodput.value, PLAUSIBLE_MFU[1]
    else:
        assumed = claim.assumed.get("mfu")
        low, high = assumed.quantity.bounds if assumed else PLAUSIBLE_MFU
        middle = (low + high) / 2
    results = []
    for name in dict.fromkeys((claim.chip.name, *_OTHERS)):
        chip = chips.find(name)[0]
        peak = chip.peak(claim.precision) or chip.peak("bf16")
        if peak is None:
            continue
        days = [work / (count * peak * share) / 86400 for share in (high, middle, low)]
        how = f"FLOP / (chips x dense peak x {middle:.0%}; {low:.0%} to {high:.0%})"
        own = name == claim.chip.name
        results.append(
            Scenario(f"{count:,.0f} {name}", modelled(days[1], "d", how, days[0], days[2]), f"at {middle:.0%}", own)
        )
    return tuple(results)


def of_a_fleet(
    parts: tuple[FleetPart, ...], run: Mapping[str, Known], goodput: Known | None, title: str
) -> tuple[Scenario, ...]:
    """How long the run would take a whole fleet at the run's own goodput, and what the fleet does in the run's time."""
    if goodput is None or not parts or "flops" not in run:
        return ()
    rate = sum((part.chip.peak("bf16") or 0) * (part.count.quantity.value or 0) for part in parts) * goodput.value
    if not rate:
        return ()
    work = run["flops"].value
    share = f"at the run's own {goodput.value:.1%} of the dense BF16 peaks"
    days = modelled(work / rate / 86400, "d", f"FLOP of the run / (peaks of the fleet x {goodput.value:.1%})")
    results = [Scenario(f"{title}, on the whole fleet", days, share)]
    if "wall_time" in run:
        hours = run["wall_time"].value
        made = rate * hours * 3600
        words = (
            f"{made / work:.1f} times the run, {made / LLAMA_405B:.1f} times Llama 3.1 405B: what a fleet could do, "
            "not what it did"
        )
        flop = modelled(made, "FLOP", "peaks of the fleet x goodput x the run's time")
        results.append(Scenario(f"The whole fleet in the run's {hours / 24:.1f} days", flop, words))
    return tuple(results)
