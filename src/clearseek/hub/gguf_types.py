"""The numbers that stand for types in a GGUF file, in words: the `gguf` package's tables, loaded when first asked for
(numpy comes with them, and a command that reads no model need not wait for it)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class TensorType(NamedTuple):
    """One way to store numbers: its name, and how many values stand in a block of how many bytes."""

    name: str
    values: int
    bytes: int


@cache
def tensor_types() -> dict[int, TensorType]:
    """By number. One that is not there is unknown to the `gguf` package."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    return {kind.value: TensorType(kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}


@cache
def tensor_type_ids() -> dict[str, int]:
    """The number of a tensor type by its name: "Q8_0" is 8."""
    return {kind.name: number for number, kind in tensor_types().items()}


@cache
def file_types() -> dict[int, str]:
    """`general.file_type` in words: 7 is "Q8_0"."""
    from gguf.constants import LlamaFileType

    return {
        kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in LlamaFileType
        if kind is not LlamaFileType.GUESSED
    }


@cache
def file_type_ids() -> dict[str, int]:
    """The number of a file type by its name, in small letters: "q8_0" is 7."""
    return {name.lower(): number for number, name in file_types().items()}
