"""Weights in a Hugging Face folder: `config.json` and safetensors, in one file or several.

The files are mapped into memory and one tensor is copied out at a time. Pickled weights (`.bin`, `.pt`) are not
read at all: opening one runs whatever program its author put into it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.hf_config import config_from_hf
from clearseek.modeling.tokenizer import read_json
from clearseek.modeling.weights import Weights, listed

INDEX = "model.safetensors.index.json"
MAX_FILES = 4096
MAX_INDEX_BYTES = 64 << 20


def open_folder(folder: Path) -> Weights:
    """Raises ModelingError where the configuration or a file is missing, damaged, or of a kind that is not read."""
    if not (folder / "config.json").is_file():
        raise ModelingError(f"{folder} has no config.json, so it is no model's folder.")
    config_json = read_json(folder / "config.json")
    config = config_from_hf(config_json)
    handles: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    files: dict[str, str] = {}
    for name in weight_files(folder):
        handle = handles[name] = _open(folder / name)
        for tensor in handle.keys():  # noqa: SIM118 - not a dictionary
            if tensor in files:
                raise ModelingError(f"The tensor {tensor} is in two files, {files[tensor]} and {name}.")
            shapes[tensor] = tuple(handle.get_slice(tensor).get_shape())
            files[tensor] = name
    _compare_with_index(folder, files)

    def read_as_stored(name: str) -> Tensor:
        try:
            tensor: Tensor = handles[files[name]].get_tensor(name).clone()
            return tensor
        except (SafetensorError, OSError, KeyError) as error:
            raise ModelingError(f"{files.get(name, name)} cannot be read: {error}.") from None

    if not isinstance(config, LlamaConfig):
        config = config.with_tensors(files)
    read, scales = _reader(config_json, files, read_as_stored)
    spare = frozenset(name for name in files if name.endswith("rotary_emb.inv_freq"))  # computed, never learned
    weights = {name: shape for name, shape in shapes.items() if name not in scales}
    return Weights(config, weights, files, read, str(folder), spare)


def _reader(
    config: dict[str, Any], files: dict[str, str], read: Callable[[str], Tensor]
) -> tuple[Callable[[str], Tensor], frozenset[str]]:
    """How tensors are read, and which of the names are only scales of others (FP8 in blocks)."""
    from clearseek.modeling import fp8_blocks

    scales = frozenset(name for name in files if fp8_blocks.is_scale(name, files))
    if not scales:
        return read, scales
    value = config.get("quantization_config")
    block = value.get("weight_block_size") if isinstance(value, dict) else None
    if not isinstance(block, list) or len(block) != 2 or not all(isinstance(n, int) and n > 0 for n in block):
        block = list(fp8_blocks.BLOCK)
    size = (block[0], block[1])
    return lambda name: fp8_blocks.read_weight(name, files, read, size), scales


def weight_files(folder: Path) -> list[str]:
    """The safetensors files that make up the model, by name."""
    if (folder / INDEX).is_file():
        names = sorted(set(_index(folder).values()))
        if len(names) > MAX_FILES:
            raise ModelingError(f"{folder / INDEX} names {len(names)} files, more than the {MAX_FILES} that are read.")
        if odd := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
            raise ModelingError(f"{folder / INDEX} names files that are not safetensors beside it: {listed(odd)}.")
        if gone := [name for name in names if not (folder / name).is_file()]:
            raise ModelingError(f"{folder} lacks files that its index names: {listed(gone)}.")
        return names
    names = sorted(file.name for file in folder.glob("*.safetensors") if file.name != "adapter_model.safetensors")
    if "model.safetensors" in names:
        return ["model.safetensors"]
    if names:
        return names[:MAX_FILES]
    if [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]:
        raise ModelingError(
            f"{folder} has its weights as pickles, which run programs when they are opened; "
            "convert them to safetensors where they came from."
        )
    raise ModelingError(f"{folder} has no safetensors in it.")


def _index(folder: Path) -> dict[str, str]:
    path = folder / INDEX
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise ModelingError(f"{path} has more than {MAX_INDEX_BYTES >> 20} MB.")
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelingError(f"{path} is not JSON: {error}.") from None
    names = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ModelingError(f"{path} has no `weight_map` of tensors and files.")
    return names


def _compare_with_index(folder: Path, files: dict[str, str]) -> None:
    if not (folder / INDEX).is_file():
        return
    promised = _index(folder)
    if gone := sorted(name for name in promised if name not in files):
        first = ", ".join(sorted({promised[name] for name in gone})[:4])
        raise ModelingError(f"{folder} lacks tensors that its index promises: {listed(gone)} (in {first}).")


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelingError(
            f"{path} is not whole safetensors: {str(error).rstrip('.')} (a download cut short?)."
        ) from None
