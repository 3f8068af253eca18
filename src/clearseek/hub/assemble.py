"""A base model and an adapter become one GGUF, the same bytes on every machine.

A weight is read back to float32, W + B A is formed in float64 and rounded to float32, and that is quantised; the rest
(embeddings, norms) is what requantising the base gives. Exactness: see `adapter.py`. What is left to rounding (reading
back, one addition, the `gguf` package's quantising) is element by element, where IEEE 754 leaves no choice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from clearseek.hub.adapter import RESULT_QUANT, Adapter
from clearseek.hub.errors import BadModelFile, WrongHash
from clearseek.hub.files import Progress, hash_file, need_room, no_progress, sync_folder
from clearseek.hub.gguf_edit import edited_pairs
from clearseek.hub.gguf_file import Header, TensorInfo, read_header
from clearseek.hub.gguf_types import file_type_ids
from clearseek.hub.requantize import convert, target_type, tensor_list, tensor_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_TENSOR_VALUES = 1 << 28
"""Values of one adapted tensor: they are held in float64, 2 GB at most."""


def assemble(base: Path, adapter: Adapter, dst: Path, progress: Progress = no_progress) -> str:
    """Write the assembled model to `dst`; gives its SHA-256. `dst` appears only when it is whole and right.

    `progress` is told bytes of the base read, as "assembling". Memory: one tensor in float64, three times. Raises
    WrongHash where the base, the adapter or what came out are not what adapter.json says (the last is not asked where
    it says nothing), BadModelFile where the adapter does not fit the base; then nothing is left behind.
    """
    _is_the_one(adapter.weights, adapter.sha256, f"The adapter of {adapter.name}", no_progress)
    _is_the_one(base, adapter.base.sha256, f"The base {adapter.base.name}", progress)
    header = read_header(base)
    check_fit(header, adapter)
    types = {tensor.name: target_type(tensor, RESULT_QUANT) for tensor in header.tensors}
    alignment = header.number("general.alignment") or 32
    total = sum(tensor.bytes for tensor in header.tensors)
    aside = dst.with_name(dst.name + ".part")
    need_room(dst.parent, sum(tensor_size(tensor, types[tensor.name]) for tensor in header.tensors))
    try:
        with base.open("rb") as source, aside.open("wb") as out:
            out.write(edited_pairs(base, header, provenance(adapter, file_type_ids()[RESULT_QUANT])))
            tensor_list(header, types, out)
            done = 0
            for tensor in header.tensors:
                source.seek(header.data_offset + tensor.offset)
                for read in _written(tensor, types[tensor.name], adapter, source, out):
                    done += read
                    progress("assembling", done, total)
                out.write(b"\0" * (-out.tell() % alignment))
            out.flush()
            os.fsync(out.fileno())
        digest = hash_file(aside, progress)
        if adapter.result_sha256 not in (None, digest):
            raise WrongHash(
                f"Assembling {adapter.name} gave a file with the SHA-256 {digest[:16]}... and should have given "
                f"{str(adapter.result_sha256)[:16]}...; please report it with the output of `clearseek doctor`."
            )
        os.replace(aside, dst)
        sync_folder(dst.parent)
    finally:
        aside.unlink(missing_ok=True)
    return digest


def provenance(adapter: Adapter, file_type: int) -> dict[str, str | int | None]:
    """What the assembled file says of itself; of the base's own names nothing is left that would be wrong."""
    return {
        "general.file_type": file_type,
        **dict.fromkeys(("general.finetune", "general.organization", "general.basename")),
        **adapter.metadata,
        "clearseek.base.name": adapter.base.name,
        "clearseek.base.sha256": adapter.base.sha256,
        "clearseek.adapter.name": adapter.name,
        "clearseek.adapter.sha256": adapter.sha256,
    }


def check_fit(header: Header, adapter: Adapter) -> None:
    """Raises BadModelFile where the adapter has a part that the base has no place for."""
    tensors = {tensor.name: tensor for tensor in header.tensors}
    for name in (*adapter.pairs, *adapter.vectors):
        tensor = tensors.get(name)
        if tensor is None:
            raise BadModelFile(f"The adapter {adapter.name} has a part for {name}, which {adapter.base.name} has not.")
        if name in adapter.vectors:
            fits, shape = tensor.type == "F32", adapter.vectors[name].shape
        else:
            a, b = adapter.pairs[name]
            kind = target_type(tensor, RESULT_QUANT)
            fits, shape = kind in ("Q8_0", "F16", "BF16", "F32"), (b.shape[0], a.shape[1])
        if not fits or shape != tuple(reversed(tensor.shape)) or tensor.elements > MAX_TENSOR_VALUES:
            raise BadModelFile(f"The adapter {adapter.name} does not fit {name} of {adapter.base.name}.")


def merged(
    weights_OI: NDArray[np.float32], a_RI: NDArray[np.float64], b_OR: NDArray[np.float64]
) -> NDArray[np.float32]:
    """W + B A, rounded once to float64 (the product is exact) and once to float32. (out, in)"""
    import numpy as np

    return (weights_OI.astype(np.float64) + b_OR @ a_RI).astype(np.float32)


def _written(tensor: TensorInfo, label: str, adapter: Adapter, source: IO[bytes], out: IO[bytes]) -> Iterator[int]:
    """Write one tensor, yielding how many bytes of the base were read."""
    import numpy as np
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    if tensor.name in adapter.vectors:
        source.seek(tensor.bytes, os.SEEK_CUR)
        out.write(adapter.vector(tensor.name).astype("<f4").tobytes())
        yield tensor.bytes
        return
    if tensor.name not in adapter.pairs:
        yield from convert(tensor, label, source, out)
        return
    rows, columns = tensor.shape[1], tensor.shape[0]
    raw = np.frombuffer(source.read(tensor.bytes), dtype=np.uint8).reshape(rows, -1)
    try:
        weights_OI = dequantize(raw, GGMLQuantizationType[tensor.type]).reshape(rows, columns)
    except NotImplementedError:
        raise BadModelFile(f"{tensor.name} is stored as {tensor.type}, which cannot be read back.") from None
    new_OI = merged(weights_OI, *adapter.factors(tensor.name))
    out.write(quantize(new_OI, GGMLQuantizationType[label]).tobytes())
    yield tensor.bytes


def _is_the_one(path: Path, promised: str, what: str, progress: Progress) -> None:
    if not path.is_file():
        raise BadModelFile(f"{what} is missing: there is no file {path}.")
    digest = hash_file(path, progress)
    if digest != promised:
        raise WrongHash(
            f"{what} is not the one meant: its SHA-256 is {digest[:16]}... and should be {promised[:16]}...; "
            "it is damaged or another version."
        )
