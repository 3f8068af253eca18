"""Losses as pure functions: what goes in and what comes out are frozen dataclasses, and nothing is remembered.

A loss is a sum over tokens, each with a weight that was fixed before the first micro-batch; so the losses of
micro-batches add up to that of the whole batch, and gradients do.

Letters: M tokens of a micro-batch, A all completion tokens of the batch (groups, their completions, their tokens),
R completions of the batch, P prompts, S samples of a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""exp of more than this is as good as infinite; ratios are cut here, far outside every clip."""


@dataclass(frozen=True, slots=True)
class TokenLogProbs:
    """Some tokens under the weights as they are: `log_probs_M` with a gradient, `entropy_M` (nats) without, and
    `place_M`, where each stands among all A tokens of the batch."""

    log_probs_M: Tensor
    entropy_M: Tensor
    place_M: Tensor


@dataclass(frozen=True, slots=True)
class LossSum:
    """The loss of some tokens, and what it is made of. Every part adds up over micro-batches."""

    loss: Tensor
    parts: Mapping[str, Tensor]


Loss = Callable[[TokenLogProbs], LossSum]


def sft_loss(scored: TokenLogProbs, weights_A: Tensor) -> LossSum:
    """Cross-entropy: -sum(weight x log-probability). With weights 1 / A it is the mean over the batch's tokens.

    Parts: `nll` (the same sum) and `entropy` (mean over all tokens of the batch).
    """
    weights_M = weights_A[scored.place_M]
    loss = -(scored.log_probs_M * weights_M).sum()
    return LossSum(loss, {"nll": loss.detach(), "entropy": scored.entropy_M.sum() / len(weights_A)})


def truncated_importance(trained_A: Tensor, sampled_A: Tensor, cap: float) -> Tensor:
    """min(p / q, cap), with p under the training forward and q as it was sampled, from log-probabilities (A,).

    What a token's gradient is multiplied with where the sampler's arithmetic is not the trainer's (Yao et al. 2025,
    "Your efficient RL framework secretly brings you off-policy RL training", truncated importance sampling).
    """
    return (trained_A - sampled_A).clamp(max=MAX_LOG_RATIO).exp().clamp(max=cap)


def k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """An unbiased, never negative estimate of KL(policy || reference) from samples of the policy:
    exp(d) - d - 1 with d = reference - policy (Schulman 2020, "Approximating KL divergence"; equation 4 of
    arXiv 2402.03300)."""
    d = (reference - log_probs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return d.exp() - d - 1.0


@dataclass(frozen=True, slots=True)
class GrpoRule:
    """`clip_low` and `clip_high`: how far the ratio may go below and above 1 before a token no longer counts (DAPO's
    clip-higher, arXiv 2503.14476, section 3.1). `kl`: the weight of k3 to the reference. `importance_cap`: where the
    correction for the sampler's arithmetic is cut; 0 leaves it out."""

    clip_low: float = 0.2
    clip_high: float = 0.28
    kl: float = 0.0
    importance_cap: float = 2.0


@dataclass(frozen=True, slots=True)
class GrpoTokens:
    """What is known of all A tokens before the update; nothing here has a gradient.

    `old_A`: log-probabilities under the weights that sampled, by the training forward; None where the weights are still
    those (strictly on-policy): the ratio is then 1, and its gradient that of the log-probability. `sampled_A`: as the
    rollout drew them. `reference_A` is needed only where there is a KL term.
    """

    advantages_A: Tensor
    weights_A: Tensor
    sampled_A: Tensor
    old_A: Tensor | None = None
    reference_A: Tensor | None = None


def grpo_loss(scored: TokenLogProbs, tokens: GrpoTokens, rule: GrpoRule) -> LossSum:
    """-sum over tokens of weight x importance x min(ratio A, clip(ratio, 1 - low, 1 + high) A), plus kl x k3
    (arXiv 2402.03300, equation 3, with the normalisation left to the weights and the clip of arXiv 2503.14476).

    Parts, each a sum that adds up over micro-batches: `policy` and `kl` (their shares of the loss), and means over the
    tokens: `entropy`, `clipped` (share of tokens whose gradient the clip took away), `k3` (to the reference),
    `mismatch` (mean of |log p - log q| between training forward and rollout), `importance` (mean of its weight).
    """
    place_M, log_probs_M = scored.place_M, scored.log_probs_M
    advantages_M, weights_M, sampled_M = (t[place_M] for t in (tokens.advantages_A, tokens.weights_A, tokens.sampled_A))
    now_M = log_probs_M.detach()
    old_M = now_M if tokens.old_A is None else tokens.old_A[place_M]
    ratio_M = (log_probs_M - old_M).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    held_M = ratio_M.clamp(1.0 - rule.clip_low, 1.0 + rule.clip_high)
    gain_M = torch.minimum(ratio_M * advantages_M, held_M * advantages_M)
    importance_M = torch.ones_like(now_M)
    if rule.importance_cap > 0:
        importance_M = truncated_importance(old_M, sampled_M, rule.importance_cap)
    policy = -(weights_M * importance_M * gain_M).sum()
    loss = policy
    mean = 1.0 / len(tokens.weights_A)
    with torch.no_grad():
        clipped_M = ((ratio_M > 1.0 + rule.clip_high) & (advantages_M > 0)) | (
            (ratio_M < 1.0 - rule.clip_low) & (advantages_M < 0)
        )
        parts = {
            "policy": policy.detach(),
            "entropy": scored.entropy_M.sum() * mean,
            "clipped": clipped_M.float().sum() * mean,
            "mismatch": (old_M - sampled_M).abs().sum() * mean,
            "importance": importance_M.sum() * mean,
        }
    if tokens.reference_A is not None:
        apart_M = k3(log_probs_M, tokens.reference_A[place_M])
        parts["k3"] = apart_M.detach().sum() * mean
        if rule.kl > 0:
            # where the reference is far away, exp(d) alone would decide: the weights are those of the policy term
            term = rule.kl * (weights_M * apart_M).sum()
            parts["kl"] = term.detach()
            loss = loss + term
    return LossSum(loss, parts)
