"""What DeepSeek-V3 is made of: sizes and switches, read from and written as Hugging Face's `config.json`.

The same fields make the model of 671 billion parameters and one of five million.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clearseek.modeling.config import (
    MAX_LAYERS,
    RopeConfig,
    check_size,
    real,
    refuse,
    rope_from_hf,
    rope_to_hf,
    short,
    special_ids,
    whole,
)
from clearseek.modeling.errors import ModelingError

MAX_EXPERTS = 1 << 14
MAX_MTP_LAYERS = 16


@dataclass(frozen=True, slots=True)
class DeepseekV3Config:
    """The defaults are the published sizes of DeepSeek-V3 and R1 (config.json of deepseek-ai/DeepSeek-V3).

    `q_lora_rank` None: queries are projected straight. `first_dense_layers`: how many layers have a plain feed-forward
    before the MoE layers begin. `n_group`, `topk_group`: experts lie in so many groups, of which a token uses so many.
    `mtp_layers`: modules that predict one token further each. `fp8_block`: the blocks of FP8 weights in the files this
    was read with; None when they are not in FP8. The model itself is never in FP8.
    """

    vocab_size: int = 129_280
    hidden_size: int = 7168
    layers: int = 61
    heads: int = 128
    intermediate_size: int = 18_432
    moe_intermediate_size: int = 2048
    q_lora_rank: int | None = 1536
    kv_lora_rank: int = 512
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    routed_experts: int = 256
    shared_experts: int = 1
    experts_per_token: int = 8
    n_group: int = 8
    topk_group: int = 4
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 2.5
    first_dense_layers: int = 3
    mtp_layers: int = 1
    rms_norm_eps: float = 1e-6
    rope: RopeConfig = field(default_factory=RopeConfig)
    rope_interleave: bool = True
    attention_bias: bool = False
    tie_embeddings: bool = False
    max_positions: int = 4096
    initializer_range: float = 0.02
    bos_token_id: int | None = 0
    eos_token_ids: tuple[int, ...] = (1,)
    fp8_block: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "heads",
            "intermediate_size",
            "moe_intermediate_size",
            "kv_lora_rank",
            "qk_nope_head_dim",
            "qk_rope_head_dim",
            "v_head_dim",
            "experts_per_token",
            "n_group",
            "topk_group",
            "max_positions",
        ):
            check_size(name, getattr(self, name))
        check_size("layers", self.layers, MAX_LAYERS)
        check_size("routed_experts", self.routed_experts, MAX_EXPERTS)
        if self.q_lora_rank is not None:
            check_size("q_lora_rank", self.q_lora_rank)
        for name, most in (
            ("shared_experts", MAX_EXPERTS),
            ("first_dense_layers", self.layers),
            ("mtp_layers", MAX_MTP_LAYERS),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ModelingError(
                    f"The configuration says {name} = {short(getattr(self, name))}; 0 to {most} can be."
                )
        if self.qk_rope_head_dim % 2:
            raise ModelingError(
                f"Rotary positions need an even width, and qk_rope_head_dim is {self.qk_rope_head_dim}."
            )
        if self.routed_experts % self.n_group or self.topk_group > self.n_group:
            raise ModelingError(
                f"{self.routed_experts} experts cannot lie in {self.n_group} groups, {self.topk_group} of them in use."
            )
        reachable = self.routed_experts // self.n_group * self.topk_group
        if self.experts_per_token > reachable:
            raise ModelingError(f"A token is to use {self.experts_per_token} experts, and its groups have {reachable}.")

    @property
    def model_type(self) -> str:
        return "deepseek_v3"

    @property
    def qk_head_dim(self) -> int:
        """Values of a query or key: those without a position and those with one."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def latent_size(self) -> int:
        """Values that the cache keeps per token and layer; 576 in the published model."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    def with_mtp(self, mtp_layers: int) -> DeepseekV3Config:
        """The same with another number of modules for multi-token prediction."""
        return replace(self, mtp_layers=mtp_layers)

    def with_tensors(self, names: Iterable[str]) -> DeepseekV3Config:
        """The same with as many MTP modules as a checkpoint's tensors have: what `transformers` writes has none of
        them, whatever its `config.json` says."""
        results = {int(m[1]) for n in names if (m := re.fullmatch(r"model\.layers\.(\d{1,4})\.eh_proj\.weight", n))}
        there = 0
        while self.layers + there in results and there < self.mtp_layers:
            there += 1
        return self.with_mtp(there)

    def to_hf(self) -> dict[str, Any]:
        """`config.json` as `transformers` and vLLM read it; the weights' type is added by whoever writes them."""
        fields: dict[str, Any] = {
            "architectures": ["DeepseekV3ForCausalLM"],
            "model_type": self.model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "intermediate_size": self.intermediate_size,
            "moe_intermediate_size": self.moe_intermediate_size,
            "q_lora_rank": self.q_lora_rank,
            "kv_lora_rank": self.kv_lora_rank,
            "qk_nope_head_dim": self.qk_nope_head_dim,
            "qk_rope_head_dim": self.qk_rope_head_dim,
            "v_head_dim": self.v_head_dim,
            "n_routed_experts": self.routed_experts,
            "n_shared_experts": self.shared_experts,
            "num_experts_per_tok": self.experts_per_token,
            "n_group": self.n_group,
            "topk_group": self.topk_group,
            "topk_method": "noaux_tc",
            "scoring_func": "sigmoid",
            "norm_topk_prob": self.norm_topk_prob,
            "routed_scaling_factor": self.routed_scaling_factor,
            "first_k_dense_replace": self.first_dense_layers,
            "moe_layer_freq": 1,
            "num_nextn_predict_layers": self.mtp_layers,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "rope_interleave": self.rope_interleave,
            "attention_bias": self.attention_bias,
            "tie_word_embeddings": self.tie_embeddings,
            "max_position_embeddings": self.max_positions,
            "initializer_range": self.initializer_range,
            "use_cache": True,
            **rope_to_hf(self.rope),
        }
        if self.bos_token_id is not None:
            fields["bos_token_id"] = self.bos_token_id
        if self.eos_token_ids:
            fields["eos_token_id"] = self.eos_token_ids[0] if len(self.eos_token_ids) == 1 else [*self.eos_token_ids]
        return fields


