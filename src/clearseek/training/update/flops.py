"""FLOP of learning, by formula, from the model's own sizes. One multiply-add is 2 FLOP.

`body` are the weights every computed token is multiplied with (of routed experts, those that are used), `head` the
output matrix, which is applied only where something is predicted, and attention is 4 x layers x heads x width of a head
for each token and token that it looks at (2 for the scores, 2 for the mix; Kaplan et al. 2020, arXiv 2001.08361,
section 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clearseek.ledger.quantity import Quantity, modelled
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.training.data.groups import Group

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Of one model: weights of the body, of the head and of adapters, and FLOP for a token and a key."""

    body: float
    head: float
    adapters: float
    attention: float
    learns: float
    """Weights of the body that learn themselves: all or none."""
    head_learns: bool


def model_sizes(model: CausalLM) -> ModelSizes:
    """Counted from the model's matrices."""
    config = model.config
    experts, used = getattr(config, "routed_experts", 0), getattr(config, "experts_per_token", 0)
    body = adapters = learns = 0.0
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or name.endswith("embed_tokens.weight") or name.startswith("lm_head."):
            continue
        share = used / experts if ".experts." in name and experts else 1.0
        amount = parameter.numel() * share
        if "lora_" in name.rpartition(".")[2]:
            adapters += amount
        else:
            body += amount
            learns += amount if parameter.requires_grad else 0.0
    head = model.lm_head.weight
    if isinstance(config, DeepseekV3Config):
        width = config.heads * (config.qk_head_dim + config.v_head_dim)
    else:
        width = 2 * config.heads * config.head_dim
    return ModelSizes(body, head.numel(), adapters, 2.0 * config.layers * width, learns, bool(head.requires_grad))


def update_flops(sizes: ModelSizes, groups: Sequence[Group], computed: int) -> Quantity:
    """One update: a forward pass (2 N a token), the gradient of the states (2 N), and that of the weights that learn
    (2 of theirs: N in full, the adapters' with LoRA, whose own passes cost 4 more). The output matrix is applied to
    completion tokens only: 2 forward, 2 back, and 4 more where it learns, because its logits are then computed again.
    """
    scored = sum(group.scored for group in groups)
    body = (4 * sizes.body + 2 * sizes.learns + 6 * sizes.adapters) * computed
    head = (8 if sizes.head_learns else 4) * sizes.head * scored
    flops = body + head + 3 * sizes.attention * _pairs(groups)
    return modelled(
        flops, "FLOP", "forward 2N a token, backward 2N and 2 for each weight that learns; head where scored"
    )


def forward_only_flops(sizes: ModelSizes, groups: Sequence[Group], computed: int) -> Quantity:
    """One pass without a gradient over the same tokens."""
    scored = sum(group.scored for group in groups)
    flops = 2 * sizes.body * computed + 2 * sizes.head * scored + sizes.attention * _pairs(groups)
    return modelled(flops, "FLOP", "forward 2N a token; the head where scored")


def rollout_flops(sizes: ModelSizes, groups: Sequence[Group]) -> Quantity:
    """Generating these groups: each prompt read once, each completion token through the model, adapters merged."""
    prompts = sum(len(group.prompt) for group in groups)
    scored = sum(group.scored for group in groups)
    flops = 2 * sizes.body * (prompts + scored) + 2 * sizes.head * scored + sizes.attention * _pairs(groups)
    return modelled(flops, "FLOP", "2N a token, prompts once; the head for written tokens")


def _pairs(groups: Sequence[Group]) -> float:
    """Tokens looked at, summed over the tokens that look: the prompt once, completions at it and at themselves."""
    pairs = 0.0
    for group in groups:
        P = len(group.prompt)
        pairs += P * (P + 1) / 2
        for completion in group.completions:
            T = len(completion) - 1
            pairs += T * P + T * (T + 1) / 2
    return pairs
