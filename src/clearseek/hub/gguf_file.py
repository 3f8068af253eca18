"""Read the header of a GGUF file, trusting nothing in it.

A GGUF is hostile input: every count, length and offset is checked against a limit and against the file's size
before it is used, arrays are walked without being kept, and whatever is wrong becomes one sentence. Layout (little
endian): "GGUF", u32 version, u64 tensor count, u64 pair count, the pairs, the tensor list, padding, the data.
"""

from __future__ import annotations

import array
import os
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from clearseek.hub.errors import BadModelFile
from clearseek.hub.gguf_types import file_types, tensor_types
from clearseek.hub.other_file_types import describe_other_file

Scalar = int | float | bool | str
Value = Scalar | tuple[int | float | bool, ...]

MAX_HEADER_BYTES = 64 << 20
MAX_PAIRS = 16_384
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 65_535
MAX_DIMENSIONS = 4
MAX_TEMPLATE_BYTES = 1 << 20
MAX_STRING_BYTES = 64 << 10
"""Longer strings, the chat template apart, are skipped like arrays."""
MAX_KEPT_BYTES = 8 << 20
MAX_ARRAY_ITEMS = 4 << 20
MAX_KEPT_ITEMS = 1024
MAX_SPECIAL_TOKENS = 65_536
MAX_SPECIAL_TOKEN_BYTES = 1024

_CHUNK = 1 << 20
_STRING, _ARRAY = 8, 9
_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_CONTROL, _USER_DEFINED = 3, 4

_BPE_WITH_BOS = frozenset({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"})


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: `shape` with the fastest-moving dimension first, `offset` in bytes from the start of the data."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    bytes: int

    @property
    def elements(self) -> int:
        product = 1
        for size in self.shape:
            product *= size
        return product


@dataclass(frozen=True, slots=True)
class Header:
    """What is written at the start of a GGUF.

    `metadata` holds scalars, strings up to 64 KB, the chat template, and number arrays of at most 1,024 items;
    `skipped` names what was walked over, with its length in items (arrays) or bytes (strings).
    `control_tokens` are texts with a meaning to the model (turn markers and the like) that people must not be able
    to type; `user_tokens` are whole-text tokens without such power (`<think>` in many models).
    """

    version: int
    metadata: Mapping[str, Value]
    skipped: Mapping[str, int]
    tensors: tuple[TensorInfo, ...]
    control_tokens: tuple[str, ...]
    user_tokens: tuple[str, ...]
    bos_token: str
    eos_token: str
    add_bos: bool
    vocab_size: int
    longest_token: int
    """Bytes that one token stands for at most (in a vocabulary of bytes; at least 1)."""
    pairs_end: int
    """Byte after the metadata, where the tensor list begins."""
    file_type_at: int | None
    """Byte at which the u32 of `general.file_type` stands."""
    data_offset: int
    file_bytes: int

    @property
    def architecture(self) -> str:
        return self.text("general.architecture") or "unknown"

    @property
    def chat_template(self) -> str | None:
        return self.text("tokenizer.chat_template")

    @property
    def context_length(self) -> int | None:
        """Tokens the model was made for."""
        return self.number(f"{self.architecture}.context_length")

    @property
    def quantisation(self) -> str:
        """`Q4_K_M` and the like; where the file does not say, the type that most of its bytes have."""
        file_type = self.number("general.file_type")
        if file_type is not None and file_type in file_types():
            return file_types()[file_type]
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.bytes
        return max(sizes, key=lambda name: sizes[name], default="unknown")

    @property
    def parameter_count(self) -> int:
        """Learned numbers in the file (tables of rope frequencies are computed, not learned)."""
        return sum(tensor.elements for tensor in self.tensors if not tensor.name.startswith("rope_f"))

    @property
    def licence(self) -> str | None:
        return self.text("general.license")

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def kv_bytes_per_token(header: Header) -> int:
    """Bytes of KV cache for one token of context, with keys and values in f16 (2 bytes each).

    Sum over layers of `head_count_kv * (key_length + value_length) * 2`. 0 for a file that does not say how its
    attention is made.
    """
    arch = header.architecture
    layers = header.number(f"{arch}.block_count") or 0
    heads = header.metadata.get(f"{arch}.attention.head_count")
    kv_heads = header.metadata.get(f"{arch}.attention.head_count_kv", heads)
    width = header.number(f"{arch}.embedding_length") or 0
    most_heads = max((int(n) for n in heads), default=0) if isinstance(heads, tuple) else heads
    head_width = width // most_heads if isinstance(most_heads, int) and most_heads > 0 else 0
    key = header.number(f"{arch}.attention.key_length") or head_width
    value = header.number(f"{arch}.attention.value_length") or head_width
    if isinstance(kv_heads, tuple):
        total = sum(int(n) for n in kv_heads[:layers])
    elif isinstance(kv_heads, int):
        total = layers * kv_heads
    else:
        total = 0
    return max(0, total * (key + value) * 2)


def read_header(path: Path | str) -> Header:
    """The header of a GGUF file (versions 2 and 3).

    Raises BadModelFile, in one sentence, for a file that is missing, is no GGUF, is damaged, asks for more than the
    limits above, or is shorter than its tensors need. Reads at most 64 MB and keeps at most 8 MB.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _Reader(file, size, path.name).header()
    except FileNotFoundError:
        raise BadModelFile(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise BadModelFile(f"{path} is a folder, not a GGUF file.") from None
    except OSError as error:
        raise BadModelFile(f"{path} cannot be read: {error.strerror or error}.") from None


class _Reader:
    """A window that slides over the header; `base` is the file offset of its first byte."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self.file, self.size, self.name = file, size, name
        self.window, self.base, self.at = b"", 0, 0
        self.kept = 0

    def wrong(self, what: str) -> BadModelFile:
        return BadModelFile(f"{self.name} is not a usable GGUF file: {what}.")

    def need(self, count: int) -> None:
        """Have `count` more bytes in the window."""
        if self.at + count <= len(self.window):
            return
        start = self.base + self.at
        if start + count > self.size:
            raise self.wrong(f"it ends at byte {self.size} in the middle of its header (a download cut short?)")
        if start + count > MAX_HEADER_BYTES:
            raise self.wrong(f"its header is larger than {MAX_HEADER_BYTES >> 20} MB")
        more = self.file.read(max(_CHUNK, count - (len(self.window) - self.at)))
        self.window, self.base, self.at = self.window[self.at :] + more, start, 0
        if len(self.window) < count:
            raise self.wrong("it became shorter while it was read")

    def skip(self, count: int) -> None:
        start = self.base + self.at
        if start + count > min(self.size, MAX_HEADER_BYTES):
            self.need(count)
        if self.at + count <= len(self.window):
            self.at += count
        else:
            self.file.seek(start + count)
            self.window, self.base, self.at = b"", start + count, 0

    def u32(self) -> int:
        self.need(4)
        (value,) = _U32.unpack_from(self.window, self.at)
        self.at += 4
        return int(value)

    def u64(self) -> int:
        self.need(8)
        (value,) = _U64.unpack_from(self.window, self.at)
        self.at += 8
        return int(value)

    def raw(self, count: int) -> bytes:
        self.need(count)
        self.at += count
        return self.window[self.at - count : self.at]

    def keep(self, count: int) -> None:
        self.kept += count
        if self.kept > MAX_KEPT_BYTES:
            raise self.wrong(f"its header holds more than {MAX_KEPT_BYTES >> 20} MB of text")

    def name_text(self, what: str) -> str:
        length = self.u64()
        if length > MAX_KEY_BYTES:
            raise self.wrong(f"{what} is {length} bytes long")
        self.keep(length)
        try:
            return self.raw(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.wrong(f"{what} is not UTF-8") from None

    def scalar(self, kind: int, key: str) -> int | float | bool:
        unpack = _SCALARS.get(kind)
        if unpack is None:
            raise self.wrong(f"`{key}` has the unknown type {kind}")
        value: int | float | bool = unpack.unpack(self.raw(unpack.size))[0]
        return value

    def header(self) -> Header:
        start = self.raw(min(self.size, 64))
        if not start.startswith(b"GGUF"):
            raise self.wrong(describe_other_file(start))
        if self.size < 24:
            raise self.wrong(f"it ends after {self.size} bytes (a download cut short?)")
        self.at = 4
        version = self.u32()
        if version not in (2, 3):
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3)
            raise self.wrong("it is big-endian" if swapped else f"its version is {version}, and only 2 and 3 are known")
        tensor_count, pair_count = self.u64(), self.u64()
        if tensor_count > MAX_TENSORS or pair_count > MAX_PAIRS:
            raise self.wrong(f"it claims {tensor_count} tensors and {pair_count} metadata entries")
        metadata: dict[str, Value] = {}
        skipped: dict[str, int] = {}
        tokens: array.array[int] = array.array("Q")
        types: array.array[int] = array.array("i")
        file_type_at = None
        for _ in range(pair_count):
            key = self.name_text("a metadata key")
            if key in metadata or key in skipped:
                raise self.wrong(f"the metadata entry `{key}` comes twice")
            kind = self.u32()
            if kind == _STRING:
                self.string(key, metadata, skipped)
            elif kind == _ARRAY:
                self.items(key, metadata, skipped, tokens, types)
            else:
                if key == "general.file_type" and kind == 4:
                    file_type_at = self.base + self.at
                metadata[key] = self.scalar(kind, key)
        pairs_end = self.base + self.at
        tensors, data_offset = self.tensor_list(tensor_count, metadata)
        special = self.special_tokens(tokens, types)
        bos, eos = (self.token_at(tokens, metadata.get(f"tokenizer.ggml.{n}_token_id")) for n in ("bos", "eos"))
        return Header(
            version=version,
            metadata=MappingProxyType(metadata),
            skipped=MappingProxyType(skipped),
            tensors=tensors,
            control_tokens=special[_CONTROL],
            user_tokens=special[_USER_DEFINED],
            bos_token=bos,
            eos_token=eos,
            add_bos=_adds_bos(metadata),
            vocab_size=len(tokens),
            longest_token=self.longest(tokens),
            pairs_end=pairs_end,
            file_type_at=file_type_at,
            data_offset=data_offset,
            file_bytes=self.size,
        )

    def string(self, key: str, metadata: dict[str, Value], skipped: dict[str, int]) -> None:
        length = self.u64()
        template = key == "tokenizer.chat_template"
        if template and length > MAX_TEMPLATE_BYTES:
            raise self.wrong(f"its chat template is {length} bytes long")
        if length > MAX_STRING_BYTES and not template:
            self.skip(length)
            skipped[key] = length
            return
        self.keep(length)
        metadata[key] = self.raw(length).decode("utf-8", "replace")

    def items(
        self,
        key: str,
        metadata: dict[str, Value],
        skipped: dict[str, int],
        tokens: array.array[int],
        types: array.array[int],
    ) -> None:
        kind, count = self.u32(), self.u64()
        if count > MAX_ARRAY_ITEMS:
            raise self.wrong(f"`{key}` claims {count} items")
        if kind == _STRING:
            self.walk_strings(count, tokens if key == "tokenizer.ggml.tokens" else None)
            skipped[key] = count
            return
        unpack = _SCALARS.get(kind)
        if unpack is None:  # arrays of arrays too: no model has them, and nesting is what hostile files abuse
            raise self.wrong(f"`{key}` is an array of the unknown type {kind}")
        if key == "tokenizer.ggml.token_type" and kind in (4, 5):
            types.frombytes(self.raw(count * 4))
            if sys.byteorder == "big":
                types.byteswap()
            skipped[key] = count
        elif count <= MAX_KEPT_ITEMS:
            self.keep(count * 8)
            values = self.raw(count * unpack.size)
            metadata[key] = tuple(value for (value,) in unpack.iter_unpack(values))
        else:
            self.skip(count * unpack.size)
            skipped[key] = count

    def walk_strings(self, count: int, offsets: array.array[int] | None) -> None:
        """Pass over `count` strings, noting where each begins (its length field) if asked."""
        unpack, done = _U64.unpack_from, 0
        while done < count:
            self.need(8)
            window, at, base = self.window, self.at, self.base
            end = len(window) - 8
            while done < count and at <= end:  # the fast path: everything within the window
                (length,) = unpack(window, at)
                if length > end + 8 - at - 8:
                    break
                if offsets is not None:
                    offsets.append(base + at)
                at += 8 + length
                done += 1
            stuck = at == self.at
            self.at = at
            if done < count and stuck:
                if offsets is not None:
                    offsets.append(self.base + self.at)
                self.skip(self.u64())
                done += 1

    def tensor_list(self, count: int, metadata: dict[str, Value]) -> tuple[tuple[TensorInfo, ...], int]:
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self.wrong(f"its alignment is {alignment!r}")
        tensors, names, types = [], set(), tensor_types()
        for _ in range(count):
            name = self.name_text("a tensor's name")
            if name in names:
                raise self.wrong(f"the tensor `{name}` comes twice")
            names.add(name)
            dimensions = self.u32()
            if dimensions > MAX_DIMENSIONS:
                raise self.wrong(f"the tensor `{name}` has {dimensions} dimensions")
            shape = tuple(self.u64() for _ in range(dimensions))
            kind, offset = self.u32(), self.u64()
            if kind not in types:
                raise self.wrong(f"the tensor `{name}` has the type {kind}, which this version does not know")
            label, block, block_bytes = types[kind]
            elements = 1
            for size in shape:
                elements *= size
            if shape and shape[0] % block:
                raise self.wrong(f"the tensor `{name}` has rows of {shape[0]}, which {label} cannot hold")
            if offset % alignment:
                raise self.wrong(f"the tensor `{name}` is not aligned")
            tensors.append(TensorInfo(name, shape, label, offset, elements // block * block_bytes))
        data = self.base + self.at
        data += -data % alignment
        end = max((data + tensor.offset + tensor.bytes for tensor in tensors), default=0)
        if end > self.size:
            raise self.wrong(f"its tensors need {end} bytes and the file has {self.size} (a download cut short?)")
        return tuple(tensors), data

    def longest(self, tokens: array.array[int]) -> int:
        """Bytes of the longest token as it is written, which is no less than what it stands for."""
        if not tokens:
            return 1
        self.file.seek(tokens[-1])
        last: int = _U64.unpack(self.file.read(8))[0]
        return max(1, last, *(after - at - 8 for at, after in pairwise(tokens)))

    def token_at(self, tokens: array.array[int], index: object) -> str:
        """The text of one token; "" for an id that is absent or out of range."""
        if not isinstance(index, int) or not 0 <= index < len(tokens):
            return ""
        self.file.seek(tokens[index])
        (length,) = _U64.unpack(self.file.read(8))
        if length > MAX_SPECIAL_TOKEN_BYTES:
            raise self.wrong(f"its special token {index} is {length} bytes long")
        return self.file.read(length).decode("utf-8", "replace")

    def special_tokens(self, tokens: array.array[int], types: array.array[int]) -> dict[int, tuple[str, ...]]:
        by_kind: dict[int, list[str]] = {_CONTROL: [], _USER_DEFINED: []}
        for index, kind in enumerate(types[: len(tokens)]):
            if kind in by_kind:
                text = self.token_at(tokens, index)
                if text:
                    by_kind[kind].append(text)
                if len(by_kind[kind]) > MAX_SPECIAL_TOKENS:
                    raise self.wrong(f"it has more than {MAX_SPECIAL_TOKENS} special tokens")
        return {kind: tuple(texts) for kind, texts in by_kind.items()}


def _adds_bos(metadata: Mapping[str, Value]) -> bool:
    value = metadata.get("tokenizer.ggml.add_bos_token")
    if isinstance(value, bool):
        return value
    if metadata.get("tokenizer.ggml.model") == "llama":
        return True
    return metadata.get("tokenizer.ggml.pre") in _BPE_WITH_BOS


__all__ = ["BadModelFile", "Header", "TensorInfo", "kv_bytes_per_token", "read_header"]
