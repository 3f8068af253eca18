"""Known numbers and checks as lines of a report: what is shown, from what, with which basis and source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clearseek.audit.claim import Claim
from clearseek.audit.known import stated
from clearseek.audit.solve import DIFFERS, Check, Known, monomial
from clearseek.audit.variables import VARIABLES
from clearseek.audit.words import label, show, times, unit_of, within
from clearseek.ledger.quantity import Basis, Quantity


@dataclass(frozen=True)
class Line:
    """One line of arithmetic. `kind` is stated, computed, assumed or data sheet; `sum` writes the numbers out."""

    name: str
    label: str
    shown: str
    quantity: Quantity
    kind: str
    formula: str
    sum: str
    source: str
    provenance: str


@dataclass(frozen=True)
class Agreement:
    """A number that is known in two ways."""

    name: str
    label: str
    stated: str
    follows: str
    how: str
    off: str
    ratio: float
    state: str


def warnings(claim: Claim, checks: Iterable[Check], goodput: Known | None) -> list[str]:
    """What a reader should know before the numbers."""
    results = [
        f"{_name(c)} is given as {show(c.name, c.one.value)} and {_second(c.other)} {show(c.name, c.other.value)} "
        f"({times(c.off)}): {c.other.how}.{_excuse(c)}"
        for c in checks
        if c.state == DIFFERS
    ]
    if goodput and claim.work == "distillation":
        results.append(
            "Distilled: the teacher's work is not in 6 FLOP per parameter and token; read goodput as a floor."
        )
    recalled = [within(n) for n, r in claim.stated.items() if r[0].provenance == "recalled"]
    if recalled:
        results.append(f"Written from memory and not checked against the source: {', '.join(recalled)}.")
    return results


def _name(check: Check) -> str:
    return "The published MFU" if check.name == "mfu" else label(check.name)


def _excuse(check: Check) -> str:
    if check.name != "mfu" or check.off > 1:
        return ""
    return " A published MFU is of running steps; hours also hold restarts and evaluation, so less is normal."


def _second(item: Known) -> str:
    return "follows as" if item.relation or item.basis is Basis.MODELLED else "also as"


def quantity_of(item: Known) -> Quantity:
    """The same as a quantity with its unit."""
    return Quantity(item.value, unit_of(item.name), item.basis, item.how[:240], item.low, item.high)


def lines_of(claim: Claim, known: Mapping[str, Known]) -> tuple[Line, ...]:
    """Every number as a line: what is stated first, in the order of variables.py, then what follows, as it does.

    What is stated but counted instead (FLOP per token of a known architecture) is held against that, and shown too.
    """
    items = [stated(reported[0]) for name, reported in claim.stated.items() if name != "peak"]
    aside = [item for item in items if item != known.get(item.name)]
    made = [line_of(claim, item, known) for item in (*aside, *known.values())]
    order = list(VARIABLES)
    given = [line for line in made if line.kind == "stated"]
    given.sort(key=lambda line: order.index(line.name) if line.name in order else len(order))
    return (*given, *(line for line in made if line.kind != "stated"))


def line_of(claim: Claim, item: Known, known: Mapping[str, Known]) -> Line:
    """One number as a line."""
    reported = claim.first(item.name)
    own = reported is not None and item.relation is None and item.provenance != ""
    computed = item.relation is not None or bool(item.inputs) or item.basis is Basis.MODELLED
    computed = computed or (item.provenance == "derived" and reported is None)  # the sum of phases
    kind = "assumed" if item.assumed and item.relation is None else "stated" if own else "computed"
    if kind == "computed" and not computed:
        kind = "data sheet" if item.name == "peak" else "stated"
    return Line(
        item.name,
        label(item.name) if item.name != "mfu" or not own else "MFU, as published",
        show(item.name, item.value),
        quantity_of(item),
        kind,
        item.how if kind != "stated" else "",
        written_out(item, known),
        reported.source if own and reported else "",
        item.provenance,
    )


def written_out(item: Known, known: Mapping[str, Known]) -> str:
    """The numbers of a derivation, written out."""
    if item.relation is None:
        return ""
    _, powers = monomial(item.relation, item.name)
    above = [show(n, known[n].value) for n, power in powers.items() if power > 0]
    below = [show(n, known[n].value) for n, power in powers.items() if power < 0]
    text = " x ".join(above) or "1"
    return f"{text} / {' / '.join(below)}" if below else text


def agreement_of(check: Check) -> Agreement:
    """One check as text."""
    return Agreement(
        check.name,
        label(check.name) if check.name != "mfu" else "MFU, published",
        show(check.name, check.one.value),
        show(check.name, check.other.value),
        check.other.how,
        times(check.off),
        check.off,
        check.state,
    )
