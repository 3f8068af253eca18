"""FLOP of rollouts and updates, modelled from a torch model's sizes and the groups it worked on."""

from __future__ import annotations

from collections.abc import Sequence

from clearseek.flops import TransformerSizes, causal_pairs, forward, forward_and_backward, pair_flops
from clearseek.ledger.quantity import Quantity, modelled
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.training.data.groups import Group


def model_sizes(model: CausalLM) -> TransformerSizes:
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
        key_width, value_width = config.qk_head_dim, config.v_head_dim
    else:
        key_width = value_width = config.head_dim
    attention = pair_flops(config.layers * config.heads, key_width, value_width)
    return TransformerSizes(body, head.numel(), attention, adapters, learns, bool(head.requires_grad))


def update_flops(sizes: TransformerSizes, groups: Sequence[Group], computed: int) -> Quantity:
    """One update: forward and backward over the computed tokens, the output matrix on completion tokens only."""
    flops = forward_and_backward(sizes, computed, _scored(groups), _pairs(groups))
    return modelled(
        flops, "FLOP", "forward 2N a token, backward 2N and 2 for each weight that learns; head where scored"
    )


def forward_only_flops(sizes: TransformerSizes, groups: Sequence[Group], computed: int) -> Quantity:
    """One pass without a gradient over the same tokens."""
    flops = forward(sizes, computed, _scored(groups), _pairs(groups))
    return modelled(flops, "FLOP", "forward 2N a token; the head where scored")


def rollout_flops(sizes: TransformerSizes, groups: Sequence[Group]) -> Quantity:
    """Generating these groups: each prompt read once, each completion token through the model, adapters merged."""
    prompts, scored = sum(len(group.prompt) for group in groups), _scored(groups)
    flops = forward(sizes, prompts + scored, scored, _pairs(groups))
    return modelled(flops, "FLOP", "2N a token, prompts once; the head for written tokens")


def _scored(groups: Sequence[Group]) -> int:
    return sum(group.scored for group in groups)


def _pairs(groups: Sequence[Group]) -> float:
    """Tokens looked at, summed over the tokens that look: the prompt once, completions at it and at themselves."""
    pairs = 0.0
    for group in groups:
        pairs += causal_pairs(len(group.prompt))
        for completion in group.completions:
            pairs += causal_pairs(len(completion) - 1, len(group.prompt))
    return pairs
