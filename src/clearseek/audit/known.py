"""What is known of a claim before anything is derived: what it states, its model's shape, its chip's data sheet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clearseek.audit import flops
from clearseek.audit.claim import Claim
from clearseek.audit.flops import TokenFlops
from clearseek.audit.numbers import Reported
from clearseek.audit.relations import RELATIONS
from clearseek.audit.solve import Check, Known, apply, compare
from clearseek.audit.words import peak, show
from clearseek.ledger.quantity import Basis

PLAUSIBLE_MFU = (0.20, 0.55)
_PUE = (1.03, 1.1, 1.6)
"""From a purpose-built hall to an old one; Uptime Institute's surveys put the mean near 1.6."""
_POWER = (0.5, 1.0, 1.3)
"""A chip's draw with its share of the host, over its rated power: training runs at 60-100% of it, hosts add 20-50%."""


@dataclass(frozen=True)
class Peak:
    """The peak that verdicts are held against, and what was wrong with the one stated, if anything was.

    `stated` is the claim's own figure where it is another kind (sparse, FP8, of the PCIe card), in FLOP/s.
    """

    value: float | None
    label: str
    how: str
    stated: float | None = None
    stated_as: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Work:
    """FLOP per token, by each way of counting, over the whole of the claim's data."""

    six_nd: float | None
    causal: float | None
    non_causal: float | None
    with_mtp: float | None
    how: str
    best: float | None
    best_label: str


@dataclass(frozen=True)
class Base:
    """Where solving starts, and the checks and warnings that came up on the way there."""

    known: tuple[Known, ...]
    peak: Peak
    work: Work
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]


def stated(reported: Reported, *, assumed: bool = False) -> Known:
    """A statement as a number to reckon with."""
    quantity = reported.quantity
    assert quantity.value is not None
    low, high = quantity.bounds
    how = f"{reported.text}" + (f" ({reported.source})" if reported.source else "")
    if reported.provenance == "derived" and reported.source:
        how = reported.source
    if assumed:
        how = f"assumed: {reported.variable.label} of {how}"
    return Known(
        reported.variable.name,
        quantity.value,
        low,
        high,
        quantity.basis,
        how,
        provenance=reported.provenance,
        assumed=assumed or reported.provenance == "assumed",
        distribution=reported.distribution,
    )


def base_of(claim: Claim) -> Base:
    """The start for `claim`."""
    known = {name: stated(statements[0]) for name, statements in claim.stated.items()}
    checks = [
        compare(name, stated(statements[0]), stated(other))
        for name, statements in claim.stated.items()
        for other in statements[1:]
    ]
    warnings: list[str] = []
    checks += _parameters(claim, known)
    checks += _phases(claim, known)
    work = _work(claim, known, warnings)
    checks += _flops(work, known)
    checks += _whole_work(known)
    peak = peak_of(claim)
    warnings += [peak.warning] if peak.warning else []
    known.pop("peak", None)
    if peak.value is not None:
        known["peak"] = Known("peak", peak.value, peak.value, peak.value, Basis.DECLARED, peak.how)
    _energy(claim, known)
    return Base(tuple(known.values()), peak, work, tuple(checks), tuple(warnings))


def _computed(name: str, value: float, how: str, low: float | None = None, high: float | None = None) -> Known:
    return Known(name, value, low or value, high or value, Basis.MODELLED, how)


def _parameters(claim: Claim, known: dict[str, Known]) -> list[Check]:
    """The model's parameters from its shape; against the stated ones where both are there."""
    if claim.architecture is None:
        if "active_parameters" not in known and "parameters" in known:
            total = known["parameters"]
            how = "taken as dense: all parameters are active"
            known["active_parameters"] = replace(total, name="active_parameters", how=how, provenance="derived")
        return []
    counted = flops.count(claim.architecture)
    how = f"counted: {claim.architecture.name}"
    total = _computed("parameters", counted.total, how)
    # vendors count active parameters with the embedding, without it, or without both embedding and head
    least, most = counted.matmul - claim.architecture.vocabulary * claim.architecture.width, counted.active
    named = how
    if most > least * 1.02:
        named += f" ({show('active_parameters', least)} without the embedding and the output head)"
    active = _computed("active_parameters", counted.active, named, least, most)
    checks = [compare(one.name, known[one.name], one) for one in (total, active) if one.name in known]
    known.setdefault("parameters", total)
    known.setdefault("active_parameters", active)
    return checks


