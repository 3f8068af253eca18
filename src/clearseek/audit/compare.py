"""Two claims side by side, where they speak of the same kind of thing; and why not, where they do not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from clearseek.audit.claim import Claim
from clearseek.audit.examine import Examination, examine
from clearseek.audit.words import label, show
from clearseek.errors import UsageError

_SHOWN = (
    "parameters", "active_parameters", "tokens", "flops_per_token", "flops", "count", "wall_time", "gpu_hours",
    "mfu", "price", "usd", "energy", "co2",
)  # fmt: skip
_RUN = ("stage", "final-run", "programme")
_WHY = {
    "fleet": "a fleet's size says nothing of what one run on it took",
    "service": "serving a model is other work than making it",
}


@dataclass(frozen=True)
class Row:
    """One number of both claims, as text, and how many times larger the other is."""

    name: str
    label: str
    one: str
    other: str
    ratio: str


@dataclass(frozen=True)
class Comparison:
    """Two claims of one kind."""

    one: str
    other: str
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def refuse(one: Claim, other: Claim) -> str:
    """Why two claims cannot be held against each other; empty where they can."""
    kinds = ["run" if claim.scope in _RUN else claim.scope for claim in (one, other)]
    if kinds[0] == kinds[1]:
        return ""
    why = _WHY[next(kind for kind in kinds if kind != "run")]
    return (
        f"{one.name} is about a {one.scope} and {other.name} about a {other.scope}: {why}, so neither can refute the "
        "other and no ratio of theirs means anything."
    )


def side_by_side(one: Claim, other: Claim) -> Comparison:
    """The numbers of both. Raises UsageError, saying why, for claims that cannot be held against each other."""
    why = refuse(one, other)
    if why:
        raise UsageError(why)
    both = [examine(claim, draws=0) for claim in (one, other)]
    rows = [Row("verdict", "Verdict", both[0].verdict.status, both[1].verdict.status, "")]
    if one.scope == "fleet":
        rows += _fleets(both)
    values = [_values(examination) for examination in both]
    for name in _SHOWN:
        if name in values[0] or name in values[1]:
            shown = [show(name, known[name]) if name in known else "unknown" for known in values]
            both_known = name in values[0] and name in values[1]
            ratio = _ratio(values[0][name], values[1][name]) if both_known else ""
            rows.append(Row(name, label(name), shown[0], shown[1], ratio))
    warnings = []
    if one.scope != other.scope:
        warnings.append(f"Their scopes differ: {both[0].scope}; against {both[1].scope}.")
    peaks = {claim.chip.name: claim.chip.peak("bf16") for claim in (one, other) if claim.chip}
    if len(set(peaks.values())) == 2:
        warnings.append(f"An hour of a {' is not an hour of a '.join(sorted(peaks))}; compare FLOP, not hours.")
    return Comparison(one.name, other.name, tuple(rows), tuple(warnings))


def _values(examination: Examination) -> dict[str, float]:
    known = {line.name: line.quantity.value for line in examination.lines if line.quantity.value is not None}
    goodput = examination.verdict.goodput.value
    if goodput is not None:
        known["mfu"] = goodput
    else:
        known.pop("mfu", None)
    return known


def _fleets(both: list[Examination]) -> list[Row]:
    rows = []
    for what, name in (("claimed", "Chips claimed"), ("floor", "at least, by evidence")):
        values = [getattr(e.fleet, what).value if e.fleet else None for e in both]
        shown = ["unknown" if value is None else show("count", value) for value in values]
        rows.append(Row(what, name, shown[0], shown[1], _ratio(*values)))
    return rows


def _ratio(one: float | None, other: float | None) -> str:
    return f"x {other / one:.3g}" if one and other else ""
