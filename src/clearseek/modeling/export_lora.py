"""Adapters on disk: PEFT's folder, which `peft` and vLLM load, and the LoRA-GGUF that llama.cpp lays over a base.

PEFT's layout is `adapter_config.json` beside `adapter_model.safetensors`, whose tensors are called
`base_model.model.<layer>.lora_A.weight` (rank, in) and `...lora_B.weight` (out, rank).
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from clearseek.hub.files import sync_folder, write_aside
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.gguf_weights import gguf_name, heads_of, pairs_together
from clearseek.modeling.lora import LoraLinear, lora_layers, put_lora

PREFIX = "base_model.model."
MAX_ADAPTER_BYTES = 8 << 30
MAX_CONFIG_BYTES = 1 << 20
MAX_RANK = 4096
UNSUPPORTED = (
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "trainable_token_indices",
)
"""Entries of PEFT's configuration that change what an adapter means."""


def save_peft(model: nn.Module, folder: Path | str, *, base_name: str = "") -> None:
    """Write the model's adapters as `peft` does; `base_name` is the model they belong on, as others would load it.

    Raises ModelingError where there are none, or where ranks differ.
    """
    folder = Path(folder)
    layers = _uniform(model)
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_A.detach().cpu().contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_B.detach().cpu().contiguous()
    first = next(iter(layers.values()))
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "inference_mode": True,
        "r": first.rank,
        "lora_alpha": first.scale * first.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "target_modules": _targets(model, list(layers)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_aside(folder / "adapter_model.safetensors", safetensors_torch.save(tensors, {"format": "pt"}))
    write_aside(folder / "adapter_config.json", json.dumps(config, indent=2).encode())


def load_peft(model: nn.Module, folder: Path | str) -> list[str]:
    """Put the adapters of a PEFT folder on a model that has none; everything else is frozen. Returns the layers.

    Raises ModelingError, naming what is missing, too much, misshapen or not supported; then nothing has changed.
    """
    folder = Path(folder)
    if lora_layers(model):
        raise ModelingError("This model has LoRA adapters already; remove them first.")
    config = _read_config(folder / "adapter_config.json")
    rank, alpha, scale = _strength(config, folder)
    pairs = _pairs(_read_tensors(folder / "adapter_model.safetensors"), folder)
    for name, (a_RI, b_OR) in pairs.items():
        try:
            base = model.get_submodule(name)
        except AttributeError:
            base = None
        if not isinstance(base, nn.Linear):
            raise ModelingError(f"The adapter in {folder} has a part for {name}, which is no linear layer here.")
        expected = ((rank, base.in_features), (base.out_features, rank))
        if (tuple(a_RI.shape), tuple(b_OR.shape)) != expected:
            raise ModelingError(
                f"The adapter for {name} in {folder} has the shapes {tuple(a_RI.shape)} and {tuple(b_OR.shape)}, "
                f"and should have {expected[0]} and {expected[1]}."
            )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, (a_RI, b_OR) in pairs.items():
        layer = put_lora(model, name, rank, alpha, scale)
        layer.lora_A.data.copy_(a_RI)
        layer.lora_B.data.copy_(b_OR)
    return list(pairs)


def save_lora_gguf(model: nn.Module, path: Path | str) -> None:
    """Write the model's adapters as a GGUF for llama.cpp (`--lora`), in float32.

    Rows of q and k are in llama.cpp's order where the base's are. Raises ModelingError for models that are not of the
    Llama family: DeepSeek's layers are cut up otherwise in a GGUF.
    """
    from gguf import GGUFWriter

    path = Path(path)
    config: Any = getattr(model, "config", None)
    if not isinstance(config, LlamaConfig):
        raise ModelingError(
            "Only adapters of the Llama family can be written as a GGUF; write the PEFT folder instead."
        )
    layers = _uniform(model)
    first = next(iter(layers.values()))
    aside = path.with_name(path.name + ".new")
    writer = GGUFWriter(str(aside), config.model_type)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", first.scale * first.rank)  # llama.cpp divides by the rank
    for name, layer in layers.items():
        b_OR = layer.lora_B.detach().float().cpu()
        if heads := heads_of(f"{name}.weight", config):
            b_OR = pairs_together(b_OR, heads)
        theirs = gguf_name(f"{name}.weight")
        writer.add_tensor(f"{theirs}.lora_a", layer.lora_A.detach().float().cpu().contiguous().numpy())
        writer.add_tensor(f"{theirs}.lora_b", b_OR.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(aside, path)
    sync_folder(path.parent)


def _uniform(model: nn.Module) -> dict[str, LoraLinear]:
    layers = lora_layers(model)
    if not layers:
        raise ModelingError("This model has no LoRA adapters to write.")
    if len({(layer.rank, layer.scale) for layer in layers.values()}) > 1:
        raise ModelingError("The adapters have different ranks or scales, and one file can say only one.")
    if any(
        not bool(torch.isfinite(layer.lora_A).all() & torch.isfinite(layer.lora_B).all()) for layer in layers.values()
    ):
        raise ModelingError("The adapters hold values that are not numbers.")
    return layers


def _targets(model: nn.Module, names: list[str]) -> list[str]:
    """`target_modules`: the last parts of the names where they mean exactly these layers, else the whole names."""
    ends = sorted({name.rpartition(".")[2] for name in names})
    meant = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in ends
    ]
    return ends if sorted(meant) == sorted(names) else names


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelingError(f"{path} is larger than a configuration can be.")
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelingError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise ModelingError(f"{path} is not JSON.") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ModelingError(f"{path} does not describe a LoRA adapter.")
    for name in UNSUPPORTED:
        if config.get(name):
            raise ModelingError(f"{path} asks for `{name}`, which is not supported.")
    if config.get("bias", "none") != "none":
        raise ModelingError(f"{path} asks for trained biases, which are not supported.")
    return config


def _strength(config: dict[str, Any], folder: Path) -> tuple[int, float, float]:
    """Rank, alpha and scale."""
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= MAX_RANK:
        raise ModelingError(f"The adapter in {folder} says its rank is {str(rank)[:40]}.")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        raise ModelingError(f"The adapter in {folder} says its alpha is {str(alpha)[:40]}.")
    return rank, float(alpha), alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.stat().st_size > MAX_ADAPTER_BYTES:
            raise ModelingError(f"{path} is larger than an adapter can be.")
        return dict(safetensors_torch.load_file(path))
    except OSError as error:
        raise ModelingError(f"{path} cannot be read: {error.strerror or error}.") from None
    except SafetensorError as error:
        raise ModelingError(f"{path} is damaged or cut short: {error}.") from None


def _pairs(tensors: dict[str, Tensor], folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B by layer. Raises ModelingError for a name that is neither, or a half that is missing."""
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, which = key.removesuffix(".weight").rpartition(".")
        if which not in ("lora_A", "lora_B") or not name.startswith(PREFIX):
            raise ModelingError(f"The adapter in {folder} holds {key[:200]}, which is no part of a LoRA.")
        halves.setdefault(name.removeprefix(PREFIX), {})[which] = tensor
    for name, both in halves.items():
        for which in ("lora_A", "lora_B"):
            if which not in both:
                raise ModelingError(f"The adapter in {folder} has no {which} for {name[:200]}.")
    if not halves:
        raise ModelingError(f"The adapter in {folder} is empty.")
    return {name: (both["lora_A"], both["lora_B"]) for name, both in halves.items()}
