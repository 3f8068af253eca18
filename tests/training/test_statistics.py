"""Intervals and tests of differences: against published figures, by hand, and by simulation."""

from __future__ import annotations

import itertools
import random

import pytest

from clearseek.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    combined,
    mcnemar,
    paired_bootstrap,
    pass_at_k,
    wilson,
)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    mirrored = wilson(n - right, n)
    assert mirrored.low == pytest.approx(1 - found.high)
    assert mirrored.high == pytest.approx(1 - found.low)


def test_wilson_holds_the_share_even_at_the_ends() -> None:
    for n in (1, 2, 7, 200):
        for right in range(n + 1):
            found = wilson(right, n)
            assert 0 <= found.low <= found.value <= found.high <= 1
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)


def test_pass_at_k_counts_the_draws_that_hold_a_right_one() -> None:
    for n in range(1, 7):
        for right in range(n + 1):
            for k in range(1, n + 1):
                draws = list(itertools.combinations(range(n), k))
                hits = sum(any(one < right for one in draw) for draw in draws)
                assert pass_at_k(n, right, k) == pytest.approx(hits / len(draws))
    with pytest.raises(ValueError, match="pass@3"):
        pass_at_k(2, 1, 3)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(5, 0) == mcnemar(0, 5)
    assert mcnemar(1, 9) == pytest.approx(2 * (1 + 10) / 1024)
    assert mcnemar(4, 4) == 1.0
    assert 0 < mcnemar(900, 1100) < 1e-4


def test_the_bootstrap_is_the_same_from_the_same_seed_and_near_theory() -> None:
    draw = random.Random(1)
    groups = [[float(draw.random() < share) for _ in range(200)] for share in (0.2, 0.5, 0.8)]
    first, again, other = (bootstrap_mean(groups, seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    means = [sum(group) / 200 for group in groups]
    error = (sum(p * (1 - p) / 200 for p in means)) ** 0.5 / 3
    assert first.value == pytest.approx(sum(means) / 3)
    assert first.high - first.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_the_bootstrap_is_not_different_where_numpy_is() -> None:
    """Pinned: raw bits of PCG64 are promised to stay, whatever numpy does to its distributions."""
    found = bootstrap_mean([[0.0, 0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.25]], 7, resamples=50)
    assert (found.value, found.low, found.high) == pytest.approx(PINNED)


PINNED = (0.5083333333333333, 0.20937500000000006, 0.775)


def test_pairs_make_a_difference_sure_that_two_intervals_leave_open() -> None:
    draw = random.Random(2)
    before = [float(draw.random() < 0.5) for _ in range(200)]
    after = [1.0 if number < 10 else value for number, value in enumerate(before)]
    found = paired_bootstrap([before], [after], 0)
    alone = bootstrap_mean([before], 0)
    assert 0 < found.low < found.value < found.high
    assert alone.high > found.value + alone.value  # unpaired, the two overlap
    assert paired_bootstrap([after], [before], 0).value == pytest.approx(-found.value)
    with pytest.raises(ValueError, match="pairs"):
        paired_bootstrap([before], [after[:-1]], 0)


def test_about_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    draw = random.Random(3)
    held = wilsons = 0
    for trial in range(300):
        groups = [[float(draw.random() < share) for _ in range(100)] for share in (0.1, 0.6)]
        found = bootstrap_mean(groups, trial, resamples=400)
        held += found.low <= 0.35 <= found.high
        one = wilson(round(sum(groups[0])), 100)
        wilsons += one.low <= 0.1 <= one.high
    assert 0.90 <= held / 300 <= 0.99
    assert 0.90 <= wilsons / 300 <= 0.99


def test_intervals_are_combined_as_squares() -> None:
    one, two = Interval(0.5, 0.2, 0.9), Interval(0.3, 0.3, 0.6)
    found = combined([one, two])
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4 - 0.15, 0.4 + 0.25))
    nothing = combined([wilson(0, 200)] * 4)
    assert nothing.low == 0.0
    assert nothing.high == pytest.approx(wilson(0, 200).high / 2)
