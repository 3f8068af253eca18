"""DeepSeekMoE: a few shared experts for every token, and many routed ones of which each token uses a few.

Routing without an auxiliary loss (DeepSeek-V3 technical report, arXiv 2412.19437, section 2.1.2; Wang et al.,
arXiv 2408.15664): an expert's score is the sigmoid of its affinity; a bias per expert takes part in the *choice* of
experts only, never in their weight, and is moved against the load after each step, outside the gradient. Groups of
experts (one per node, when trained) limit how many groups a token may use.

What a layer decided is handed out as `Routing`, to whoever gives a list to put it in: load, bias update and balance
loss are functions of it, and the layers themselves keep no counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.llama import MLP

BIAS_RATE = 0.001
"""How far the bias moves per step, the report's gamma for most of its training (section 4.2)."""
BALANCE_WEIGHT = 0.0001
"""The weight of the sequence-wise balance loss, the report's alpha (section 4.2)."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What one layer's router decided for B x T tokens, E experts of which K are used.

    `scores_BTE` are the sigmoid affinities in fp32, with their gradient; `index_BTK` the experts chosen (int64);
    `weight_BTK` what their outputs are multiplied by; `layer` the number of the layer.
    """

    layer: int
    scores_BTE: Tensor
    index_BTK: Tensor
    weight_BTK: Tensor


