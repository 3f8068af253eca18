"""How many FLOPs a pass of a transformer takes, by formula, from its sizes. One multiply-add is 2 FLOP."""

from __future__ import annotations

from clearseek.errors import UsageError
from clearseek.ledger.quantity import Quantity, modelled


def forward_flops(
    matmul_parameters: float,
    tokens: int,
    *,
    layers: int = 0,
    heads: int = 0,
    key_width: int = 0,
    value_width: int = 0,
    context: int = 0,
) -> Quantity:
    """FLOP of one forward pass over `tokens` tokens: `2 N + 2 L H (d_k + d_v) s` for each.

    `matmul_parameters` (N) are the weights that a token is multiplied with: without the embedding, which is looked up,
    with the output head, and of experts those that are used. `s` is the mean number of tokens that a token attends to:
    the `context` before the first one and half of the others (causal). Source: Kaplan et al. 2020, arXiv 2001.08361,
    section 2.1. Raises UsageError for a negative size.
    """
    if min(matmul_parameters, tokens, layers, heads, key_width, value_width, context) < 0:
        raise UsageError("Sizes of a model and numbers of tokens cannot be negative.")
    seen = context + (tokens + 1) / 2
    each = 2 * matmul_parameters + 2 * layers * heads * (key_width + value_width) * seen
    return modelled(each * tokens, "FLOP", "2N + 2 L H (d_k + d_v) s a token, causal")


def training_flops(forward: Quantity) -> Quantity:
    """Forward and backward: three times the forward pass (Kaplan et al. 2020). Recomputing is not counted."""
    return (forward * 3.0).because(f"3 x forward pass ({forward.how})")
