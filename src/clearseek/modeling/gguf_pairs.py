"""The metadata of a GGUF, arrays of text included, read and written.

`hub/gguf_file.py` walks the metadata of a hostile file within bounds and keeps little of it. What is read here was
walked there first: counts, lengths and sizes hold, unless the file changes meanwhile.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from clearseek.hub.gguf_file import Header
from clearseek.modeling.errors import ModelingError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

Array = tuple[str, ...] | tuple[int | float | bool, ...]


def read_arrays(path: Path, header: Header, keys: Collection[str]) -> dict[str, Array]:
    """The arrays of these names, whole. Text that is not UTF-8 comes with replacement characters.

    Raises ModelingError where the file is no longer the one whose header was read.
    """
    arrays: dict[str, Array] = {}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), header.pairs_end, access=mmap.ACCESS_READ) as data:
            at = 24
            for _ in range(struct.unpack_from("<Q", data, 16)[0]):
                key, at = _text(data, at)
                (kind,) = struct.unpack_from("<I", data, at)
                at += 4
                if kind == _STRING:
                    at += 8 + struct.unpack_from("<Q", data, at)[0]
                elif kind == _ARRAY:
                    values, at = _array(data, at, key in keys)
                    if key in keys:
                        arrays[key] = values
                else:
                    at += struct.calcsize(_SCALARS[kind])
    except (OSError, struct.error, KeyError, IndexError, ValueError) as error:
        raise ModelingError(f"{path.name} changed while it was read, or is damaged: {error}.") from None
    return arrays


def _text(data: mmap.mmap, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    at += 8
    return data[at : at + length].decode("utf-8", "replace"), at + length


def _array(data: mmap.mmap, at: int, wanted: bool) -> tuple[Array, int]:
    kind, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if kind != _STRING:
        form = f"<{count}{_SCALARS[kind]}"
        end = at + struct.calcsize(form)
        return (struct.unpack_from(form, data, at) if wanted else ()), end
    texts = []
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", data, at)
        at += 8
        if wanted:
            texts.append(data[at : at + length].decode("utf-8", "replace"))
        at += length
    return tuple(texts), at


Pair = bool | int | float | str | Sequence[str] | Sequence[int] | Sequence[float]


def encode_pairs(pairs: Mapping[str, Pair]) -> bytes:
    """Metadata as it stands in a file: bool, u32, f32, string, and arrays of string, i32 or f32."""
    out = bytearray()
    for key, value in pairs.items():
        out += _string(key)
        if isinstance(value, bool):
            out += struct.pack("<I?", 7, value)
        elif isinstance(value, int):
            out += struct.pack("<II", 4, value)
        elif isinstance(value, float):
            out += struct.pack("<If", 6, value)
        elif isinstance(value, str):
            out += struct.pack("<I", _STRING) + _string(value)
        elif all(isinstance(item, str) for item in value):
            out += struct.pack("<IIQ", _ARRAY, _STRING, len(value))
            out += b"".join(_string(str(item)) for item in value)
        elif any(isinstance(item, float) for item in value):
            out += struct.pack(f"<IIQ{len(value)}f", _ARRAY, 6, len(value), *value)
        else:
            out += struct.pack(f"<IIQ{len(value)}i", _ARRAY, 5, len(value), *value)
    return bytes(out)


def _string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw
