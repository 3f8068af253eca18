"""Budgets: arithmetic by hand, a simulated run of hours within 2%, and a real one of seconds."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_run import SFT, tiny_base, write_recipe_file  # noqa: E402

from clearseek.errors import UsageError, UserError  # noqa: E402
from clearseek.ledger.prices import Rates  # noqa: E402
from clearseek.ledger.quantity import declared  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe, with_budget  # noqa: E402
from clearseek.training.report.console import Screen  # noqa: E402
from clearseek.training.run.budget import Limits, Pace, fits, limits_of, scale_to_fit, usd_per_second  # noqa: E402
from clearseek.training.stages import sft  # noqa: E402
from clearseek.training.train import Outcome, train  # noqa: E402

RATES = Rates(machine_usd_per_hour=declared(0.36, "USD/h", "rent", 0.30, 0.72))


def test_money_becomes_time_at_the_highest_price_declared() -> None:
    assert usd_per_second(RATES, 2) == pytest.approx(0.0002)
    assert limits_of(None, 0.02, RATES, 2).seconds == pytest.approx(100.0)
    assert limits_of(1.0, 0.02, RATES, 2) == Limits(60.0, "the budget of 1 minutes")
    assert limits_of(9.0, 0.02, RATES, 2).why == "the budget of $0.02"
    assert limits_of(None, None, RATES, 2).seconds is None


def test_electricity_counts_where_it_is_declared() -> None:
    rates = Rates(
        machine_usd_per_hour=declared(0.36, "USD/h"),
        electricity_usd_per_kwh=declared(0.36, "USD/kWh"),
        watts=declared(100.0, "W"),
        watts_idle=declared(20.0, "W"),
    )
    assert usd_per_second(rates, 2) == pytest.approx(0.0001 + 0.00001)


def test_a_budget_of_money_without_a_price_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a price of this machine: no price is declared: set"):
        limits_of(None, 1.0, Rates(), 2)


def test_the_dial_makes_it_fit() -> None:
    assert scale_to_fit([100.0, 300.0], 100.0, 300.0) == pytest.approx(0.5)
    assert scale_to_fit([100.0], 100.0, 90.0) is None


@pytest.mark.parametrize("hours", [1.0, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_run_of_hours_ends_within_two_per_cent(hours: float, seed: int) -> None:
    """Steps of 25 s that vary by a fifth, a pause now and then, an end that takes as long as was thought within 10%."""
    rng = random.Random(seed)
    limits, pace, clock, kept = Limits(hours * 3600), Pace(), 120.0, 300.0
    while fits(limits, clock, pace.next(25.0), kept):
        step = 25.0 * rng.uniform(0.8, 1.2) * (1.5 if rng.random() < 0.02 else 1.0)
        pace.add(step)
        clock += step
    clock += kept * rng.uniform(0.9, 1.1)
    assert clock <= 1.02 * hours * 3600
    assert clock >= 0.96 * hours * 3600


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny")


def long_recipe(base: Path, folder: Path) -> Any:
    return read_recipe(write_recipe_file(folder, base, SFT.replace("steps = 5", "steps = 5000")))


@pytest.mark.slow
def test_a_real_run_stops_in_order_inside_its_budget_and_goes_on_with_a_larger_one(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, waited = sft.SftStage.step, 0.0

    def slow(self: Any, number: int) -> Any:
        nonlocal waited
        waited += 0.1
        return step(self, number)

    # A clock that stands still while others have the processor: the budget is held on a busy machine too, but not to
    # the tenth of a second.
    monkeypatch.setattr(time, "perf_counter", lambda: time.process_time() + waited)
    monkeypatch.setattr(sft.SftStage, "step", slow)
    recipe = long_recipe(base, tmp_path)
    began = time.perf_counter()
    done = train(with_budget(recipe, 0.15, None), tmp_path / "run", Screen(quiet=True))
    took = time.perf_counter() - began
    assert isinstance(done, Outcome)
    assert done.ended == "budget"
    assert done.done >= 3
    assert took <= 9.0 * 1.02 + 0.2  # the fifth of a second is the test's own
    assert (tmp_path / "run" / "receipt.json").exists()
    more = train(with_budget(recipe, 0.3, None), tmp_path / "run", Screen(quiet=True), resume=True)
    assert isinstance(more, Outcome)
    assert more.done > done.done
    assert more.seconds <= 18.0 * 1.02 + 0.4
    assert "test-after" in more.evaluations


def test_a_budget_too_small_for_one_step_is_told_before_anything_is_trained(base: Path, tmp_path: Path) -> None:
    recipe = long_recipe(base, tmp_path)
    with pytest.raises(UserError, match=r"The budget of 0.001 minutes is too small for one step"):
        train(with_budget(recipe, 0.001, None), tmp_path / "run", Screen(quiet=True))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert not (tmp_path / "run" / "status.json").exists()
