"""Parameters, and FLOPs per trained token, of an architecture.

One multiply-add is 2 FLOP; the backward pass costs twice the forward one, so a matrix costs 6 FLOP per parameter and
token. The embedding's look-up is no multiplication and is left out; the output head is one and is counted. Attention
proper (scores and their sum over values) costs `6 L H (d_qk + d_v) s` per token when every token is taken to see all
`s` (the convention of PaLM, arXiv 2204.02311, appendix B), and half of that when it sees only those before it. Papers
use either; both are given. Recomputed activations are never counted: that would be hardware utilisation (HFU).
Norms, activations and rotary positions are left out: well under 1%.
"""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.audit.architecture import Architecture
from clearseek.flops import pair_flops, trained_token


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters. `total` has everything in the published weights, MTP left out, as vendors count.

    `matmul` are those that multiply a token: active ones without the embedding's look-up, the output head included.
    """

    total: int
    active: int
    matmul: int
    mtp: int
    mtp_matmul: int


@dataclass(frozen=True)
class TokenFlops:
    """FLOP per trained token, forward and backward, at one sequence length."""

    sequence_length: float
    matmul: float
    attention: float
    """Counted causally; the other convention has twice as much, for layers without a window."""
    attention_full: float
    mtp: float
    """What multi-token prediction would add; in none of the sums."""

    @property
    def causal(self) -> float:
        return self.matmul + self.attention

    @property
    def non_causal(self) -> float:
        return self.matmul + self.attention_full


def count(a: Architecture) -> Parameters:
    """Parameters of `a`: all, active for one token, and those that are multiplied."""
    embedding = a.vocabulary * a.width
    head = 0 if a.tied else embedding
    attention, attention_small = _attention(a)
    dense, dense_small = _ffn(a, a.ffn, a.ffn_bias)
    expert, expert_small = _ffn(a, a.expert_ffn, a.expert_bias)
    shared_one, shared_small = _ffn(a, a.shared_ffn or a.expert_ffn, a.expert_bias)
    shared, shared_small = a.shared_experts * shared_one, a.shared_experts * shared_small
    gate = a.width if a.shared_gate else 0
    router = a.routed_experts * a.width
    norms = a.width * a.norms * (2 if a.norm_bias else 1)
    moe, plain = a.moe_layers, a.layers - a.moe_layers
    router_bias = a.routed_experts if a.router_bias else 0

    every = a.layers * (attention_small + norms) + (2 if a.norm_bias else 1) * a.width + a.positions * a.width
    matmul_active = a.layers * attention + plain * dense + moe * (shared + gate + router + a.active_experts * expert)
    small_active = plain * dense_small + moe * (shared_small + router_bias + a.active_experts * expert_small)
    idle = moe * (a.routed_experts - a.active_experts) * (expert + expert_small)
    active = embedding + head + every + matmul_active + small_active

    # a prediction depth is a whole layer, the joining of two widths into one, and two more norms; head and embedding
    # are the model's own, but the head multiplies once more
    layer = attention + (shared + gate + router + a.active_experts * expert if moe else dense)
    layer_idle = (a.routed_experts - a.active_experts) * expert if moe else 0
    join = 2 * a.width * a.width
    return Parameters(
        total=active + idle,
        active=active,
        matmul=matmul_active + embedding,
        mtp=a.mtp_depth * (layer + layer_idle + join + attention_small + norms + 3 * a.width),
        mtp_matmul=a.mtp_depth * (layer + join + embedding),
    )


def per_token(a: Architecture, sequence_length: float) -> TokenFlops:
    """FLOP per token of training `a` on sequences of `sequence_length` tokens."""
    parameters = count(a)
    pair = pair_flops(a.heads, a.query_key_dim, a.output_dim)
    full = float(sequence_length)
    windowed = min(float(a.window or full), full)
    # the mean number of tokens that one sees: s/2, and less than the window where that has not yet filled
    seen, seen_windowed = full / 2, windowed - windowed * windowed / (2 * full)
    plain = a.layers - a.windowed_layers
    return TokenFlops(
        sequence_length=full,
        matmul=trained_token(parameters.matmul, 0),
        attention=trained_token(0, pair * (plain * seen + a.windowed_layers * seen_windowed)),
        attention_full=trained_token(0, pair * (plain * full + a.windowed_layers * windowed)),
        mtp=trained_token(parameters.mtp_matmul, pair * a.mtp_depth * seen),
    )


def _attention(a: Architecture) -> tuple[int, int]:
    """Parameters of one attention block: those in matrices, and the rest."""
    if a.mla:
        keys = a.head_dim + a.rope_dim
        queries = a.width * a.q_rank + a.q_rank * a.heads * keys if a.q_rank else a.width * a.heads * keys
        latent = a.width * (a.kv_rank + a.rope_dim) + a.kv_rank * a.heads * (a.head_dim + a.value_dim)
        return queries + latent + a.heads * a.value_dim * a.width, a.q_rank + a.kv_rank
    q, kv = a.heads * a.head_dim, a.kv_heads * a.head_dim
    small = (q + 2 * kv if a.qkv_bias else 0) + (a.width if a.output_bias else 0) + (a.heads if a.sinks else 0)
    small += {"head": 2 * a.head_dim, "whole": q + kv}.get(a.qk_norm, 0)
    return a.width * (2 * q + 2 * kv), small


def _ffn(a: Architecture, inner: int, bias: bool) -> tuple[int, int]:
    into = 2 if a.gated else 1
    return (into + 1) * a.width * inner, (into * inner + a.width if bias else 0)
