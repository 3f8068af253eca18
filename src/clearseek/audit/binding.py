"""What binds a run: arithmetic, memory, memory bandwidth or network; and how many chips a deadline takes.

Lower bounds, each from one resource alone: the run takes at least as long as the slowest of them says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from clearseek.audit.claim import Claim
from clearseek.audit.known import PLAUSIBLE_MFU, Base
from clearseek.audit.solve import Known
from clearseek.ledger.quantity import Quantity, modelled, unknown

_STATE = (10.0, 18.0)
"""Bytes per parameter that stay in memory while training: weights, gradient and Adam's moments, from all in BF16 with
an FP32 master copy (10) to mixed precision in FP32 (18). Activations come on top, so the chips are a lower bound."""
_TRAFFIC = (30.0, 60.0)
"""Bytes per parameter that a step's update reads and writes: the same state, in and out, and the gradient's sum."""
_ELEMENT = (3.0, 4.0)
"""Bytes to send and bring back one element of a token: FP8 there and BF16 back (3), or BF16 both ways (4)."""
_BATCH = (1e6, 64e6)
_DEADLINES = (30.0, 60.0, 90.0)


@dataclass(frozen=True)
class Bind:
    """One resource. `days` is how long it alone would take the run; `binds` marks the slowest.

    `says` is False where the words only tell what was missing to reckon with.
    """

    resource: str
    days: Quantity
    words: str
    binds: bool = False
    says: bool = True


@dataclass(frozen=True)
class Deadline:
    """So many chips end in so many days, at the claim's own chip-hours."""

    days: float
    chips: Quantity
    own: bool = False


def binds(claim: Claim, base: Base, known: Mapping[str, Known], goodput: Known | None) -> tuple[Bind, ...]:
    """What each resource asks for, as far as the claim lets it be reckoned."""
    results = [_arithmetic(claim, known, goodput), _bandwidth(claim, known), _network(claim, known)]
    slowest = max((b.days.value for b in results if b.days.value is not None), default=None)
    if sum(b.days.known for b in results) < 2:
        slowest = None
    marked = [replace(b, binds=slowest is not None and b.days.value == slowest) for b in results]
    return (*marked, _memory(claim, known))


def deadlines(known: Mapping[str, Known]) -> tuple[Deadline, ...]:
    """Chips for a month, two and three, and for the claim's own time."""
    if "gpu_hours" not in known or known["gpu_hours"].value < 1000:
        return ()
    hours = known["gpu_hours"]
    own = known["wall_time"].value / 24 if "wall_time" in known else None
    results = []
    for days in sorted({*_DEADLINES, *([own] if own else [])}):
        how = "chip-hours / (24 x days)"
        chips = modelled(hours.value / 24 / days, "chip", how, hours.low / 24 / days, hours.high / 24 / days)
        results.append(Deadline(days, chips, days == own))
    return tuple(results)


def _arithmetic(claim: Claim, known: Mapping[str, Known], goodput: Known | None) -> Bind:
    if not {"flops", "count", "peak"} <= set(known):
        return Bind("arithmetic", unknown("d"), "needs FLOP, the number of chips and their peak", says=False)
    seconds = known["flops"].value / (known["count"].value * known["peak"].value)
    assumed = claim.assumed.get("mfu")
    low, high = assumed.quantity.bounds if assumed else PLAUSIBLE_MFU
    middle = goodput.value if goodput else (assumed.quantity.value or 1.0) if assumed else (low * high) ** 0.5
    if goodput and not low <= goodput.value <= high:
        low = high = goodput.value
    days = modelled(seconds / middle / 86400, "d", "FLOP / (chips x peak x goodput)", seconds / high / 86400,
                    seconds / low / 86400)  # fmt: skip
    if goodput:
        own = f"{seconds / goodput.value / 86400:,.3g} days at the claim's {goodput.value:.1%} of the peak"
        return Bind("arithmetic", days, own if low == high else f"{own}; interval: at {low:.0%} to {high:.0%}")
    return Bind("arithmetic", days, f"at {low:.0%} to {high:.0%} of the peak, {middle:.0%} in the middle")


