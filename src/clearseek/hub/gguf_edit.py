"""The metadata of a GGUF with some entries changed; everything else byte for byte as it was."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from clearseek.hub.errors import BadModelFile
from clearseek.hub.gguf_file import Header

Entry = str | int | bool
"""What can be written: text, a u32, a truth value."""

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


def edited_pairs(path: Path, header: Header, changes: Mapping[str, Entry | None], tensors: int | None = None) -> bytes:
    """The file's first bytes up to its list of tensors, with entries set (in their old place where they had one, else
    at the end, in the order given) or, where the value is None, left out.

    `header` must be of this very file: it was walked within bounds when that was read. `tensors`: their number where
    it is to be another one.
    """
    with path.open("rb") as file:
        raw = file.read(header.pairs_end)
    kept: list[bytes] = []
    waiting = dict(changes)
    try:
        for key, start, end in _spans(raw):
            if key not in changes:
                kept.append(raw[start:end])
            elif (value := waiting.pop(key)) is not None:
                kept.append(_pair(key, value))
    except (struct.error, KeyError, UnicodeDecodeError, IndexError):
        raise BadModelFile(f"{path.name} changed while it was read.") from None
    kept += [_pair(key, value) for key, value in waiting.items() if value is not None]
    count = len(header.tensors) if tensors is None else tensors
    return struct.pack("<4sIQQ", b"GGUF", header.version, count, len(kept)) + b"".join(kept)


def _spans(raw: bytes) -> list[tuple[str, int, int]]:
    """Each entry: its key, and from where to where it stands."""
    result, at = [], 24
    for _ in range(struct.unpack_from("<Q", raw, 16)[0]):
        start = at
        (length,) = struct.unpack_from("<Q", raw, at)
        key = raw[at + 8 : at + 8 + length].decode("utf-8")
        at += 8 + length
        (kind,) = struct.unpack_from("<I", raw, at)
        at = _behind(raw, at + 4, kind)
        result.append((key, start, at))
    if at != len(raw):
        raise IndexError
    return result


def _behind(raw: bytes, at: int, kind: int) -> int:
    if kind == _STRING:
        return at + 8 + int(struct.unpack_from("<Q", raw, at)[0])
    if kind != _ARRAY:
        return at + _SIZES[kind]
    inner, count = struct.unpack_from("<IQ", raw, at)
    at += 12
    if inner != _STRING:
        return at + int(count) * _SIZES[inner]
    for _ in range(count):
        at += 8 + struct.unpack_from("<Q", raw, at)[0]
    return at


def _pair(key: str, value: Entry) -> bytes:
    name = key.encode("utf-8")
    head = struct.pack("<Q", len(name)) + name
    if isinstance(value, bool):
        return head + struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return head + struct.pack("<II", 4, value)
    text = value.encode("utf-8")
    return head + struct.pack("<IQ", _STRING, len(text)) + text
