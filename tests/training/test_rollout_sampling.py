"""Drawing: the right distribution, never an impossible token, the same numbers everywhere."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from clearseek.training.rollout.sampling import draw, log_probs_of, uniforms  # noqa: E402


def splitmix(x: int) -> int:
    mask = (1 << 64) - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_uniforms_are_splitmix_in_plain_integers() -> None:
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    seeds, places = [0, 1, 2**62, 12345], [0, 1, 7, 10_000]
    found = uniforms(torch.tensor(seeds), torch.tensor(places)).tolist()
    for seed, place, value in zip(seeds, places, found, strict=True):
        state = (splitmix((seed + golden) & mask) + (place + 1) * golden) & mask
        assert value == (splitmix(state) >> 11) * 2.0**-53


def test_uniforms_are_uniform_and_unrelated() -> None:
    seeds = torch.arange(400).repeat_interleave(400)
    places = torch.arange(400).repeat(400)
    found = uniforms(seeds, places)
    assert 0 <= float(found.min()) < float(found.max()) < 1
    counts = torch.histc(found.float(), 64, 0, 1)
    assert float(((counts - 2500) ** 2 / 2500).sum()) < 120  # chi-square, 63 degrees of freedom: p about 1e-5
    grid = found.view(400, 400) - 0.5
    for one, other in ((grid[:-1], grid[1:]), (grid[:, :-1], grid[:, 1:])):
        assert abs(float((one * other).mean()) * 12) < 0.02


@pytest.mark.parametrize("vocabulary", [2, 255, 256, 257, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_draws_follow_the_distribution(vocabulary: int, temperature: float) -> None:
    torch.manual_seed(0)
    logits_V = torch.randn(vocabulary) * 3
    logits_V[vocabulary // 2] = -math.inf
    n = 20_000
    ids, log_probs = draw(logits_V.expand(n, -1), uniforms(torch.arange(n), torch.zeros(n).long()), temperature)
    expected_V = torch.log_softmax(logits_V / temperature, -1)
    assert torch.allclose(log_probs, expected_V[ids], atol=1e-5)
    assert not bool((ids == vocabulary // 2).any())
    found_V = torch.bincount(ids, minlength=vocabulary) / n
    assert float((found_V - expected_V.exp()).abs().max()) < 0.015


def test_the_inverse_is_that_of_one_long_sum() -> None:
    torch.manual_seed(1)
    logits_BV = torch.randn(500, 3000, dtype=torch.float32) * 4
    numbers = torch.rand(500, dtype=torch.float64)
    ids, _ = draw(logits_BV, numbers, 1.0)
    cumulative = torch.softmax(logits_BV.double(), -1).cumsum(-1)
    expected = (cumulative <= numbers[:, None]).sum(-1)
    assert int((ids != expected).sum()) <= 1  # a number that falls on a boundary to seven digits


def test_the_ends_of_the_interval_and_single_tokens() -> None:
    for where in (0, 255, 256, 700, 999):
        logits_V = torch.full((1000,), -math.inf)
        logits_V[where] = 0.0
        for number in (0.0, 0.5, 1 - 2.0**-53):
            ids, log_probs = draw(logits_V[None], torch.tensor([number], dtype=torch.float64), 1.0)
            assert int(ids) == where
            assert float(log_probs) == 0.0
    logits_V = torch.zeros(1000)
    logits_V[990:] = -math.inf
    ids, _ = draw(logits_V[None], torch.tensor([1 - 2.0**-53], dtype=torch.float64), 1.0)
    assert int(ids) == 989


def test_temperature_zero_is_the_largest_at_the_probability_of_temperature_one() -> None:
    logits_BV = torch.randn(5, 700)
    ids, log_probs = draw(logits_BV, torch.rand(5, dtype=torch.float64), 0.0)
    assert torch.equal(ids, logits_BV.argmax(-1))
    assert torch.allclose(log_probs, log_probs_of(logits_BV[:, None], ids[:, None], 0.0)[:, 0], atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_numbers_show(bad: float) -> None:
    logits_BV = torch.zeros(2, 300)
    logits_BV[1, 7] = bad
    _, log_probs = draw(logits_BV, torch.full((2,), 0.5, dtype=torch.float64), 1.0)
    assert torch.isfinite(log_probs).tolist() == [True, False]
