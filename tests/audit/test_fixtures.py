"""Every shipped claim and its verdict; the worked examples, number by number; the two sides of the dispute."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from clearseek.audit import examine, library, load_claim
from clearseek.audit.bands import BANDS, STATUSES, band_of
from clearseek.audit.binding import bytes_per_token
from clearseek.audit.compare import refuse, side_by_side
from clearseek.audit.examine import Examination
from clearseek.audit.words import amount
from clearseek.errors import UsageError

VERDICTS = {
    "deepseek-67b": "plausible",
    "deepseek-r1-rl": "consistent",
    "deepseek-r1-sft-data": "consistent",
    "deepseek-r1-total": "consistent",
    "deepseek-r1-zero": "consistent",
    "deepseek-serving-day": "consistent",
    "deepseek-v2": "plausible",
    "deepseek-v3-context-extension": "plausible",
    "deepseek-v3-pretraining": "plausible",
    "deepseek-v3-total": "plausible",
    "falcon-180b": "plausible",
    "fifty-thousand-h100": "scope-mismatch",
    "fifty-thousand-hoppers": "scope-mismatch",
    "glm-4.5": "underdetermined",
    "gpt-3-175b": "incomplete",
    "gpt-4": "plausible",
    "gpt-oss-120b": "underdetermined",
    "gpt-oss-20b": "underdetermined",
    "h800-taken-as-pcie": "plausible",
    "jetmoe-8b": "incomplete",
    "kimi-k2": "underdetermined",
    "llama-1-65b": "plausible",
    "llama-2-70b": "plausible",
    "llama-2-7b": "plausible",
    "llama-3.1-405b": "plausible",
    "llama-3.1-70b": "plausible",
    "llama-3.1-8b": "incomplete",
    "llama-3.2-1b": "incomplete",
    "llama-3.3-70b": "inconsistent",
    "llama-4-maverick": "plausible",
    "qwen3-235b-a22b": "underdetermined",
    "smollm3-3b": "plausible",
    "ten-thousand-a100": "underdetermined",
}


def examined(name: str, **changes: object) -> Examination:
    return examine(load_claim(name, changes=changes), draws=0)


def line(e: Examination, name: str) -> float:
    value = next(item.quantity.value for item in e.lines if item.name == name)
    assert value is not None
    return value


def share(e: Examination, counting: str, peak: float = 989e12) -> float:
    return next(c.goodput for c in e.conventions if c.counting == counting and c.peak_value == peak)


def test_every_claim_has_its_verdict_here() -> None:
    assert set(VERDICTS) == set(library.names())


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str) -> None:
    e = examined(name)
    assert e.verdict.status == VERDICTS[name], e.verdict.headline
    assert e.says_no == (VERDICTS[name] == "inconsistent")
    json.dumps(e.as_json(), allow_nan=False)


@pytest.mark.parametrize("name", VERDICTS)
def test_every_stated_number_says_where_it_comes_from(name: str) -> None:
    for statements in load_claim(name).stated.values():
        for reported in statements:
            assert reported.source, f"{name}: {reported.variable.path}"


def test_the_whole_folder_in_five_seconds() -> None:
    began = time.process_time()
    for name in library.names():
        examine(load_claim(name))
    assert time.process_time() - began < 5


def test_v3_pretraining() -> None:
    """Published: 38.94% causal, 43.73% non-causal. By hand: 34.6, 39.1, 43.9; 19.5 of FP8, 51.1 of the PCIe card."""
    e = examined("deepseek-v3-pretraining")
    assert share(e, "causal") == pytest.approx(0.3894, rel=0.005)
    assert share(e, "non-causal") == pytest.approx(0.4373, rel=0.005)
    assert share(e, "6ND") == pytest.approx(0.346, rel=0.005)
    assert share(e, "causal", 1979e12) == pytest.approx(0.195, rel=0.005)
    assert share(e, "causal", 756e12) == pytest.approx(0.511, rel=0.005)
    per_chip = {c.counting: c.tflops_per_chip for c in e.conventions if c.peak_value == 989e12}
    assert per_chip["6ND"] == pytest.approx(342.6, rel=2e-3)
    assert per_chip["causal"] == pytest.approx(386.5, rel=2e-3)
    assert per_chip["non-causal"] == pytest.approx(433.9, rel=2e-3)
    assert line(e, "flops") == pytest.approx(3.707e24, rel=1e-3)
    assert all(check.state == "agrees" for check in e.checks)
    hours = next(check for check in e.checks if check.name == "gpu_hours")
    assert hours.ratio == pytest.approx(2.667 / 2.664, rel=1e-3)


def test_v3_steps_and_their_tokens_fit() -> None:
    """15,360 sequences of 4,096 tokens a step, as the report says, follow from tokens a day and the time of a step."""
    assert line(examined("deepseek-v3-pretraining"), "batch") == pytest.approx(15360 * 4096, rel=1e-3)


def test_chips_for_a_deadline() -> None:
    chips = {round(d.days, 2): d.chips.value for d in examined("deepseek-v3-pretraining").deadlines}
    assert chips[30.0] == pytest.approx(3700, rel=1e-3)
    assert chips[54.25] == pytest.approx(2046, rel=1e-3)
    assert chips[60.0] == pytest.approx(1850, rel=1e-3)


def test_v3_is_not_bound_by_its_network() -> None:
    """400 Gb/s a GPU allow about 5,000 tokens/s a GPU against 1,542 achieved."""
    e = examined("deepseek-v3-pretraining")
    network = next(b for b in e.binds if b.resource == "network")
    assert not network.binds
    assert "to 5,011 tokens/s a chip (1,542 claimed)" in network.words
    assert next(b for b in e.binds if b.binds).resource == "arithmetic"


def test_context_extension_fails_by_6nd_and_passes_with_attention() -> None:
    e = examined("deepseek-v3-context-extension")
    assert share(e, "6ND") == pytest.approx(0.066, rel=0.01)
    assert band_of(share(e, "6ND")).status == "incomplete"
    assert share(e, "causal") == pytest.approx(0.248, rel=0.005)
    assert e.verdict.status == "plausible"


def test_carbon_of_llama_33() -> None:
    """7.0M h x 700 W are 4.9 GWh; 12.9 t are 0.0026 kg/kWh, about 158 times less than the sibling card's."""
    e = examined("llama-3.3-70b")
    assert line(e, "energy") == pytest.approx(4.9e6)
    carbon = next(check for check in e.checks if check.name == "co2")
    assert carbon.ratio == pytest.approx(158, rel=0.01)
    assert "158 times apart" in e.verdict.headline
    # without the sibling's figure, the grid that it implies is cleaner than any
    alone = examine(load_claim("llama-3.3-70b").without("intensity"), draws=0)
    implied = next(check for check in alone.checks if check.name == "intensity")
    assert implied.state == "contradicts"
    assert line(alone, "intensity") == pytest.approx(2.6, rel=0.02)
    assert not examine(load_claim("llama-3.1-70b"), draws=0).says_no


