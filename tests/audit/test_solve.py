"""Solving: numbers made from known ones are found again, intervals hold them, contradictions are seen."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearseek.audit import examine, load_claim, solve
from clearseek.audit.claim import read_claim
from clearseek.audit.known import base_of
from clearseek.audit.relations import RELATIONS, Relation
from clearseek.audit.solve import AGREES, CONTRADICTS, DIFFERS, Known, compare, propagate, sample, ways
from clearseek.errors import UsageError
from clearseek.ledger.quantity import Basis

PEAK = 989e12


def known(name: str, value: float, low: float | None = None, high: float | None = None, **more: object) -> Known:
    return Known(name, value, low or value, high or value, Basis.DECLARED, "given", provenance="primary", **more)  # type: ignore[arg-type]


runs = st.fixed_dictionaries({
    "count": st.floats(8, 1e5),
    "wall_time": st.floats(10, 1e4),
    "price": st.floats(0.5, 10),
    "mfu": st.floats(0.06, 0.7),
    "flops_per_token": st.floats(1e9, 1e13),
})  # fmt: skip


def whole(run: dict[str, float]) -> dict[str, float]:
    """Every number of a run that is consistent by construction."""
    hours = run["count"] * run["wall_time"]
    work = hours * 3600 * PEAK * run["mfu"]
    tokens = work / run["flops_per_token"]
    return {
        **run,
        "peak": PEAK,
        "gpu_hours": hours,
        "usd": hours * run["price"],
        "flops": work,
        "tokens": tokens,
        "tokens_per_day": tokens / run["wall_time"] * 24,
    }


@given(runs, st.sampled_from(["gpu_hours", "tokens", "count", "wall_time", "usd", "mfu", "price"]))
def test_a_hidden_number_is_found_again(run: dict[str, float], target: str) -> None:
    numbers = whole(run)
    found = ways([known(name, value) for name, value in numbers.items() if name != target], target)
    assert found
    for way in found:
        assert way.value == pytest.approx(numbers[target], rel=1e-9)


@given(runs)
def test_consistent_numbers_agree_and_one_doubled_does_not(run: dict[str, float]) -> None:
    numbers = whole(run)
    given_ = [known(name, value) for name, value in numbers.items()]
    assert all(check.state == AGREES for check in propagate(given_).checks)
    assert propagate(given_).checks
    doubled = [known(item.name, item.value * 2 if item.name == "usd" else item.value) for item in given_]
    wrong = [check for check in propagate(doubled).checks if check.state != AGREES]
    assert [check.name for check in wrong] == ["usd"]
    assert wrong[0].state == CONTRADICTS


@given(runs, st.floats(1.01, 1.3))
def test_an_interval_holds_every_value_that_its_inputs_allow(run: dict[str, float], spread: float) -> None:
    numbers = whole(run)
    base = [
        known(name, numbers[name], numbers[name] / spread, numbers[name] * spread)
        for name in ("tokens", "flops_per_token", "count", "wall_time")
    ]
    knowledge = propagate([*base, known("peak", PEAK)])
    drawn = sample(knowledge, "mfu", size=500)
    goodput = knowledge.known["mfu"]
    assert drawn.min() >= goodput.low * (1 - 1e-9)
    assert drawn.max() <= goodput.high * (1 + 1e-9)
    assert goodput.low <= numbers["mfu"] <= goodput.high


@given(runs)
@settings(max_examples=25)
def test_the_order_of_what_is_known_does_not_matter(run: dict[str, float]) -> None:
    numbers = whole(run)
    names = ["tokens", "flops_per_token", "count", "wall_time", "price", "peak"]
    there = propagate([known(name, numbers[name]) for name in names]).known
    back = propagate([known(name, numbers[name]) for name in reversed(names)]).known
    assert {n: k.value for n, k in there.items()} == pytest.approx({n: k.value for n, k in back.items()})


def test_a_relation_that_says_nothing_new_is_no_second_way() -> None:
    """MFU from tokens/s and MFU from tokens and time are the same sum written twice."""
    numbers = whole({"count": 64, "wall_time": 100, "price": 2, "mfu": 0.4, "flops_per_token": 1e11})
    base = [known(n, numbers[n]) for n in ("tokens", "flops_per_token", "count", "wall_time", "peak")]
    assert propagate(base).checks == []
    assert len(propagate(base).known) > len(base) + 4


def test_states_of_a_check() -> None:
    exact = known("usd", 100.0)
    assert compare("usd", exact, known("usd", 101.0)).state == AGREES
    assert compare("usd", exact, known("usd", 120.0)).state == DIFFERS
    assert compare("usd", exact, known("usd", 200.0)).state == CONTRADICTS
    assert compare("usd", exact, known("usd", 200.0, 90.0, 300.0)).state == AGREES


def test_every_relation_has_units_that_fit() -> None:
    """In the units of variables.py, both sides of each relation measure the same thing."""
    from clearseek.audit.words import unit_of
    from clearseek.ledger import units

    registry = units._registry()

    def dimension(name: str):  # type: ignore[no-untyped-def]
        text = unit_of(name)
        return registry.Quantity(1.0, units._parsed(text)) if text else registry.Quantity(1.0)

    for relation in RELATIONS:
        product = registry.Quantity(1.0)
        for name, power in relation.exponents.items():
            product = product * dimension(name) ** power
        # chips cancel by hand: a peak and a power are those of one chip, and say so in words only
        left = {str(k): v for k, v in product.dimensionality.items() if str(k) != "[chip]" and v}
        assert left == {}, f"{relation.name}: {left}"
        # what the units of the right side are of the left side's is the relation's constant
        assert float(product.to_base_units().magnitude) == pytest.approx(relation.constant, rel=1e-9), relation.name


def test_ten_thousand_draws_take_less_than_a_second_and_a_seed_repeats_them() -> None:
    claim = load_claim("gpt-4")
    examine(claim)
    began = time.process_time()
    one = examine(claim, seed=7, draws=10_000)
    assert time.process_time() - began < 1.0
    assert one.verdict.shares == examine(claim, seed=7, draws=10_000).verdict.shares
    assert one.verdict.shares != examine(claim, seed=8, draws=10_000).verdict.shares
    assert sum(one.verdict.shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", ["uniform", "loguniform", "triangular", "normal", "lognormal"])
def test_distributions_lie_where_they_should(shape: str) -> None:
    item = known("tokens", 2e12, 1e12, 4e12, distribution=shape)
    drawn = sample(propagate([item]), "tokens", size=20_000)
    inside = float(np.mean((drawn >= 1e12) & (drawn <= 4e12)))
    assert inside == pytest.approx(0.9 if "normal" in shape else 1.0, abs=0.01)
    assert (drawn > 0).all()


def test_draws_are_bounded() -> None:
    with pytest.raises(UsageError, match="Between 0 and"):
        examine(load_claim("gpt-4"), draws=10**9)


def test_solving_sets_the_claims_own_figure_aside() -> None:
    v3 = load_claim("deepseek-v3-pretraining")
    hours = solve(v3, "gpu_hours")
    assert hours.stated
    assert hours.quantity.value == pytest.approx(2.664e6, rel=0.005)
    days = solve(v3.without("tokens_per_day"), "days")
    assert days.quantity.value == pytest.approx(2.664e6 / 2048, rel=1e-3)
    with pytest.raises(UsageError, match="solved for gpu_hours"):
        solve(v3, "happiness")


def test_gpu_hours_from_tokens_a_day() -> None:
    """272.8B tokens a day on 2,048 chips are 2.664M chip-hours within 0.5%."""
    v3 = load_claim("deepseek-v3-pretraining").without("usd")
    found = [way for way in ways(base_of(v3).known, "gpu_hours") if "wall_time" in way.inputs]
    assert found[0].value == pytest.approx(2.664e6, rel=0.005)


def test_what_cannot_be_solved_says_what_is_missing() -> None:
    oss = solve(load_claim("gpt-oss-120b"), "count")
    assert oss.quantity.value is None
    assert oss.formula.startswith("nothing in the claim leads to it; wall time would")


def test_assumptions_are_made_last_and_named() -> None:
    oss = solve(load_claim("gpt-oss-120b"), "tokens")
    assert oss.assumed
    assert "15 % to 40 %" in oss.assumed[0]
    assert not solve(load_claim("deepseek-v3-pretraining"), "tokens").assumed
    bare = read_claim(
        {"model": {"parameters": "70B"}, "data": {"tokens": "15T"}, "hardware": {"chip": "H100-SXM"}}, "x"
    )
    hours = solve(bare, "gpu_hours")
    assert "20% to 55%" in hours.assumed[0]
    low, high = hours.quantity.bounds
    assert low == pytest.approx(6 * 69.5e9 * 14.5e12 / 3600 / 989e12 / 0.55, rel=1e-6)
    assert high == pytest.approx(6 * 70.5e9 * 15.5e12 / 3600 / 989e12 / 0.20, rel=1e-6)


def test_numbers_that_are_not_above_zero_agree_where_their_intervals_meet() -> None:
    loss = known("serving_margin", -10.0, -12.0, -8.0)
    assert compare("serving_margin", loss, known("serving_margin", -9.0, -9.5, -8.5)).state == AGREES
    assert compare("serving_margin", loss, known("serving_margin", -8.0, -9.0, 5.0)).state == AGREES
    for apart in (known("serving_margin", -20.0, -21.0, -19.0), known("serving_margin", 5.0, 4.0, 6.0)):
        check = compare("serving_margin", loss, apart)
        assert (check.state, check.off) == (CONTRADICTS, -1.0)


def test_what_follows_in_two_ways_follows_by_the_earlier_relation() -> None:
    """`b` is needed by the first relation and comes of the second; then the first is asked again before the third."""
    relations = (
        Relation("plain", "c", 1.0, {"a": 1, "b": 1}, "c = a x b"),
        Relation("first", "b", 1.0, {"d": 1}, "b = d"),
        Relation("long", "c", 2.0, {"d": 1}, "c = 2 d"),
    )
    found = propagate([known("a", 2.0), known("d", 3.0)], relations)
    assert found.known["c"].relation == relations[0]
    assert found.known["c"].value == 6.0
    assert [check.state for check in found.checks] == [AGREES]


def test_where_there_is_no_goodput_what_moves_the_answer_rests_on_the_assumed_one() -> None:
    swings = examine(load_claim("gpt-oss-120b"), draws=0).swings
    assert [swing.name for swing in swings][:1] == ["mfu"]
    assert swings[0].width > 1.0
