"""How many FLOP an answer takes, by formula, from the numbers in a GGUF header. One multiply-add is 2 FLOP.

A forward pass of one token at position s takes `2 N + 2 s sum over layers of heads (d_k + d_v)`: N are the weights it
is multiplied with (of the experts, those that are used; not the embedding, which is looked up), the second term is its
attention to s keys (Kaplan et al. 2020, arXiv 2001.08361, section 2.1, with the causal count). The output head is
computed for written tokens only: llama.cpp leaves it out where it reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.hub.gguf_file import Header
from clearseek.ledger.quantity import Quantity, modelled

_LOOKED_UP = ("token_embd.", "position_embd.", "token_types.", "per_layer_token_embd.", "rope_f")


@dataclass(frozen=True, slots=True)
class PerToken:
    """`body` and `head` are FLOP for a token, `attention` FLOP for a token and a key that it looks at."""

    body: float
    head: float
    attention: float

    def answer(self, *, prompt: int, cached: int, completion: int) -> Quantity:
        """FLOP to read `prompt` tokens, of which `cached` were in memory already, and to write `completion` more."""
        first, last = min(cached, prompt), prompt + completion
        pairs = (last * (last + 1) - first * (first + 1)) / 2
        flops = (last - first) * self.body + completion * self.head + pairs * self.attention
        how = f"2N = {self.body / 1e9:.4g} GFLOP a token read or written, {self.head / 1e9:.4g} more for the head of "
        return modelled(flops, "FLOP", how + f"each written, {self.attention / 1e3:.4g} kFLOP for each token and key")


def per_token(header: Header) -> PerToken:
    """From the tensors and the attention's sizes in a header. What a header does not say counts as nothing."""
    arch = header.architecture
    experts, used = header.number(f"{arch}.expert_count") or 0, header.number(f"{arch}.expert_used_count") or 0
    body = head = embedding = 0.0
    for tensor in header.tensors:
        if tensor.name == "token_embd.weight":
            embedding = tensor.elements
        elif tensor.name == "output.weight":
            head = tensor.elements
        elif len(tensor.shape) >= 2 and not tensor.name.startswith(_LOOKED_UP):
            share = used / experts if "_exps." in tensor.name and experts and used else 1.0
            body += tensor.elements * share
    return PerToken(2 * body, 2 * (head or embedding), 2 * _attention_width(header))


def _attention_width(header: Header) -> float:
    """Sum over the layers of heads x (width of a key + width of a value)."""
    arch = header.architecture
    layers = header.number(f"{arch}.block_count") or 0
    heads = header.metadata.get(f"{arch}.attention.head_count")
    counts = [int(n) for n in heads][:layers] if isinstance(heads, tuple) else [heads or 0] * layers
    most = max((int(n) for n in counts if isinstance(n, int)), default=0)
    own = (header.number(f"{arch}.embedding_length") or 0) // most if most else 0
    key = header.number(f"{arch}.attention.key_length") or own
    value = header.number(f"{arch}.attention.value_length") or own
    return float(sum(int(n) for n in counts if isinstance(n, int)) * (key + value))