def test_llama_1_energy_and_carbon_fit() -> None:
    states = {check.name: check.state for check in examined("llama-1-65b").checks}
    assert states["energy"] == states["co2"] == "agrees"


def test_llama_32_1b_was_distilled() -> None:
    e = examined("llama-3.2-1b")
    assert share(e, "6ND") == pytest.approx(0.050, rel=0.02)
    assert "teacher" in e.verdict.why
    assert any("Distilled" in warning for warning in e.warnings)


def test_gpt_oss_120b_is_solved_for_tokens() -> None:
    """15 to 40% of the peak imply 36 to 97 trillion tokens."""
    solved = next(s for s in examined("gpt-oss-120b").solved if s.target == "tokens")
    low, high = solved.quantity.bounds
    assert low == pytest.approx(36e12, rel=0.03)
    assert high == pytest.approx(97e12, rel=0.03)


def test_h800_taken_as_pcie_is_a_trap_that_is_told() -> None:
    e = examined("h800-taken-as-pcie")
    assert any("756 TFLOP/s is the peak of the H800-PCIe" in warning for warning in e.warnings)
    assert share(e, "causal", 756e12) == pytest.approx(0.511, rel=0.005)
    assert e.verdict.goodput.value == pytest.approx(0.391, rel=0.005)


