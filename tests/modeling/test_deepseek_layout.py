"""The real DeepSeek-V3, 671 billion parameters, on the `meta` device: names, shapes and counts as published."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.hf_config import config_from_hf  # noqa: E402

PUBLISHED: dict[str, Any] = {
    # config.json of deepseek-ai/DeepSeek-V3, what concerns the architecture
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "aux_loss_alpha": 0.001,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "ep_size": 1,
    "first_k_dense_replace": 3,
    "hidden_act": "silu",
    "hidden_size": 7168,
    "initializer_range": 0.02,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_group": 8,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    },
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 40,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 4,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "v_head_dim": 128,
    "vocab_size": 129280,
}

IN_FP8 = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What README_WEIGHTS says is in FP8: the matrices of attention and feed-forwards, and no other."""


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Written from the published layout, and from nothing of ours."""
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (129280, 7168),
        "model.norm.weight": (7168,),
        "lm_head.weight": (129280, 7168),
        "model.layers.61.embed_tokens.weight": (129280, 7168),
        "model.layers.61.enorm.weight": (7168,),
        "model.layers.61.hnorm.weight": (7168,),
        "model.layers.61.eh_proj.weight": (7168, 14336),
        "model.layers.61.shared_head.norm.weight": (7168,),
        "model.layers.61.shared_head.head.weight": (129280, 7168),
    }
    for layer in range(62):
        at = f"model.layers.{layer}."
        found |= {
            f"{at}input_layernorm.weight": (7168,),
            f"{at}post_attention_layernorm.weight": (7168,),
            f"{at}self_attn.q_a_proj.weight": (1536, 7168),
            f"{at}self_attn.q_a_layernorm.weight": (1536,),
            f"{at}self_attn.q_b_proj.weight": (24576, 1536),
            f"{at}self_attn.kv_a_proj_with_mqa.weight": (576, 7168),
            f"{at}self_attn.kv_a_layernorm.weight": (512,),
            f"{at}self_attn.kv_b_proj.weight": (32768, 512),
            f"{at}self_attn.o_proj.weight": (7168, 16384),
        }
        if layer < 3:
            forwards = {"mlp.": 18432}
        else:
            forwards = {f"mlp.experts.{expert}.": 2048 for expert in range(256)} | {"mlp.shared_experts.": 2048}
            found[f"{at}mlp.gate.weight"] = (256, 7168)
            found[f"{at}mlp.gate.e_score_correction_bias"] = (256,)
        for part, inner in forwards.items():
            found[f"{at}{part}gate_proj.weight"] = found[f"{at}{part}up_proj.weight"] = (inner, 7168)
            found[f"{at}{part}down_proj.weight"] = (7168, inner)
    return found


@pytest.fixture(scope="module")
def full() -> DeepseekV3:
    with torch.device("meta"):
        return DeepseekV3(config_from_hf(PUBLISHED))


@pytest.mark.slow
def test_names_and_shapes(full: DeepseekV3) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in full.state_dict().items()} == expected_shapes()


@pytest.mark.slow
def test_counts(full: DeepseekV3) -> None:
    parameters = {name: tensor.numel() for name, tensor in full.named_parameters()}
    mtp = sum(count for name, count in parameters.items() if name.startswith("model.layers.61."))
    total = sum(parameters.values())
    assert total - mtp == 671_026_404_352  # the bias of the routers is no parameter: 58 x 256 more with it
    assert mtp == 11_610_067_968  # README_WEIGHTS: 11.5B of its own, beside the shared embedding and head
    assert total == 682_636_472_320


@pytest.mark.slow
def test_counts_by_type_are_those_of_the_published_files(full: DeepseekV3) -> None:
    """The files' own headers sum to these (embedding and head are in them twice), 91,991 tensors with the scales."""
    eight, scales, wide, half = 0, 0, 0, 0
    tensors = 0
    for name, tensor in full.state_dict().items():
        tensors += 1
        if name.split(".")[-2] in IN_FP8:
            eight += tensor.numel()
            scales += -(-tensor.shape[0] // 128) * -(-tensor.shape[1] // 128)
            tensors += 1
        elif name.endswith("e_score_correction_bias"):
            wide += tensor.numel()
        else:
            half += tensor.numel()
    assert (eight, half, scales + wide) == (680_571_043_840, 3_918_786_560, 41_555_600)
    assert tensors == 91_991


def test_the_published_configuration() -> None:
    config = config_from_hf(PUBLISHED)
    assert config.fp8_block == (128, 128)
    assert config.latent_size == 576
    written = config.to_hf()
    for name, value in PUBLISHED.items():
        if name in written and name != "rope_scaling":
            assert written[name] == value, name
    assert PUBLISHED["rope_scaling"].items() <= written["rope_scaling"].items()


def test_modules_that_a_checkpoint_lacks_are_left_out() -> None:
    config = config_from_hf(PUBLISHED)
    assert config.with_tensors(["model.layers.61.eh_proj.weight", "lm_head.weight"]).mtp_layers == 1
    assert config.with_tensors(["lm_head.weight", "model.layers.62.eh_proj.weight"]).mtp_layers == 0
