"""Linear layers that take the same input, as one matrix, with their gradients written in place.

Three ways to learn share it. In float32 and full, the layers' weights become views of the one matrix: nothing is
copied, ever. In bfloat16 the matrix is a copy, cast once per step from float32 masters. With LoRA it holds W + s B A,
merged once per step as rollouts merge it, so that what is trained is what was sampled from; the gradients of A and B
follow from that of the merged weight without forming it: with g = dy^T x, dB = s g A^T and dA = s B^T g.

Letters: N tokens, I in, O out, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clearseek.modeling.lora import LoraLinear

Gradients = dict[int, Tensor]
"""Gradients that are kept apart, by the `id` of their parameter or of the `FusedLinear` they belong to."""


class FusedLinear:
    """`layers` of the same input width, each with its rows of the joint matrix."""

    def __init__(self, layers: Sequence[nn.Linear], dtype: torch.dtype) -> None:
        self.layers = tuple(layers)
        ends = torch.tensor([layer.out_features for layer in layers]).cumsum(0).tolist()
        self.rows = [slice(end - layer.out_features, end) for end, layer in zip(ends, layers, strict=True)]
        first = layers[0].weight
        self.full = all(layer.weight.requires_grad for layer in layers)
        self.adapted = [
            (layer, rows)
            for layer, rows in zip(layers, self.rows, strict=True)
            if isinstance(layer, LoraLinear) and layer.lora_A.requires_grad
        ]
        shape = (ends[-1], layers[0].in_features)
        live = self.full and dtype == torch.float32
        self.weight_OI = torch.empty(shape, dtype=dtype, device=first.device)
        self.grad_OI: Tensor | None = None
        self.dirty = True
        """Whether the matrix has to be written anew from the layers before it is used."""
        if self.full:
            self.grad_OI = torch.zeros(shape, dtype=torch.float32, device=first.device)
        for layer, rows in zip(layers, self.rows, strict=True):
            if live:
                self.weight_OI[rows] = layer.weight.data
                layer.weight.data = self.weight_OI[rows]
            if self.grad_OI is not None:
                layer.weight.grad = self.grad_OI[rows]
        self.live = live
        biases = [layer.bias for layer in layers]
        self.bias_O: Tensor | None = (
            None if biases[0] is None else torch.empty(ends[-1], dtype=dtype, device=first.device)
        )
        self.fresh = True  # the gradient holds nothing yet: the first product overwrites it

    def refresh(self) -> None:
        """Take the weights as they are now."""
        self.fresh = True
        if self.bias_O is not None:
            for layer, rows in zip(self.layers, self.rows, strict=True):
                self.bias_O[rows] = layer.bias.detach()
        if self.live or not self.dirty:
            return
        for layer, rows in zip(self.layers, self.rows, strict=True):
            target_OI, weight_OI = self.weight_OI[rows], layer.weight.detach()
            if not isinstance(layer, LoraLinear):
                target_OI.copy_(weight_OI)
            elif target_OI.dtype == weight_OI.dtype == torch.float32:
                up_OR, low_RI = layer.lora_B.detach(), layer.lora_A.detach()
                torch.addmm(weight_OI, up_OR, low_RI, alpha=layer.scale, out=target_OI)  # nothing is allocated
            else:
                target_OI.copy_(layer.merged_weight())
        self.dirty = self.full or bool(self.adapted)  # what never learns is cast once

    def __call__(self, x_NI: Tensor) -> Tensor:
        if self.bias_O is None:
            return x_NI @ self.weight_OI.t()
        return torch.addmm(self.bias_O, x_NI, self.weight_OI.t())

    def pull(self, dy_NO: Tensor) -> Tensor:
        """The gradient of x."""
        return dy_NO @ self.weight_OI

    def learn(self, dy_NO: Tensor, x_NI: Tensor, gradients: Gradients | None = None) -> None:
        """Add the gradients of what learns, see `add_gradient`."""
        if self.grad_OI is not None:
            into_OI, first = self.grad_OI, self.fresh
            if gradients is None:
                self.fresh = False
            else:
                first = id(self) not in gradients
                if first:
                    gradients[id(self)] = torch.empty_like(self.grad_OI)
                into_OI = gradients[id(self)]
            if into_OI.dtype == dy_NO.dtype:
                torch.addmm(into_OI, dy_NO.t(), x_NI, beta=0.0 if first else 1.0, out=into_OI)
            elif first:
                into_OI.copy_(dy_NO.t() @ x_NI)
            else:
                into_OI += dy_NO.t() @ x_NI
        for lora, rows in self.adapted:
            part_NO = dy_NO[:, rows]
            low_RI = lora.lora_A.detach().to(x_NI.dtype)
            up_OR = lora.lora_B.detach().to(x_NI.dtype)
            add_gradient(lora.lora_B, (part_NO.t() @ (x_NI @ low_RI.t())).float() * lora.scale, gradients)
            add_gradient(lora.lora_A, ((part_NO @ up_OR).t() @ x_NI).float() * lora.scale, gradients)
        if self.bias_O is not None:
            for layer, rows in zip(self.layers, self.rows, strict=True):
                if layer.bias.requires_grad:
                    add_gradient(layer.bias, dy_NO[:, rows].float().sum(0), gradients)

    def gather(self, gradients: Gradients) -> None:
        """Add what was kept apart of the whole matrix's gradient, once its own has been written."""
        if id(self) in gradients:
            assert self.grad_OI is not None
            self.grad_OI += gradients[id(self)]


def add_gradient(parameter: Tensor, gradient: Tensor, gradients: Gradients | None = None) -> None:
    """To what was found of this parameter's gradient so far; without `found`, to its `.grad`."""
    if gradients is not None:
        earlier = gradients.get(id(parameter))
        if earlier is None:
            gradients[id(parameter)] = gradient
        else:
            earlier += gradient
    elif parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient


class Vector:
    """The weight of a norm, in the type that is computed in."""

    def __init__(self, parameter: nn.Parameter, dtype: torch.dtype) -> None:
        self.parameter, self.dtype = parameter, dtype
        self.learns = parameter.requires_grad
        self.weight_D = parameter.detach().to(dtype)

    def refresh(self) -> None:
        self.weight_D = self.parameter.detach().to(self.dtype)

    def add(self, gradient_D: Tensor, gradients: Gradients | None = None) -> None:
        if self.learns:
            add_gradient(self.parameter, gradient_D, gradients)
