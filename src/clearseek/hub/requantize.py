"""Write the weights of a GGUF file in another quantisation.

Why: llama.cpp repacks Q4_0 for the processor's widest instructions when it loads a file, so the same model can run
half again as fast as in Q4_1. The metadata is copied byte for byte (only `general.file_type` changes); vectors
(norms, biases) stay as they are, and so does what is in Q8_0 already, such as the token embeddings.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

from clearseek.hub.errors import BadModelFile
from clearseek.hub.files import sync_folder
from clearseek.hub.gguf_file import Header, TensorInfo, read_header
from clearseek.hub.gguf_types import file_type_ids, tensor_type_ids, tensor_types

Kind = Literal["q4_0", "q8_0"]

_CHUNK_VALUES = 1 << 20
"""Values worked on at a time: 4 MB as float32, and the cache likes it."""


def requantize(src: Path, dst: Path, kind: Kind, progress: Callable[[int, int], None] | None = None) -> None:
    """Write `src` to `dst` with its matrices as Q4_0 or Q8_0.

    `progress` gets `(bytes read, bytes in all)`. `dst` appears only when it is whole; memory stays within some tens
    of megabytes. Raises BadModelFile where a tensor's type cannot be read back.
    """
    header = read_header(src)
    types = {tensor.name: target_type(tensor, kind) for tensor in header.tensors}
    total = sum(tensor.bytes for tensor in header.tensors)
    aside = dst.with_name(dst.name + ".part")
    try:
        with src.open("rb") as source, aside.open("wb") as out:
            _write_header(header, types, kind, source, out)
            done = 0
            for tensor in header.tensors:
                source.seek(header.data_offset + tensor.offset)
                for read in convert(tensor, types[tensor.name], source, out):
                    done += read
                    if progress:
                        progress(done, total)
                out.write(b"\0" * (-out.tell() % _alignment(header)))
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, dst)
        sync_folder(dst.parent)
    finally:
        aside.unlink(missing_ok=True)


def target_type(tensor: TensorInfo, kind: Kind) -> str:
    """What a tensor becomes. Embeddings and the output matrix are worth 8 bits: every token goes through them."""
    if len(tensor.shape) < 2 or tensor.shape[0] % 32 or tensor.type == "Q8_0" or "norm" in tensor.name:
        return tensor.type
    if tensor.name in ("token_embd.weight", "output.weight"):
        return "Q8_0"
    return kind.upper()


def _alignment(header: Header) -> int:
    return header.number("general.alignment") or 32


def tensor_size(tensor: TensorInfo, label: str) -> int:
    """Bytes of a tensor when it is stored as `label`."""
    _, block, block_bytes = tensor_types()[tensor_type_ids()[label]]
    return tensor.elements // block * block_bytes


def _write_header(header: Header, types: dict[str, str], kind: Kind, source: IO[bytes], out: IO[bytes]) -> None:
    pairs = bytearray(source.read(header.pairs_end))
    if header.file_type_at is not None:
        struct.pack_into("<I", pairs, header.file_type_at, file_type_ids()[kind])
    out.write(pairs)
    tensor_list(header, types, out)


def tensor_list(header: Header, types: dict[str, str], out: IO[bytes]) -> None:
    """Write the list of tensors, each as the type given, and pad to where the data begins."""
    alignment, offset = _alignment(header), 0
    for tensor in header.tensors:
        name, label = tensor.name.encode(), types[tensor.name]
        out.write(struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.shape)))
        out.write(struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape))
        out.write(struct.pack("<IQ", tensor_type_ids()[label], offset))
        offset += tensor_size(tensor, label)
        offset += -offset % alignment
    out.write(b"\0" * (-out.tell() % alignment))


def convert(tensor: TensorInfo, label: str, source: IO[bytes], out: IO[bytes]) -> Iterator[int]:
    """Copy or convert one tensor, yielding how many bytes were read."""
    if label == tensor.type:
        left = tensor.bytes
        while left:
            block = source.read(min(left, 1 << 20))
            out.write(block)
            left -= len(block)
            yield len(block)
        return
    import numpy as np
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    row_values = tensor.shape[0]
    row_bytes = tensor.bytes // (tensor.elements // row_values)
    rows_left = tensor.elements // row_values
    step = max(1, _CHUNK_VALUES // row_values)
    while rows_left:
        rows = min(step, rows_left)
        raw = np.frombuffer(source.read(rows * row_bytes), dtype=np.uint8).reshape(rows, row_bytes)
        try:
            values = dequantize(raw, GGMLQuantizationType[tensor.type])
        except NotImplementedError:
            raise BadModelFile(f"{tensor.name} is stored as {tensor.type}, which cannot be requantised.") from None
        out.write(quantize(values.reshape(rows, row_values), GGMLQuantizationType[label]).tobytes())
        rows_left -= rows
        yield rows * row_bytes
