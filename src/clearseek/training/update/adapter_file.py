"""Adapters in the form that the hub assembles from: rounded so that the sum of their products is exact everywhere.

A row of A and a column of B become whole numbers of 8 bits, and a scale of 8 significant bits for both; no scale keeps
anything below the largest one by more than what `grid_bits(rank)` leaves: see `hub/adapter.py` for why. That is half
of bfloat16's size and costs about a hundredth of the addition; `rounded(..., kind="bf16")` is there to compare.
Everything else that is written of an adapter (PEFT, LoRA-GGUF, merged weights) is written of the rounded one, so that
all of them are the same model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from clearseek.hub.adapter import FORMAT, RECORD, RESULT_QUANT, WEIGHTS, Adapter, AdapterBase, grid_bits, read_adapter
from clearseek.hub.files import hash_file, write_aside
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.gguf_weights import gguf_name, heads_of, pairs_together
from clearseek.modeling.lora import lora_layers

Stored = Literal["i8", "bf16"]


@dataclass(frozen=True, slots=True)
class LowRank:
    """An addition B A to one weight, rounded: `a_RI` (rank, in), `b_OR` (out, rank), float64, its scale inside B.

    `scale_R`, where the factors are stored in 8 bits: `a_RI` and `b_OR / scale_R` are whole numbers. `error` is the
    relative error of B A, in the Frobenius norm, against what it stands for.
    """

    a_RI: Tensor
    b_OR: Tensor
    error: float
    scale_R: Tensor | None = None

    def delta_OI(self) -> Tensor:
        """B A (out, in) in float64: exact."""
        return self.b_OR @ self.a_RI


def coarse(x: Tensor, rank: int, spare: int = 0) -> Tensor:
    """Rounded to bfloat16, and to whole multiples of 2**(spare - grid_bits) of its largest value's power of two: then
    a factor of `spare` bits may still be multiplied with it. float64.

    Raises ModelingError where a value is not a number.
    """
    short = x.detach().to("cpu", torch.bfloat16).double()
    largest = short.abs().max() if short.numel() else torch.zeros((), dtype=torch.float64)
    if not torch.isfinite(largest):
        raise ModelingError("The adapter holds values that are not numbers, so it cannot be written.")
    _, exponent = torch.frexp(largest)
    step = torch.ldexp(torch.ones((), dtype=torch.float64), exponent - grid_bits(rank) + spare)
    return torch.round(short / step) * step


def rounded(a_RI: Tensor, b_OR: Tensor, scale: float = 1.0, *, kind: Stored = "i8") -> LowRank:
    """An adapter's two factors as they are written, and what rounding them cost. Raises ModelingError where a value is
    not a number."""
    a_RI, b_OR = a_RI.detach().cpu().double(), b_OR.detach().cpu().double() * scale
    rank = a_RI.shape[0]
    if not bool(torch.isfinite(a_RI).all() & torch.isfinite(b_OR).all()):
        raise ModelingError("The adapter holds values that are not numbers, so it cannot be written.")
    in_16_bits = LowRank(coarse(a_RI, rank), coarse(b_OR, rank), 0.0)
    made = in_16_bits if kind == "bf16" else _in_8_bits(a_RI, b_OR, rank)
    return dataclasses.replace(made, error=_relative(made.delta_OI() - b_OR @ a_RI, b_OR @ a_RI))


def _in_8_bits(a_RI: Tensor, b_OR: Tensor, rank: int) -> LowRank:
    """Whole numbers from -127 to 127 in both factors, and one scale for each of the `rank` products."""
    most_a, most_b = a_RI.abs().amax(1), b_OR.abs().amax(0)
    # coarse to a grid with room for B's 7 bits; small scales keep fewer bits, so B is rounded to what they became
    scale_R = coarse(most_a / 127 * (most_b / 127), rank, 7)
    whole_a = torch.round(a_RI * (127 / torch.where(most_a > 0, most_a, 1.0))[:, None])
    exact_b = b_OR * (most_a / 127)
    used = scale_R > 0
    whole_b = torch.where(used, torch.round(exact_b / torch.where(used, scale_R, 1.0)), 0.0).clamp(-127, 127)
    return LowRank(whole_a, whole_b * scale_R, 0.0, scale_R)


def low_rank(difference_OI: Tensor, rank: int, *, kind: Stored = "i8") -> LowRank:
    """The nearest matrix of that rank to a difference of weights (Eckart-Young: the largest singular values), shared
    evenly between the factors; `error` holds what the cut and the rounding cost together."""
    exact_OI = difference_OI.detach().cpu().double()
    if not bool(torch.isfinite(exact_OI).all()):
        raise ModelingError("The difference of weights holds values that are not numbers.")
    if not 1 <= rank <= min(exact_OI.shape):
        raise ModelingError(f"A matrix of {tuple(exact_OI.shape)} has no part of rank {rank}.")
    # from the smaller Gram matrix in float64: the singular values below 1e-8 of the largest are lost, and not wanted
    out_smaller = exact_OI.shape[0] <= exact_OI.shape[1]
    small = exact_OI @ exact_OI.T if out_smaller else exact_OI.T @ exact_OI
    squares, vectors = torch.linalg.eigh(small)
    kept, largest = vectors[:, -rank:], squares.max().clamp_min(0)
    real_R = squares[-rank:] > largest * 1e-15  # below: what rounding left of nothing
    root_R = torch.where(real_R, squares[-rank:], 1.0).pow(0.25)
    kept = kept * real_R
    if out_smaller:
        b_OR, a_RI = kept * root_R, (kept / root_R).T @ exact_OI
    else:
        b_OR, a_RI = exact_OI @ (kept / root_R), (kept * root_R).T
    made = rounded(a_RI, b_OR, kind=kind)
    return dataclasses.replace(made, error=_relative(made.delta_OI() - exact_OI, exact_OI))


def _relative(error: Tensor, whole: Tensor) -> float:
    size = float(whole.norm())
    return float(error.norm()) / size if size else float(error.norm())


def adapters_of(model: nn.Module) -> dict[str, LowRank]:
    """The rounded adapters of a model, by the name of their layer (`model.layers.0.self_attn.q_proj`)."""
    return {name: rounded(layer.lora_A, layer.lora_B, layer.scale) for name, layer in lora_layers(model).items()}


def write_adapter(
    folder: Path,
    name: str,
    base: AdapterBase,
    config: LlamaConfig,
    layers: Mapping[str, LowRank],
    *,
    vectors: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str | int | None] | None = None,
) -> Adapter:
    """Write adapter.json (which bytes must come out is not in it yet) and adapter.safetensors; read them back.

    `layers` by their layers' names, `vectors` (what replaces the base's, float32) by their tensors' names, both as
    torch has them. `metadata` is what the assembled file says of itself. Raises ModelingError where ranks differ.
    """
    ranks = {layer.a_RI.shape[0] for layer in layers.values()}
    if len(ranks) > 1:
        raise ModelingError(f"One adapter file holds one rank; these have {', '.join(map(str, sorted(ranks)))}.")
    tensors: dict[str, Tensor] = {}
    for layer, factors in layers.items():
        weight = f"{layer}.weight"
        heads, theirs = heads_of(weight, config), gguf_name(weight)
        b_OR = pairs_together(factors.b_OR, heads) if heads else factors.b_OR
        for half, exact in _stored(factors, b_OR).items():
            tensors[f"{theirs}.{half}"] = exact.contiguous()
    for vector, values in (vectors or {}).items():
        tensors[gguf_name(vector)] = values.detach().cpu().float().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    write_aside(folder / WEIGHTS, safetensors_torch.save(tensors))
    record: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "base": asdict(base),
        "weights": {"sha256": hash_file(folder / WEIGHTS), "bytes": (folder / WEIGHTS).stat().st_size},
        "rank": max(ranks, default=1),
        "targets": sorted({layer.rpartition(".")[2] for layer in layers}),
        "quant": RESULT_QUANT,
        "metadata": {key: value for key, value in (metadata or {}).items() if value is not None},
        "error": {"mean": mean_error(layers), "largest": max((one.error for one in layers.values()), default=0.0)},
    }
    _write_record(folder, record)
    return read_adapter(folder)


def _stored(factors: LowRank, b_OR: Tensor) -> dict[str, Tensor]:
    """The factors in the types that hold them exactly. Raises ModelingError where they were not rounded."""
    if factors.scale_R is None:
        exact, kinds = {"lora_a": factors.a_RI, "lora_b": b_OR}, (torch.bfloat16, torch.bfloat16)
    else:
        divisor_R = torch.where(factors.scale_R > 0, factors.scale_R, 1.0)
        exact, kinds = {"lora_a": factors.a_RI, "lora_b": b_OR / divisor_R}, (torch.int8, torch.int8)
    stored = {name: x.to(kind) for (name, x), kind in zip(exact.items(), kinds, strict=True)}
    if factors.scale_R is not None:
        exact["lora_s"], stored["lora_s"] = factors.scale_R, factors.scale_R.to(torch.bfloat16)
    if not all(torch.equal(stored[name].double(), x) for name, x in exact.items()):
        raise ModelingError("The factors of an adapter were not rounded before they were written.")
    return stored


def promise(folder: Path, sha256: str, size: int) -> None:
    """Note in adapter.json which bytes assembling gives."""
    record = json.loads((folder / RECORD).read_text("utf-8"))
    _write_record(folder, {**record, "result": {"sha256": sha256, "bytes": size}})


def mean_error(layers: Mapping[str, LowRank]) -> float:
    return sum(layer.error for layer in layers.values()) / max(1, len(layers))


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    write_aside(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False).encode())