class Router(nn.Module):
    """Chooses experts. `weight` (E, D); `e_score_correction_bias` (E,) fp32, no parameter: see `update_bias`."""

    e_score_correction_bias: Tensor

    def __init__(self, config: DeepseekV3Config) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.routed_experts, config.hidden_size))
        nn.init.normal_(self.weight, std=config.initializer_range)
        self.register_buffer("e_score_correction_bias", torch.zeros(config.routed_experts, dtype=torch.float32))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Router:
        # Moving a model to bf16 must not round the bias: its steps of 0.001 would be lost above 0.25.
        before = self.e_score_correction_bias
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        after = self.e_score_correction_bias
        if after.dtype != torch.float32:
            kept = torch.empty_like(after, dtype=torch.float32) if before.is_meta else before.to(after.device)
            self.e_score_correction_bias = kept
        return self

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (N, D) -> scores (N, E), chosen experts (N, K) int64, their weights (N, K); scores and weights in fp32."""
        config = self.config
        scores_NE = functional.linear(x_ND.float(), self.weight.float()).sigmoid()
        with torch.no_grad():
            index_NK = choose(scores_NE + self.e_score_correction_bias, config)
        weight_NK = scores_NE.gather(1, index_NK)
        if config.norm_topk_prob:
            weight_NK = weight_NK / (weight_NK.sum(-1, keepdim=True) + 1e-20)
        return scores_NE, index_NK, weight_NK * config.routed_scaling_factor


def choose(biased_NE: Tensor, config: DeepseekV3Config) -> Tensor:
    """The K experts of each token (N, K): in the `topk_group` groups with the best two experts, the best K."""
    if config.topk_group < config.n_group:
        grouped_NGE = biased_NE.view(len(biased_NE), config.n_group, -1)
        best_two_NG = grouped_NGE.topk(min(2, grouped_NGE.shape[-1]), dim=-1).values.sum(-1)
        groups_NJ = best_two_NG.topk(config.topk_group, dim=-1).indices
        closed_NG = torch.ones_like(best_two_NG, dtype=torch.bool).scatter_(1, groups_NJ, False)
        biased_NE = grouped_NGE.masked_fill(closed_NG[..., None], -torch.inf).flatten(1)
    return biased_NE.topk(config.experts_per_token, dim=-1).indices


class MoE(nn.Module):
    """Shared experts plus the chosen routed ones; x (B, T, D) -> (B, T, D)."""

    def __init__(self, config: DeepseekV3Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        width, inner = config.hidden_size, config.moe_intermediate_size
        self.experts = nn.ModuleList(MLP(width, inner) for _ in range(config.routed_experts))
        self.gate = Router(config)
        self.shared_experts = MLP(width, inner * config.shared_experts) if config.shared_experts else None

    def forward(self, x_BTD: Tensor, routes: list[Routing] | None = None) -> Tensor:
        """When `routes` is given, what was decided is appended to it."""
        x_ND = x_BTD.flatten(0, -2)
        scores_NE, index_NK, weight_NK = self.gate(x_ND)
        y_BTD = self._routed(x_ND, index_NK, weight_NK).view_as(x_BTD)
        if self.shared_experts is not None:
            y_BTD = y_BTD + self.shared_experts(x_BTD)
        if routes is not None:
            B, T, _ = x_BTD.shape
            parts = (tensor.view(B, T, -1) for tensor in (scores_NE, index_NK, weight_NK))
            routes.append(Routing(self.layer, *parts))
        return y_BTD

    def _routed(self, x_ND: Tensor, index_NK: Tensor, weight_NK: Tensor) -> Tensor:
        # Tokens are sorted by expert, so that each expert is two matrix products over rows that lie together; the way
        # back is a permutation and not a scatter-add, whose order of summing would differ from run to run on a GPU.
        chosen = index_NK.shape[1]
        order = index_NK.flatten().argsort(stable=True)
        counts = torch.bincount(index_NK.flatten(), minlength=len(self.experts)).tolist()
        pieces = torch.split(x_ND[order // chosen], counts)
        outs = [expert(piece) for expert, piece in zip(self.experts, pieces, strict=True) if len(piece)]
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        y_NKD = torch.cat(outs)[back].view(len(x_ND), chosen, -1)
        return (y_NKD * weight_NK[..., None]).sum(1).to(x_ND.dtype)


def load_of(routing: Routing, mask_BT: Tensor | None = None) -> Tensor:
    """How many tokens each expert got (E,), int64; with a mask, counting only where it is true."""
    index = routing.index_BTK if mask_BT is None else routing.index_BTK[mask_BT.bool()]
    return torch.bincount(index.flatten(), minlength=routing.scores_BTE.shape[-1])


def loads_of(routes: Sequence[Routing], mask_BT: Tensor | None = None) -> dict[int, Tensor]:
    """The load of each layer by its number, summed where a layer decided more than once (micro-batches)."""
    loads: dict[int, Tensor] = {}
    for routing in routes:
        load_E = load_of(routing, mask_BT)
        loads[routing.layer] = loads[routing.layer] + load_E if routing.layer in loads else load_E
    return loads


@torch.no_grad()
def update_bias(model: nn.Module, loads: Mapping[int, Tensor], rate: float = BIAS_RATE) -> None:
    """Move the bias of each layer in `loads` by `rate`: down for experts above the mean load, up for those below
    (arXiv 2408.15664, algorithm 1).

    Once per optimiser step; when several machines train together, `loads` are summed over them first. Raises
    ModelingError for a layer that has no experts.
    """
    layers = {module.layer: module for module in model.modules() if isinstance(module, MoE)}
    for number, load_E in loads.items():
        if number not in layers or load_E.shape != layers[number].gate.e_score_correction_bias.shape:
            raise ModelingError(f"Layer {number} has no {len(load_E)} routed experts to balance.")
        bias_E = layers[number].gate.e_score_correction_bias
        above_E = load_E.float() - load_E.float().mean()
        bias_E -= rate * above_E.sign().to(bias_E.device)


def balance_loss(routes: Sequence[Routing], mask_BT: Tensor | None = None, weight: float = BALANCE_WEIGHT) -> Tensor:
    """The sequence-wise balance loss (arXiv 2412.19437, equations 17 to 20), summed over layers, mean over sequences.

    For a sequence of T tokens: weight x sum over experts of f x P, with f = E / (K T) x (how often the expert is among
    the K best by plain score) and P the mean over tokens of its share of the scores. It is `weight` when all experts
    are alike. With a mask, tokens where it is false are left out. Shape (), fp32; 0 without routes.
    """
    total = torch.zeros((), dtype=torch.float32, device=routes[0].scores_BTE.device if routes else None)
    for routing in routes:
        scores_BTE, chosen = routing.scores_BTE, routing.index_BTK.shape[-1]
        experts = scores_BTE.shape[-1]
        best_BTK = scores_BTE.detach().topk(chosen, dim=-1).indices
        hit_BTE = torch.zeros_like(scores_BTE).scatter_(-1, best_BTK, 1.0)
        share_BTE = scores_BTE / (scores_BTE.sum(-1, keepdim=True) + 1e-20)
        if mask_BT is not None:
            keep_BT1 = mask_BT.to(scores_BTE.dtype)[..., None]
            hit_BTE, share_BTE = hit_BTE * keep_BT1, share_BTE * keep_BT1
            tokens_B1 = keep_BT1.sum(1).clamp_min(1.0)
        else:
            tokens_B1 = torch.full_like(scores_BTE[:, 0, :1], scores_BTE.shape[1])
        often_BE = hit_BTE.sum(1) * (experts / chosen) / tokens_B1
        share_BE = share_BTE.sum(1) / tokens_B1
        total = total + weight * (often_BE * share_BE).sum(-1).mean()
    return total
