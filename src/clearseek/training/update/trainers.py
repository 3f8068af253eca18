"""States of a packed micro-batch and the way back through them, for the Llama family and for every other model.

`PackedTrainer` writes the forward and backward pass of `modeling/llama.py` out by hand: no padding, a group's prompt
once, layers with the same input as one product, gradients added in place, nothing kept that is cheap to compute again.
`PlainTrainer` calls the model itself on padded rows under autograd, and is the meaning of the other one; the tests hold
them to each other.

Letters: N tokens computed, M completion tokens, D width, H heads, G key-value heads, K values of a head, F inner width.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.llama import Llama, RMSNorm
from clearseek.modeling.moe import BALANCE_WEIGHT, Routing, balance_loss, loads_of, update_bias
from clearseek.training.kernels.ops import Ops, TorchOps
from clearseek.training.kernels.train_ops import train_ops
from clearseek.training.update.attention import attention_backward, attention_forward
from clearseek.training.update.batch_layout import MicroBatch
from clearseek.training.update.fused_linear import FusedLinear, Gradients, Vector, add_gradient

FULL_LANES = 2
"""Lanes at most where every weight learns."""

LANE_BYTES = 1 << 30
"""What the second of them may keep in gradients."""

HEAD_NORMS = TorchOps()
"""Norms of single heads (Qwen3) are few and narrow: torch does them."""


class Trainer(Protocol):
    """How a model is run forwards and backwards. `shared`: whether completions can share their prompt's rows."""

    shared: bool
    ops: Ops

    def refresh(self) -> None:
        """Take the weights as they are now; before each step."""

    def head(self) -> Tensor:
        """The output matrix (V, D), in the type that is computed in."""

    def forward(self, packed: MicroBatch, *, keep: bool) -> Tensor:
        """States after the last norm that predict the targets (M, D); with `keep`, `backward` may follow."""

    def backward(self, grad_MD: Tensor, share: float) -> None:
        """Add gradients to `.grad`. `share` is this micro-batch's part of the step, for losses of the model's own."""

    def end_step(self) -> None:
        """After the optimizer's step: what moves without a gradient."""

    def held(self) -> frozenset[int]:
        """The `id` of parameters whose `.grad` is overwritten by each step and must stay where it is."""

    def lanes(self, wanted: int) -> list[tuple[Trainer, Gradients]]:
        """This one, and others that run beside it over the same weights, each with where it keeps its gradients:
        as many as wanted, or fewer. The first keeps its in `.grad`, and nothing apart."""

    def gather(self, gradients: Gradients) -> None:
        """Add to `.grad` what another kept apart, after all have done their backward passes."""


@dataclass(slots=True)
class _Layer:
    first: Vector
    qkv: FusedLinear
    q_norm: Vector | None
    k_norm: Vector | None
    o: FusedLinear
    second: Vector
    gate_up: FusedLinear
    down: FusedLinear

    def parts(self) -> list[FusedLinear | Vector]:
        every = (self.first, self.qkv, self.q_norm, self.k_norm, self.o, self.second, self.gate_up, self.down)
        return [part for part in every if part is not None]


@dataclass(slots=True)
class _Kept:
    """What the backward pass of a layer needs; the outputs of norms and SwiGLU are computed again."""

    x_ND: Tensor
    rms_N1: Tensor
    qk_NJK: Tensor | None
    """Queries and keys before their norms, where they have any (Qwen3)."""
    qk_rms: Tensor | None
    qkv_NJK: Tensor
    weights: list[Tensor]
    mixed_NI: Tensor
    middle_ND: Tensor
    second_rms_N1: Tensor
    gate_up_NF2: Tensor