def _phases(claim: Claim, known: dict[str, Known]) -> list[Check]:
    if not claim.phases:
        return []
    parts = [stated(phase.tokens) for phase in claim.phases]
    total = Known(
        "tokens",
        sum(part.value for part in parts),
        sum(part.low for part in parts),
        sum(part.high for part in parts),
        Basis.DECLARED,
        "the sum of " + " and ".join(phase.tokens.text for phase in claim.phases),
        provenance="derived",
    )
    checks = [compare("tokens", known["tokens"], total)] if "tokens" in known else []
    known.setdefault("tokens", total)
    return checks


def _work(claim: Claim, known: dict[str, Known], warnings: list[str]) -> Work:
    active, given = known.get("active_parameters"), known.get("flops_per_token")
    if claim.work in ("reinforcement-learning", "data-generation"):
        # sampling is a forward pass (2N); learning from what was sampled is forward and backward (6N)
        per = 8.0 if claim.work == "reinforcement-learning" else 2.0
        value = active.value * per if active else None
        text = f"{per:.0f} x active parameters: " + ("2 to sample, 6 to learn" if per == 8 else "2 to generate")
        return Work(value, None, None, None, text, given.value if given else value, f"{per:.0f}N")
    six = 6 * active.value if active else None
    a = claim.architecture
    if a is None:
        best, label = (given.value, "as stated") if given else (six, "6N")
        return Work(six, None, None, None, "as stated" if given else "6 x active parameters", best, label)
    if "sequence_length" not in known and not claim.phases:
        warnings.append("The sequence length is not stated, so attention is left out: the work is a lower bound.")
        bare = 6.0 * flops.count(a).matmul
        return Work(six, bare, None, None, f"counted: {a.name}, without attention", bare, "6N without attention")
    parts: list[tuple[float, TokenFlops]]
    if claim.phases:
        parts = [(stated(p.tokens).value, flops.per_token(a, stated(p.sequence_length).value)) for p in claim.phases]
        at = " and ".join(f"{stated(p.sequence_length).value:,.0f}" for p in claim.phases)
    else:
        length = known["sequence_length"].value
        parts, at = [(1.0, flops.per_token(a, length))], f"{length:,.0f}"
    tokens = sum(weight for weight, _ in parts)
    causal = sum(weight * part.causal for weight, part in parts) / tokens
    full = sum(weight * part.non_causal for weight, part in parts) / tokens
    mtp = sum(weight * part.mtp for weight, part in parts) / tokens
    how = f"counted: {a.name}, {at} tokens, causal"
    return Work(six, causal, full, causal + mtp if mtp else None, how, causal, "causal")


def _flops(work: Work, known: dict[str, Known]) -> list[Check]:
    checks = []
    if work.best is None:
        return []
    if work.causal is None and "active_parameters" in known and work.best == work.six_nd:
        n = known["active_parameters"]
        per = work.best / n.value
        known["flops_per_token"] = _computed("flops_per_token", work.best, work.how, per * n.low, per * n.high)
        return []
    if work.causal is not None:
        computed = _computed("flops_per_token", work.causal, work.how)
        if "flops_per_token" in known:
            checks.append(compare("flops_per_token", known["flops_per_token"], computed))
        known["flops_per_token"] = computed
        if work.non_causal is not None:
            how = work.how.replace("causal", "non-causal")
            known["flops_per_token_full"] = _computed("flops_per_token_full", work.non_causal, how)
    return checks


