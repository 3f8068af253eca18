"""Quantities: the basis never gets stronger, the interval always holds the value, the unknown stays unknown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearseek.errors import UsageError
from clearseek.ledger.quantity import Basis, Quantity, declared, measured, modelled, total, unknown, weakest

NUMBERS = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-12)


@st.composite
def quantities(draw: st.DrawFn, unit: str = "s") -> Quantity:
    basis = draw(st.sampled_from(Basis))
    how = draw(st.text(max_size=20))
    if basis is Basis.UNKNOWN:
        return Quantity(None, unit, basis, how)
    ends = sorted(draw(st.lists(NUMBERS, min_size=3, max_size=3)))
    if draw(st.booleans()):
        return Quantity(ends[1], unit, basis, how)
    return Quantity(ends[1], unit, basis, how, ends[0], ends[2])


def holds(result: Quantity, parts: tuple[Quantity, ...]) -> None:
    if any(not part.known for part in parts):
        assert result.basis is Basis.UNKNOWN
        return
    if not result.known:  # only a division by what may be zero makes an unknown out of what is known
        return
    assert result.basis is weakest(*(part.basis for part in parts))
    low, high = result.bounds
    assert result.value is not None
    assert low <= result.value <= high


@given(quantities(), quantities("min"))
def test_sums_and_differences(one: Quantity, other: Quantity) -> None:
    holds(one + other, (one, other))
    holds(one - other, (one, other))
    assert (one + other).unit == "s"


@given(quantities("W"), quantities("s"))
def test_products_and_quotients(one: Quantity, other: Quantity) -> None:
    holds(one * other, (one, other))
    holds(one / other, (one, other))
    if one.known and other.known:
        assert math.isclose((one * other).to("J").value or 0, one.value * other.value, rel_tol=1e-9, abs_tol=1e-300)


@given(quantities(), quantities(), st.floats(0, 1), st.floats(0, 1))
def test_every_choice_within_the_intervals_lands_within_the_result(
    one: Quantity, other: Quantity, here: float, there: float
) -> None:
    if not (one.known and other.known):
        return
    a = one.bounds[0] + here * (one.bounds[1] - one.bounds[0])
    b = other.bounds[0] + there * (other.bounds[1] - other.bounds[0])
    for result, value in ((one + other, a + b), (one - other, a - b), (one * other, a * b)):
        low, high = result.bounds
        room = 1e-9 * max(1.0, abs(low), abs(high), abs(value))
        assert low - room <= value <= high + room


@given(quantities(), st.sampled_from(["ms", "min", "h", "d"]))
def test_another_unit_and_back(one: Quantity, unit: str) -> None:
    back = one.to(unit).to("s")
    assert back.basis is one.basis
    if one.value is not None:
        assert math.isclose(back.value or 0, one.value, rel_tol=1e-12)


@given(quantities())
def test_json_and_back(one: Quantity) -> None:
    assert Quantity.from_json(one.as_json()) == one


def test_a_total_is_as_good_as_its_worst_part() -> None:
    parts = [measured(1, "h"), modelled(30, "min"), declared(1800, "s", low=900, high=3600)]
    result = total(parts, "h")
    assert result.basis is Basis.DECLARED
    assert result.value == pytest.approx(2.0)
    assert result.bounds == pytest.approx((1.75, 2.5))
    assert total([*parts, unknown("s", "no clock")], "h").basis is Basis.UNKNOWN
    assert total([], "h") == measured(0, "h")


def test_dividing_by_what_may_be_zero_is_unknown() -> None:
    result = measured(1, "J") / measured(0.5, "s", low=-1, high=1)
    assert result.basis is Basis.UNKNOWN
    assert "zero" in result.how


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": 1.0, "unit": "s", "basis": "guessed"},
        {"value": None, "unit": "s", "basis": "measured"},
        {"value": 1.0, "unit": "s", "basis": "unknown"},
        {"value": "1", "unit": "s", "basis": "measured"},
        {"value": True, "unit": "s", "basis": "measured"},
        {"value": 1.0, "unit": "s", "basis": "measured", "low": 2.0, "high": 3.0},
        {"value": 1.0, "unit": "s", "basis": "measured", "low": 0.5},
        {"value": float("nan"), "unit": "s", "basis": "measured"},
        {"value": 1.0, "unit": "s", "basis": "measured", "colour": "red"},
        {"value": 1.0, "unit": 5, "basis": "measured"},
        {"unit": "s", "basis": "measured"},
        [1.0, "s"],
        None,
        "1 s",
    ],
)
def test_what_is_no_quantity(wrong: object) -> None:
    with pytest.raises(UsageError):
        Quantity.from_json(wrong)