def test_r1_four_days_are_not_eighty_hours() -> None:
    e = examined("deepseek-r1-rl")
    assert any("80 h and also as 96 h (+20%)" in warning for warning in e.warnings)
    assert e.verdict.status == "consistent"


def test_r1_sums() -> None:
    total = load_claim("deepseek-r1-total").first("gpu_hours")
    parts = [load_claim(f"deepseek-r1-{n}").first("gpu_hours") for n in ("zero", "rl", "sft-data")]
    assert total
    assert sum(part.quantity.value for part in parts if part) == pytest.approx(total.quantity.value)
    zero = examined("deepseek-r1-zero")
    assert line(zero, "tokens") == pytest.approx(42.6e9, rel=2e-3)
    # a node of eight: 934 tokens/s, 6.3% of what such a node writes in production
    assert 8 * line(zero, "tokens_per_second_per_chip") == pytest.approx(934, rel=5e-3)


def test_serving_day() -> None:
    e = examined("deepseek-serving-day")
    assert line(e, "serving_input_nodes") == pytest.approx(95.5, rel=1e-3)
    assert line(e, "serving_output_nodes") == pytest.approx(131.4, rel=1e-3)
    assert {check.name for check in e.checks} >= {"serving_nodes", "serving_usd", "serving_revenue", "serving_margin"}
    assert all(check.state == "agrees" for check in e.checks)


def test_ten_thousand_a100() -> None:
    """25, 36, 45% are 55.0, 38.2, 30.6 days by arithmetic; 10 to 13.3 MB a token over 3.1 GB/s are 55 to 73."""
    e = examined("ten-thousand-a100")
    days = {b.resource: b.days for b in e.binds}
    assert days["arithmetic"].value == pytest.approx(38.2, rel=2e-3)
    assert days["arithmetic"].bounds == pytest.approx((30.6, 55.0), rel=2e-3)
    assert days["network"].bounds == pytest.approx((54.7, 72.9), rel=5e-3)
    low, high = bytes_per_token(e.claim).bounds
    assert (low / 1e6, high / 1e6) == pytest.approx((10.0, 13.3), rel=5e-3)
    assert next(b for b in e.binds if b.binds).resource == "network"
    assert "does not make it false" in e.verdict.why
    assert "55 to 73 days by network" in e.verdict.why


def test_fifty_thousand() -> None:
    """All H100: 2.23 days, and 24 times V3 in its time; the mix: 4.55 days and 11.9 times. At least 2,224, no sum."""
    mixed = 10_000 * 989e12 + 10_000 * 989e12 + 30_000 * 148e12
    for name, days, times, peaks in (
        ("fifty-thousand-h100", 2.23, 24.3, 50_000 * 989e12),
        ("fifty-thousand-hoppers", 4.55, 11.9, mixed),
    ):
        e = examined(name)
        run, capacity = e.scenarios
        assert run.amount.value == pytest.approx(days, rel=0.01)
        assert capacity.amount.value
        assert capacity.amount.value / 3.707e24 == pytest.approx(times, rel=0.015)
        assert e.fleet
        assert e.fleet.floor.value == 2224
        assert e.fleet.capacity.value == pytest.approx(peaks)
        assert e.fleet.ceiling.value is None
        assert "not identifiable" in e.fleet.ceiling.how
        assert "neither refutes the other" in e.verdict.why


