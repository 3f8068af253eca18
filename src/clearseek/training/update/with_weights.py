"""A model seen with other weights: what something refers to, while the live weights stay as they are.

A signal, an error or a second thread can come at any moment. Whoever wrote other weights into the live model and meant
to put them back could be cut in between, and a mixture would be saved; so nobody does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from clearseek.modeling.causal_lm import CausalLM


def with_weights(model: CausalLM, weights: Mapping[str, Tensor]) -> CausalLM:
    """The same model with `weights`, by their published names, in place of its own; every other tensor is shared.

    Nothing of `model` is changed or copied. The twin does not learn. Raises KeyError for a name that the model lacks.
    """
    named = dict(model.named_parameters())
    other: dict[int, nn.Parameter] = {}
    for name, value in weights.items():
        own = named[name]
        other[id(own)] = nn.Parameter(value.detach().to(own.device), requires_grad=False)
    made: dict[int, nn.Module] = {}

    def seen(module: nn.Module) -> nn.Module:
        if id(module) not in made:
            new = made[id(module)] = copy.copy(module)
            new.__dict__["_parameters"] = {
                name: one if one is None else other.get(id(one), one) for name, one in module._parameters.items()
            }
            new.__dict__["_buffers"] = dict(module._buffers)
            new.__dict__["_modules"] = {
                name: one if one is None else seen(one) for name, one in module._modules.items()
            }
        return made[id(module)]

    return cast(CausalLM, seen(model))  # a copy is of the same class
