"""Log-probabilities from states, without ever holding the logits of more than a few hundred tokens.

The gradient of a log-probability with respect to the state is known as soon as the probabilities are: with z = W x / t
and p = softmax(z), `d log p_y / d x = (W_y - sum_v p_v W_v) / t`. It does not depend on what comes after, so it is
computed in the forward pass, D numbers for each token, and the backward pass only multiplies it. Logits are computed
once, and the output matrix gets a gradient only where it is to learn.

Letters: M tokens, C tokens of a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clearseek.training.kernels.ops import Ops

CHUNK_BYTES = 32 << 20
"""Logits held at once, in float32."""


@dataclass(frozen=True, slots=True)
class HeadScores:
    """`log_probs_M` and `entropy_M` (nats) in float32; `pull_MD` is the gradient of each log-probability with respect
    to its state, None where it was not asked for."""

    log_probs_M: Tensor
    entropy_M: Tensor
    pull_MD: Tensor | None


def chunk_tokens(vocabulary: int) -> int:
    """Tokens whose logits are held at once."""
    return max(16, CHUNK_BYTES // (4 * vocabulary))


@torch.no_grad()
def score_head(
    ops: Ops, x_MD: Tensor, head_VD: Tensor, targets_M: Tensor, temperature: float, *, gradient: bool
) -> HeadScores:
    """Scores of the targets under softmax(W x / temperature), in float32."""
    log_probs_M = torch.empty(len(x_MD), dtype=torch.float32, device=x_MD.device)
    entropy_M = torch.empty_like(log_probs_M)
    pull_MD = torch.empty_like(x_MD) if gradient else None
    step = chunk_tokens(len(head_VD))
    for start in range(0, len(x_MD), step):
        part = slice(start, start + step)
        log_probs_M[part], entropy_M[part], p_CV = ops.head_softmax_(
            x_MD[part] @ head_VD.t(), targets_M[part], temperature
        )
        if pull_MD is not None:
            expected_CD = p_CV @ head_VD
            pull_MD[part] = (head_VD[targets_M[part]] - expected_CD) / temperature
    return HeadScores(log_probs_M, entropy_M, pull_MD)


@torch.no_grad()
def add_head_gradient(
    ops: Ops,
    grad_VD: Tensor,
    x_MD: Tensor,
    head_VD: Tensor,
    targets_M: Tensor,
    upstream_M: Tensor,
    temperature: float,
) -> None:
    """Add the gradient of `sum(upstream x log-probability)` with respect to the output matrix; logits once more."""
    step = chunk_tokens(len(head_VD))
    for start in range(0, len(x_MD), step):
        part = slice(start, start + step)
        _, _, p_CV = ops.head_softmax_(x_MD[part] @ head_VD.t(), targets_M[part], temperature)
        slope_CV = p_CV.neg_()
        slope_CV.scatter_add_(1, targets_M[part, None], torch.ones_like(slope_CV[:, :1]))
        slope_CV *= (upstream_M[part] / temperature)[:, None].to(slope_CV.dtype)
        grad_VD += (slope_CV.t() @ x_MD[part]).to(grad_VD.dtype)
