"""What a Hugging Face `config.json` means: its entries, and those that it leaves out.

`transformers` writes no entry that equals the default of the model's own class, and those defaults differ by family.
Whoever reads a configuration (the audit, which counts; `modeling`, which computes; receipts, which check) reads
it through `completed`, so that a missing entry means the same to all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clearseek.hub.errors import BadModelFile

MAX_CONFIG = 1 << 20
"""Bytes of a `config.json`."""
_KEY_VALUE_HEADS = {
    "mistral": 8, "mixtral": 8, "qwen2": 32, "qwen3": 32, "qwen2_moe": 16, "qwen3_moe": 4, "gemma": 16, "gemma2": 4,
    "gemma3_text": 4, "smollm3": 4, "gpt_oss": 8, "glm4_moe": 8,
}  # fmt: skip
"""As many as there are heads in all other families."""
_HEAD_DIM = {"qwen3": 128, "gemma": 256, "gemma2": 256, "gemma3_text": 256, "gpt_oss": 64}
"""The width over the number of heads in all others."""
_POSITIONS = {
    "llama": 2048, "olmo2": 2048, "olmo3": 2048, "deepseek_v2": 2048, "phi3": 4096, "deepseek_v3": 4096,
    "kimi_k2": 4096,
    "gemma": 8192, "gemma2": 8192, "qwen2": 32_768, "qwen3": 32_768, "qwen2_moe": 32_768, "qwen3_moe": 32_768,
    "smollm3": 32_768, "mistral": 131_072, "mixtral": 131_072, "gemma3_text": 131_072, "gpt_oss": 131_072,
    "glm4_moe": 131_072,
}  # fmt: skip
_TIED = {"gemma", "gemma2", "gemma3_text", "smollm3"}
_ALWAYS_BIASED = {"qwen2", "qwen2_moe"}
"""Queries, keys and values have biases, whatever the configuration says."""


def read_config(content: bytes, where: str) -> dict[str, Any]:
    """The object in a `config.json`, as it stands. Raises BadModelFile."""
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        raise BadModelFile(f"{where} is not JSON, so it is no config.json of a model.") from None
    if not isinstance(config, dict):
        raise BadModelFile(f"{where} is no config.json of a model: it holds no object.")
    return config


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """With the family's own values where entries are missing or null. An entry that is there stays as it is, right or
    wrong; sizes without a default, such as `hidden_size`, stay missing."""
    family, heads, width = config.get("model_type"), config.get("num_attention_heads"), config.get("hidden_size")
    family = family if isinstance(family, str) else ""
    by_heads = width // heads if type(width) is int and type(heads) is int and heads > 0 else None
    defaults = {
        # null says as much as the number of heads, and the width over it, in every family
        "num_key_value_heads": heads if "num_key_value_heads" in config else _KEY_VALUE_HEADS.get(family, heads),
        "head_dim": by_heads if "head_dim" in config else _HEAD_DIM.get(family, by_heads),
        "max_position_embeddings": _POSITIONS.get(family),
        "tie_word_embeddings": family in _TIED,
        "attention_bias": family == "gpt_oss",
        "mlp_bias": False,
    }
    missing = {name: value for name, value in defaults.items() if config.get(name) is None and value is not None}
    return {**config, **missing, **({"attention_bias": True} if family in _ALWAYS_BIASED else {})}
