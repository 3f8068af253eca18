"""The verdict: one word, why, and how sure the stated intervals leave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearseek.audit.bands import STATUSES, band_of
from clearseek.audit.claim import Claim
from clearseek.audit.solve import CONTRADICTS, Check, Known
from clearseek.audit.words import label, show, times
from clearseek.ledger.quantity import Quantity

_ABOUT_THE_MODEL = ("parameters", "active_parameters", "flops_per_token", "mfu_non_causal", "tokens")
"""Checks of these say that a model is described well, not that a run is."""
_NOT_TRAINING = ("reinforcement-learning", "data-generation", "serving", "metered")
_WHY = {
    "reinforcement-learning": "Most of the work is generating text, which memory binds: the bands of training do not "
    "hold for it.",
    "data-generation": "Generating text is bound by memory: the bands of training do not hold for it.",
    "serving": "Serving is bound by memory and by demand: the bands of training do not hold for it.",
    "metered": "It was metered while it ran, at whatever pace; only what no chip could do would be held against it.",
}


@dataclass(frozen=True)
class Verdict:
    """`status` is a word of `bands.STATUSES`, `headline` one line to quote, `why` what it rests on.

    `band` is where the goodput lies by itself, whatever else is wrong; `shares` how often draws from the stated
    intervals fall into each band (empty where there is no goodput or nothing was drawn).
    """

    status: str
    headline: str
    why: str
    goodput: Quantity
    band: str
    shares: Mapping[str, float]


def bands_apply(claim: Claim) -> bool:
    """Whether the bands of training say something about this kind of work."""
    return claim.work not in _NOT_TRAINING


def decide(
    claim: Claim,
    goodput: Known | None,
    quantity: Quantity,
    against: str,
    checks: Sequence[Check],
    shares: Mapping[str, float],
    hint: str,
) -> Verdict:
    """`against` names the peak and the way of counting; `hint` says what would follow where nothing holds the claim."""
    band = band_of(goodput.value) if goodput else None
    worst = max(
        (check for check in checks if check.state == CONTRADICTS), key=lambda c: max(c.off, 1 / c.off), default=None
    )
    trained = bands_apply(claim)

    def verdict(status: str, headline: str, why: str) -> Verdict:
        words = f"{STATUS_TITLES[status]}: {headline}"
        return Verdict(status, words, why, quantity, band.status if band else "", shares)

    if claim.scope == "fleet" and not worst:
        if claim.against:
            return verdict(
                "scope-mismatch",
                "it counts chips; what it is said to refute counts a run.",
                "A run's cost says nothing of how many chips its owner has, and a fleet nothing of what one run on it "
                "took. Both can be true, and neither refutes the other. " + hint,
            )
        return verdict("underdetermined", "what a fleet was used for cannot be seen in its size.", hint)
    if band and goodput and (trained or claim.work == "metered") and band.status == "impossible":
        return verdict("impossible", f"{show('mfu', goodput.value, 3)} of {against}.", f"{_cap(band.words)}.")
    if worst:
        apart = (
            f" The goodput by itself, {show('mfu', goodput.value, 3)}, is {band.status}." if band and goodput else ""
        )
        return verdict("inconsistent", _contradiction(worst), f"Two of its numbers cannot both be right.{apart}")
    if band and goodput and trained:
        status, why = band.status, f"{_cap(band.words)}."
        if claim.work == "distillation" and status in ("inconsistent", "incomplete"):
            status = "incomplete"
            why = (
                "It was distilled: the teacher ran too, and 6 FLOP per parameter and token do not describe that work. "
                "The utilisation is a lower bound, and its band says nothing against the claim."
            )
        return verdict(status, f"{show('mfu', goodput.value, 3)} of {against}.", why)
    firm = [check for check in checks if check.name not in _ABOUT_THE_MODEL and not check.other.assumed]
    if firm:
        agree = sum(check.state == "agrees" for check in firm)
        headline = f"{agree} of {len(firm)} figures that can be worked out a second way agree."
        why = "None of its numbers says how much work was done, so the work itself is not held by them."
        why = _WHY.get(claim.work, why)
        return verdict("consistent", headline, f"{why} {hint}".strip())
    lacking = "tokens" if "tokens" not in claim.stated and not claim.phases else "hours, days or money"
    headline = f"it states no {lacking}, so there is nothing to hold the rest against."
    return verdict("underdetermined", headline, f"That does not make it false. {hint}".strip())


STATUS_TITLES = {
    "impossible": "Impossible",
    "inconsistent": "Inconsistent",
    "scope-mismatch": "Scope mismatch",
    "extraordinary": "Extraordinary",
    "incomplete": "Incomplete",
    "plausible": "Plausible",
    "consistent": "Consistent",
    "underdetermined": "Underdetermined",
}
assert set(STATUS_TITLES) == set(STATUSES)


def _contradiction(check: Check) -> str:
    one, other = show(check.name, check.one.value), show(check.name, check.other.value)
    return f"{label(check.name)} is given as {one} and follows as {other}, {times(check.off)} apart."


def _cap(words: str) -> str:
    return words[:1].upper() + words[1:]