class PackedTrainer:
    """For `modeling.llama.Llama`."""

    shared = True

    def __init__(self, model: Llama, dtype: torch.dtype, *, compiled: bool = True) -> None:
        self.model, self.dtype, self.config = model, dtype, model.config
        self.ops = train_ops(dtype, model.model.norm.weight.device, compiled=compiled)
        self.layers = [_layer(layer, dtype) for layer in model.model.layers]
        self.norm = Vector(model.model.norm.weight, dtype)
        self.embed_VD = model.model.embed_tokens.weight
        self.head_VD = model.lm_head.weight
        self.cast: dict[int, Tensor] = {}
        joints = [part for layer in self.layers for part in layer.parts() if isinstance(part, FusedLinear)]
        self._held = frozenset(id(layer.weight) for joint in joints if joint.full for layer in joint.layers)
        self._gradient_bytes = sum(4 * joint.grad_OI.numel() for joint in joints if joint.grad_OI is not None)
        self.found: Gradients | None = None
        self._run: tuple[MicroBatch, Tensor, Tensor, list[_Kept], tuple[Tensor, Tensor], Tensor] | None = None

    def refresh(self) -> None:
        for layer in self.layers:
            for part in layer.parts():
                part.refresh()
        self.norm.refresh()
        for table in (self.embed_VD, self.head_VD):
            if id(table) not in self.cast or table.requires_grad:
                self.cast[id(table)] = table.detach().to(self.dtype)

    def head(self) -> Tensor:
        return self.cast[id(self.head_VD)]

    @torch.no_grad()
    def forward(self, packed: MicroBatch, *, keep: bool) -> Tensor:
        x_ND = self.cast[id(self.embed_VD)][packed.ids_N]
        cos_1NK, sin_1NK = self.model.rope.half_split(packed.positions_N[None], torch.float32)
        turns = (cos_1NK[0].contiguous(), sin_1NK[0].contiguous())
        kept: list[_Kept] = []
        for layer in self.layers:
            x_ND = self._forward(layer, x_ND, turns, packed, kept if keep else None)
        rows_U, where_M = torch.unique(packed.source_M, return_inverse=True)
        last_UD = x_ND[rows_U]
        y_UD, rms_U1 = self.ops.norm(last_UD, self.norm.weight_D, self.config.rms_norm_eps)
        if keep:
            self._run = (packed, last_UD, rms_U1, kept, turns, rows_U)
            self._where_M = where_M
        return y_UD[where_M]

    @torch.no_grad()
    def backward(self, grad_MD: Tensor, share: float) -> None:
        assert self._run is not None, "a forward pass that was kept comes first"
        packed, last_UD, rms_U1, kept, turns, rows_U = self._run
        self._run = None
        grad_UD = torch.zeros_like(last_UD).index_add_(0, self._where_M, grad_MD)
        dlast_UD = self._norm_backward(self.norm, grad_UD, last_UD, rms_U1, None)
        dx_ND = torch.zeros((len(packed.ids_N), last_UD.shape[1]), dtype=last_UD.dtype, device=last_UD.device)
        dx_ND[rows_U] = dlast_UD
        for layer in reversed(self.layers):
            dx_ND = self._backward(layer, dx_ND, kept.pop(), turns, packed)
        if self.embed_VD.requires_grad:
            found_VD = torch.zeros_like(self.embed_VD, dtype=torch.float32)
            add_gradient(self.embed_VD, found_VD.index_add_(0, packed.ids_N, dx_ND.float()))

    def end_step(self) -> None:
        pass

    def held(self) -> frozenset[int]:
        return self._held

    def lanes(self, wanted: int) -> list[tuple[Trainer, Gradients]]:
        lanes: list[tuple[Trainer, Gradients]] = [(self, {})]
        if self.embed_VD.requires_grad or self.head_VD.requires_grad:
            return lanes
        if self._held:  # each other one keeps gradients as large as the layers
            wanted = min(wanted, FULL_LANES if self._gradient_bytes <= LANE_BYTES else 1)
        for _ in range(wanted - 1):
            other = copy.copy(self)
            other.found, other._run = {}, None
            lanes.append((other, other.found))
        return lanes

    def gather(self, gradients: Gradients) -> None:
        for layer in self.layers:
            for part in layer.parts():
                if isinstance(part, FusedLinear):
                    part.gather(gradients)
        for parameter in self.model.parameters():
            if id(parameter) in gradients:
                add_gradient(parameter, gradients[id(parameter)])

    def _forward(
        self, layer: _Layer, x_ND: Tensor, turns: tuple[Tensor, Tensor], packed: MicroBatch, kept: list[_Kept] | None
    ) -> Tensor:
        n, config, ops = len(x_ND), self.config, self.ops
        H, G, K, eps = config.heads, config.kv_heads, config.head_dim, config.rms_norm_eps
        normed_ND, rms_N1 = ops.norm(x_ND, layer.first.weight_D, eps)
        qkv_NJK = layer.qkv(normed_ND).view(n, H + 2 * G, K)
        qk_NJK = qk_rms = None
        if layer.q_norm is not None:
            qk_NJK = qkv_NJK[:, : H + G].clone()
            qkv_NJK[:, : H + G], qk_rms = HEAD_NORMS.norm(qk_NJK, self._qk_weight(layer), eps)
        ops.rotate_(qkv_NJK, turns, H + G)
        mixed_NHK, weights = attention_forward(ops, qkv_NJK, G, packed.blocks, keep=kept is not None)
        mixed_NI = mixed_NHK.view(n, H * K)
        middle_ND = layer.o(mixed_NI).add_(x_ND)
        second_ND, second_rms_N1 = ops.norm(middle_ND, layer.second.weight_D, eps)
        gate_up_NF2 = layer.gate_up(second_ND)
        y_ND = layer.down(ops.swiglu(gate_up_NF2)).add_(middle_ND)
        if kept is not None:
            kept.append(
                _Kept(x_ND, rms_N1, qk_NJK, qk_rms, qkv_NJK, weights, mixed_NI, middle_ND, second_rms_N1, gate_up_NF2)
            )
        return y_ND

    def _backward(
        self, layer: _Layer, dy_ND: Tensor, kept: _Kept, turns: tuple[Tensor, Tensor], packed: MicroBatch
    ) -> Tensor:
        n, config, ops = len(dy_ND), self.config, self.ops
        H, G, K = config.heads, config.kv_heads, config.head_dim
        dgate_up = kept.gate_up_NF2  # its gradient takes its place
        active_NF = ops.swiglu_backward_(layer.down.pull(dy_ND), dgate_up)
        layer.down.learn(dy_ND, active_NF, self.found)
        layer.gate_up.learn(dgate_up, _normed(kept.middle_ND, kept.second_rms_N1, layer.second.weight_D), self.found)
        dmiddle_ND = self._norm_backward(
            layer.second, layer.gate_up.pull(dgate_up), kept.middle_ND, kept.second_rms_N1, dy_ND
        )
        dmixed_NHK = layer.o.pull(dmiddle_ND).view(n, H, K)
        layer.o.learn(dmiddle_ND, kept.mixed_NI, self.found)
        dqkv_NJK = attention_backward(ops, dmixed_NHK, kept.qkv_NJK, G, packed.blocks, kept.weights)
        ops.rotate_(dqkv_NJK, turns, H + G, back=True)
        if kept.qk_rms is not None:
            dqkv_NJK[:, : H + G] = self._qk_norm_backward(layer, dqkv_NJK[:, : H + G], kept)
        dqkv_NO = dqkv_NJK.view(n, (H + 2 * G) * K)
        layer.qkv.learn(dqkv_NO, _normed(kept.x_ND, kept.rms_N1, layer.first.weight_D), self.found)
        return self._norm_backward(layer.first, layer.qkv.pull(dqkv_NO), kept.x_ND, kept.rms_N1, dmiddle_ND)

    def _norm_backward(
        self, vector: Vector, dy_ND: Tensor, x_ND: Tensor, rms_N1: Tensor, base_ND: Tensor | None
    ) -> Tensor:
        dx_ND, dweight_D = self.ops.norm_backward(dy_ND, x_ND, rms_N1, vector.weight_D, base_ND, learns=vector.learns)
        if dweight_D is not None:
            vector.add(dweight_D, self.found)
        return dx_ND

    def _qk_weight(self, layer: _Layer) -> Tensor:
        """The norms of queries and keys as one weight (J, K)."""
        assert layer.q_norm is not None
        assert layer.k_norm is not None
        H, G, K = self.config.heads, self.config.kv_heads, self.config.head_dim
        return torch.cat((layer.q_norm.weight_D.expand(H, K), layer.k_norm.weight_D.expand(G, K)))

    def _qk_norm_backward(self, layer: _Layer, dqk_NJK: Tensor, kept: _Kept) -> Tensor:
        assert layer.q_norm is not None
        assert layer.k_norm is not None
        assert kept.qk_NJK is not None
        assert kept.qk_rms is not None
        H = self.config.heads
        results = []
        for part, vector in ((slice(0, H), layer.q_norm), (slice(H, None), layer.k_norm)):
            d_NJK, dweight_K = HEAD_NORMS.norm_backward(
                dqk_NJK[:, part],
                kept.qk_NJK[:, part],
                kept.qk_rms[:, part],
                vector.weight_D,
                None,
                learns=vector.learns,
            )
            if dweight_K is not None:
                vector.add(dweight_K, self.found)
            results.append(d_NJK)
        return torch.cat(results, dim=1)


