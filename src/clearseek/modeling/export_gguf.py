"""Write a model of the dense family as a GGUF that llama.cpp runs: F32, F16, BF16, Q8_0 or Q4_0.

Metadata (the tokeniser and the chat template above all) is copied byte for byte from the GGUF that the model came
from, where there is one; otherwise it is written from the configuration and the tokeniser. Tensors are converted and
written one after the other.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize
from torch import Tensor, nn

from clearseek.hub.files import disk_errors_told, need_room, sync_folder
from clearseek.hub.gguf_edit import edited_pairs
from clearseek.hub.gguf_file import read_header
from clearseek.hub.gguf_types import file_type_ids, tensor_type_ids, tensor_types
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.export_hf import plain_tensors
from clearseek.modeling.gguf_metadata import model_pairs, tokenizer_pairs
from clearseek.modeling.gguf_pairs import encode_pairs
from clearseek.modeling.gguf_weights import FREQUENCIES, VALUES_AT_ONCE, gguf_name, heads_of, open_gguf, pairs_together
from clearseek.modeling.load import config_of
from clearseek.modeling.rope import inverse_frequencies
from clearseek.modeling.tokenizer import Tokenizer

Kind = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]


def export_gguf(
    model: nn.Module,
    path: Path | str,
    kind: Kind = "q8_0",
    *,
    base: Path | str | None = None,
    tokenizer: Tokenizer | None = None,
    name: str = "ClearSeek model",
    changes: Mapping[str, str | int | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the model to `path`; gives the path, which appears only when the file is whole.

    `base`: the GGUF whose metadata is kept; without one, `tokenizer` is written. `changes` are entries of the metadata
    that are to be others (None: left out). `progress` gets `(tensors written,
    tensors in all)`. Matrices get the kind, vectors stay float32, and with `q4_0` the embedding and the output matrix
    get 8 bits, because every token goes through them. Raises ModelingError where the model is not of the dense family
    or does not fit the base.
    """
    path, config = Path(path), config_of(model)
    if not isinstance(config, LlamaConfig):
        raise ModelingError("Only the dense family (llama, qwen2, qwen3) can be written as a GGUF.")
    if kind not in get_args(Kind):
        raise ModelingError(f"A GGUF is written as one of {', '.join(get_args(Kind))}, not as {kind!r}.")
    tensors = {gguf_name(hf): (hf, tensor.detach()) for hf, tensor in plain_tensors(model).items()}
    if config.rope.kind == "llama3":
        plain_F = inverse_frequencies(type(config.rope)(theta=config.rope.theta), config.head_dim)
        tensors[FREQUENCIES] = ("", plain_F / inverse_frequencies(config.rope, config.head_dim))
    labels = {gguf: _label(gguf, tensor, kind) for gguf, (_, tensor) in tensors.items()}
    alignment = 32
    if base is not None:
        head, alignment = _kept(Path(base), config, kind, len(tensors), changes or {})
    elif tokenizer is not None:
        pairs = {**model_pairs(config, name, file_type_ids()[kind]), **tokenizer_pairs(tokenizer, config.vocab_size)}
        pairs = {key: value for key, value in {**pairs, **(changes or {})}.items() if value is not None}
        head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)) + encode_pairs(pairs)
    else:
        raise ModelingError("A GGUF carries its tokeniser: name the GGUF that the model came from, or a tokeniser.")
    aside = path.with_name(path.name + ".part")
    sizes = {gguf: _bytes(tensor, labels[gguf]) for gguf, (_, tensor) in tensors.items()}
    with disk_errors_told("writing the GGUF", path.parent):
        need_room(path.parent, len(head) + sum(sizes.values()))
        try:
            with aside.open("wb") as out:
                out.write(head)
                offset = 0
                for gguf, (_, tensor) in tensors.items():
                    out.write(_info(gguf, tensor, labels[gguf], offset))
                    offset += sizes[gguf] + -sizes[gguf] % alignment
                out.write(b"\0" * (-out.tell() % alignment))
                for number, (gguf, (hf, tensor)) in enumerate(tensors.items(), 1):
                    heads = heads_of(hf, config)
                    for part in _encoded(pairs_together(tensor, heads) if heads else tensor, labels[gguf]):
                        out.write(part)
                    out.write(b"\0" * (-out.tell() % alignment))
                    if progress:
                        progress(number, len(tensors))
                out.flush()
                os.fsync(out.fileno())
            os.replace(aside, path)
            sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)
    return path


def _kept(
    base: Path, config: LlamaConfig, kind: Kind, tensors: int, changes: Mapping[str, str | int | None]
) -> tuple[bytes, int]:
    """The base's header up to its list of tensors, with their number, the type and the changes set; its alignment."""
    theirs = open_gguf(base).config
    fields = ("model_type", "vocab_size", "hidden_size", "layers", "heads", "kv_heads", "head_dim", "intermediate_size")
    for field in (*fields, "rms_norm_eps", "rope", "qk_norm"):
        if (ours := getattr(config, field)) != (other := getattr(theirs, field)):
            raise ModelingError(f"{base.name} is of another model: its {field} is {other}, and {ours} here.")
    header = read_header(base)
    file_type = {} if header.file_type_at is None else {"general.file_type": file_type_ids()[kind]}
    head = edited_pairs(base, header, {**file_type, **changes}, tensors)
    return head, header.number("general.alignment") or 32


def _label(gguf: str, tensor: Tensor, kind: Kind) -> str:
    """The type a tensor is stored as. Vectors are small and llama.cpp wants them exact."""
    if tensor.ndim < 2:
        return "F32"
    quantised = kind in ("q8_0", "q4_0")
    if quantised and tensor.shape[1] % 32:
        return "F16"  # rows that are no whole number of blocks
    if kind == "q4_0" and gguf in ("token_embd.weight", "output.weight"):
        return "Q8_0"
    return kind.upper()


def _bytes(tensor: Tensor, label: str) -> int:
    _, block, block_bytes = tensor_types()[tensor_type_ids()[label]]
    return tensor.numel() // block * block_bytes


def _info(gguf: str, tensor: Tensor, label: str, offset: int) -> bytes:
    name, shape = gguf.encode(), tuple(reversed(tensor.shape))
    return struct.pack(
        f"<Q{len(name)}sI{len(shape)}QIQ", len(name), name, len(shape), *shape, tensor_type_ids()[label], offset
    )


def _encoded(tensor: Tensor, label: str) -> Iterator[bytes]:
    """A tensor's bytes, about a million values at a time."""
    flat = tensor.reshape(-1)
    for first in range(0, flat.numel(), VALUES_AT_ONCE):
        x = flat[first : first + VALUES_AT_ONCE].to("cpu")
        if label in ("F32", "F16", "BF16"):
            kind = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[label]
            yield x.to(kind).contiguous().view(torch.uint8).numpy().tobytes()
        else:
            values = x.float().contiguous().numpy().reshape(1, -1)
            yield np.ascontiguousarray(quantize(values, GGMLQuantizationType[label])).tobytes()
