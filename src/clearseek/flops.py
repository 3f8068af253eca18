"""How many FLOP a transformer takes, by formula, from its sizes. Every count of FLOP in ClearSeek comes from here.

One multiply-add is 2 FLOP, so a token takes 2 for every weight that it is multiplied with, and each pair of a token and
a token it looks at `2 (d_k + d_v)` for every head of every layer: 2 for each value of the scores, 2 for each of the mix
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1, with the causal count of pairs). The backward pass takes twice the
forward one. Norms, activations and rotary positions are left out: well under 1%. What is computed again to save memory
counts only where a docstring says so.
"""

from __future__ import annotations

from dataclasses import dataclass

Bounds = dict[str, tuple[float, float]]
"""FLOP of one token by the kind of token: the least and the most."""


@dataclass(frozen=True, slots=True)
class TransformerSizes:
    """Of one model. Numbers of weights, but for `attention`, which is FLOP for a pair of tokens."""

    body: float
    """Weights that every token is multiplied with: of routed experts, those that are used; not the embedding, which is
    looked up, and not the output matrix."""
    head: float
    """The output matrix, which is applied only where a token is predicted."""
    attention: float
    """See `pair_flops`."""
    adapters: float = 0.0
    """Weights of LoRA's adapters."""
    trained: float = 0.0
    """Weights of the body that learn themselves: all or none."""
    head_trained: bool = False


def pair_flops(heads: float, key_width: float, value_width: float) -> float:
    """FLOP for a token and a token that it looks at. `heads`: of all layers together."""
    return 2.0 * heads * (key_width + value_width)


def causal_pairs(tokens: float, before: float = 0.0) -> float:
    """Pairs of `tokens` tokens that come after `before` others: each looks at those before it and at itself."""
    return tokens * before + tokens * (tokens + 1) / 2


def forward(sizes: TransformerSizes, tokens: float, predicted: float, pairs: float) -> float:
    """FLOP of a forward pass over `tokens`, of which `predicted` have the output matrix applied."""
    return 2 * sizes.body * tokens + 2 * sizes.head * predicted + sizes.attention * pairs


def forward_and_backward(sizes: TransformerSizes, tokens: float, predicted: float, pairs: float) -> float:
    """FLOP of a pass with its gradients: forward (2 N a token), the gradient of the states (2 N), and that of the
    weights that learn (2 of theirs: N in full, the adapters' with LoRA, whose own passes cost 4 more). The output
    matrix takes 2 forward, 2 back, and 4 more where it learns, because its logits are then computed again.
    """
    return _body(sizes) * tokens + _head(sizes) * predicted + 3 * sizes.attention * pairs


def trained_token(matmul_parameters: float, pairs: float) -> float:
    """FLOP of a token that a whole model learns from, by the papers' convention: three forward passes, nothing computed
    again. `pairs`: FLOP of its attention in a forward pass."""
    return 3 * (2 * matmul_parameters + pairs)


def token_bounds(sizes: TransformerSizes, kind: str, context: float, longest: float) -> Bounds:
    """The least and the most that a token of each kind takes in a stage of this kind; empty for kinds of which that
    cannot be said. `context` is what a token can look at, `longest` the longest example of supervised learning.

    How much a token takes depends on how many it looks at and on whether its successor is predicted:

        a token read           2 N          and attention to at most all of the context, and the head where it is put in
        a token written        2 N + 2 H    and the same attention
        a token learned from   4 N to 6 N, 6 for each weight of an adapter, the head 4 H to 8 H where it is scored, and
                               three times the attention
    """
    look = sizes.attention * context
    read = (2 * sizes.body, 2 * sizes.body + 2 * sizes.head + look)
    written = (2 * sizes.body + 2 * sizes.head, 2 * sizes.body + 2 * sizes.head + look)
    if kind in ("reject", "evaluation"):
        return {"prompt_tokens": read, "completion_tokens": written}
    body, head = _body(sizes), _head(sizes)
    if kind == "sft":
        return {"prompt_tokens": (body, body + head + 3 * sizes.attention * (longest + 1) / 2)}
    if kind == "grpo":
        # read in a rollout, then learned from, with up to two more passes (the old and the reference model); a group's
        # completions share their prompt, so that as many as two scored tokens go with a computed one
        passes = 2 * (2 * sizes.body + 4 * sizes.head + look)
        return {"prompt_tokens": (2 * sizes.body, body + 2 * head + 3 * look + passes), "completion_tokens": written}
    return {}


def _body(sizes: TransformerSizes) -> float:
    return 4 * sizes.body + 2 * sizes.trained + 6 * sizes.adapters


def _head(sizes: TransformerSizes) -> float:
    return (8 if sizes.head_trained else 4) * sizes.head
