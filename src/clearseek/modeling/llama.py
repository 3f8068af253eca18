"""The dense family in plain torch: Llama 2/3, SmolLM2, Qwen2/2.5, Qwen3.

Attribute names are Hugging Face's parameter names, so that `state_dict()` is the published layout.

Letters: B rows, T tokens, S tokens that can be seen, D width, V vocabulary, H heads, G key-value heads, R = H / G,
K values of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearseek.modeling.cache import KVCache
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.rope import Rope, rotate_half

LONG = 1024
"""Above this many tokens attention goes through torch's blockwise kernel, which never holds all T x S scores. Below it
two matrix products are faster on a CPU."""


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x^2) + eps) * weight` (Zhang & Sennrich, arXiv 1910.07467), the mean in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)"""
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class MLP(nn.Module):
    """SwiGLU: `down(silu(gate(x)) * up(x))` (Shazeer, arXiv 2002.05202)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return y_BTD


def attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: Tensor | None) -> Tensor:
    """Attention with heads grouped over their key-value head (Ainslie et al., arXiv 2305.13245): (B, H, T, K).

    `mask` is True where a token may be seen, broadcastable to (B, 1, T, S); None means causal with T = S. A token that
    may see nothing is a mistake of the caller's and gives NaN.
    """
    B, H, T, K = q_BHTK.shape
    G, S = k_BGSK.shape[1:3]
    R = H // G
    if T > LONG:
        return F.scaled_dot_product_attention(q_BHTK, k_BGSK, v_BGSK, mask, is_causal=mask is None, enable_gqa=R > 1)
    # the R heads of a group stand one below the other as rows of one matrix: keys are not copied R times
    scores_BGRTS = (q_BHTK.reshape(B, G, R * T, K) @ k_BGSK.transpose(-1, -2)).view(B, G, R, T, S)
    if mask is None:
        mask = torch.ones(T, S, dtype=torch.bool, device=q_BHTK.device).tril_()[None, None]
    scores_BGRTS = (scores_BGRTS * K**-0.5).masked_fill(~mask[:, :, None], float("-inf"))
    weights_BGRTS = scores_BGRTS.softmax(-1, dtype=torch.float32).to(v_BGSK.dtype)
    mixed_BHTK: Tensor = (weights_BGRTS.view(B, G, R * T, S) @ v_BGSK).view(B, H, T, K)
    return mixed_BHTK


class Attention(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        inner, kv_inner = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, inner, bias=config.attention_bias)
        self.k_proj = nn.Linear(config.hidden_size, kv_inner, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.hidden_size, kv_inner, bias=config.attention_bias)
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=config.output_bias)
        if config.qk_norm:
            self.q_norm: nn.Module = RMSNorm(config.head_dim, config.rms_norm_eps)
            self.k_norm: nn.Module = RMSNorm(config.head_dim, config.rms_norm_eps)
        else:
            self.q_norm, self.k_norm = nn.Identity(), nn.Identity()

    def forward(self, x_BTD: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor | None, past: Past | None) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BHTK = self.q_norm(self.q_proj(x_BTD).view(B, T, self.heads, self.head_dim)).transpose(1, 2)
        k_BGTK = self.k_norm(self.k_proj(x_BTD).view(B, T, self.kv_heads, self.head_dim)).transpose(1, 2)
        v_BGTK = self.v_proj(x_BTD).view(B, T, self.kv_heads, self.head_dim).transpose(1, 2)
        q_BHTK, k_BGTK = rotate_half(q_BHTK, *turns), rotate_half(k_BGTK, *turns)
        if past is not None:
            k_BGTK, v_BGTK = past.store(k_BGTK, v_BGTK)
        mixed_BHTK = attend(q_BHTK, k_BGTK, v_BGTK, mask)
        y_BTD: Tensor = self.o_proj(mixed_BHTK.transpose(1, 2).reshape(B, T, -1))
        return y_BTD


class Past:
    """One layer's place in the cache for one call."""

    def __init__(self, cache: KVCache, layer: int, positions_BT: Tensor, reach: int) -> None:
        self.cache, self.layer, self.positions_BT, self.reach = cache, layer, positions_BT, reach

    def store(self, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        return self.cache.store(self.layer, k_BGTK, v_BGTK, self.positions_BT, self.reach)


class Layer(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config.hidden_size, config.intermediate_size)

    def forward(self, x_BTD: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor | None, past: Past | None) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), turns, mask, past)
        y_BTD: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return y_BTD


class Trunk(nn.Module):
    """What Hugging Face calls `model`: everything but the output matrix."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(CausalLM):
    """A model of the dense family. Weights are random (normal, 0.02) until they are loaded."""

    config: LlamaConfig

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.rope = Rope(config.rope, config.head_dim)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding) and not module.weight.is_meta:
                nn.init.normal_(module.weight, std=0.02)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.tie()

    def tie(self) -> None:
        if self.config.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids_BT: Tensor, cache: KVCache | None = None, positions_BT: Tensor | None = None) -> Tensor:
        """ids (B, T) int64 -> logits (B, T, V), in the model's own type."""
        return self.logits(self.hidden(ids_BT, cache, positions_BT))

    def hidden(
        self,
        ids_BT: Tensor,
        cache: KVCache | None = None,
        positions_BT: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        B, T = ids_BT.shape
        reach = T
        if cache is not None:
            if cache.rows != B:
                raise ModelingError(f"The cache has {cache.rows} rows, and {B} came.")
            if positions_BT is None:
                positions_BT = cache.next_positions(B, T, ids_BT.device)
                reach = cache.filled
            else:
                reach = int(positions_BT.max()) + 1
                if reach > cache.length:
                    raise ModelingError(f"The cache holds {cache.length} tokens a row, and {reach} are asked of it.")
            if mask is None:
                mask = torch.arange(reach, device=ids_BT.device) <= positions_BT[:, None, :, None]
        elif positions_BT is None:
            positions_BT = torch.arange(T, device=ids_BT.device)[None]
        x_BTD: Tensor = self.model.embed_tokens(ids_BT)
        turns = self.rope.half_split(positions_BT, x_BTD.dtype)
        for number, layer in enumerate(self.model.layers):
            past = Past(cache, number, positions_BT, reach) if cache is not None else None
            x_BTD = layer(x_BTD, turns, mask, past)
        y_BTD: Tensor = self.model.norm(x_BTD)
        return y_BTD

    def logits(self, x_BTD: Tensor) -> Tensor:
        y_BTV: Tensor = self.lm_head(x_BTD)
        return y_BTV

    def new_cache(self, rows: int, length: int, dtype: torch.dtype | None = None) -> KVCache:
        weight, config = self.model.embed_tokens.weight, self.config
        return KVCache(
            config.layers, rows, config.kv_heads, length, config.head_dim, dtype or weight.dtype, weight.device
        )