def test_a_fleet_smaller_than_what_is_in_evidence_contradicts_itself() -> None:
    e = examined("fifty-thousand-h100")
    assert e.claim.fleet
    from dataclasses import replace

    from clearseek.audit.numbers import read
    from clearseek.audit.variables import VARIABLES

    small = replace(e.claim, fleet=(replace(e.claim.fleet[0], count=read(VARIABLES["count"], "500")),))
    assert examine(small, draws=0).verdict.status == "inconsistent"


def test_a_run_and_a_fleet_are_not_compared() -> None:
    with pytest.raises(UsageError, match="neither can refute the other"):
        side_by_side(load_claim("deepseek-v3-total"), load_claim("fifty-thousand-h100"))
    assert refuse(load_claim("deepseek-serving-day"), load_claim("deepseek-v3-total"))
    rows = {row.name: row for row in side_by_side(load_claim("deepseek-v3-total"), load_claim("llama-3.1-405b")).rows}
    assert rows["flops"].ratio == "x 10.3"
    fleets = side_by_side(load_claim("fifty-thousand-h100"), load_claim("fifty-thousand-hoppers"))
    assert fleets.rows[1].ratio == "x 1"


def test_bands_cover_everything_once() -> None:
    assert [band.low for band in BANDS] == [0, 0.05, 0.20, 0.55, 0.75]
    assert all(one.high == other.low for one, other in itertools.pairwise(BANDS))
    assert {band.status for band in BANDS} <= set(STATUSES)


@pytest.mark.parametrize(
    ("hours", "status"),
    [("1.0M h", "impossible"), ("1.6M h", "extraordinary"), ("3M h", "plausible"), ("8M h", "incomplete"),
     ("40M h", "inconsistent")],
)  # fmt: skip
def test_each_band_is_reached_by_the_hours_alone(hours: str, status: str) -> None:
    claim = load_claim("deepseek-v3-pretraining", changes={"run.gpu_hours": hours})
    for name in ("usd", "price", "tokens_per_day", "step_time", "mfu", "mfu_non_causal"):
        claim = claim.without(name)
    assert examine(claim, draws=0).verdict.status == status


def test_dates_and_prices_belong_together() -> None:
    costs = {cost.what: cost for cost in examined("deepseek-v3-total").costs}
    assert costs["at the price the claim gives"].whole.value == pytest.approx(5.576e6)
    development = next(cost for name, cost in costs.items() if "research" in name)
    low, high = development.whole.bounds
    assert (low / 5.576e6, high / 5.576e6) == pytest.approx((1.5, 5.6), rel=5e-3)
    undated = examined("deepseek-v3-total")
    from dataclasses import replace

    costs = {cost.what: cost for cost in examine(replace(undated.claim, date=None), draws=0).costs}
    assert costs["rented"].whole.value is None
    assert "has no date" in costs["rented"].whole.how


def test_legality_is_context_with_dates() -> None:
    told = " ".join(examined("fifty-thousand-hoppers").legality)
    assert "2023-10-17" in told
    assert "are not told apart by any number" in told
    assert not examined("llama-2-7b").legality


def test_the_input_that_moves_the_verdict_most_comes_first() -> None:
    e = examined("deepseek-v3-pretraining")
    assert [swing.width for swing in e.swings] == sorted((swing.width for swing in e.swings), reverse=True)
    assert e.swings[0].name == "peak"
    assert e.swings[0].crosses
    wide = examined("gpt-4")
    assert wide.swings[0].name == "flops"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.005, "$0.005"), (0.5, "$0.50"), (9_999.0, "$9,999.00"), (50_000.0, "$50,000"), (5.576e6, "$5.576M")],
)
def test_money_is_shown_at_a_size_that_reads_well_and_never_as_nothing(value: float, shown: str) -> None:
    assert amount(value, "USD") == shown


def test_the_words_of_a_band_stand_whole_in_the_verdict() -> None:
    e = examined("deepseek-v3-pretraining")
    assert e.verdict.goodput.value
    words = band_of(e.verdict.goodput.value).words
    assert f"{words[0].upper()}{words[1:]}." in e.verdict.why
