"""Read the list of tensors of a safetensors file, and one tensor at a time, without torch.

Layout: u64 length of the header (little endian), the header as JSON, the data. The file is hostile input like a GGUF:
lengths, shapes and offsets are checked against limits and against the file's size before they are used.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearseek.hub.errors import BadModelFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_HEADER_BYTES = 16 << 20
MAX_TENSORS = 65_536
SIZES = {"F32": 4, "BF16": 2, "I8": 1}
"""What adapters are stored in; other types are refused."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """`start` in bytes from the beginning of the file; `shape` with the slowest-moving dimension first."""

    kind: str
    shape: tuple[int, ...]
    start: int
    bytes: int


def list_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors by name. Raises BadModelFile, in one sentence, for a file that is not in order."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else MAX_HEADER_BYTES + 1
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise _wrong(path, "it is cut short, or no safetensors file at all")
            header = json.loads(file.read(length))
    except OSError as error:
        raise BadModelFile(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise _wrong(path, "its header is not JSON") from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise _wrong(path, "its header is no list of tensors")
    header.pop("__metadata__", None)
    tensors = {name: _tensor(path, name, said, 8 + length, size) for name, said in header.items()}
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda one: one.start):  # no gaps, no overlaps: the format says so
        if tensor.start != end:
            raise _wrong(path, "its tensors overlap or leave gaps")
        end += tensor.bytes
    if end != size:
        raise _wrong(path, f"its tensors end at byte {end} and the file has {size}")
    return tensors


def _tensor(path: Path, name: str, entry: Any, data: int, size: int) -> StoredTensor:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _wrong(path, f"the tensor {name[:80]} is not described") from None
    numbers = (begin, end, *shape)
    if len(shape) > 4 or not all(type(number) is int and 0 <= number <= size for number in numbers):
        raise _wrong(path, f"the tensor {name[:80]} has an impossible shape or place")
    if kind not in SIZES:
        raise _wrong(path, f"the tensor {name[:80]} is stored as {str(kind)[:20]}; known are {', '.join(SIZES)}")
    count = 1
    for length in shape:
        count *= length
    if end - begin != count * SIZES[kind] or data + end > size:
        raise _wrong(path, f"the tensor {name[:80]} does not fit its place")
    return StoredTensor(kind, shape, data + begin, end - begin)


def read_tensor(path: Path, tensor: StoredTensor) -> NDArray[np.float64]:
    """One tensor as float64, which holds every value of every stored type exactly."""
    import numpy as np

    with path.open("rb") as file:
        file.seek(tensor.start)
        raw = file.read(tensor.bytes)
    if len(raw) != tensor.bytes:
        raise _wrong(path, "it became shorter while it was read")
    if tensor.kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    else:
        values = np.frombuffer(raw, "<f4" if tensor.kind == "F32" else np.int8)
    return values.astype(np.float64).reshape(tensor.shape)


def _wrong(path: Path, what: str) -> BadModelFile:
    return BadModelFile(f"{path.name} is not a usable safetensors file: {what}.")
