"""What a GGUF's header says of the sizes that FLOP are counted from."""

from __future__ import annotations

from clearseek.flops import TransformerSizes, pair_flops
from clearseek.hub.gguf_file import Header, TensorInfo

_LOOKED_UP = ("token_embd.", "position_embd.", "token_types.", "per_layer_token_embd.", "rope_f")


def sizes_of(header: Header) -> TransformerSizes:
    """From the tensors and the attention's sizes. What a header does not say counts as nothing."""
    arch = header.architecture
    experts, used = header.number(f"{arch}.expert_count") or 0, header.number(f"{arch}.expert_used_count") or 0
    body = 0.0
    for tensor in matrices(header):
        share = used / experts if "_exps." in tensor.name and experts and used else 1.0
        body += tensor.elements * share
    by_name = {tensor.name: float(tensor.elements) for tensor in header.tensors}
    head = by_name.get("output.weight") or by_name.get("token_embd.weight", 0.0)
    return TransformerSizes(body, head, _attention(header))


def matrices(header: Header) -> list[TensorInfo]:
    """What every token is multiplied with, the output matrix left out."""
    return [
        tensor
        for tensor in header.tensors
        if len(tensor.shape) >= 2 and tensor.name != "output.weight" and not tensor.name.startswith(_LOOKED_UP)
    ]


def _attention(header: Header) -> float:
    arch = header.architecture
    layers = header.number(f"{arch}.block_count") or 0
    heads = header.metadata.get(f"{arch}.attention.head_count")
    counts = [int(n) for n in heads][:layers] if isinstance(heads, tuple) else [heads or 0] * layers
    most = max((int(n) for n in counts if isinstance(n, int)), default=0)
    width = (header.number(f"{arch}.embedding_length") or 0) // most if most else 0
    key = header.number(f"{arch}.attention.key_length") or width
    value = header.number(f"{arch}.attention.value_length") or width
    return pair_flops(sum(int(n) for n in counts if isinstance(n, int)), key, value)