def peak_of(claim: Claim) -> Peak:
    """The dense peak that the claim names, by chip and precision; its own figure where it is no known trap."""
    given = claim.first("peak")
    own = given.quantity.value if given else None
    if claim.chip is None:
        if given is None:
            return Peak(None, "", "no chip is named")
        return Peak(own, f"the stated peak ({_tf(own)})", f"stated: {given.text}")
    chip, precision = claim.chip, claim.precision
    dense = chip.peak(precision)
    warning = ""
    if claim.chip_ambiguous:
        warning = f"Which form of the chip is not said; {chip.name} is taken, and the conventions show the others."
    elif "PCIe" in chip.name and any((s.peak(precision) or 0) > (dense or 0) for s in chip.siblings()):
        warning = f"{chip.name} is the slower card of its name; the others are shown too."
    if dense is None:
        return Peak(
            own, f"the stated peak ({_tf(own)})", f"no {precision} peak of {chip.name} is known", warning=warning
        )
    label = f"the dense {precision.upper()} peak of the {chip.name} ({_tf(dense)})"
    how = f"data sheet of {chip.name}: {precision.upper()} without sparsity"
    if own is None or abs(own / dense - 1) < 0.02:
        return Peak(dense, label, how, warning=warning)
    for what, value in other_peaks(claim):
        if abs(own / value - 1) < 0.02:
            warning += (
                f" The claim's peak of {_tf(own)} is {what}, not the dense {precision.upper()} peak of {chip.name} "
                f"({_tf(dense)}). The verdict is held against the latter; both are shown."
            )
            return Peak(dense, label, how, own, what, warning.strip())
    warning = f"The claim's peak of {_tf(own)} is no figure of {chip.name} known here ({_tf(dense)} dense); it is used."
    return Peak(
        own, f"the stated peak ({_tf(own)})", f"stated: {given.text if given else ''}", own, "as stated", warning
    )


def other_peaks(claim: Claim) -> list[tuple[str, float]]:
    """Figures that are taken for the dense peak of the chip, each with what it really is, in FLOP/s."""
    chip, result = claim.chip, []
    if chip is None:
        return []
    if (fp8 := chip.peak("fp8")) and claim.precision != "fp8":
        result.append(("the FP8 peak (and that of BF16 with sparsity)", fp8))
    elif (bf16 := chip.peak("bf16")) and claim.precision != "bf16":
        result.append(("the BF16 peak", bf16))
    dense = chip.peak(claim.precision)
    if (
        dense
        and chip.row.sparsity > 1
        and not any(abs(chip.row.sparsity * dense / peak - 1) < 0.02 for _, peak in result)
    ):
        result.append(("the peak with sparsity", chip.row.sparsity * dense))
    for other in chip.siblings():
        if value := other.peak(claim.precision):
            result.append((f"the peak of the {other.name}", value))
    return result


def _whole_work(known: dict[str, Known]) -> list[Check]:
    """FLOP in all that are stated are a second way to what can be counted, not the first."""
    if not {"flops", "tokens", "flops_per_token"} <= set(known):
        return []
    relation = next(r for r in RELATIONS if r.name == "work")
    return [compare("flops", known.pop("flops"), apply(relation, "flops", known))]


def _energy(claim: Claim, known: dict[str, Known]) -> None:
    """Where energy or carbon is claimed: what a chip draws and what its hall adds, assumed where it is not said."""
    if not {"energy", "co2"} & set(known) or claim.work == "metered":
        return
    if "power" not in known and claim.chip and claim.chip.power:
        low, middle, high = (claim.chip.power * share for share in _POWER)
        how = f"assumed: 0.5 to 1.3 of the {claim.chip.power:.0f} W of a {claim.chip.name}, host included"
        known["power"] = Known("power", middle, low, high, Basis.MODELLED, how, assumed=True)
    if "pue" not in known:
        how = "assumed: from a purpose-built hall to an old one"
        known["pue"] = Known("pue", _PUE[1], _PUE[0], _PUE[2], Basis.MODELLED, how, assumed=True)


def _tf(value: float | None) -> str:
    return peak(value) if value else "unknown"
