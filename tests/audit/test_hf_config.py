"""Configs as models on the hub have them, against the numbers of parameters in their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clearseek.audit import architecture, flops, hf_config
from clearseek.errors import UsageError


def shape(kind: str, width: int, layers: int, heads: int, kv: int, ffn: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        **more,
    }


LATENT = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
# fmt: off
MODELS = {
    "SmolLM2-135M": (shape("llama", 576, 30, 9, 3, 1536, 49152, tie_word_embeddings=True), 134_515_008),
    "Llama-3.2-1B": (
        shape("llama", 2048, 16, 32, 8, 8192, 128256, head_dim=64, tie_word_embeddings=True),
        1_235_814_400,
    ),
    "Mistral-7B": (shape("mistral", 4096, 32, 32, 8, 14336, 32000, sliding_window=4096), 7_241_732_096),
    "Qwen2.5-7B": (shape("qwen2", 3584, 28, 28, 4, 18944, 152064, tie_word_embeddings=False), 7_615_616_512),
    "Qwen3-8B": (
        shape("qwen3", 4096, 36, 32, 8, 12288, 151936, head_dim=128, tie_word_embeddings=False),
        8_190_735_360,
    ),
    "Gemma-7B": (shape("gemma", 3072, 28, 16, 16, 24576, 256000, head_dim=256), 8_537_680_896),
    "Gemma-2-9B": (shape("gemma2", 3584, 42, 16, 8, 14336, 256000, head_dim=256, sliding_window=4096), 9_241_705_984),
    "Phi-3-mini": (shape("phi3", 3072, 32, 32, 32, 8192, 32064, tie_word_embeddings=False), 3_821_079_552),
    "OLMo-2-7B": (shape("olmo2", 4096, 32, 32, 32, 11008, 100352, tie_word_embeddings=False), 7_298_617_344),
    "Mixtral-8x7B": (
        shape("mixtral", 4096, 32, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2),
        46_702_792_704,
    ),
    "Qwen3-30B-A3B": (
        shape("qwen3_moe", 2048, 48, 32, 4, 6144, 151936, head_dim=128, num_experts=128, num_experts_per_tok=8,
              moe_intermediate_size=768, decoder_sparse_step=1, tie_word_embeddings=False),
        30_532_122_624,
    ),
    "Qwen1.5-MoE-A2.7B": (
        shape("qwen2_moe", 2048, 24, 16, 16, 5632, 151936, num_experts=60, num_experts_per_tok=4,
              moe_intermediate_size=1408, shared_expert_intermediate_size=5632, tie_word_embeddings=False),
        14_315_784_192,
    ),
    "gpt-oss-20b": (
        shape("gpt_oss", 2880, 24, 64, 8, 2880, 201088, head_dim=64, num_local_experts=32, num_experts_per_tok=4,
              sliding_window=128, layer_types=["sliding_attention", "full_attention"] * 12, tie_word_embeddings=False),
        20_914_757_184,
    ),
    "DeepSeek-V2-Lite": (
        shape("deepseek_v2", 2048, 27, 16, 16, 10944, 102400, q_lora_rank=None, n_routed_experts=64, n_shared_experts=2,
              num_experts_per_tok=6, moe_intermediate_size=1408, first_k_dense_replace=1, n_group=1, topk_group=1,
              tie_word_embeddings=False, **LATENT),
        15_706_484_224,
    ),
}
# fmt: on


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_in_the_weights(name: str) -> None:
    config, parameters = MODELS[name]
    counted = flops.count(hf_config.read(json.dumps(config).encode(), f"{name}.json"))
    assert counted.total == parameters


def test_a_config_of_v3_is_the_shipped_architecture(tmp_path: Path) -> None:
    config = shape("deepseek_v3", 7168, 61, 128, 128, 18432, 129280, q_lora_rank=1536, n_routed_experts=256,
                   n_shared_experts=1, num_experts_per_tok=8, moe_intermediate_size=2048, first_k_dense_replace=3,
                   moe_layer_freq=1, n_group=8, topk_group=4, num_nextn_predict_layers=1, tie_word_embeddings=False,
                   **LATENT)  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    read, own = hf_config.from_file(path), architecture.shipped("deepseek-v3")
    assert flops.count(read) == flops.count(own)
    assert flops.per_token(read, 4096) == flops.per_token(own, 4096)
    assert read.node_limit == own.node_limit == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "holds no object"),
        (b'{"model_type": "mamba"}', "not known here"),
        (json.dumps(shape("llama", 64, 2, 0, 2, 128, 100)).encode(), "num_attention_heads"),
        (json.dumps(shape("llama", "64", 2, 2, 2, 128, 100)).encode(), "whole number"),  # type: ignore[arg-type]
        (json.dumps(shape("llama", 10**40, 2, 2, 2, 128, 100)).encode(), "whole number"),
        (json.dumps({"model_type": "llama"}).encode(), "is missing"),
    ],
)
def test_what_is_no_config_is_refused_in_a_sentence(content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        hf_config.read(content, "config.json")
    assert "\n" not in str(refused.value)


def test_an_unknown_family_is_told_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"give `parameters`, `active_parameters` and `tokens`"):
        hf_config.read(b'{"model_type": "mamba"}', "config.json")
