"""A Llama laid out for decoding: one matrix for q, k and v, one for gate and up, buffers that are used again.

The weights are read from the model when this is made, LoRA merged into the copies, so the trainer's own are neither
changed nor written anywhere. It costs a second copy of the weights in memory for as long as the rollout lasts (without
packing, in the model's own dtype, of the fused ones only). It computes what `modeling/llama.py` computes, and the tests
hold it to that.

Letters: N rows, D width, H heads, G key-value heads, R heads a group, K values of a head, S slots, F inner width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearseek.modeling.cache import KVCache
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.llama import Llama, RMSNorm
from clearseek.modeling.lora import LoraLinear
from clearseek.training.kernels.decode_ops import CompiledDecodeOps, decode_ops
from clearseek.training.kernels.packed_product import PackedProduct, can_pack
from clearseek.training.rollout.decoder import copy_tokens, padded

REACH_STEP = 16
"""Attention looks at a multiple of so many slots, so that the shapes of its products change seldom."""


def can_lay_out(model: CausalLM) -> TypeGuard[Llama]:
    """Whether this model can be packed."""
    return isinstance(model, Llama)


@dataclass(frozen=True, slots=True)
class _Layer:
    norm_D: Tensor
    qkv: PackedProduct
    q_norm_K: Tensor | None
    k_norm_K: Tensor | None
    o: PackedProduct
    second_norm_D: Tensor
    gate_up: PackedProduct
    down: PackedProduct


def live_weight(linear: nn.Linear, dtype: torch.dtype) -> Tensor:
    """A linear layer's weight as it acts now, LoRA included; the parameter's own memory where that is possible."""
    weight_OI = linear.merged_weight() if isinstance(linear, LoraLinear) else linear.weight.detach()
    return weight_OI.to(dtype)


def _product(linears: Sequence[nn.Linear], dtype: torch.dtype, rows: int, pack: bool) -> PackedProduct:
    """Several layers that take the same input, as one product."""
    weights = [live_weight(linear, dtype) for linear in linears]
    biases = [linear.bias.detach().to(dtype) for linear in linears if linear.bias is not None]
    weight_OI = weights[0] if len(weights) == 1 else torch.cat(weights)
    return PackedProduct(weight_OI, torch.cat(biases) if biases else None, rows, pack=pack)


def _pack(layer: Any, dtype: torch.dtype, rows: int, pack: bool) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    norms = [
        norm.weight.detach().to(dtype) if isinstance(norm, RMSNorm) else None
        for norm in (attention.q_norm, attention.k_norm)
    ]
    return _Layer(
        norm_D=layer.input_layernorm.weight.detach().to(dtype),
        qkv=_product([attention.q_proj, attention.k_proj, attention.v_proj], dtype, rows, pack),
        q_norm_K=norms[0],
        k_norm_K=norms[1],
        o=_product([attention.o_proj], dtype, rows, pack),
        second_norm_D=layer.post_attention_layernorm.weight.detach().to(dtype),
        gate_up=_product([mlp.gate_proj, mlp.up_proj], dtype, rows, pack),
        down=_product([mlp.down_proj], dtype, rows, pack),
    )


class LlamaDecoder:
    """A `Stepper` for `modeling.llama.Llama`."""

    def __init__(self, model: Llama, rows: int, length: int, dtype: torch.dtype, *, compiled: bool = True) -> None:
        """`compiled`: use the functions of `decode_ops.py` where they can be had."""
        config = model.config
        self.config, self.rope, self.dtype = config, model.rope, dtype
        self.embed_VD = model.model.embed_tokens.weight.detach().to(dtype)
        pack = can_pack(dtype, self.device)
        self.layers = [_pack(layer, dtype, rows, pack) for layer in model.model.layers]
        tied = model.lm_head.weight is model.model.embed_tokens.weight
        head_VD = self.embed_VD if tied else live_weight(model.lm_head, dtype)
        self.head = PackedProduct(head_VD, None, rows, pack=pack)
        self.norm_D = model.model.norm.weight.detach().to(dtype)
        self.fast = decode_ops(dtype, self.device) if compiled else None
        self.inner, self.kv_inner = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self._take_room(model, rows, length)

    def beside(self, model: Llama, rows: int, length: int) -> LlamaDecoder:
        """Another with the same weights, which are not copied, and rows of its own."""
        other = copy.copy(self)
        other._take_room(model, rows, length)
        return other

    def _take_room(self, model: Llama, rows: int, length: int) -> None:
        config = self.config
        self.cache = model.new_cache(rows, length, self.dtype)
        self.scratch: KVCache | None = None
        self.row_numbers_N = torch.arange(rows, device=self.device)
        if self.fast is not None:
            kinds: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
            self.normed_ND = torch.empty(rows, config.hidden_size, **kinds)
            self.mixed_NI = torch.empty(rows, config.heads * config.head_dim, **kinds)
            self.active_NF = torch.empty(rows, config.intermediate_size, **kinds)
            self.scores = torch.empty(rows * config.kv_heads * (length + config.head_dim), dtype=torch.float32)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.embed_VD.device
        return device

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
        if self.fast is not None:
            return self._fast_step(self.fast, ids_N, positions_N)
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
        return self.head(self._norm(x_ND, self.norm_D))

    def _fast_step(self, fast: CompiledDecodeOps, ids_N: Tensor, positions_N: Tensor) -> Tensor:
        """The same as the rest of `step`, through the compiled functions and buffers that are used again."""
        n, config, eps = len(ids_N), self.config, self.config.rms_norm_eps
        if int(positions_N.max()) >= self.cache.length or int(positions_N.min()) < 0:
            raise IndexError("a position outside the cache")  # the compiled functions do not look
        cos_1NK, sin_1NK = self.rope.half_split(positions_N[None], torch.float32)
        turns = (cos_1NK[0].contiguous(), sin_1NK[0].contiguous())
        normed_ND, mixed_NI, active_NF = self.normed_ND[:n], self.mixed_NI[:n], self.active_NF[:n]
        x_ND = self.embed_VD[ids_N]
        delta_ND: Tensor | None = None
        for number, layer in enumerate(self.layers):
            k_BGSK, v_BGSK = self.cache.k_LBGSK[number], self.cache.v_LBGSK[number]
            fast.add_norm(x_ND, delta_ND, layer.norm_D, normed_ND, eps)
            qkv_NJK = layer.qkv(normed_ND).view(n, -1, config.head_dim)
            fast.rotate_store(qkv_NJK, turns, positions_N, (layer.q_norm_K, layer.k_norm_K), k_BGSK, v_BGSK, eps)
            fast.attend(qkv_NJK, k_BGSK, v_BGSK, positions_N, self.scores, mixed_NI)
            fast.add_norm(x_ND, layer.o(mixed_NI), layer.second_norm_D, normed_ND, eps)
            fast.swiglu(layer.gate_up(normed_ND), active_NF)
            delta_ND = layer.down(active_NF)
        fast.add_norm(x_ND, delta_ND, self.norm_D, normed_ND, eps)
        return self.head(normed_ND)

    def _turns(self, positions_N: Tensor) -> tuple[Tensor, Tensor]:
        cos_1NK, sin_1NK = self.rope.half_split(positions_N[None], self.dtype)
        return cos_1NK[0], sin_1NK[0]

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)

    def _qkv(self, layer: _Layer, x_ND: Tensor, cos_NK: Tensor, sin_NK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q (N, H, K) and k (N, G, K), rotated, and v (N, G, K)."""
        n, K = len(x_ND), self.config.head_dim
        qkv_NO = layer.qkv(self._norm(x_ND, layer.norm_D))
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
        x_ND = x_ND + layer.o(mixed_NI)
        gate_up_NF = layer.gate_up(self._norm(x_ND, layer.second_norm_D))
        gate_NF, up_NF = gate_up_NF.chunk(2, dim=-1)
        return x_ND + layer.down(functional.silu(gate_NF) * up_NF)
