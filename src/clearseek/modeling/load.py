"""A model from a Hugging Face folder, from a GGUF, or from nothing.

The model is built without memory first (torch's `meta` device), so that what the files hold can be compared with what
the architecture needs, and the sum of bytes told, before anything is read. Then one tensor at a time is read and put
in place: the peak is the model plus one tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.gguf_weights import open_gguf
from clearseek.modeling.hf_config import AnyConfig
from clearseek.modeling.hf_folder import open_folder
from clearseek.modeling.llama import Llama
from clearseek.modeling.weights import Weights, available_memory, listed

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def load_model(
    folder_or_gguf: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> CausalLM:
    """A module that takes ids (B, T) int64 and gives logits (B, T, V).

    Raises ModelingError (or BadModelFile for what is no GGUF): an architecture that is not known, tensors missing,
    too many or of another shape, each named with its file; a file cut short; less memory than the weights need.
    """
    if dtype not in DTYPES:
        raise ModelingError(f"Weights cannot be held as {dtype}; float32, bfloat16, float16 and float64 can.")
    return load_weights(open_weights(folder_or_gguf), dtype, device)


def open_weights(folder_or_gguf: Path | str) -> Weights:
    """What a folder or a GGUF holds, nothing of it read but its list of tensors."""
    path = Path(folder_or_gguf)
    if not path.exists():
        raise ModelingError(f"There is no folder and no file {path}.")
    if path.is_dir():
        return open_folder(path)
    if path.suffix == ".safetensors":
        raise ModelingError(f"{path} is one file of a model; name the folder that also holds its config.json.")
    return open_gguf(path)


def build_model(config: AnyConfig, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> CausalLM:
    """A model from nothing: random weights, drawn from torch's generator. On `meta`, shapes only.

    Parameters get the type; buffers (a router's balancing bias) keep the one they need.
    """
    with torch.device(device):
        model = _class_of(config)(config)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def load_weights(weights: Weights, dtype: torch.dtype, device: torch.device | str = "cpu") -> CausalLM:
    """Build the model on `meta`, check what is there against it, say what it takes, then fill it."""
    model = build_model(weights.config, dtype, "meta")
    places = _places(model, weights)
    _check(weights, places)
    _need_memory(weights, places, dtype, torch.device(device))
    for name, place in places.items():
        _put(model, place, weights.read(name), torch.device(device))
    return model.eval()


def config_of(model: nn.Module) -> AnyConfig:
    """The configuration that a model was built from."""
    config = getattr(model, "config", None)
    if not hasattr(config, "to_hf"):
        raise ModelingError(f"{type(model).__name__} is none of ClearSeek's architectures.")
    return cast(AnyConfig, config)


def _class_of(config: AnyConfig) -> type[CausalLM]:
    if isinstance(config, LlamaConfig):
        return Llama
    from clearseek.modeling.deepseek_v3 import DeepseekV3

    return DeepseekV3


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor that must be filled, and every name it has in the model: tied weights have two."""

    empty: Tensor
    names: tuple[str, ...]


def _places(model: nn.Module, weights: Weights) -> dict[str, Place]:
    """Each parameter and lasting buffer once, under the name by which the checkpoint has it."""
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    return {
        next((name for name in known if name in weights.shapes), known[0]): Place(tensors[key], tuple(known))
        for key, known in names.items()
    }


def _check(weights: Weights, places: dict[str, Place]) -> None:
    known = {name for place in places.values() for name in place.names}  # tied, yet written twice: the same numbers
    missing = [name for name in places if name not in weights.shapes]
    extra = [f"{name} ({weights.files[name]})" for name in weights.shapes if name not in known | weights.spare]
    odd = [
        f"{name} is {_shape(weights.shapes[name])} and should be {_shape(tuple(place.empty.shape))} "
        f"({weights.files[name]})"
        for name, place in places.items()
        if name in weights.shapes and weights.shapes[name] != tuple(place.empty.shape)
    ]
    differences = []
    if missing:
        differences.append(f"missing: {listed(missing)}")
    if extra:
        differences.append(f"not part of the architecture: {listed(extra)}")
    if odd:
        differences.append(f"of another shape: {listed(odd)}")
    if differences:
        raise ModelingError(f"The weights in {weights.where} do not fit their configuration; {'; '.join(differences)}.")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _need_memory(weights: Weights, places: dict[str, Place], dtype: torch.dtype, device: torch.device) -> None:
    sizes = [place.empty.numel() for place in places.values()]
    model, largest = sum(sizes) * dtype.itemsize, max(sizes, default=0) * 4
    if device.type == "cpu":
        free, need, room = available_memory(), model + largest, "memory"
    elif device.type == "cuda":
        free, need, room = torch.cuda.mem_get_info(device)[0], model + largest, "the GPU's memory"
    else:
        return
    if need > free:
        raise ModelingError(
            f"{weights.where} needs {need / 1e9:.2f} GB of {room} and {free / 1e9:.2f} GB are free: "
            f"{sum(sizes) / 1e6:.0f}M numbers x {dtype.itemsize} bytes = {model / 1e9:.2f} GB, "
            f"and {largest / 1e9:.2f} GB to read the largest tensor."
        )


def _put(model: nn.Module, place: Place, tensor: Tensor, device: torch.device) -> None:
    """Set the tensor wherever the model has it, in the type that is held there."""
    filled = tensor.to(device=device, dtype=place.empty.dtype).contiguous()
    if isinstance(place.empty, nn.Parameter):
        filled = nn.Parameter(filled, requires_grad=place.empty.requires_grad)
    for name in place.names:
        path, _, last = name.rpartition(".")
        module = model.get_submodule(path)
        if isinstance(filled, nn.Parameter):
            module._parameters[last] = filled
        else:
            module._buffers[last] = filled
