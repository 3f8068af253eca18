"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.training.score.advantages import group_advantages, per_token, token_weights  # noqa: E402
from clearseek.training.score.rewards import overlong_penalty  # noqa: E402
from clearseek.training.update.losses import (  # noqa: E402
    GrpoRule,
    GrpoTokens,
    TokenLogProbs,
    grpo_loss,
    k3,
    sft_loss,
    truncated_importance,
)


def scored(*log_probs: float, places: list[int] | None = None) -> TokenLogProbs:
    leaf = torch.tensor(log_probs, requires_grad=True)
    where = torch.tensor(places if places is not None else list(range(len(log_probs))))
    return TokenLogProbs(leaf, torch.full((len(log_probs),), 0.5), where)


def test_cross_entropy_is_the_weighted_sum() -> None:
    found = sft_loss(scored(-1.0, -3.0), torch.tensor([0.5, 0.25]))
    assert found.loss.item() == pytest.approx(1.0 * 0.5 + 3.0 * 0.25)
    assert found.parts["nll"].item() == pytest.approx(1.25)
    assert found.parts["entropy"].item() == pytest.approx(0.5)


def test_losses_of_micro_batches_add_up() -> None:
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    whole = sft_loss(scored(-1.0, -2.0, -3.0, -4.0), weights)
    parts = [sft_loss(scored(-4.0, -2.0, places=[3, 1]), weights), sft_loss(scored(-3.0, -1.0, places=[2, 0]), weights)]
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item())
    assert sum(part.parts["entropy"].item() for part in parts) == pytest.approx(whole.parts["entropy"].item())


def test_advantages_of_grpo_and_dr_grpo() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    plain = group_advantages(rewards, divide_by_std=False)
    assert plain.tolist() == [[0.5, -0.5, -0.5, 0.5], [0.75, -0.25, -0.25, -0.25], [0.0] * 4]
    divided = group_advantages(rewards, divide_by_std=True)
    std = math.sqrt(0.75 * 0.25)  # of 1, 0, 0, 0
    assert divided[0].tolist() == pytest.approx([1.0, -1.0, -1.0, 1.0])
    assert divided[1].tolist() == pytest.approx([0.75 / std, -0.25 / std, -0.25 / std, -0.25 / std])
    assert divided[2].tolist() == [0.0] * 4


def test_rewards_that_are_equal_but_not_representable_have_no_advantage() -> None:
    rewards = torch.full((1, 8), 0.1) + torch.tensor(1.0)
    assert group_advantages(rewards, divide_by_std=True).tolist() == [[0.0] * 8]


def test_token_weights() -> None:
    lengths = [1, 3]
    assert token_weights(lengths, "constant", samples=4, length=50).tolist() == pytest.approx([1 / 200] * 4)
    assert token_weights(lengths, "tokens", samples=4, length=50).tolist() == [0.25] * 4
    assert token_weights(lengths, "sequence", samples=2, length=50).tolist() == pytest.approx([0.5] + [1 / 6] * 3)
    assert per_token(torch.tensor([2.0, 7.0]), lengths).tolist() == [2.0, 7.0, 7.0, 7.0]
    with pytest.raises(ModelingError, match="constant normaliser"):
        token_weights(lengths, "constant", samples=0, length=50)


def test_overlong_penalty_of_dapo() -> None:
    assert [overlong_penalty(n, 100, 20) for n in (10, 80, 85, 90, 100, 200)] == [0, 0, -0.25, -0.5, -1, -1]
    assert [overlong_penalty(n, 100, 0) for n in (100, 101)] == [0, -1]


def test_importance_is_cut_and_never_infinite() -> None:
    found = truncated_importance(torch.tensor([-1.0, -1.0, 0.0]), torch.tensor([-1.0, -2.0, -1e9]), cap=2.0)
    assert found.tolist() == pytest.approx([1.0, 2.0, 2.0])
    assert truncated_importance(torch.tensor([-2.0]), torch.tensor([-1.0]), 2.0).item() == pytest.approx(math.exp(-1))


