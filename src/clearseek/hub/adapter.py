"""Adapters that ClearSeek ships or made: a few megabytes that, over a base model, are a model of its own.

    adapter.json           what it is, over which base, and which bytes must come out
    adapter.safetensors    `<tensor>.lora_a` (rank, in), `<tensor>.lora_b` (out, rank) and, where these are of 8 bits,
                           `<tensor>.lora_s` (rank), which the columns of B are multiplied by; by the GGUF's names of
                           the tensors and with its order of rows; vectors (norms) that replace the base's, as float32

A weight becomes W + B A. The numbers are so coarse (`EXACT_BITS`) that every product and every sum of them is exact
in float64, in whatever order it is formed: so the same file comes out on every processor, with every BLAS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clearseek.hub.catalogue import QUANTS, Quant
from clearseek.hub.errors import BadModelFile
from clearseek.hub.safetensors_file import StoredTensor, list_tensors, read_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "clearseek-adapter/1"
RECORD, WEIGHTS = "adapter.json", "adapter.safetensors"
EXACT_BITS = 53
"""Bits of a float64's significand: a product of two factors and the sum of `rank` of them must fit in."""
RESULT_QUANT: Literal["q8_0"] = "q8_0"
"""What assembled models are stored as: 4 bits would lose more than an adapter of this kind adds."""
MAX_RANK = 4096
MAX_RECORD_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 2 << 30
_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class AdapterBase:
    """What the adapter belongs on: the file (`sha256`) as it lies in the store after a pull of `name` with `quant`;
    `original_sha256` is of the file that its source holds."""

    name: str
    sha256: str
    original_sha256: str
    quant: Quant


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter, read and checked. `pairs` are A and B by tensor name, `scales` what B's columns are multiplied by
    where that is said, `vectors` what replaces the base's. `sha256`
    is of adapter.safetensors; `result_sha256` of the assembled file, None while that is not known yet."""

    name: str
    folder: Path
    sha256: str
    base: AdapterBase
    rank: int
    metadata: Mapping[str, str | int]
    pairs: Mapping[str, tuple[StoredTensor, StoredTensor]]
    scales: Mapping[str, StoredTensor]
    vectors: Mapping[str, StoredTensor]
    result_sha256: str | None
    result_bytes: int | None

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    def factors(self, tensor: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A (rank, in) and B (out, rank) of one tensor. Raises BadModelFile where their products are not exact."""
        a_RI, b_OR = (read_tensor(self.weights, half) for half in self.pairs[tensor])
        if tensor in self.scales:
            b_OR = b_OR * read_tensor(self.weights, self.scales[tensor])
        for x in (a_RI, b_OR):
            if not on_grid(x, self.rank):
                raise BadModelFile(
                    f"The adapter {self.name} holds numbers for {tensor} that are not finite or not coarse enough to "
                    "give the same model everywhere; write it with ClearSeek."
                )
        return a_RI, b_OR

    def vector(self, tensor: str) -> NDArray[np.float64]:
        return read_tensor(self.weights, self.vectors[tensor])


def grid_bits(rank: int) -> int:
    """How many bits a factor may have so that sums of `rank` products are exact in a float64, whatever their order."""
    return (EXACT_BITS - (rank - 1).bit_length()) // 2


def on_grid(x: NDArray[np.float64], rank: int) -> bool:
    """Whether all values are finite whole multiples of one power of two, less than 2**grid_bits of them each."""
    import numpy as np

    largest = float(np.abs(x).max(initial=0.0))
    if not np.isfinite(largest):
        return False
    steps = np.ldexp(x, grid_bits(rank) - int(np.frexp(largest)[1]))
    return bool((steps == np.rint(steps)).all())


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder, its weights listed but not hashed. Raises BadModelFile, in one sentence."""
    record = _read_record(folder / RECORD)
    try:
        adapter = _adapter(folder, record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadModelFile(f"{folder / RECORD} is not in order: {error!s:.200}.") from None
    for name, (a, b) in adapter.pairs.items():
        if len(a.shape) != 2 or len(b.shape) != 2 or not a.shape[0] == b.shape[1] == adapter.rank:
            raise BadModelFile(
                f"The adapter {adapter.name} has for {name} the shapes {a.shape} and {b.shape}, and its rank is "
                f"{adapter.rank}."
            )
    for name, scale in adapter.scales.items():
        if name not in adapter.pairs or scale.shape != (adapter.rank,):
            raise BadModelFile(f"The adapter {adapter.name} has for {name} scales that do not fit its factors.")
    return adapter


def _read_record(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise BadModelFile(f"{path} is larger than a description of an adapter can be.")
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadModelFile(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise BadModelFile(f"{path} is not JSON.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadModelFile(f"{path} describes no adapter that this version knows ({FORMAT}).")
    return data


def _adapter(folder: Path, record: dict[str, Any]) -> Adapter:
    base, rank, metadata = record["base"], record["rank"], record["metadata"]
    result = record.get("result") or {}
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise ValueError(f"its rank is {str(rank)[:40]}")
    for digest in (
        record["weights"]["sha256"],
        base["sha256"],
        base["original_sha256"],
        result.get("sha256") or "0" * 64,
    ):
        if not isinstance(digest, str) or not _HEX.match(digest):
            raise ValueError(f"{str(digest)[:80]} is no SHA-256")
    if not all(type(key) is str and type(value) in (str, int) for key, value in metadata.items()):
        raise ValueError("`metadata` holds more than texts and whole numbers")
    if record["quant"] != RESULT_QUANT or base["quant"] not in QUANTS:
        raise ValueError("it names a quantisation that is not known")
    pairs, scales, vectors = _parts(folder / WEIGHTS)
    return Adapter(
        name=str(record["name"]),
        folder=folder,
        sha256=record["weights"]["sha256"],
        base=AdapterBase(str(base["name"]), base["sha256"], base["original_sha256"], base["quant"]),
        rank=rank,
        metadata=dict(metadata),
        pairs=pairs,
        scales=scales,
        vectors=vectors,
        result_sha256=result.get("sha256"),
        result_bytes=result.get("bytes"),
    )


def _parts(
    path: Path,
) -> tuple[dict[str, tuple[StoredTensor, StoredTensor]], dict[str, StoredTensor], dict[str, StoredTensor]]:
    """Factors, scales and vectors."""
    if path.is_file() and path.stat().st_size > MAX_WEIGHTS_BYTES:
        raise BadModelFile(f"{path} is larger than an adapter can be.")
    tensors = list_tensors(path)
    pairs, scales, vectors = {}, {}, {}
    for name, tensor in tensors.items():
        stem, _, half = name.rpartition(".")
        if half == "lora_a" and f"{stem}.lora_b" in tensors:
            pairs[stem] = tensor, tensors[f"{stem}.lora_b"]
        elif half == "lora_s":
            scales[stem] = tensor
        elif half not in ("lora_a", "lora_b") and len(tensor.shape) == 1 and tensor.kind == "F32":
            vectors[name] = tensor
        elif half != "lora_b" or f"{stem}.lora_a" not in tensors:
            raise BadModelFile(f"{path.name} holds {name[:80]}, which is no part of an adapter.")
    return pairs, scales, vectors