def deepseek_from_hf(data: Mapping[str, Any]) -> DeepseekV3Config:
    """The configuration in a `config.json` of DeepSeek-V3's kind.

    What is missing has the published model's value, as in `transformers`, which leaves out what equals its own
    defaults; only MTP modules count as absent where nothing is said of them. Raises ModelingError, naming what is
    wrong or not supported.
    """
    refuse(data, "hidden_act", lambda value: value not in ("silu", "swish"), "only SiLU is known")
    refuse(data, "scoring_func", lambda value: value != "sigmoid", "only sigmoid scores are known, as V3 has them")
    refuse(data, "topk_method", lambda value: value != "noaux_tc", "only `noaux_tc` is known, as V3 has it")
    refuse(data, "moe_layer_freq", lambda value: value != 1, "only a MoE in every layer is known")
    published = DeepseekV3Config()
    heads = whole(data, "num_attention_heads", published.heads)
    refuse(data, "num_key_value_heads", lambda value: value != heads, "in MLA that is the number of heads")
    max_positions = whole(data, "max_position_embeddings", published.max_positions)
    rank = data.get("q_lora_rank", published.q_lora_rank)
    mtp = data.get("num_nextn_predict_layers", data.get("num_mtp_layers"))
    ids = special_ids(data) if "bos_token_id" in data or "eos_token_id" in data else {}
    return DeepseekV3Config(
        vocab_size=whole(data, "vocab_size", published.vocab_size),
        hidden_size=whole(data, "hidden_size", published.hidden_size),
        layers=whole(data, "num_hidden_layers", published.layers, most=MAX_LAYERS),
        heads=heads,
        intermediate_size=whole(data, "intermediate_size", published.intermediate_size),
        moe_intermediate_size=whole(data, "moe_intermediate_size", published.moe_intermediate_size),
        q_lora_rank=None if rank is None else whole(data, "q_lora_rank", published.q_lora_rank),
        kv_lora_rank=whole(data, "kv_lora_rank", published.kv_lora_rank),
        qk_nope_head_dim=whole(data, "qk_nope_head_dim", published.qk_nope_head_dim),
        qk_rope_head_dim=whole(data, "qk_rope_head_dim", published.qk_rope_head_dim),
        v_head_dim=whole(data, "v_head_dim", published.v_head_dim),
        routed_experts=whole(data, "n_routed_experts", published.routed_experts, most=MAX_EXPERTS),
        shared_experts=_count(data, "n_shared_experts", published.shared_experts),
        experts_per_token=whole(data, "num_experts_per_tok", published.experts_per_token),
        n_group=whole(data, "n_group", published.n_group),
        topk_group=whole(data, "topk_group", published.topk_group),
        norm_topk_prob=bool(data.get("norm_topk_prob", True)),
        routed_scaling_factor=real(data, "routed_scaling_factor", published.routed_scaling_factor),
        first_dense_layers=_count(data, "first_k_dense_replace", published.first_dense_layers),
        mtp_layers=0 if mtp is None else _count({"num_nextn_predict_layers": mtp}, "num_nextn_predict_layers", 0),
        rms_norm_eps=real(data, "rms_norm_eps", published.rms_norm_eps),
        rope=rope_from_hf(data, max_positions),
        rope_interleave=bool(data.get("rope_interleave", True)),
        attention_bias=bool(data.get("attention_bias", False)),
        tie_embeddings=bool(data.get("tie_word_embeddings", False)),
        max_positions=max_positions,
        initializer_range=real(data, "initializer_range", published.initializer_range),
        fp8_block=_fp8_block(data.get("quantization_config")),
        **ids,
    )


def _count(data: Mapping[str, Any], name: str, default: int) -> int:
    """Like `whole`, but none is a number too."""
    value = data.get(name)
    return 0 if value == 0 and not isinstance(value, bool) else whole(data, name, default, most=MAX_EXPERTS)


def _fp8_block(quantisation: object) -> tuple[int, int] | None:
    """The block size of FP8 weights. Raises ModelingError for other kinds of quantisation."""
    if not quantisation:
        return None
    if not isinstance(quantisation, Mapping) or quantisation.get("quant_method") != "fp8":
        raise ModelingError(f"The weights are quantised in a way that cannot be read: {short(quantisation)}.")
    block = quantisation.get("weight_block_size", [128, 128])
    if (
        quantisation.get("fmt", "e4m3") != "e4m3"
        or not isinstance(block, list | tuple)
        or len(block) != 2
        or not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 65_536 for size in block)
    ):
        raise ModelingError(f"Only FP8 weights in e4m3 with a scale per block can be read, not {short(quantisation)}.")
    return block[0], block[1]
