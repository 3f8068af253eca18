"""Small configurations of every kind the dense family has, as Hugging Face writes them, with random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama-2": {"model_type": "llama", "num_key_value_heads": 4},
    "smollm2": {"model_type": "llama", "tie_word_embeddings": True, "rope_theta": 100_000.0},
    "llama-biases": {"model_type": "llama", "attention_bias": True},
    "llama-3": {"model_type": "llama", "rope_theta": 500_000.0, "rope_scaling": LLAMA3},
    "llama-linear": {"model_type": "llama", "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True, "rms_norm_eps": 1e-6},
    "qwen2-yarn": {"model_type": "qwen2", "rope_theta": 1_000_000.0, "rope_scaling": YARN},
    "qwen3": {"model_type": "qwen3", "head_dim": 32, "rms_norm_eps": 1e-6},
}


def hf_config(name: str) -> dict[str, Any]:
    return {**SIZES, **FAMILIES[name]}


def reference(name: str) -> nn.Module:
    """The model as `transformers` builds it, with weights large enough that a mistake shows."""
    from transformers import AutoConfig, AutoModelForCausalLM

    found = hf_config(name)
    config = AutoConfig.for_model(found.pop("model_type"), **found)
    torch.manual_seed(0)
    model: nn.Module = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.1)
    return model


def in_type(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The parameters in another type. `model.to(dtype)` would round the rotary frequencies of `transformers` too."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model
