"""From what is known to what follows: derivations that can be shown, and checks of what is known in two ways."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clearseek.audit.relations import RELATIONS, Relation
from clearseek.ledger.quantity import Basis, weakest

AGREES, DIFFERS, CONTRADICTS = "agrees", "differs", "contradicts"
_CLOSE = 0.02
_APART = 1.5
"""Two ways to one number may differ by 2% without a word, and by this factor before they contradict each other: in
between, people round, leave out restarts, or mean slightly different things."""


@dataclass(frozen=True)
class Known:
    """A number, its interval, and how it came: stated, or by `relation` from `inputs`."""

    name: str
    value: float
    low: float
    high: float
    basis: Basis
    how: str
    relation: Relation | None = None
    inputs: tuple[str, ...] = ()
    provenance: str = ""
    assumed: bool = False
    distribution: str = "uniform"

    @property
    def spread(self) -> float:
        """How wide the interval is: the ratio of its ends."""
        return self.high / self.low


@dataclass(frozen=True)
class Check:
    """One variable, known as `one` and as `other`. `off` is other/one; -1 where one of them is below zero."""

    name: str
    one: Known
    other: Known
    state: str
    off: float


@dataclass
class Knowledge:
    """Everything known so far, and the checks that came of knowing some of it twice."""

    known: dict[str, Known]
    checks: list[Check] = field(default_factory=list)

    def roots(self, name: str) -> tuple[float, dict[str, float]]:
        """`name` as a constant times powers of what was not derived: `(constant, powers)`."""
        item = self.known[name]
        if item.relation is None:
            return 1.0, {name: 1.0}
        constant, powers = monomial(item.relation, name)
        whole: dict[str, float] = {}
        for variable, power in powers.items():
            inner, factors = self.roots(variable)
            constant *= inner**power
            for root, exponent in factors.items():
                whole[root] = whole.get(root, 0.0) + exponent * power
        return constant, {root: power for root, power in whole.items() if power}


def monomial(relation: Relation, name: str) -> tuple[float, dict[str, float]]:
    """The relation, solved for one of its variables: `name = constant x product(variable ** power)`."""
    exponents = relation.exponents
    own = -exponents.pop(name)
    return relation.constant ** (1 / own), {variable: power / own for variable, power in exponents.items()}


def apply(relation: Relation, name: str, known: Mapping[str, Known]) -> Known:
    """`name` by one relation, from the others in it, which are known. The interval is the widest there can be."""
    constant, powers = monomial(relation, name)
    value, low, high = constant, constant, constant
    for variable, power in powers.items():
        item = known[variable]
        value *= item.value**power
        low *= (item.low if power > 0 else item.high) ** power
        high *= (item.high if power > 0 else item.low) ** power
    inputs = tuple(powers)
    basis = weakest(Basis.MEASURED, *(known[i].basis for i in inputs))
    # a product of declared numbers is as good as they are; nothing computed is better than modelled
    basis = weakest(basis, Basis.MODELLED)
    assumed = any(known[i].assumed for i in inputs)
    return Known(name, value, min(low, value), max(high, value), basis, relation.text, relation, inputs, "", assumed)


def propagate(base: Iterable[Known], relations: Iterable[Relation] = RELATIONS) -> Knowledge:
    """Everything that follows from `base`, and a check for every number that follows in a second, independent way."""
    knowledge = Knowledge({item.name: item for item in base})
    left = list(relations)
    used: list[Relation] = []
    progress = True
    while progress and left:
        progress = False
        for relation in list(left):
            missing = [name for name in relation.variables if name not in knowledge.known]
            if len(missing) > 1:
                continue
            left.remove(relation)
            if missing:
                knowledge.known[missing[0]] = apply(relation, missing[0], knowledge.known)
            elif not _follows(relation, used):
                knowledge.checks.append(_checked(relation, knowledge.known))
            else:
                continue
            used.append(relation)
            progress = True
            break  # from the first again: earlier relations are the plainer ones
    return knowledge


def compare(name: str, one: Known, other: Known) -> Check:
    """Two numbers that should be the same."""
    if min(one.value, other.value) <= 0:  # a margin can be a loss, and has no ratio to a gain then
        meets = one.low <= other.high and other.low <= one.high
        return Check(name, one, other, AGREES if meets else CONTRADICTS, 1.0 if meets else -1.0)
    off = other.value / one.value
    if (one.low <= other.high and other.low <= one.high) or abs(math.log(off)) <= math.log1p(_CLOSE):
        state = AGREES
    else:
        # what is left between the intervals, not between the middles
        gap = one.low / other.high if other.high < one.low else other.low / one.high
        state = CONTRADICTS if gap > _APART else DIFFERS
    return Check(name, one, other, state, off)


def _checked(relation: Relation, known: Mapping[str, Known]) -> Check:
    """Of the variables of a relation whose all are known, one that was stated, against what the others make of it."""
    stated = [name for name in relation.variables if known[name].relation is None and not known[name].assumed]
    # what nobody stated but a table or a formula gave is the other side's, not the one to be doubted
    doubted = [name for name in stated if known[name].provenance not in ("", "derived")] or stated
    name = doubted[0] if doubted else relation.subject
    return compare(name, known[name], apply(relation, name, known))


def _follows(relation: Relation, used: list[Relation]) -> bool:
    """Whether a relation says nothing that those used do not say together."""
    if not used:
        return False
    names = sorted({name for one in (*used, relation) for name in one.variables})
    rows = np.array([[one.exponents.get(name, 0) for name in names] for one in (*used, relation)], dtype=float)
    return bool(np.linalg.matrix_rank(rows) == np.linalg.matrix_rank(rows[:-1]))


def ways(base: Iterable[Known], target: str, relations: Iterable[Relation] = RELATIONS) -> list[Known]:
    """Every way to `target` that does not start from it, the narrowest interval first, with what they rest on."""
    others = [item for item in base if item.name != target]
    without = propagate(others, [r for r in relations if target not in r.variables])
    results = [
        apply(relation, target, without.known)
        for relation in relations
        if target in relation.variables and all(name in without.known for name in relation.variables if name != target)
    ]
    return sorted(results, key=lambda item: item.spread)


def draws(item: Known, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Values that a number may have, `size` of them."""
    low, high, value = item.low, item.high, item.value
    if high <= low:
        return np.full(size, value)
    if item.distribution == "loguniform":
        return np.exp(rng.uniform(math.log(low), math.log(high), size))
    if item.distribution == "triangular":
        return rng.triangular(low, value, high, size)
    if item.distribution == "normal":
        made = rng.normal((low + high) / 2, (high - low) / (2 * 1.6449), size)
        return np.maximum(made, low * 1e-3)
    if item.distribution == "lognormal":
        middle, sigma = (math.log(low) + math.log(high)) / 2, (math.log(high) - math.log(low)) / (2 * 1.6449)
        return np.exp(rng.normal(middle, sigma, size))
    return rng.uniform(low, high, size)


def sample(knowledge: Knowledge, name: str, *, seed: int = 0, size: int = 10_000) -> NDArray[np.float64]:
    """`size` values that `name` may have, when what it rests on is drawn from its intervals; the same for one seed."""
    constant, powers = knowledge.roots(name)
    rng = np.random.default_rng(seed)
    values = np.full(size, constant)
    for root in sorted(powers):
        values *= draws(knowledge.known[root], rng, size) ** powers[root]
    return values
