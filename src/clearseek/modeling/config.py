"""What an architecture is made of: sizes and switches, read from and written as Hugging Face's `config.json`.

Everything here comes from a file that a stranger wrote: every size is checked before anything is built with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from clearseek.modeling.errors import ModelingError

RopeKind = Literal["default", "linear", "llama3", "yarn"]

MAX_SIZE = 1 << 24
"""No width, count or length in a configuration may be larger."""
MAX_LAYERS = 1024

LLAMA_TYPES: dict[str, str] = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""`model_type` of the family in `llama.py`, and the name of the class that `transformers` loads it with."""
KNOWN_TYPES = (*LLAMA_TYPES, "deepseek_v3")
EVERY_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of a Llama block."""


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary positions: the base, and how a context longer than the first one is reached.

    `linear` divides positions by `factor`; `llama3` slows down only the long waves (Llama 3.1); `yarn` (Peng et al.,
    arXiv 2309.00071) blends by wavelength and sharpens attention by `attention_factor`, which is worked out from
    `factor`, `mscale` and `mscale_all_dim` where it is None.
    """

    theta: float = 10_000.0
    kind: RopeKind = "default"
    factor: float = 1.0
    original_max_positions: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """The dense family: Llama 2/3, SmolLM2, Qwen2/2.5, Qwen3.

    `attention_bias`: q, k and v have biases; `output_bias`: so has o. `qk_norm`: q and k are normalised per head.
    `vocab_size` counts the rows of the embedding.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float = 1e-5
    rope: RopeConfig = field(default_factory=RopeConfig)
    tie_embeddings: bool = False
    attention_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    max_positions: int = 2048
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.model_type not in LLAMA_TYPES:
            raise ModelingError(unknown_architecture(self.model_type))
        for name in ("vocab_size", "hidden_size", "heads", "kv_heads", "head_dim", "intermediate_size"):
            check_size(name, getattr(self, name))
        check_size("layers", self.layers, MAX_LAYERS)
        if self.heads % self.kv_heads:
            raise ModelingError(f"{self.heads} attention heads cannot share {self.kv_heads} key-value heads evenly.")
        if self.head_dim % 2:
            raise ModelingError(f"Rotary positions need heads of an even width, and this one is {self.head_dim} wide.")

    def to_hf(self) -> dict[str, Any]:
        """`config.json` as `transformers` and vLLM read it; the weights' type is added by whoever writes them."""
        fields: dict[str, Any] = {
            "architectures": [LLAMA_TYPES[self.model_type]],
            "model_type": self.model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate_size,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "tie_word_embeddings": self.tie_embeddings,
            "max_position_embeddings": self.max_positions,
            "initializer_range": 0.02,
            "use_cache": True,
            **rope_to_hf(self.rope),
        }
        if self.model_type != "qwen2":  # there the biases are part of the architecture
            fields["attention_bias"] = self.attention_bias
        if self.model_type == "llama":
            fields["mlp_bias"] = False
        if self.bos_token_id is not None:
            fields["bos_token_id"] = self.bos_token_id
        if self.eos_token_ids:
            fields["eos_token_id"] = self.eos_token_ids[0] if len(self.eos_token_ids) == 1 else [*self.eos_token_ids]
        return fields


def rope_from_hf(data: Mapping[str, Any], max_positions: int) -> RopeConfig:
    """From `rope_theta` and `rope_scaling` (everyone's way until 2025) or `rope_parameters` (since)."""
    scaling = data.get("rope_parameters") or data.get("rope_scaling") or {}
    if not isinstance(scaling, Mapping):
        raise ModelingError(f"The entry `rope_scaling` of the configuration is {short(scaling)}, and not a table.")
    theta = real(scaling, "rope_theta", real(data, "rope_theta", 10_000.0))
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind in ("default", None):
        return RopeConfig(theta=theta)
    if kind not in ("linear", "llama3", "yarn"):
        raise ModelingError(
            f"Rotary scaling of the kind {short(kind)} is not supported: default, linear, llama3, yarn."
        )
    refuse(scaling, "partial_rotary_factor", lambda value: value != 1, "partly rotated heads are not supported")
    known: dict[str, Any] = {}
    for name in ("beta_fast", "beta_slow", "low_freq_factor", "high_freq_factor"):
        if scaling.get(name) is not None:
            known[name] = real(scaling, name)
    for name in ("attention_factor", "mscale", "mscale_all_dim"):
        if scaling.get(name) is not None:
            known[name] = real(scaling, name, zero=True)
    if kind == "linear":
        return RopeConfig(theta=theta, kind="linear", factor=real(scaling, "factor"))
    return RopeConfig(
        theta=theta,
        kind=kind,
        factor=real(scaling, "factor"),
        original_max_positions=whole(scaling, "original_max_position_embeddings", max_positions),
        truncate=bool(scaling.get("truncate", True)),
        **known,
    )


