"""Weights in a GGUF, under Hugging Face's names.

llama.cpp keeps the rows of q and k of its architecture `llama` in another order, because it turns pairs 2i, 2i + 1
where Hugging Face turns i, i + K/2: that order is undone here. Quantised tensors become float32, a few rows at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize
from torch import Tensor

from clearseek.hub.gguf_file import Header, TensorInfo, read_header
from clearseek.hub.gguf_types import tensor_type_ids, tensor_types
from clearseek.modeling.config import MAX_LAYERS, LlamaConfig, RopeConfig, check_size
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.rope import inverse_frequencies
from clearseek.modeling.weights import Weights

ARCHITECTURES = ("llama", "qwen2", "qwen3")
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
VALUES_AT_ONCE = 1 << 20
"""Values dequantised at a time."""

TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
FREQUENCIES = "rope_freqs.weight"
"""Divisors of the rotary frequencies (Llama 3.1): part of the configuration here."""


def hf_name(name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`; a name that is not known stays."""
    if name in TOP:
        return TOP[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[1].isdecimal() and parts[2] in LAYER:
        return f"model.layers.{parts[1]}.{LAYER[parts[2]]}.{parts[3]}"
    return name


def gguf_name(name: str) -> str:
    """The other way: `model.layers.3.self_attn.q_proj.weight` -> `blk.3.attn_q.weight`."""
    for ours, theirs in TOP.items():
        if name == theirs:
            return ours
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    part, _, kind = rest.rpartition(".")
    for ours, theirs in LAYER.items():
        if part == theirs:
            return f"blk.{layer}.{ours}.{kind}"
    raise ModelingError(f"The tensor {name} has no name in a GGUF.")


def heads_of(name: str, config: LlamaConfig) -> int:
    """How many heads' rows are in llama.cpp's order in this tensor (Hugging Face's name); 0 where none are."""
    if config.model_type != "llama":
        return 0
    part = name.rpartition(".")[0]
    return config.heads if part.endswith("q_proj") else config.kv_heads if part.endswith("k_proj") else 0


def pairs_apart(x: Tensor, heads: int) -> Tensor:
    """Rows 2i, 2i + 1 of each head -> rows i, i + K/2: llama.cpp's order -> Hugging Face's. (H x K, ...)"""
    return x.reshape(heads, -1, 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape)


def pairs_together(x: Tensor, heads: int) -> Tensor:
    """Rows i, i + K/2 of each head -> rows 2i, 2i + 1. (H x K, ...)"""
    return x.reshape(heads, 2, -1, *x.shape[1:]).transpose(1, 2).reshape(x.shape)


def open_gguf(path: Path) -> Weights:
    """Raises BadModelFile where it is no whole GGUF, ModelingError where the architecture is not known."""
    header = read_header(path)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    config = config_from_gguf(path, header, tensors)
    by_name = {hf_name(name): tensor for name, tensor in tensors.items() if name != FREQUENCIES}

    def read(name: str) -> Tensor:
        x = read_tensor(path, header, by_name[name])
        heads = heads_of(name, config)
        return pairs_apart(x, heads) if heads else x

    shapes = {name: tuple(reversed(tensor.shape)) for name, tensor in by_name.items()}
    return Weights(config, shapes, dict.fromkeys(shapes, path.name), read, str(path))


def config_from_gguf(path: Path, header: Header, tensors: dict[str, TensorInfo]) -> LlamaConfig:
    """The configuration that a GGUF's metadata and tensors amount to."""
    arch = header.architecture
    if arch not in ARCHITECTURES:
        near = "deepseek_v3, from a folder of safetensors" if arch.startswith("deepseek") else "llama"
        raise ModelingError(
            f"{path.name} has the architecture {arch[:40]!r}, which is not read from a GGUF; the nearest one that is "
            f"known: {near}. Known are {', '.join(ARCHITECTURES)}."
        )
    if header.number(f"{arch}.expert_count"):
        raise ModelingError(
            f"{path.name} is a mixture of experts in the architecture `{arch}`; only dense ones are read."
        )

    def size(key: str, default: int | None = None) -> int:
        value = header.number(f"{arch}.{key}")
        value = default if value is None else value
        if value is None:
            raise ModelingError(f"{path.name} does not say `{arch}.{key}`.")
        check_size(key, value)
        return value

    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelingError(f"{path.name} has no embedding (token_embd.weight).")
    width, heads, layers = size("embedding_length"), size("attention.head_count"), size("block_count")
    check_size("block_count", layers, MAX_LAYERS)
    head_dim = size("attention.key_length", width // heads)
    if size("attention.value_length", head_dim) != head_dim or size("rope.dimension_count", head_dim) != head_dim:
        raise ModelingError(f"{path.name} has heads whose keys, values and rotated part differ in width.")
    eps = header.metadata.get(f"{arch}.attention.layer_norm_rms_epsilon")
    # a float32 in the file: its shortest decimal is what the author wrote (1e-5, not 9.99999974e-06)
    epsilon = float(str(np.float32(eps))) if isinstance(eps, float) and 0 < eps < 1 else 1e-5
    bos, eos = header.number("tokenizer.ggml.bos_token_id"), header.number("tokenizer.ggml.eos_token_id")
    return LlamaConfig(
        model_type=arch,
        vocab_size=embedding.shape[1],
        hidden_size=width,
        layers=layers,
        heads=heads,
        kv_heads=size("attention.head_count_kv", heads),
        head_dim=head_dim,
        intermediate_size=size("feed_forward_length"),
        rms_norm_eps=epsilon,
        rope=_rope(path, header, head_dim, tensors.get(FREQUENCIES)),
        tie_embeddings="output.weight" not in tensors,
        attention_bias="blk.0.attn_q.bias" in tensors,
        output_bias="blk.0.attn_output.bias" in tensors,
        qk_norm="blk.0.attn_q_norm.weight" in tensors,
        max_positions=size("context_length", 2048),
        bos_token_id=bos,
        eos_token_ids=() if eos is None else (eos,),
    )


def _rope(path: Path, header: Header, head_dim: int, frequencies: TensorInfo | None) -> RopeConfig:
    arch = header.architecture

    def number(key: str, default: float) -> float:
        value = header.metadata.get(f"{arch}.rope.{key}")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else default

    theta = number("freq_base", 10_000.0)
    if frequencies is not None:
        return _llama3_from(path, header, theta, head_dim, frequencies)
    kind = header.text(f"{arch}.rope.scaling.type") or "none"
    factor = number("scaling.factor", number("scale_linear", 1.0))
    if factor == 1.0 or (kind == "none" and f"{arch}.rope.scale_linear" not in header.metadata):
        return RopeConfig(theta=theta)
    if kind in ("linear", "none"):
        return RopeConfig(theta=theta, kind="linear", factor=factor)
    if kind != "yarn":
        raise ModelingError(f"{path.name} stretches its positions in the way {kind[:40]!r}, which is not known.")
    context = header.context_length or 2048
    return RopeConfig(
        theta=theta,
        kind="yarn",
        factor=factor,
        original_max_positions=header.number(f"{arch}.rope.scaling.original_context_length") or int(context / factor),
        beta_fast=number("scaling.yarn_beta_fast", 32.0),
        beta_slow=number("scaling.yarn_beta_slow", 1.0),
    )


def _llama3_from(path: Path, header: Header, theta: float, head_dim: int, tensor: TensorInfo) -> RopeConfig:
    """Llama 3.1's rule from the divisors that llama.cpp keeps in its place."""
    divisors_F = read_tensor(path, header, tensor).float()
    factor = round(float(divisors_F.max()), 3)
    plain = RopeConfig(theta=theta)
    for original in (8192, *(1 << power for power in range(5, 21))):  # the file does not say; all that exist are powers
        rope = RopeConfig(theta=theta, kind="llama3", factor=factor, original_max_positions=original)
        expected_F = inverse_frequencies(plain, head_dim) / inverse_frequencies(rope, head_dim)
        if expected_F.shape == divisors_F.shape and torch.allclose(expected_F, divisors_F, rtol=1e-3):
            return rope
    raise ModelingError(f"{path.name} stretches its positions by a table ({FREQUENCIES}) that is not Llama 3's.")


def read_tensor(path: Path, header: Header, tensor: TensorInfo) -> Tensor:
    """One tensor in its own type (F32, F16, BF16), or dequantised to float32; the shape as torch has it."""
    shape = tuple(reversed(tensor.shape))
    start = header.data_offset + tensor.offset
    try:
        with path.open("rb") as file:
            file.seek(start)
            raw = np.fromfile(file, dtype=np.uint8, count=tensor.bytes)
    except OSError as error:
        raise ModelingError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    if raw.size != tensor.bytes:
        raise ModelingError(f"{path.name} ends in the middle of the tensor {tensor.name} (a download cut short?).")
    if tensor.type in PLAIN:
        return torch.from_numpy(raw).view(PLAIN[tensor.type]).reshape(shape)
    out = np.empty(tensor.elements, dtype=np.float32)
    _, block, block_bytes = tensor_types()[tensor_type_ids()[tensor.type]]
    at_once = VALUES_AT_ONCE // block
    kind = GGMLQuantizationType[tensor.type]
    try:
        for first in range(0, tensor.elements // block, at_once):
            # blocks know nothing of rows, and the library works through sixteen rows at a time: one long row is faster
            part = raw[first * block_bytes : (first + at_once) * block_bytes].reshape(1, -1)
            out[first * block : (first + at_once) * block] = dequantize(part, kind).reshape(-1)
    except NotImplementedError:
        raise ModelingError(
            f"The tensor {tensor.name} is stored as {tensor.type}, which cannot be read back."
        ) from None
    return torch.from_numpy(out).reshape(shape)