def test_k3_is_never_negative_and_zero_where_both_agree() -> None:
    found = k3(torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([-1.0, -2.0, 0.0]))
    assert found.tolist() == pytest.approx([0.0, math.exp(-1) + 1 - 1, math.e - 1 - 1])


def test_on_policy_the_gradient_is_the_advantage() -> None:
    tokens = GrpoTokens(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.25]), torch.tensor([-1.0, -3.0]))
    here = scored(-1.0, -3.0)
    found = grpo_loss(here, tokens, GrpoRule())
    assert found.loss.item() == pytest.approx(-(0.5 * 1.0 - 0.25 * 2.0))
    found.loss.backward()
    assert here.log_probs_M.grad.tolist() == pytest.approx([-0.5, 0.5])
    assert {name: part.item() for name, part in found.parts.items()} == pytest.approx(
        {"policy": 0.0, "entropy": 0.5, "clipped": 0.0, "mismatch": 0.0, "importance": 1.0}
    )


def test_the_clip_takes_the_gradient_of_what_has_gone_far_enough() -> None:
    ratios = [1.5, 1.25, 0.7, 0.7, 1.5]
    advantages = [1.0, 1.0, -1.0, 1.0, -1.0]
    old = torch.full((5,), -2.0)
    here = scored(*(-2.0 + math.log(ratio) for ratio in ratios))
    tokens = GrpoTokens(torch.tensor(advantages), torch.ones(5), old, old_A=old)
    found = grpo_loss(here, tokens, GrpoRule(clip_low=0.2, clip_high=0.28))
    # clipped: 1.28; not yet: 1.25; clipped below: -0.8; going back up is free: 0.7; and so is going back down: -1.5
    assert found.loss.item() == pytest.approx(-(1.28 + 1.25 - 0.8 + 0.7 - 1.5), abs=1e-5)
    found.loss.backward()
    assert here.log_probs_M.grad.tolist() == pytest.approx([0.0, -1.25, 0.0, -0.7, 1.5], abs=1e-5)
    assert found.parts["clipped"].item() == pytest.approx(2 / 5)


def test_the_sampler_s_rounding_is_corrected_for_without_a_gradient_of_its_own() -> None:
    tokens = GrpoTokens(torch.tensor([1.0]), torch.tensor([1.0]), torch.tensor([-1.5]))
    here = scored(-1.0)
    found = grpo_loss(here, tokens, GrpoRule(importance_cap=1.2))
    found.loss.backward()
    assert here.log_probs_M.grad.item() == pytest.approx(-1.2)
    assert found.parts["mismatch"].item() == pytest.approx(0.5)
    assert found.parts["importance"].item() == pytest.approx(1.2)
    without = grpo_loss(scored(-1.0), tokens, GrpoRule(importance_cap=0.0))
    assert without.parts["importance"].item() == 1.0


def test_the_distance_to_the_start_is_a_part_of_its_own() -> None:
    reference = torch.tensor([-1.0])
    tokens = GrpoTokens(torch.tensor([0.0]), torch.tensor([0.5]), torch.tensor([-2.0]), reference_A=reference)
    here = scored(-2.0)
    found = grpo_loss(here, tokens, GrpoRule(kl=0.1))
    d = 1.0
    assert found.parts["k3"].item() == pytest.approx(math.exp(d) - d - 1)
    assert found.parts["kl"].item() == found.loss.item() == pytest.approx(0.1 * 0.5 * (math.exp(d) - d - 1))
    found.loss.backward()
    assert here.log_probs_M.grad.item() == pytest.approx(0.1 * 0.5 * (1 - math.exp(d)))
    watched = grpo_loss(scored(-2.0), tokens, GrpoRule(kl=0.0))
    assert watched.loss.item() == 0.0
    assert "kl" not in watched.parts
