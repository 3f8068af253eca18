"""Hugging Face's `config.json` as a configuration of one of the architectures that are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from clearseek.hub.hf_config import completed
from clearseek.modeling.config import (
    LLAMA_TYPES,
    MAX_LAYERS,
    LlamaConfig,
    real,
    refuse,
    rope_from_hf,
    special_ids,
    unknown_architecture,
    whole,
)
from clearseek.modeling.deepseek_config import deepseek_from_hf
from clearseek.modeling.errors import ModelingError

if TYPE_CHECKING:
    from clearseek.modeling.deepseek_config import DeepseekV3Config

AnyConfig: TypeAlias = "LlamaConfig | DeepseekV3Config"


def config_from_hf(data: Mapping[str, Any]) -> AnyConfig:
    """The configuration in a `config.json`. Raises ModelingError, naming what is missing, wrong or not supported."""
    kind = data.get("model_type")
    if kind == "deepseek_v3":
        return deepseek_from_hf(data)
    if not isinstance(kind, str) or kind not in LLAMA_TYPES:
        raise ModelingError(unknown_architecture(kind))
    data = completed(data)
    refuse(data, "hidden_act", lambda value: value not in ("silu", "swish"), "only SiLU is known")
    refuse(data, "mlp_bias", bool, "biases in the feed-forward part are not known")
    refuse(data, "use_sliding_window", bool, "a sliding window is not supported")
    refuse(data, "partial_rotary_factor", lambda value: value != 1, "partly rotated heads are not supported")
    refuse(data, "quantization_config", bool, "only unquantised weights and GGUF can be read for this architecture")
    heads = whole(data, "num_attention_heads")
    hidden = whole(data, "hidden_size")
    bias = bool(data["attention_bias"])
    max_positions = whole(data, "max_position_embeddings")
    return LlamaConfig(
        model_type=kind,
        vocab_size=whole(data, "vocab_size"),
        hidden_size=hidden,
        layers=whole(data, "num_hidden_layers", most=MAX_LAYERS),
        heads=heads,
        kv_heads=whole(data, "num_key_value_heads"),
        head_dim=whole(data, "head_dim"),
        intermediate_size=whole(data, "intermediate_size"),
        rms_norm_eps=real(data, "rms_norm_eps", 1e-6),
        rope=rope_from_hf(data, max_positions),
        tie_embeddings=bool(data["tie_word_embeddings"]),
        attention_bias=bias,
        output_bias=bias and kind != "qwen2",
        qk_norm=kind == "qwen3",
        max_positions=max_positions,
        **special_ids(data),
    )
