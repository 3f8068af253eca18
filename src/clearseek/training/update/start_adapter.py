"""The values of an earlier run's adapter, put into the LoRA of a model that is to learn on from them."""

from __future__ import annotations

import torch
from torch import nn

from clearseek.errors import UserError
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.gguf_weights import gguf_name, heads_of, pairs_apart
from clearseek.modeling.lora import lora_layers
from clearseek.training.recipe.start import StartAdapter


def load_start_adapter(model: CausalLM, start: StartAdapter, base_sha256: str | None) -> None:
    """Give the model's LoRA the adapter's values, in place.

    Only products of A and B are known of an adapter that was written; A's rows get the size that LoRA's begin with
    (LeCun's uniform: 1/sqrt(in) in the root mean square), and B what remains. Raises UserError where it belongs on
    another base, or has another form than the recipe's [lora].
    """
    adapter, layers = start.adapter, lora_layers(model)
    if base_sha256 != adapter.base.sha256:
        raise UserError(
            f"The adapter {adapter.name} belongs on {adapter.base.name} ({adapter.base.sha256[:16]}), and the recipe's "
            f"base is another file ({(base_sha256 or 'none')[:16]})."
        )
    if adapter.vectors:
        raise UserError(f"The adapter {adapter.name} also replaces norms, which LoRA cannot learn on from.")
    named = {gguf_name(f"{name}.weight"): name for name in layers}
    if set(named) != set(adapter.pairs):
        raise UserError(f"The adapter {adapter.name} is on other layers than `targets` under [lora] names.")
    for theirs, name in named.items():
        layer = layers[name]
        if layer.rank != adapter.rank:
            raise UserError(
                f"The adapter {adapter.name} has rank {adapter.rank}, and [lora] says {layer.rank}: write "
                f"`rank = {adapter.rank}`."
            )
        a, b = adapter.factors(theirs)
        a_RI, b_OR = torch.from_numpy(a.copy()), torch.from_numpy(b.copy())
        heads = heads_of(f"{name}.weight", model.config) if isinstance(model.config, LlamaConfig) else None
        b_OR = pairs_apart(b_OR, heads) if heads else b_OR
        size_R = a_RI.pow(2).mean(1).sqrt()
        used_R = size_R > 0
        factor_R = torch.where(used_R, layer.in_features**-0.5 / torch.where(used_R, size_R, 1.0), 0.0)
        _put(layer.lora_A, torch.where(used_R[:, None], a_RI * factor_R[:, None], layer.lora_A.double().cpu()))
        _put(layer.lora_B, torch.where(used_R, b_OR / torch.where(used_R, factor_R * layer.scale, 1.0), 0.0))


def _put(parameter: nn.Parameter, values: torch.Tensor) -> None:
    parameter.data.copy_(values.to(parameter.device, parameter.dtype))
