"""One claim, examined: the ten questions, answered once, as plain data that every report is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from clearseek.audit import (
    bands,
    binding,
    context,
    conventions,
    economics,
    inputs,
    lines,
    scenario,
    sensitivity,
    serving,
)
from clearseek.audit import verdict as verdicts
from clearseek.audit.claim import Claim, load_claim
from clearseek.audit.known import PLAUSIBLE_MFU, Base, base_of, stated
from clearseek.audit.lines import Agreement, Line
from clearseek.audit.relations import RELATIONS
from clearseek.audit.solve import Check, Knowledge, Known, compare, propagate, sample, ways
from clearseek.audit.variables import SOLVABLE
from clearseek.audit.words import label, show, span, unit_of, within
from clearseek.errors import UsageError
from clearseek.ledger.quantity import Basis, Quantity, unknown

DRAWS = 10_000
MAX_DRAWS = 100_000
_RANGES = {
    "intensity": (15.0, 950.0, "what grids emit, from hydro to coal"),
    "price": (0.05, 20.0, "what a chip-hour was rented for, from any to any year"),
}
_STRAIGHT = tuple(relation for relation in RELATIONS if relation.name != "full")


@dataclass(frozen=True)
class Solution:
    """What one number must be if the rest holds; `quantity` unknown, with the reason, where nothing leads to it."""

    target: str
    label: str
    shown: str
    quantity: Quantity
    stated: str
    formula: str
    sum: str
    assumed: tuple[str, ...]
    others: tuple[str, ...] = ()
    """What it would be by each other way, with the sum; the one above has the narrowest interval."""


@dataclass(frozen=True)
class Examination:
    """Everything an audit says of one claim."""

    claim: Claim
    verdict: verdicts.Verdict
    warnings: tuple[str, ...]
    lines: tuple[Line, ...]
    checks: tuple[Agreement, ...]
    conventions: tuple[conventions.Convention, ...]
    solved: tuple[Solution, ...]
    binds: tuple[binding.Bind, ...]
    deadlines: tuple[binding.Deadline, ...]
    scope: str
    fleet: context.Fleet | None
    scenarios: tuple[scenario.Scenario, ...]
    costs: tuple[economics.Cost, ...]
    legality: tuple[str, ...]
    swings: tuple[sensitivity.Swing, ...]
    swing_target: str
    inputs: tuple[inputs.Input, ...]
    seed: int
    draws: int

    @property
    def says_no(self) -> bool:
        """Whether the claim cannot be true as it stands."""
        return self.verdict.status in bands.NO

    def as_json(self) -> dict[str, Any]:
        """Plain data, as the page and `--json` get it (docs/page-api.md)."""
        claim = self.claim
        head = {
            "name": claim.name,
            "title": claim.title,
            "date": claim.date.isoformat() if claim.date else None,
            "scope": claim.scope,
            "summary": claim.summary,
            "notes": list(claim.notes),
            "sources": list(claim.sources),
            "against": claim.against,
            "work": claim.work,
            "chip": claim.chip.name if claim.chip else None,
        }
        rest = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "claim"}
        scale = [
            {"status": b.status, "low": b.low, "high": b.high if math.isfinite(b.high) else None, "words": b.words}
            for b in bands.BANDS
        ]
        return {"claim": head, **rest, "bands": scale}


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity):
        return value.as_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def examine(claim: Claim, *, seed: int = 0, draws: int = DRAWS) -> Examination:
    """Examine a claim. `draws` values are taken from the stated intervals with `seed`; 0 leaves the shares out.

    Raises UsageError where `draws` is out of bounds, or the claim names another that is not there.
    """
    if not 0 <= draws <= MAX_DRAWS:
        raise UsageError(f"Between 0 and {MAX_DRAWS:,} draws, please.")
    base = base_of(claim)
    whole = propagate(base.known)
    held = propagate(_to_hold(base), _STRAIGHT)
    goodput = held.known.get("mfu")
    if goodput and goodput.assumed:
        goodput = None
    extra, checks = serving.examine(whole.known)
    checks = [*base.checks, *whole.checks, *checks, *_in_range(whole), *_fleet_floor(claim)]
    against = _against(claim)
    rows = conventions.conventions(claim, base, goodput.value if goodput else None)
    solutions = tuple(solve(claim, target, base=base) for target in SOLVABLE)
    needs = binding.binds(claim, base, whole.known, goodput)
    banded = goodput is not None and draws and verdicts.bands_apply(claim)
    shares = bands.shares(sample(held, "mfu", seed=seed, size=draws)) if banded else {}
    counted = {
        "causal": ", attention counted causally",
        "as stated": ", at the FLOP per token stated",
        "6N without attention": ", attention left out",
    }
    way = (
        counted.get(base.work.best_label, f", by {base.work.best_label}D") if base.work.best else ", at the FLOP stated"
    )
    named = base.peak.label + way
    decided = verdicts.decide(
        claim,
        goodput,
        lines.quantity_of(goodput) if goodput else unknown("", "no chip-hours, tokens and peak to reckon it from"),
        named,
        checks,
        shares,
        _hint(claim, solutions, needs, whole.known),
    )
    target, based = ("mfu", held) if goodput else _other_target(claim, base)
    scenarios = scenario.same_work(claim, base, whole.known, goodput)
    if against:
        run, run_goodput = against
        scenarios = scenario.of_a_fleet(claim.fleet, run.known, run_goodput, load_claim(claim.against).title)
    known = {**whole.known, **{item.name: item for item in extra if item.name not in whole.known}}
    return Examination(
        claim=claim,
        verdict=decided,
        warnings=(*base.warnings, *lines.warnings(claim, checks, goodput)),
        lines=lines.lines_of(claim, known),
        checks=tuple(lines.agreement_of(check) for check in checks),
        conventions=rows,
        solved=solutions,
        binds=needs,
        deadlines=binding.deadlines(whole.known),
        scope=context.SCOPE_WORDS[claim.scope],
        fleet=context.fleet(claim),
        scenarios=scenarios,
        costs=economics.costs(claim, whole.known),
        legality=context.legality(claim),
        swings=sensitivity.swings(based, target, rows),
        swing_target=target,
        inputs=inputs.inputs(claim, base),
        seed=seed,
        draws=draws,
    )


def solve(claim: Claim, target: str, *, base: Base | None = None) -> Solution:
    """What `target` (a word of variables.SOLVABLE) must be if everything else holds, with an interval.

    What the claim says of it is set aside. Assumptions (the claim's own first, then a plausible MFU and the dated rent)
    are made only where nothing else leads to it, and are named. Raises UsageError for a target that is none.
    """
    if target not in SOLVABLE:
        raise UsageError(f"It can be solved for {', '.join(SOLVABLE)}, not for {target[:40]!r}.")
    base, name = base or base_of(claim), SOLVABLE[target]
    known = [item for item in base.known if item.name != name and not (name == "mfu" and item.name == "mfu_non_causal")]
    given = claim.first(name)
    message = show(name, given.quantity.value) if given and given.quantity.value else ""
    relations = _STRAIGHT if name == "mfu" else RELATIONS
    for more in _assumptions(claim, name, {item.name for item in known}):
        result = ways([*known, *more], name, relations)
        if result:
            best = result[0]
            based = propagate([*known, *more], [r for r in relations if name not in r.variables]).known
            others = tuple(f"{show(name, way.value)} = {lines.written_out(way, based)}" for way in result[1:])
            assumed = tuple(item.how for item in more if _rests_on(best, item.name, based))
            shown = f"{show(name, best.value)}"
            if best.spread > 1.002:
                shown = f"{span(name, best.low, best.high, 4 if best.spread < 1.1 else 3)}"
            return Solution(
                target,
                label(name),
                shown,
                lines.quantity_of(best),
                message,
                best.how,
                lines.written_out(best, based),
                assumed,
                others,
            )
    why = "nothing in the claim leads to it" + _missing(name, {item.name for item in known})
    return Solution(target, label(name), "unknown", unknown(unit_of(name), why), message, why, "", ())


def _assumptions(claim: Claim, target: str, known: set[str]) -> list[list[Known]]:
    own = [stated(r, assumed=True) for key, r in claim.assumed.items() if key not in known and key != target]
    usual = []
    have = known | {item.name for item in own}
    if "mfu" not in have and target != "mfu" and claim.work in ("pretraining", "context-extension"):
        low, high = PLAUSIBLE_MFU
        how = f"assumed: a goodput of {low:.0%} to {high:.0%}, the plausible band"
        usual.append(
            Known("mfu", (low * high) ** 0.5, low, high, Basis.MODELLED, how, assumed=True, distribution="loguniform")
        )
    if "price" not in have and target != "price" and claim.chip:
        rent = economics.rent(claim.chip.name, claim.date)
        if rent.value is not None:
            usual.append(Known("price", rent.value, *rent.bounds, Basis.DECLARED, f"assumed: {rent.how}", assumed=True))
    return [[], own, [*own, *usual]]


def _rests_on(item: Known, name: str, known: Mapping[str, Known]) -> bool:
    return any(i == name or (i in known and _rests_on(known[i], name, known)) for i in item.inputs)


def _missing(target: str, known: set[str]) -> str:
    lacking = sorted(
        ([v for v in r.variables if v != target and v not in known] for r in RELATIONS if target in r.variables),
        key=len,
    )
    wanted = [within(names[0]) for names in lacking if len(names) == 1]
    return f"; {' or '.join(dict.fromkeys(wanted))} would" if wanted else ""


def _to_hold(base: Base) -> list[Known]:
    """What goodput is reckoned from: not from an MFU that is stated."""
    return [item for item in base.known if item.name not in ("mfu", "mfu_non_causal")]


def _other_target(claim: Claim, base: Base) -> tuple[str, Knowledge]:
    """Where there is no goodput: the first number that assumptions lead to."""
    for name in ("gpu_hours", "wall_time", "tokens", "usd", "co2"):
        known = [item for item in base.known if item.name != name]
        based = propagate([*known, *_assumptions(claim, name, {item.name for item in known})[-1]])
        if name in based.known and based.known[name].relation and based.known[name].spread > 1.0001:
            return name, based
    return "", propagate([])


def _in_range(knowledge: Knowledge) -> list[Check]:
    """Derived numbers that no grid and no market ever had."""
    results = []
    for name, (low, high, words) in _RANGES.items():
        item = knowledge.known.get(name)
        if item and item.relation and not (low <= item.high and item.low <= high):
            nearest = low if item.value < low else high
            results.append(compare(name, item, Known(name, nearest, low, high, Basis.DECLARED, words)))
    return results


def _fleet_floor(claim: Claim) -> list[Check]:
    fleet = context.fleet(claim)
    if not fleet or fleet.claimed.value is None or fleet.floor.value is None:
        return []
    if fleet.floor.value <= fleet.claimed.bounds[1]:
        return []
    one = Known("count", fleet.claimed.value, *fleet.claimed.bounds, Basis.DECLARED, fleet.claimed.how)
    return [
        compare("count", one, Known("count", fleet.floor.value, *fleet.floor.bounds, Basis.DECLARED, "in evidence"))
    ]


def _against(claim: Claim) -> tuple[Knowledge, Known | None] | None:
    if not claim.against:
        return None
    base = base_of(load_claim(claim.against))
    return propagate(base.known), propagate(_to_hold(base), _STRAIGHT).known.get("mfu")


def _hint(
    claim: Claim, solutions: tuple[Solution, ...], needs: tuple[binding.Bind, ...], known: Mapping[str, Known]
) -> str:
    slowest = next((need for need in needs if need.binds), None)
    if slowest and claim.first("wall_time") is None and claim.first("gpu_hours") is None:
        ends = [
            f"{need.days.bounds[0]:.0f} to {need.days.bounds[1]:.0f} days by {need.resource}"
            for need in needs
            if need.days.value is not None and need.days.bounds[1] >= 1
        ]
        return f"It takes {', '.join(ends)}; the {slowest.resource} binds."
    for solution in solutions:
        if solution.assumed and solution.target in ("tokens", "gpu_hours") and not solution.stated:
            assumed = solution.assumed[0].removeprefix("assumed: ")
            return f"With {assumed}, it would be {span_of(solution)}."
    if "flops" in known and not {"gpu_hours", "count"} & set(known):
        return f"The work is {show('flops', known['flops'].value)}; nothing says on what, or for how long."
    return ""


def span_of(solution: Solution) -> str:
    """The interval of a solution, in words."""
    if solution.quantity.value is None:
        return "unknown"
    return span(SOLVABLE[solution.target], *solution.quantity.bounds)