def _normed(x_ND: Tensor, rms_N1: Tensor, weight_D: Tensor) -> Tensor:
    """A norm's output once more."""
    return weight_D * (x_ND.float() * rms_N1).to(x_ND.dtype)


def _layer(layer: Any, dtype: torch.dtype) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    norms = [
        Vector(part.weight, dtype) if isinstance(part, RMSNorm) else None
        for part in (attention.q_norm, attention.k_norm)
    ]
    return _Layer(
        first=Vector(layer.input_layernorm.weight, dtype),
        qkv=FusedLinear([attention.q_proj, attention.k_proj, attention.v_proj], dtype),
        q_norm=norms[0],
        k_norm=norms[1],
        o=FusedLinear([attention.o_proj], dtype),
        second=Vector(layer.post_attention_layernorm.weight, dtype),
        gate_up=FusedLinear([mlp.gate_proj, mlp.up_proj], dtype),
        down=FusedLinear([mlp.down_proj], dtype),
    )


class PlainTrainer:
    """For every architecture: padded rows through the model's own forward. DeepSeek-V3's routing is balanced by its
    sequence-wise loss and by its bias, as the model's makers did."""

    shared = False

    def __init__(self, model: CausalLM, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype
        self.ops: Ops = train_ops(dtype, model.lm_head.weight.device)
        self.routed = bool(getattr(model.config, "routed_experts", 0))
        self.loads: dict[int, Tensor] = {}
        self._run: tuple[Tensor, Tensor] | None = None

    def refresh(self) -> None:
        self.loads = {}

    def head(self) -> Tensor:
        return self.model.lm_head.weight.detach().to(self.dtype)

    def forward(self, packed: MicroBatch, *, keep: bool) -> Tensor:
        blocks = packed.blocks
        outs, routes, reals = [], [], []
        with torch.set_grad_enabled(keep), torch.autocast(packed.ids_N.device.type, self.dtype, enabled=self.casts):
            for block in blocks:
                ids_BT = packed.ids_N[block.index_BT]
                kinds: dict[str, Any] = {"routes": []} if self.routed and keep else {}
                x_BTD = self.model.hidden(ids_BT, **kinds)
                real_BT = block.index_BT >= 0
                routes.append(kinds.get("routes", []))
                reals.append(real_BT)
                outs.append(x_BTD[real_BT])
            rows_N = torch.cat([block.index_BT[block.index_BT >= 0] for block in blocks])
            order_N = torch.empty_like(rows_N)
            order_N[rows_N] = torch.arange(len(rows_N), device=rows_N.device)
            found_ND = torch.cat(outs)[order_N]
            x_MD = found_ND[packed.source_M]
        if keep:
            self._keep(x_MD, routes, reals)
        return x_MD.detach().to(self.dtype)

    def _keep(self, x_MD: Tensor, routes: list[list[Routing]], reals: list[Tensor]) -> None:
        balance = torch.zeros((), device=x_MD.device)
        rows = sum(len(real_BT) for real_BT in reals)
        for found, real_BT in zip(routes, reals, strict=True):
            if found:
                balance = balance + balance_loss(found, real_BT, BALANCE_WEIGHT) * (len(real_BT) / rows)
                for layer, load_E in loads_of(found, real_BT).items():
                    self.loads[layer] = self.loads[layer] + load_E if layer in self.loads else load_E
        self._run = (x_MD, balance)

    def backward(self, grad_MD: Tensor, share: float) -> None:
        assert self._run is not None, "a forward pass that was kept comes first"
        x_MD, balance = self._run
        self._run = None
        loss = (x_MD * grad_MD.to(x_MD.dtype)).sum()
        if balance.requires_grad:
            loss = loss + balance * share
        torch.autograd.backward(loss)

    def end_step(self) -> None:
        if self.loads:
            update_bias(self.model, self.loads)

    def held(self) -> frozenset[int]:
        return frozenset()

    def lanes(self, wanted: int) -> list[tuple[Trainer, Gradients]]:
        return [(self, {})]

    def gather(self, gradients: Gradients) -> None:
        assert not gradients, "it has no lanes beside it"

    @property
    def casts(self) -> bool:
        return self.dtype != torch.float32


def open_trainer(model: CausalLM, dtype: torch.dtype, *, plain: bool = False, compiled: bool = True) -> Trainer:
    """The fast one where there is one for this architecture; `compiled` lets it use C++ where there is a compiler."""
    if isinstance(model, Llama) and not plain:
        return PackedTrainer(model, dtype, compiled=compiled)
    return PlainTrainer(model, dtype)
