"""DeepSeek-V3 against `transformers`, on random small models with the same weights."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from families import in_type  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from clearseek.modeling.config import RopeConfig  # noqa: E402
from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.hf_config import config_from_hf  # noqa: E402
from clearseek.modeling.moe import Routing  # noqa: E402

SMALL = DeepseekV3Config(
    vocab_size=160,
    hidden_size=64,
    layers=3,
    heads=4,
    intermediate_size=96,
    moe_intermediate_size=32,
    q_lora_rank=24,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=12,
    routed_experts=16,
    shared_experts=1,
    experts_per_token=4,
    n_group=4,
    topk_group=2,
    first_dense_layers=1,
    mtp_layers=0,
    max_positions=256,
    initializer_range=0.1,
)
YARN = RopeConfig(
    kind="yarn", factor=8.0, original_max_positions=32, beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=1.0
)

VARIANTS = {
    "as published": SMALL,
    "q_lora absent": replace(SMALL, q_lora_rank=None),
    "one group": replace(SMALL, n_group=1, topk_group=1),
    "one of eight groups": replace(SMALL, n_group=8, topk_group=1, experts_per_token=2),
    "every group": replace(SMALL, n_group=4, topk_group=4),
    "yarn": replace(SMALL, rope=YARN),
    "yarn, unequal mscale": replace(SMALL, rope=replace(YARN, mscale=0.7, mscale_all_dim=1.3)),
    "yarn, no mscale": replace(SMALL, rope=replace(YARN, mscale=None, mscale_all_dim=None)),
    "halves, not pairs": replace(SMALL, rope_interleave=False),
    "weights not normed": replace(SMALL, norm_topk_prob=False, routed_scaling_factor=1.0),
    "two shared experts": replace(SMALL, shared_experts=2, first_dense_layers=0),
    "biases, tied": replace(SMALL, attention_bias=True, tie_embeddings=True),
    "another norm's eps": replace(SMALL, rms_norm_eps=0.05),
    "all dense": replace(SMALL, first_dense_layers=3),
}


def random_model(config: DeepseekV3Config, seed: int = 0) -> DeepseekV3:
    """Nothing in it is zero or one: norms, biases of linear layers and of routers are random too."""
    torch.manual_seed(seed)
    model = DeepseekV3(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" in name:
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                tensor.normal_(std=0.1)
    return model.eval()


def hf_state(state: dict[str, Tensor], config: DeepseekV3Config) -> dict[str, Tensor]:
    """Our tensors under the names that `transformers` has in memory: experts stacked, gate above up."""
    found = {name: tensor for name, tensor in state.items() if ".experts." not in name}
    for layer in range(config.first_dense_layers, config.layers + config.mtp_layers):
        at = f"model.layers.{layer}.mlp.experts"
        pick = [
            [state[f"{at}.{e}.{n}_proj.weight"] for e in range(config.routed_experts)] for n in ("gate", "up", "down")
        ]
        found[f"{at}.gate_up_proj"] = torch.cat((torch.stack(pick[0]), torch.stack(pick[1])), dim=1)
        found[f"{at}.down_proj"] = torch.stack(pick[2])
    return found


def hf_model(model: DeepseekV3, implementation: str = "eager") -> Any:
    """A `transformers` model with the same weights, made from the config.json that we would write."""
    config = model.config
    made = transformers.AutoConfig.for_model(**config.to_hf())
    made._attn_implementation = implementation
    theirs = transformers.DeepseekV3ForCausalLM(made).eval()
    mtp = tuple(f"model.layers.{config.layers + depth}." for depth in range(config.mtp_layers))
    state = hf_state(dict(model.state_dict()), config)
    theirs.load_state_dict({name: t for name, t in state.items() if not name.startswith(mtp)}, strict=True)
    return theirs


def some_ids(config: DeepseekV3Config, rows: int = 2, tokens: int = 40, seed: int = 1) -> Tensor:
    return torch.randint(0, config.vocab_size, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_equal_those_of_transformers(name: str) -> None:
    model = random_model(VARIANTS[name])
    ids_BT = some_ids(model.config)
    with torch.no_grad():
        ours, theirs = model(ids_BT), hf_model(model)(ids_BT).logits
    assert theirs.abs().max() > 0.5  # not equal because both are nothing
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_bfloat16_agrees_with_transformers(name: str) -> None:
    model = random_model(VARIANTS[name])
    ids_BT = some_ids(model.config, rows=8, tokens=64)
    theirs = in_type(hf_model(model), torch.bfloat16)
    with torch.no_grad():
        exact = model(ids_BT)
        ours = copy.deepcopy(model).to(torch.bfloat16)(ids_BT).float()
        other = theirs(ids_BT).logits.float()
    assert (ours.argmax(-1) == other.argmax(-1)).float().mean() >= 0.99
    # rounding moves a few tokens to another expert, here as there: measured against fp32, we are no further off
    off_ours, off_other = (ours - exact).abs().mean(), (other - exact).abs().mean()
    assert off_ours < 1.05 * off_other + 1e-3
    assert off_ours < 0.1 * exact.std()


def test_gradients_equal_those_of_transformers() -> None:
    config = replace(SMALL, rope=YARN)
    model = random_model(config)
    theirs = hf_model(model)
    ids_BT = some_ids(config)
    torch.nn.functional.cross_entropy(model(ids_BT)[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten()).backward()
    torch.nn.functional.cross_entropy(theirs(ids_BT).logits[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten()).backward()
    # an expert that no token chose has no gradient with us, and zero in a stack
    ours = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
    expected = dict(theirs.named_parameters())
    found = hf_state(ours, config)
    assert found.keys() == expected.keys()
    assert sum(bool(tensor.abs().max() > 1e-5) for tensor in found.values()) >= len(found) - 4
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name].grad, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_transformers_loads_the_published_layout_from_our_folder(tmp_path: Path) -> None:
    model = random_model(replace(SMALL, mtp_layers=1))
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_hf()))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    )
    ids_BT = some_ids(SMALL)
    with torch.no_grad():
        torch.testing.assert_close(model(ids_BT), theirs(ids_BT).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["as published", "q_lora absent", "yarn", "biases, tied"])
def test_configuration_round_trip(name: str) -> None:
    config = VARIANTS[name]
    assert config_from_hf(config.to_hf()) == config
    theirs = transformers.AutoConfig.for_model(**config.to_hf())
    assert config_from_hf(theirs.to_dict()) == config
    # what a folder written by transformers says, defaults left out
    assert config_from_hf({"model_type": "deepseek_v3", **theirs.to_diff_dict()}) == config


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"scoring_func": "softmax"}, "scoring_func"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"n_group": 3}, "groups"),
        ({"topk_group": 9}, "groups"),
        ({"num_experts_per_tok": 9}, "experts"),
        ({"num_key_value_heads": 2}, "num_key_value_heads"),
        ({"qk_rope_head_dim": 7}, "even"),
        ({"first_k_dense_replace": 4}, "first_dense_layers"),
        ({"num_nextn_predict_layers": -1}, "num_nextn_predict_layers"),
        ({"num_nextn_predict_layers": 10**6}, "num_nextn_predict_layers"),
        ({"n_routed_experts": 1 << 30}, "n_routed_experts"),
        ({"q_lora_rank": 0}, "q_lora_rank"),
        ({"kv_lora_rank": "x"}, "kv_lora_rank"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 128]}}, "FP8"),
        ({"quantization_config": 7}, "quantised"),
    ],
)
def test_a_wrong_configuration_is_told(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelingError, match=word) as told:
        config_from_hf({**SMALL.to_hf(), **change})
    assert "\n" not in str(told.value)


def test_a_chunked_reading_through_the_cache_equals_one_pass() -> None:
    model = random_model(replace(SMALL, rope=YARN))
    ids_BT = some_ids(SMALL)
    with torch.no_grad():
        whole = model(ids_BT)
        cache = model.new_cache(2, 64)
        parts = [model(ids_BT[:, a:b], cache) for a, b in ((0, 17), (17, 18), (18, 19), (19, 40))]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-4)


def test_rows_at_different_positions() -> None:
    model = random_model(SMALL)
    ids_BT = some_ids(SMALL, tokens=12)
    with torch.no_grad():
        cache = model.new_cache(2, 16)
        model(ids_BT[:, :9], cache, torch.arange(9).expand(2, 9))  # row 1 is only 5 long: the rest is padding
        step = model(torch.stack((ids_BT[0, 9:10], ids_BT[1, 5:6])), cache, torch.tensor([[9], [5]]))
        alone = model(ids_BT[1:, :6])
    torch.testing.assert_close(step[1, 0], alone[0, 5], rtol=0, atol=1e-4)


def test_a_full_cache_and_wrong_rows_are_told() -> None:
    model = random_model(SMALL)
    cache = model.new_cache(2, 8)
    with pytest.raises(ModelingError, match="holds 8 tokens"):
        model(some_ids(SMALL, tokens=9), cache)
    with pytest.raises(ModelingError, match="2 rows"):
        model(some_ids(SMALL, rows=3, tokens=4), cache)
    with pytest.raises(ModelingError, match="holds 8 tokens"):
        model(some_ids(SMALL, tokens=1), cache, torch.tensor([[3], [8]]))
    assert cache.filled == 0


def test_routes_are_handed_out_only_to_whoever_asks() -> None:
    model = random_model(SMALL)
    routes: list[Routing] = []
    with torch.no_grad():
        plain = model(some_ids(SMALL))
        torch.testing.assert_close(model(some_ids(SMALL), routes=routes), plain, rtol=0, atol=0)
    assert [routing.layer for routing in routes] == [1, 2]
    assert routes[0].index_BTK.shape == (2, 40, 4)
    assert routes[0].scores_BTE.shape == (2, 40, 16)
