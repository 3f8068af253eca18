"""A Llama laid out for decoding: one matrix for q, k and v, one for gate and up, buffers that are used again.

The weights are read from the model when this is made, LoRA merged into the copies, so the trainer's own are neither
changed nor written anywhere. Where the dtype is the model's, the largest matrices (embedding, output, o, down) are the
model's own memory and only the fused ones are copies. It computes what `modeling/llama.py` computes, and the tests hold
it to that.

Letters: N rows, D width, H heads, G key-value heads, R heads a group, K values of a head, S slots, F inner width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearseek.modeling.cache import KVCache
from clearseek.modeling.llama import Llama, RMSNorm
from clearseek.modeling.lora import LoraLinear
from clearseek.training.steppers import copy_tokens, padded

REACH_STEP = 16
"""Attention looks at a multiple of so many slots, so that the shapes of its products change seldom."""


def packs(model: Any) -> bool:
    """Whether this model can be packed."""
    return isinstance(model, Llama)


@dataclass(frozen=True, slots=True)
class _Layer:
    norm_D: Tensor
    qkv_OD: Tensor
    qkv_bias_O: Tensor | None
    q_norm_K: Tensor | None
    k_norm_K: Tensor | None
    o_DI: Tensor
    o_bias_D: Tensor | None
    second_norm_D: Tensor
    gate_up_FD: Tensor
    down_DF: Tensor


def live_weight(linear: nn.Linear, dtype: torch.dtype) -> Tensor:
    """A linear layer's weight as it acts now, LoRA included; the parameter's own memory where that is possible."""
    weight_OI = linear.merged_weight() if isinstance(linear, LoraLinear) else linear.weight.detach()
    return weight_OI.to(dtype)


def _joined(linears: Sequence[nn.Linear], dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    weight_OI = torch.cat([live_weight(linear, dtype) for linear in linears])
    if linears[0].bias is None:
        return weight_OI, None
    return weight_OI, torch.cat([linear.bias.detach().to(dtype) for linear in linears])


def _pack(layer: Any, dtype: torch.dtype) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv_OD, qkv_bias_O = _joined([attention.q_proj, attention.k_proj, attention.v_proj], dtype)
    gate_up_FD, _ = _joined([mlp.gate_proj, mlp.up_proj], dtype)
    norms = [
        norm.weight.detach().to(dtype) if isinstance(norm, RMSNorm) else None
        for norm in (attention.q_norm, attention.k_norm)
    ]
    return _Layer(
        norm_D=layer.input_layernorm.weight.detach().to(dtype),
        qkv_OD=qkv_OD,
        qkv_bias_O=qkv_bias_O,
        q_norm_K=norms[0],
        k_norm_K=norms[1],
        o_DI=live_weight(attention.o_proj, dtype),
        o_bias_D=None if attention.o_proj.bias is None else attention.o_proj.bias.detach().to(dtype),
        second_norm_D=layer.post_attention_layernorm.weight.detach().to(dtype),
        gate_up_FD=gate_up_FD,
        down_DF=live_weight(mlp.down_proj, dtype),
    )


class PackedLlama:
    """A `Stepper` for `modeling.llama.Llama`."""

    def __init__(self, model: Llama, rows: int, length: int, dtype: torch.dtype) -> None:
        config = model.config
        self.config, self.rope, self.dtype = config, model.rope, dtype
        self.layers = [_pack(layer, dtype) for layer in model.model.layers]
        self.embed_VD = model.model.embed_tokens.weight.detach().to(dtype)
        tied = model.lm_head.weight is model.model.embed_tokens.weight
        self.head_VD = self.embed_VD if tied else live_weight(model.lm_head, dtype)
        self.norm_D = model.model.norm.weight.detach().to(dtype)
        self.cache = model.new_cache(rows, length, dtype)
        self.scratch: KVCache | None = None
        self.row_numbers_N = torch.arange(rows, device=self.device)
        self.inner, self.kv_inner = config.heads * config.head_dim, config.kv_heads * config.head_dim

    @property
    def device(self) -> torch.device:
        return self.embed_VD.device

    def place(self, prompt: int, rows: Sequence[int], tokens: int) -> None:
        if tokens:
            copy_tokens(self.scratch, prompt, self.cache, rows, tokens)

    def move(self, source: int, target: int, tokens: int) -> None:
        copy_tokens(self.cache, source, self.cache, [target], tokens)

    def read(self, prompts: Sequence[Sequence[int]]) -> None:
        self.scratch = None
        if max(map(len, prompts)) == 0:
            return
        ids_PT = padded(prompts, self.device)
        P, T = ids_PT.shape
        config = self.config
        self.scratch = KVCache(config.layers, P, config.kv_heads, T, config.head_dim, self.dtype, self.device)
        cos_TK, sin_TK = self._turns(torch.arange(T, device=self.device))
        cos_NK, sin_NK = cos_TK.repeat(P, 1), sin_TK.repeat(P, 1)
        x_ND = self.embed_VD[ids_PT.view(-1)]
        for number, layer in enumerate(self.layers):
            q_NHK, k_NGK, v_NGK = self._qkv(layer, x_ND, cos_NK, sin_NK)
            k_PGTK = k_NGK.view(P, T, config.kv_heads, -1).transpose(1, 2)
            v_PGTK = v_NGK.reshape(P, T, config.kv_heads, -1).transpose(1, 2)
            self.scratch.k_LBGSK[number] = k_PGTK
            self.scratch.v_LBGSK[number] = v_PGTK
            if number == len(self.layers) - 1:
                break  # keys and values are all that is wanted of a prompt
            q_PHTK = q_NHK.view(P, T, config.heads, -1).transpose(1, 2)
            mixed_PHTK = functional.scaled_dot_product_attention(
                q_PHTK, k_PGTK, v_PGTK, is_causal=True, enable_gqa=config.heads > config.kv_heads
            )
            x_ND = self._finish_layer(layer, x_ND, mixed_PHTK.transpose(1, 2).reshape(P * T, -1))

    def step(self, ids_N: Tensor, positions_N: Tensor) -> Tensor:
        n, config = len(ids_N), self.config
        reach = min(-(-(int(positions_N.max()) + 1) // REACH_STEP) * REACH_STEP, self.cache.length)
        hidden_N11S = (torch.arange(reach, device=ids_N.device) > positions_N[:, None])[:, None, None]
        rows_N = self.row_numbers_N[:n]
        cos_NK, sin_NK = self._turns(positions_N)
        x_ND = self.embed_VD[ids_N]
        for number, layer in enumerate(self.layers):
            q_NHK, k_NGK, v_NGK = self._qkv(layer, x_ND, cos_NK, sin_NK)
            k_BGSK, v_BGSK = self.cache.k_LBGSK[number], self.cache.v_LBGSK[number]
            k_BGSK[rows_N, :, positions_N] = k_NGK
            v_BGSK[rows_N, :, positions_N] = v_NGK
            q_NGRK = q_NHK.view(n, config.kv_heads, -1, config.head_dim) * config.head_dim**-0.5
            scores_NGRS = q_NGRK @ k_BGSK[:n, :, :reach].transpose(-1, -2)
            scores_NGRS = scores_NGRS.masked_fill(hidden_N11S, float("-inf"))
            weights_NGRS = scores_NGRS.softmax(-1, dtype=torch.float32).to(self.dtype)
            mixed_NGRK = weights_NGRS @ v_BGSK[:n, :, :reach]
            x_ND = self._finish_layer(layer, x_ND, mixed_NGRK.view(n, -1))
        return functional.linear(self._norm(x_ND, self.norm_D), self.head_VD)

    def _turns(self, positions_N: Tensor) -> tuple[Tensor, Tensor]:
        cos_1NK, sin_1NK = self.rope.half_split(positions_N[None], self.dtype)
        return cos_1NK[0], sin_1NK[0]

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)

    def _qkv(self, layer: _Layer, x_ND: Tensor, cos_NK: Tensor, sin_NK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q (N, H, K) and k (N, G, K), rotated, and v (N, G, K)."""
        n, K = len(x_ND), self.config.head_dim
        qkv_NO = functional.linear(self._norm(x_ND, layer.norm_D), layer.qkv_OD, layer.qkv_bias_O)
        qk_NJK = qkv_NO[:, : self.inner + self.kv_inner].view(n, -1, K)
        heads = self.config.heads
        if layer.q_norm_K is not None and layer.k_norm_K is not None:
            q_NHK, k_NGK = self._norm(qk_NJK[:, :heads], layer.q_norm_K), self._norm(qk_NJK[:, heads:], layer.k_norm_K)
            qk_NJK = torch.cat((q_NHK, k_NGK), dim=1)
        half = K // 2
        swapped_NJK = torch.cat((-qk_NJK[..., half:], qk_NJK[..., :half]), dim=-1)
        qk_NJK = qk_NJK * cos_NK[:, None] + swapped_NJK * sin_NK[:, None]
        v_NGK = qkv_NO[:, self.inner + self.kv_inner :].view(n, -1, K)
        return qk_NJK[:, :heads], qk_NJK[:, heads:], v_NGK

    def _finish_layer(self, layer: _Layer, x_ND: Tensor, mixed_NI: Tensor) -> Tensor:
        x_ND = x_ND + functional.linear(mixed_NI, layer.o_DI, layer.o_bias_D)
        gate_up_NF = functional.linear(self._norm(x_ND, layer.second_norm_D), layer.gate_up_FD)
        gate_NF, up_NF = gate_up_NF.chunk(2, dim=-1)
        return x_ND + functional.linear(functional.silu(gate_NF) * up_NF, layer.down_DF)
