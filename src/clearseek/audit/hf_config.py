"""A Hugging Face `config.json` as an Architecture, for the families whose shape is known here.

A family that is not known is refused, with the way out (`parameters`, `active_parameters` and `tokens` do without one),
because a guess would be off by a factor nobody sees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clearseek.audit.architecture import MAX_FILE, Architecture, architecture
from clearseek.errors import UsageError
from clearseek.hub.errors import BadModelFile
from clearseek.hub.hf_config import completed, read_config
from clearseek.toml_tables import parse_toml

_DENSE = {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "olmo2", "olmo3", "smollm3", "phi3"}
_EXPERTS = {"mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "glm4_moe"}
_LATENT = {"deepseek_v2", "deepseek_v3", "kimi_k2"}
FAMILIES = tuple(sorted(_DENSE | _EXPERTS | _LATENT))


def read(content: bytes, where: str) -> Architecture:
    """The architecture that a `config.json` describes. Raises UsageError."""
    try:
        config = completed(read_config(content, where))
    except BadModelFile as error:
        raise UsageError(str(error)) from None
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise UsageError(
            f"{where}: models of type `{kind}` are not known here (known: {', '.join(FAMILIES)}); "
            "give `parameters`, `active_parameters` and `tokens` in the claim instead."
        )
    values = _common(config, kind, where)
    if kind in _LATENT:
        values |= _latent(config, where)
    elif kind in _EXPERTS:
        values |= _experts(config, kind, where)
    return architecture(values, where)


def _number(config: dict[str, Any], where: str, *names: str, default: int | None = None) -> int:
    for name in names:
        value = config.get(name)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UsageError(f"{where}: `{name}` must be a whole number, not {value!r}.")
            return value
    if default is None:
        raise UsageError(f"{where}: `{names[0]}` is missing.")
    return default


def _common(config: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    def number(*names: str, default: int | None = None) -> int:
        return _number(config, where, *names, default=default)

    width, heads, layers = number("hidden_size"), number("num_attention_heads"), number("num_hidden_layers")
    if not heads:
        raise UsageError(f"{where}: `num_attention_heads` must be at least 1.")
    values: dict[str, Any] = {
        "name": str(config.get("_name_or_path") or config["model_type"]),
        "source": where,
        "vocabulary": number("vocab_size"),
        "width": width,
        "layers": layers,
        "heads": heads,
        "kv_heads": number("num_key_value_heads"),
        "head_dim": number("head_dim"),
        "ffn": number("intermediate_size"),
        "tied": bool(config["tie_word_embeddings"]),
        "qkv_bias": bool(config["attention_bias"]),
        "output_bias": bool(config["attention_bias"]) and kind in ("llama", "gpt_oss"),
        "ffn_bias": bool(config["mlp_bias"]),
        "norms": 4 if kind in ("gemma2", "gemma3_text") else 2,
    }
    if kind in ("qwen3", "qwen3_moe", "gemma3_text") or (kind == "glm4_moe" and config.get("use_qk_norm")):
        values["qk_norm"] = "head"
    elif kind in ("olmo2", "olmo3"):
        values["qk_norm"] = "whole"
    return values | _windows(config, kind, layers, number)


def _windows(config: dict[str, Any], kind: str, layers: int, number: Any) -> dict[str, Any]:
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        windowed = sum(1 for one in kinds if one == "sliding_attention")
    elif kind == "gemma2":
        windowed = layers // 2
    elif kind == "gemma3_text":
        windowed = layers - layers // number("sliding_window_pattern", default=6)
    elif kind == "gpt_oss":
        windowed = (layers + 1) // 2
    elif kind in ("mistral", "phi3") and config.get("sliding_window"):
        windowed = layers
    else:
        windowed = 0
    if not windowed or not config.get("sliding_window"):
        return {}
    return {"windowed_layers": windowed, "window": number("sliding_window")}


def _experts(config: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    def number(*names: str, default: int | None = None) -> int:
        return _number(config, where, *names, default=default)

    values: dict[str, Any] = {
        "routed_experts": number("num_local_experts", "num_experts", "n_routed_experts"),
        "active_experts": number("num_experts_per_tok", "experts_per_token"),
        "expert_ffn": number("moe_intermediate_size", "intermediate_size"),
        "dense_layers": number("first_k_dense_replace", default=0),
        "moe_every": number("decoder_sparse_step", default=1) or 1,
        "shared_experts": number("n_shared_experts", default=0),
    }
    if kind == "qwen2_moe":
        values |= {"shared_experts": 1, "shared_ffn": number("shared_expert_intermediate_size"), "shared_gate": True}
    if kind == "gpt_oss":
        values |= {"expert_bias": True, "router_bias": True, "sinks": True}
    if kind == "glm4_moe":
        values |= {"router_bias": True, "mtp_depth": number("num_nextn_predict_layers", default=0)}
    return values


def _latent(config: dict[str, Any], where: str) -> dict[str, Any]:
    def number(*names: str, default: int | None = None) -> int:
        return _number(config, where, *names, default=default)

    values: dict[str, Any] = {
        "q_rank": number("q_lora_rank", default=0),
        "kv_rank": number("kv_lora_rank"),
        "head_dim": number("qk_nope_head_dim"),
        "rope_dim": number("qk_rope_head_dim"),
        "value_dim": number("v_head_dim"),
        "routed_experts": number("n_routed_experts", default=0),
        "mtp_depth": number("num_nextn_predict_layers", default=0),
        # the bias that balances experts came with V3
        "router_bias": config["model_type"] != "deepseek_v2",
    }
    if values["routed_experts"]:
        groups = number("n_group", default=1)
        values |= {
            "active_experts": number("num_experts_per_tok"),
            "expert_ffn": number("moe_intermediate_size"),
            "shared_experts": number("n_shared_experts", default=0),
            "dense_layers": number("first_k_dense_replace", default=0),
            "moe_every": number("moe_layer_freq", default=1) or 1,
            "node_limit": number("topk_group", default=0) if groups > 1 else 0,
        }
    return values


def from_file(path: Path) -> Architecture:
    """A description in TOML, or a Hugging Face `config.json`. Raises UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"The model's description {path} cannot be read: {error.strerror or error}.") from None
    if len(content) > MAX_FILE:
        raise UsageError(f"{path} is larger than 1 MB: a model's description or config.json is not.")
    if path.suffix == ".json":
        return read(content, str(path.name))
    return architecture({"name": path.stem, **parse_toml(content, path.name)}, path.name)
