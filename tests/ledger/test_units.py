"""Units: what cancels, what does not go together, and what a wrong word is answered with."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearseek.errors import UsageError
from clearseek.ledger import units
from clearseek.ledger.quantity import measured

NAMES = st.sampled_from(
    ["s", "h", "d", "kWh", "J", "W", "USD", "token", "FLOP", "TFLOP", "chip", "chip*h", "FLOP/s", "B"]
)


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("h", "s", 3600),
        ("d", "h", 24),
        ("kWh", "J", 3.6e6),
        ("chip*d", "chip*h", 24),
        ("TFLOP/s", "FLOP/s", 1e12),
        ("USD/h", "USD/s", 1 / 3600),
        ("KiB", "B", 1024),
        ("kB", "B", 1000),
        ("t", "kg", 1000),
        ("a", "d", 365.25),
    ],
)
def test_factors(source: str, target: str, factor: float) -> None:
    assert units.factor(source, target) == pytest.approx(factor)


@given(NAMES, NAMES)
@settings(max_examples=60)
def test_a_product_divided_is_what_it_was(one: str, other: str) -> None:
    product, up = units.product(one, other)
    quotient, down = units.product(product, other, -1)
    assert units.same_dimension(quotient or "percent", one) or (quotient == "" and one == "")
    if quotient:
        assert up * down * units.factor(quotient, one) == pytest.approx(1)


@pytest.mark.parametrize(
    ("one", "other"), [("h", "USD"), ("W", "J"), ("chip*h", "h"), ("token", "parameter"), ("g", "B")]
)
def test_what_does_not_go_together(one: str, other: str) -> None:
    with pytest.raises(units.BadUnit, match="measure different things"):
        units.factor(one, other)
    with pytest.raises(UsageError):
        measured(1, one) + measured(1, other)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("hous", "h"),
        ("usd", "USD"),
        ("hrs", "h"),
        ("kwh", "kWh"),
        ("gpu-hours", "chip*h"),
        ("GPU*h", "chip*h"),
        ("$", "USD"),
        ("TFLOPS", "TFLOP/s"),
        ("Days", "d"),
        ("tokns", "token"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(wrong: str, meant: str) -> None:
    with pytest.raises(units.BadUnit, match="did you mean") as caught:
        units.factor(wrong, "s")
    assert f"`{meant}`" in str(caught.value)


@pytest.mark.parametrize(
    "wrong", ["xyzzy", "h**99999999", "h**2**9**9", "(h**9)**9", "(" * 5000, "1e400*h", "os.system", "\0"]
)
def test_nothing_that_is_typed_here_is_run_or_takes_long(wrong: str) -> None:
    with pytest.raises(units.BadUnit):
        units.factor(wrong, "s")


def test_pint_is_not_imported_before_it_is_needed() -> None:
    code = """
import sys
from clearseek.ledger.quantity import measured
measured(1, "s") + measured(2, "s")
print("pint" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
