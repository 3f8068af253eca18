"""FLOP of an answer, modelled from the model's sizes."""

from __future__ import annotations

from clearseek.flops import TransformerSizes, causal_pairs, forward
from clearseek.ledger.quantity import Quantity, modelled


def answer_flops(sizes: TransformerSizes, *, prompt: int, cached: int, completion: int) -> Quantity:
    """FLOP to read `prompt` tokens, of which `cached` were in memory already, and to write `completion` more. The head
    is computed for written tokens only: llama.cpp leaves it out where it reads."""
    first = min(cached, prompt)
    tokens = prompt + completion - first
    flops = forward(sizes, tokens, completion, causal_pairs(tokens, first))
    how = (
        f"2N = {2 * sizes.body / 1e9:.4g} GFLOP a token read or written, {2 * sizes.head / 1e9:.4g} more for the head "
        f"of each written, {sizes.attention / 1e3:.4g} kFLOP for each token and key"
    )
    return modelled(flops, "FLOP", how)