def rope_to_hf(rope: RopeConfig) -> dict[str, Any]:
    """`rope_theta` and `rope_scaling`: the form that old readers and new ones understand."""
    fields: dict[str, Any] = {"rope_theta": rope.theta, "rope_scaling": None}
    if rope.kind == "default":
        return fields
    scaling: dict[str, Any] = {"rope_type": rope.kind, "factor": rope.factor}
    if rope.kind != "linear":
        scaling["original_max_position_embeddings"] = rope.original_max_positions
    if rope.kind == "llama3":
        scaling |= {"low_freq_factor": rope.low_freq_factor, "high_freq_factor": rope.high_freq_factor}
    if rope.kind == "yarn":
        scaling |= {"type": "yarn", "beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow}
        for name in ("attention_factor", "mscale", "mscale_all_dim"):
            if (value := getattr(rope, name)) is not None:
                scaling[name] = value
        if not rope.truncate:
            scaling["truncate"] = False
    return {**fields, "rope_scaling": scaling}


def unknown_architecture(kind: object) -> str:
    """The sentence for an architecture that is not known, with the nearest one that is."""
    known = "Known are " + ", ".join(KNOWN_TYPES[:-1]) + f" and {KNOWN_TYPES[-1]}"
    if not isinstance(kind, str) or not kind:
        return f"The configuration does not say what architecture it is (`model_type`). {known}."
    near = difflib.get_close_matches(kind.lower(), KNOWN_TYPES, n=1, cutoff=0.3) or ["llama"]
    return f"The architecture {short(kind)} is not supported; the nearest one that is: `{near[0]}`. {known}."


def special_ids(data: Mapping[str, Any]) -> dict[str, Any]:
    """`bos_token_id` and `eos_token_ids`, where they are whole numbers."""
    bos, eos = data.get("bos_token_id"), data.get("eos_token_id")
    ends = eos if isinstance(eos, list | tuple) else [eos]
    return {
        "bos_token_id": bos if _is_id(bos) else None,
        "eos_token_ids": tuple(token for token in ends[:64] if _is_id(token)),
    }


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_SIZE


def check_size(name: str, value: object, most: int = MAX_SIZE) -> None:
    """Raises ModelingError where a size is no whole number between 1 and `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ModelingError(f"The configuration says {name} = {short(value)}; it must be between 1 and {most}.")


def whole(data: Mapping[str, Any], name: str, default: int | None = None, most: int = MAX_SIZE) -> int:
    """A size in a configuration; `default` where it is missing or null. Raises ModelingError as `check_size` does."""
    value = data.get(name)
    if value is None:
        value = default
    if value is None:
        raise ModelingError(f"The configuration does not say `{name}`.")
    check_size(name, value, most)
    return int(value)


def real(data: Mapping[str, Any], name: str, default: float | None = None, *, zero: bool = False) -> float:
    """A positive number in a configuration (or zero, where `zero`)."""
    value = data.get(name)
    if value is None:
        value = default
    if value is None:
        raise ModelingError(f"The configuration does not say `{name}`.")
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not (0 <= value < 1e12) or (value == 0 and not zero):
        raise ModelingError(f"The configuration says {name} = {short(value)}, and a positive number belongs there.")
    return float(value)


def refuse(data: Mapping[str, Any], name: str, wrong: Any, why: str) -> None:
    """Raises ModelingError where an entry is there and `wrong(value)`."""
    value = data.get(name)
    if value is not None and wrong(value):
        raise ModelingError(f"The configuration says {name} = {short(value)}, and {why}.")


def short(value: object) -> str:
    """A stranger's value, cut to what fits into a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