def _memory(claim: Claim, known: Mapping[str, Known]) -> Bind:
    if claim.chip is None or not claim.chip.memory or "parameters" not in known:
        return Bind("memory", unknown("d"), "needs the parameters and the chip", says=False)
    n, size = known["parameters"].value, claim.chip.memory
    low, high = (n * per / size for per in _STATE)
    words = (
        f"weights, gradients and optimizer fill at least {low:,.0f} to {high:,.0f} {claim.chip.name} "
        f"({_STATE[0]:.0f} to {_STATE[1]:.0f} bytes a parameter; activations come on top)"
    )
    count = known.get("count")
    if count and count.value < low:
        words += f": more than the {count.value:,.0f} claimed, unless parts are kept elsewhere"
    elif count:
        words += f"; {count.value:,.0f} are claimed, so it does not bind"
    return Bind("memory", unknown("d"), words)


def _bandwidth(claim: Claim, known: Mapping[str, Known]) -> Bind:
    needed = {"parameters", "tokens", "count"}
    if claim.chip is None or not claim.chip.bandwidth or not needed <= set(known):
        return Bind(
            "memory bandwidth", unknown("d"), "needs parameters, tokens, and the number and kind of chips", says=False
        )
    batch = known.get("batch")
    sizes = (batch.value, batch.value) if batch else _BATCH
    tokens, each = known["tokens"].value, known["count"].value * claim.chip.bandwidth * 86400
    low = tokens / sizes[1] * known["parameters"].value * _TRAFFIC[0] / each
    high = tokens / sizes[0] * known["parameters"].value * _TRAFFIC[1] / each
    days = modelled((low * high) ** 0.5, "d", "steps x bytes of a step's update / bandwidth", low, high)
    message = f"{batch.value:,.0f} tokens" if batch else "1M to 64M tokens, as no batch is stated"
    return Bind("memory bandwidth", days, f"reading and writing weights and optimizer once a step of {message}")


def bytes_per_token(claim: Claim) -> Quantity:
    """Bytes that one chip sends between nodes for one trained token of a mixture of experts.

    A token goes to the experts of each layer and comes back, forward and backward. It goes to a node once, however
    many of its experts are there, so a limit on nodes is what counts. Unknown for dense models, where it depends on
    how the model was split.
    """
    a = claim.architecture
    if a is None or not a.moe_layers:
        return unknown("B/token", "only reckoned for experts that lie on several nodes")
    copies = a.node_limit or a.active_experts
    low, high = (copies * a.width * element * 2 * a.moe_layers for element in _ELEMENT)
    how = f"{copies} copies x {a.width} wide x 3 to 4 bytes x forward and backward x {a.moe_layers} layers"
    return modelled((low * high) ** 0.5, "B/token", how, low, high)


def _network(claim: Claim, known: Mapping[str, Known]) -> Bind:
    each = bytes_per_token(claim)
    if each.value is None:
        return Bind("network", unknown("d"), each.how, says=False)
    size = f"{each.bounds[0] / 1e6:.1f} to {each.bounds[1] / 1e6:.1f} MB between nodes per token"
    if "network" not in known:
        return Bind("network", unknown("d"), f"{size}; the network's rate is not stated")
    rate = known["network"]
    low, high = rate.value / each.bounds[1], rate.value / each.bounds[0]
    words = f"{size} over {rate.value / 1e9:.4g} GB/s allow {low:,.0f} to {high:,.0f} tokens/s a chip"
    if "tokens_per_second_per_chip" in known:
        words += f" ({known['tokens_per_second_per_chip'].value:,.0f} claimed)"
    if not {"tokens", "count"} <= set(known):
        return Bind("network", unknown("d"), words)
    each_day = known["tokens"].value / known["count"].value / 86400
    days = modelled(each_day / (low * high) ** 0.5, "d", "tokens / (chips x tokens/s of a chip)", each_day / high,
                    each_day / low)  # fmt: skip
    return Bind("network", days, words)
