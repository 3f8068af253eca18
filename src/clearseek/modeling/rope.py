"""Rotary positions (Su et al., arXiv 2104.09864), and the three ways to stretch them.

A head's values are turned in pairs by an angle `position x frequency`. Which two values make a pair is a convention:
Hugging Face pairs value i with i + K/2 (`rotate_half`), Meta and llama.cpp's `llama` pair 2i with 2i + 1
(`rotate_interleaved`). Angles are worked out in float32 whatever the model's type: in bfloat16, position 257 would
be 256.

Letters: B rows, T tokens, H heads, K values of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clearseek.modeling.config import RopeConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.first_calls import make_first_calls


def inverse_frequencies(rope: RopeConfig, head_dim: int) -> Tensor:
    """Radians per position for each of the `head_dim / 2` pairs: `theta^(-2i/head_dim)`, stretched. float32, (K/2,)."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    plain = 1.0 / rope.theta**exponents
    if rope.kind == "linear":
        return plain / rope.factor
    if rope.kind == "llama3":
        return _llama3(plain, rope)
    if rope.kind == "yarn":
        return _yarn(plain, rope, head_dim)
    return plain


def attention_factor(rope: RopeConfig) -> float:
    """What cosines and sines are multiplied by. 1 except in YaRN: `0.1 ln(factor) + 1` (arXiv 2309.00071, section 3.4),
    or the quotient of two such terms where the model names `mscale` and `mscale_all_dim` (DeepSeek)."""
    if rope.kind != "yarn":
        return 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.mscale and rope.mscale_all_dim:
        return yarn_mscale(rope.factor, rope.mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim)
    return yarn_mscale(rope.factor)


def yarn_mscale(factor: float, mscale: float = 1.0) -> float:
    """`0.1 mscale ln(factor) + 1`, and 1 where nothing is stretched."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _llama3(plain: Tensor, rope: RopeConfig) -> Tensor:
    """Llama 3.1's rule: waves longer than `original / low` are slowed by `factor`, shorter than `original / high` are
    left, and between the two is a straight blend."""
    original = _original(rope)
    if rope.high_freq_factor <= rope.low_freq_factor:
        raise ModelingError("Rotary scaling `llama3` needs a high_freq_factor above its low_freq_factor.")
    turns = original * plain / (2 * math.pi)  # full turns within the first context
    blend = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    blend = blend.clamp(0, 1)
    return (1 - blend) * plain / rope.factor + blend * plain


def _yarn(plain: Tensor, rope: RopeConfig, head_dim: int) -> Tensor:
    """YaRN's "NTK by parts": pairs that turn more than `beta_fast` times within the first context keep their speed,
    those below `beta_slow` are slowed by `factor`, and a ramp over the pair's number lies between."""
    original = _original(rope)

    def pair_turning(turns: float) -> float:
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = pair_turning(rope.beta_fast), pair_turning(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    if low == high:
        high += 0.001  # a ramp of no width would divide by zero
    pairs = torch.arange(head_dim // 2, dtype=torch.float32, device="cpu")
    slowed = ((pairs - low) / (high - low)).clamp(0, 1)
    return plain / rope.factor * slowed + plain * (1 - slowed)


def _original(rope: RopeConfig) -> int:
    if rope.original_max_positions is None:
        raise ModelingError(f"Rotary scaling `{rope.kind}` needs original_max_position_embeddings.")
    return rope.original_max_positions


class Rope:
    """The angles of one model. Not a module: its table must stay float32 when the model becomes bfloat16, and it is
    computed, not learned."""

    def __init__(self, rope: RopeConfig, head_dim: int) -> None:
        make_first_calls()  # angles are what lanes compute first, and at once
        self.frequencies_F = inverse_frequencies(rope, head_dim)
        self.scale = attention_factor(rope)

    def angles(self, positions_BT: Tensor) -> Tensor:
        """Radians, float32, (B, T, K/2)."""
        if self.frequencies_F.device != positions_BT.device:
            self.frequencies_F = self.frequencies_F.to(positions_BT.device)
        return positions_BT[..., None].float() * self.frequencies_F

    def half_split(self, positions_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines for `rotate_half`, (B, T, K) each."""
        angles_BTF = self.angles(positions_BT)
        angles_BTK = torch.cat((angles_BTF, angles_BTF), dim=-1)
        return (angles_BTK.cos() * self.scale).to(dtype), (angles_BTK.sin() * self.scale).to(dtype)

    def interleaved(self, positions_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines for `rotate_interleaved`, (B, T, K/2) each."""
        angles_BTF = self.angles(positions_BT)
        return (angles_BTF.cos() * self.scale).to(dtype), (angles_BTF.sin() * self.scale).to(dtype)


def rotate_half(x_BHTK: Tensor, cos_BTK: Tensor, sin_BTK: Tensor) -> Tensor:
    """Turn each pair (i, i + K/2). Shapes (B, H, T, K) and (B, T, K); gives (B, H, T, K)."""
    half = x_BHTK.shape[-1] // 2
    swapped_BHTK = torch.cat((-x_BHTK[..., half:], x_BHTK[..., :half]), dim=-1)
    return x_BHTK * cos_BTK[:, None] + swapped_BHTK * sin_BTK[:, None]


def rotate_interleaved(x_BHTK: Tensor, cos_BTF: Tensor, sin_BTF: Tensor) -> Tensor:
    """Turn each pair (2i, 2i + 1). Shapes (B, H, T, K) and (B, T, K/2); gives (B, H, T, K)."""
    even_BHTF, odd_BHTF = x_BHTK[..., 0::2], x_BHTK[..., 1::2]
    cos, sin = cos_BTF[:, None], sin_BTF[:, None]
    return torch.stack((even_BHTF * cos - odd_BHTF * sin, even_BHTF * sin + odd_BHTF * cos), dim=-1).flatten(-2)
