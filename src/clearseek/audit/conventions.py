"""One claim, several defensible utilisations: which peak, and which way of counting FLOP."""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.audit.bands import band_of
from clearseek.audit.claim import Claim
from clearseek.audit.known import Base, other_peaks

_SAME = 0.02


@dataclass(frozen=True)
class Convention:
    """The claim's goodput under one peak and one way of counting. `published` says whose MFU it comes within 2% of."""

    counting: str
    peak: str
    peak_value: float
    flops_per_token: float
    tflops_per_chip: float
    goodput: float
    status: str
    named: bool
    published: str


def conventions(claim: Claim, base: Base, goodput: float | None) -> tuple[Convention, ...]:
    """Every combination, the named one first. `goodput` is that of the named one; without one there is nothing."""
    best = base.work.best
    if goodput is None or base.peak.value is None or not best:
        return ()
    work = base.work
    countings = [
        (work.best_label, best),
        ("6ND", work.six_nd),
        ("non-causal", work.non_causal),
        ("causal + MTP", work.with_mtp),
    ]
    peaks = [(base.peak.label, base.peak.value)]
    if base.peak.stated is not None and base.peak.stated_as == "as stated" and claim.chip:
        peaks += [
            (
                f"the dense {claim.precision.upper()} peak of the {claim.chip.name}",
                claim.chip.peak(claim.precision) or 0.0,
            )
        ]
    peaks += other_peaks(claim)
    result, seen = [], set()
    for peak_index, (peak_label, peak) in enumerate(peaks):
        for index, (label, per_token) in enumerate(countings):
            if per_token is None or not peak or (index and per_token == best) or (round(peak), label) in seen:
                continue
            seen.add((round(peak), label))
            value = goodput * (per_token / best) * (base.peak.value / peak)
            result.append(
                Convention(
                    label,
                    peak_label,
                    peak,
                    per_token,
                    value * peak / 1e12,
                    value,
                    band_of(value).status,
                    peak_index == 0 and index == 0,
                    _published(claim, value),
                )
            )
    return tuple(result)


def _published(claim: Claim, value: float) -> str:
    for name, words in (("mfu", "the published MFU"), ("mfu_non_causal", "the published MFU, non-causal")):
        reported = claim.first(name)
        if reported and reported.quantity.value:
            low, high = reported.quantity.bounds
            if low * (1 - _SAME) <= value <= high * (1 + _SAME):
                return words
    return ""
