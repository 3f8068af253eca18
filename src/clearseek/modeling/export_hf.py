"""Write a model as a Hugging Face folder, which `transformers`, vLLM and `load_model` read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clearseek.hub.files import disk_errors_told, need_room, sync_folder, write_aside
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.hf_folder import INDEX
from clearseek.modeling.load import build_model, config_of, load_model
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.modeling.tokenizer_files import load_tokenizer
from clearseek.modeling.weights import listed

SHARD_BYTES = 4 << 30
"""A file of weights is closed before it grows beyond this; also what a change of type may take in memory."""


def export_hf(
    model: nn.Module,
    folder: Path | str,
    *,
    dtype: torch.dtype | None = None,
    tokenizer: Tokenizer | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write `config.json`, safetensors (and an index where there are several), and the tokeniser; gives the folder.

    Numbers are written as they are, or in `dtype`. The folder appears only when it is whole. Raises ModelingError
    where it is there already and not empty, and where the model is not the plain architecture (an adapter on top).
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelingError(f"{folder} is there already; name a folder that is not.")
    tensors = plain_tensors(model)
    first = next(iter(model.parameters()))
    kind = dtype or first.dtype
    sizes = {name: tensor.numel() * _type(tensor, dtype).itemsize for name, tensor in tensors.items()}
    aside = folder.with_name(folder.name + ".part")
    with disk_errors_told("writing the model", folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        need_room(folder.parent, sum(sizes.values()))
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            _write_weights(aside, tensors, sizes, dtype, shard_bytes)
            config = {**config_of(model).to_hf(), "torch_dtype": str(kind).removeprefix("torch.")}
            if tokenizer is not None:
                tokenizer.save(aside)
                if tokenizer.pad_id is not None:
                    config["pad_token_id"] = tokenizer.pad_id
            write_aside(aside / "config.json", json.dumps(config, indent=2).encode())
            os.replace(aside, folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


def folder_from(gguf: Path, folder: Path) -> Path:
    """A GGUF as a Hugging Face folder: its weights read back, matrices in bfloat16; its tokeniser and template."""
    return export_hf(load_model(gguf), folder, dtype=torch.bfloat16, tokenizer=load_tokenizer(gguf))


def plain_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by their published names. Raises ModelingError where they are not the architecture's own."""
    held = model.state_dict()
    expected = build_model(config_of(model), device="meta").state_dict()
    if held.keys() != expected.keys():
        odd = sorted(held.keys() ^ expected.keys())
        raise ModelingError(
            f"Only a plain model can be written; merge and remove its adapter first ({listed(odd, 3)})."
        )
    if config_of(model).tie_embeddings:
        del held["lm_head.weight"]  # the embedding's numbers; readers of the configuration know
    return held


def _type(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    """The type that a tensor is written in: buffers and the like stay in float32 when the model is in less."""
    return dtype if dtype is not None and tensor.ndim > 1 and tensor.is_floating_point() else tensor.dtype


def _write_weights(
    folder: Path, tensors: dict[str, Tensor], sizes: dict[str, int], dtype: torch.dtype | None, limit: int
) -> None:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    index: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_file(folder / file, {name: tensors[name] for name in names}, dtype)
        index |= dict.fromkeys(names, file)
    if len(shards) > 1:
        content = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": index}
        write_aside(folder / INDEX, json.dumps(content, indent=2, sort_keys=True).encode())


def _write_file(path: Path, tensors: dict[str, Tensor], dtype: torch.dtype | None) -> None:
    seen: set[int] = set()
    ready = {}
    for name, tensor in tensors.items():
        x = tensor.detach().to(device="cpu", dtype=_type(tensor, dtype)).contiguous()
        ready[name] = x.clone() if x.data_ptr() in seen else x  # the format knows no tensors that share memory
        seen.add(x.data_ptr())
    save_file(ready, path, metadata={"format": "pt"})
    with path.open("rb") as file:
        os.fsync(file.fileno())
