"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1; V3, arXiv 2412.19437, equations 1 to 11).

Keys and values of all heads come from one small latent per token, so the cache keeps only that: 512 normed values and
64 rotated ones in the published model, against 40,960 for the keys and values themselves.

Attention is worked out in one of two ways that give the same numbers. *Expanded*: latents become keys and values, then
ordinary attention; cheap per pair of tokens, dear per cached token. *Absorbed*: the matrix that would expand the keys
is applied to the query instead, and the one for values to the result, so that cached latents are used as they are;
dear per pair, free per cached token. Reading many tokens takes the first way, generating one at a time the second.

Letters: B rows, T new tokens, S tokens that can be seen, D width, H heads, N values of a head without position, R with
position, V values of a value, C the latent's rank, Z = C + R.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.llama import RMSNorm
from clearseek.modeling.rope import rotate_half, rotate_interleaved, yarn_mscale

LATENT_EPS = 1e-6
"""Of the norms of the latents, whatever `rms_norm_eps` is: so the published code has it."""
MANY_SCORES = 1 << 25
"""More scores (rows x heads x T x S) than this are not held at once: 128 MB of them in fp32."""


class LatentCache:
    """Room for the latents of `length` tokens in each of `rows` rows, all of it taken at once.

    The rule is that of `KVCache`: the token at position p of a row lies in slot p and sees slots 0 to p, so rows may be
    at different positions. `filled` is where the next tokens go when a model is called without positions.
    """

    def __init__(
        self,
        layers: int,
        rows: int,
        length: int,
        latent: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        if rows < 1 or length < 1:
            raise ModelingError(f"A cache of {rows} rows and {length} tokens holds nothing.")
        # zeros, not empty: a masked slot still takes part in `0 x value`, and 0 x NaN is NaN
        self.latent_LBSZ = torch.zeros(layers, rows, length, latent, dtype=dtype, device=device)
        self.filled = 0

    @property
    def rows(self) -> int:
        return self.latent_LBSZ.shape[1]

    @property
    def length(self) -> int:
        return self.latent_LBSZ.shape[2]

    @property
    def bytes(self) -> int:
        return self.latent_LBSZ.numel() * self.latent_LBSZ.element_size()

    def next_positions(self, rows: int, tokens: int, device: torch.device) -> Tensor:
        """Positions of the next `tokens` tokens of every row, (B, T); raises ModelingError where they do not fit."""
        self.check_rows(rows)
        first = self.filled
        if first + tokens > self.length:
            raise ModelingError(f"The cache holds {self.length} tokens a row, and {first + tokens} are asked of it.")
        self.filled = first + tokens
        return torch.arange(first, first + tokens, device=device).expand(rows, tokens)

    def check_rows(self, rows: int) -> None:
        if rows != self.rows:
            raise ModelingError(f"The cache has {self.rows} rows, and {rows} came.")

    def store(self, layer: int, latent_BTZ: Tensor, positions_BT: Tensor, reach: int) -> Tensor:
        """Put new latents into their slots and give all of the first `reach` slots, (B, reach, Z)."""
        slots_BSZ = self.latent_LBSZ[layer]
        index_BTZ = positions_BT[..., None].expand_as(latent_BTZ)
        slots_BSZ.scatter_(1, index_BTZ, latent_BTZ.to(slots_BSZ.dtype))
        return slots_BSZ[:, :reach]


@dataclass(frozen=True, slots=True)
class Past:
    """One layer's place in the cache for one call."""

    cache: LatentCache
    layer: int
    positions_BT: Tensor
    reach: int

    def store(self, latent_BTZ: Tensor) -> Tensor:
        return self.cache.store(self.layer, latent_BTZ, self.positions_BT, self.reach)


def softmax_scale(config: DeepseekV3Config) -> float:
    """What scores are multiplied by: 1 / sqrt(N + R), and under a stretched context m^2 more, with
    m = 0.1 mscale_all_dim ln(factor) + 1 (YaRN's temperature, as the published code applies it)."""
    scale: float = config.qk_head_dim**-0.5
    if config.rope.kind != "default" and config.rope.mscale_all_dim:
        scale *= yarn_mscale(config.rope.factor, config.rope.mscale_all_dim) ** 2
    return scale


class LatentAttention(nn.Module):
    """Attention of one layer; attribute names are the published parameter names."""

    def __init__(self, config: DeepseekV3Config) -> None:
        super().__init__()
        self.config = config
        self.scale = softmax_scale(config)
        width, bias, queries = config.hidden_size, config.attention_bias, config.heads * config.qk_head_dim
        if config.q_lora_rank is None:
            self.q_proj = nn.Linear(width, queries, bias=False)
        else:
            self.q_a_proj = nn.Linear(width, config.q_lora_rank, bias=bias)
            self.q_a_layernorm = RMSNorm(config.q_lora_rank, LATENT_EPS)
            self.q_b_proj = nn.Linear(config.q_lora_rank, queries, bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(width, config.latent_size, bias=bias)
        self.kv_a_layernorm = RMSNorm(config.kv_lora_rank, LATENT_EPS)
        expanded = config.heads * (config.qk_nope_head_dim + config.v_head_dim)
        self.kv_b_proj = nn.Linear(config.kv_lora_rank, expanded, bias=False)
        self.o_proj = nn.Linear(config.heads * config.v_head_dim, width, bias=bias)

    def forward(
        self,
        x_BTD: Tensor,
        turns: tuple[Tensor, Tensor],
        mask: Tensor | None,
        past: Past | None,
        absorb: bool | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D).

        `turns` are the cosines and sines of the tokens' positions; `mask`, True where a token may be seen, is
        broadcastable to (B, 1, T, S), and None means causal with T = S. `absorb` says which way attention is worked
        out; None chooses the one with fewer operations, and the expanded one where gradients are wanted.
        """
        config, (B, T, _) = self.config, x_BTD.shape
        if config.q_lora_rank is None:
            q_BTX = self.q_proj(x_BTD)
        else:
            q_BTX = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_BTD)))
        q_BHTX = q_BTX.view(B, T, config.heads, -1).transpose(1, 2)
        q_BHTN, q_BHTR = _cut(q_BHTX, config.qk_nope_head_dim)
        latent_BTC, k_BTR = _cut(self.kv_a_proj_with_mqa(x_BTD), config.kv_lora_rank)
        rotate = rotate_interleaved if config.rope_interleave else rotate_half
        q_BHTR, k_B1TR = rotate(q_BHTR, *turns), rotate(k_BTR[:, None], *turns)
        latent_BSZ = torch.cat((self.kv_a_layernorm(latent_BTC), k_B1TR[:, 0]), dim=-1)
        if past is not None:
            latent_BSZ = past.store(latent_BSZ).to(x_BTD.dtype)
        if absorb is None:
            absorb = not torch.is_grad_enabled() and self._absorbing_is_cheaper(T, latent_BSZ.shape[1])
        way = self._absorbed if absorb else self._expanded
        mixed_BHTV = way(q_BHTN, q_BHTR, latent_BSZ, mask)
        y_BTD: Tensor = self.o_proj(mixed_BHTV.transpose(1, 2).flatten(-2))
        return y_BTD

    def _absorbing_is_cheaper(self, tokens: int, seen: int) -> bool:
        """Multiply-adds of a head, both ways."""
        config = self.config
        weights = config.kv_lora_rank * (config.qk_nope_head_dim + config.v_head_dim)
        absorbed = tokens * seen * (config.kv_lora_rank + config.latent_size) + tokens * weights
        expanded = tokens * seen * (config.qk_head_dim + config.v_head_dim) + seen * weights
        return absorbed < expanded

    def _expanded(self, q_BHTN: Tensor, q_BHTR: Tensor, latent_BSZ: Tensor, mask: Tensor | None) -> Tensor:
        """Keys and values of every head are made from the latents: (B, H, T, V)."""
        config = self.config
        B, S, _ = latent_BSZ.shape
        latent_BSC, k_BSR = _cut(latent_BSZ, config.kv_lora_rank)
        kv_BHSX = self.kv_b_proj(latent_BSC).view(B, S, config.heads, -1).transpose(1, 2)
        k_BHSN, v_BHSV = _cut(kv_BHSX, config.qk_nope_head_dim)
        k_BHSR = k_BSR[:, None].expand(-1, config.heads, -1, -1)
        q, k = torch.cat((q_BHTN, q_BHTR), dim=-1), torch.cat((k_BHSN, k_BHSR), dim=-1)
        if B * config.heads * q.shape[2] * S <= MANY_SCORES:
            weights_BHTS = _weights(q @ k.transpose(-1, -2) * self.scale, mask).to(v_BHSV.dtype)
            return weights_BHTS @ v_BHSV
        # torch's blockwise kernel never holds all scores; it wants keys and values of one width
        wide = max(config.qk_head_dim, config.v_head_dim)
        q, k, v = (functional.pad(t, (0, wide - t.shape[-1])) for t in (q, k, v_BHSV))
        mixed = functional.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, scale=self.scale)
        return mixed[..., : config.v_head_dim]

    def _absorbed(self, q_BHTN: Tensor, q_BHTR: Tensor, latent_BSZ: Tensor, mask: Tensor | None) -> Tensor:
        """All heads share the cached latents as their one key, whose first C values are also their value."""
        config = self.config
        B, H, T, _ = q_BHTN.shape
        if T > 1 and mask is not None and B * H * T * latent_BSZ.shape[1] > MANY_SCORES:
            halves = ((0, T // 2), (T // 2, T))
            wide = mask.expand(*mask.shape[:-2], T, -1)
            parts = [
                self._absorbed(q_BHTN[:, :, a:b], q_BHTR[:, :, a:b], latent_BSZ, wide[..., a:b, :]) for a, b in halves
            ]
            return torch.cat(parts, dim=2)
        up_HXC = self._kv_b_weight().view(H, -1, config.kv_lora_rank)
        up_HNC, up_HVC = up_HXC[:, : config.qk_nope_head_dim], up_HXC[:, config.qk_nope_head_dim :]
        # heads lead the batched products, so that rows share one copy of the matrices
        q_HYN = q_BHTN.transpose(0, 1).reshape(H, B * T, -1)
        q_BHTC = torch.bmm(q_HYN, up_HNC).view(H, B, T, -1).transpose(0, 1)
        q_BYZ = torch.cat((q_BHTC, q_BHTR), dim=-1).reshape(B, H * T, -1) * self.scale
        scores_BHTS = torch.bmm(q_BYZ, latent_BSZ.transpose(1, 2)).view(B, H, T, -1)
        weights_BYS = _weights(scores_BHTS, mask).to(latent_BSZ.dtype).view(B, H * T, -1)
        mixed_BYC = torch.bmm(weights_BYS, latent_BSZ[..., : config.kv_lora_rank])
        mixed_HYC = mixed_BYC.view(B, H, T, -1).transpose(0, 1).reshape(H, B * T, -1)
        return torch.bmm(mixed_HYC, up_HVC.transpose(1, 2)).view(H, B, T, -1).transpose(0, 1)

    def _kv_b_weight(self) -> Tensor:
        """(H x (N + V), C), with what an adapter adds to it."""
        merged = getattr(self.kv_b_proj, "merged_weight", None)
        weight: Tensor = self.kv_b_proj.weight if merged is None else merged()
        return weight


def _cut(x: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """The first values of the last dimension, and the others."""
    return x[..., :first], x[..., first:]


def _weights(scores_BHTS: Tensor, mask: Tensor | None) -> Tensor:
    """Scores -> weights that sum to 1, in float32."""
    if mask is None:
        T, S = scores_BHTS.shape[-2:]
        mask = torch.ones(T, S, dtype=torch.bool, device=scores_BHTS.device).tril_()
    return scores_BHTS.masked_fill(~mask, -torch.inf).softmax(-1, dtype=torch.float32)
