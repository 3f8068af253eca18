"""LoRA on any linear layer (Hu et al. 2021, arXiv 2106.09685, equation 3): y = W x + b + (alpha / rank) B A x.

A layer with an adapter stays a `nn.Linear` with its weight under its published name, so a model's other state keeps
its keys; the adapter adds `lora_A` (rank, in) and `lora_B` (out, rank) beside it. Merging writes W + s B A into the
weight and keeps the original, so that unmerging gives it back bit for bit.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearseek.modeling.config import EVERY_LINEAR
from clearseek.modeling.errors import ModelingError


class LoraLinear(nn.Linear):
    """A linear layer with a low-rank addition; shares the weight and bias of the layer it was made from."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, *, scale: float | None = None) -> None:
        """`scale` is alpha / rank unless said (rsLoRA divides by the square root of the rank)."""
        nn.Module.__init__(self)  # the parameters are the base's own: nothing is allocated
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.rank, self.alpha = rank, alpha
        self.scale = alpha / rank if scale is None else scale
        device = base.weight.device  # float32 whatever the base is: small, and an optimiser's steps are smaller
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, dtype=torch.float32, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, dtype=torch.float32, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out), in the weight's dtype."""
        y = functional.linear(x, self.weight, self.bias)
        low = functional.linear(functional.linear(x.to(self.lora_A.dtype), self.lora_A), self.lora_B)
        return y + (low * self.scale).to(y.dtype)

    def merged_weight(self) -> Tensor:
        """W + s B A (out, in), added in fp32 and rounded once to the weight's dtype; the module is not changed."""
        with torch.no_grad():
            delta_OI = (self.lora_B.float() @ self.lora_A.float()) * self.scale
            return (self.weight.float() + delta_OI).to(self.weight.dtype)


def add_lora(
    model: nn.Module, rank: int, alpha: float, targets: Sequence[str] = EVERY_LINEAR, *, seed: int = 0
) -> list[str]:
    """Put adapters on the linear layers whose name matches a pattern, and freeze everything else.

    A pattern is a shell-style one for a layer's whole name (`model.layers.*.self_attn.q_proj`) or its last part
    (`q_proj`, `*_proj`). A starts as LeCun's uniform (bound sqrt(3 / in), variance 1 / in; PEFT's, kaiming_uniform with
    a = sqrt 5, has a third of that variance) and B as zero, so the model's outputs do not change at first; `seed`
    decides A. Returns the names, in the model's order. Raises ModelingError for a rank below 1, a pattern that
    matches no linear layer, or a model that has adapters already.
    """
    if rank < 1 or not math.isfinite(alpha) or alpha <= 0:
        raise ModelingError(f"LoRA needs a rank of at least 1 and a positive alpha; got {rank} and {alpha}.")
    if lora_layers(model):
        raise ModelingError("This model has LoRA adapters already; remove them first.")
    names = match_linears(model, targets)
    for name in names:
        if rank > min(model.get_submodule(name).weight.shape):  # type: ignore[arg-type]
            raise ModelingError(f"A LoRA of rank {rank} is larger than the layer {name} itself.")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        layer = _replace(model, name, rank, alpha)
        bound = math.sqrt(3.0 / layer.in_features)
        start_RI = torch.rand(layer.lora_A.shape, generator=generator) * (2 * bound) - bound
        layer.lora_A.data.copy_(start_RI)
    return names


def match_linears(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Names of the linear layers that a pattern matches. Raises ModelingError for a pattern without any."""
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name]
    chosen: set[str] = set()
    for pattern in targets:
        results = {
            name
            for name in linears
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition(".")[2], pattern)
        }
        if not results:
            ends = sorted({name.rpartition(".")[2] for name in linears})
            raise ModelingError(f"No linear layer is called `{pattern}`; this model has {', '.join(ends) or 'none'}.")
        chosen |= results
    return [name for name in linears if name in chosen]


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """The layers with an adapter, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


def lora_parameters(model: nn.Module) -> list[nn.Parameter]:
    """What an optimiser is to train: every A and B."""
    return [parameter for layer in lora_layers(model).values() for parameter in (layer.lora_A, layer.lora_B)]


def remove_lora(model: nn.Module, *, merge: bool) -> None:
    """Plain linear layers again: with the adapters written into the weights, or without them."""
    for name, layer in lora_layers(model).items():
        if merge:
            layer.weight.data.copy_(layer.merged_weight())
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        plain.weight, plain.bias = layer.weight, layer.bias
        _set_module(model, name, plain)
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def put_lora(model: nn.Module, name: str, rank: int, alpha: float, scale: float) -> LoraLinear:
    """One adapter on one named linear layer, with B zero and A not yet set; used when an adapter is read."""
    layer = _replace(model, name, rank, alpha)
    layer.scale = scale
    return layer


def _replace(model: nn.Module, name: str, rank: int, alpha: float) -> LoraLinear:
    base = model.get_submodule(name)
    if not isinstance(base, nn.Linear):
        raise ModelingError(f"{name} is not a linear layer, so no adapter can be put on it.")
    layer = LoraLinear(base, rank, alpha)
    _set_module(model, name, layer)
    return layer


def _set_module(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, last, module)
