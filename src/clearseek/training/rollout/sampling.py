"""Drawing tokens: one uniform number for each sample and place, and the inverse of the cumulative distribution.

Every sample has a seed of its own, and the number drawn at its n-th token is a hash of (seed, n). So a sample does not
depend on which samples are computed beside it, in which row, or in which order. The inverse is found by two short
cumulative sums (over blocks of the vocabulary, then inside one block), because `torch.multinomial` over 64 rows of 49K
tokens takes tens of milliseconds and this takes one or two.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 256
"""Tokens in a block of the two-level sum: about the square root of the vocabularies in use."""

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def uniforms(seeds_B: Tensor, places_B: Tensor) -> Tensor:
    """A number in [0, 1) for each (seed, place), int64 each -> float64 (B,).

    Two rounds of SplitMix64's output function (Steele, Lea and Flood 2014, figure 16; the constants are Stafford's
    mix 13): the seed is mixed first, so that neighbouring seeds give unrelated sequences. Integers only, hence the
    same on every machine.
    """
    mixed_B = _mix(_mix(seeds_B + _GOLDEN) + (places_B + 1) * _GOLDEN)
    return _shift(mixed_B, 11).double() * 2.0**-53


def draw(logits_BV: Tensor, uniforms_B: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Tokens and their log-probabilities under softmax(logits / temperature): ids (B,) int64, log-probs (B,) float32.

    The token is the first whose cumulative probability exceeds the uniform number, so a token of probability 0 is
    never drawn. With temperature 0 it is the most probable token, and the log-probability is that at temperature 1.
    Where a row's logits are not numbers, or hold plus infinity, its log-probability is NaN.
    """
    scaled_BV = logits_BV.float() if temperature in (0.0, 1.0) else logits_BV.float() / temperature
    top_B, greedy_B = scaled_BV.max(dim=-1)
    weights_BV = torch.exp(scaled_BV - top_B[:, None])
    vocabulary = weights_BV.shape[1]
    padding = -vocabulary % BLOCK
    if padding:
        weights_BV = functional.pad(weights_BV, (0, padding))
    weights_BNK = weights_BV.view(len(weights_BV), -1, BLOCK)
    sums_BN = weights_BNK.sum(dim=-1).double().cumsum(dim=-1)
    total_B = sums_BN[:, -1]
    ids_B = greedy_B if temperature == 0.0 else _inverse(weights_BNK, sums_BN, uniforms_B, vocabulary)
    chosen_B = scaled_BV.gather(1, ids_B[:, None])[:, 0]
    return ids_B, ((chosen_B - top_B).double() - total_B.log()).float()


def _inverse(weights_BNK: Tensor, sums_BN: Tensor, uniforms_B: Tensor, vocabulary: int) -> Tensor:
    """Tokens (B,): block first, then the token in it."""
    target_B1 = (uniforms_B * sums_BN[:, -1])[:, None]
    last = sums_BN.shape[1] - 1
    block_B1 = torch.searchsorted(sums_BN, target_B1, right=True).clamp_(max=last)
    before_B1 = sums_BN.gather(1, (block_B1 - 1).clamp_(min=0)) * (block_B1 > 0)
    width = weights_BNK.shape[2]
    inside_BK = weights_BNK.gather(1, block_B1[:, :, None].expand(-1, -1, width))[:, 0]
    cumulative_BK = inside_BK.double().cumsum(dim=-1)
    past_B1 = torch.searchsorted(cumulative_BK, target_B1 - before_B1, right=True)
    # the block's sum was rounded otherwise than the sum of its parts, so the search can end behind the block: then
    # the last token with any weight is meant
    positions_K = torch.arange(width, device=inside_BK.device)
    last_B1 = (positions_K * (inside_BK > 0)).max(dim=-1, keepdim=True).values
    ids_B = (block_B1 * width + torch.minimum(past_B1, last_B1))[:, 0]
    return ids_B.clamp_(max=vocabulary - 1)  # where a row is not a number, anything may have been found


def log_probs_of(logits_BTV: Tensor, ids_BT: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (B, T) of the ids under softmax(logits / temperature); differentiable.

    `logits_BTV[:, t]` are those from which `ids_BT[:, t]` was drawn. Temperature 0 reads as 1, as in `draw`.
    """
    scaled_BTV = logits_BTV.float() if temperature in (0.0, 1.0) else logits_BTV.float() / temperature
    return scaled_BTV.gather(-1, ids_BT[..., None])[..., 0] - torch.logsumexp(scaled_BTV, dim=-1)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's is arithmetic)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)
