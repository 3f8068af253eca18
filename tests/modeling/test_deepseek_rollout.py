"""Rollouts from DeepSeek-V3: sampled from the latents' cache, scored by a training forward, the same numbers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from clearseek.modeling.config import RopeConfig  # noqa: E402
from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.lora import add_lora, lora_layers  # noqa: E402
from clearseek.training.rollout.rollout import kv_bytes_per_token, rollout, score  # noqa: E402
from clearseek.training.rollout.slots import Sampling  # noqa: E402

CONFIG = DeepseekV3Config(
    vocab_size=64,
    hidden_size=48,
    layers=3,
    heads=4,
    intermediate_size=64,
    moe_intermediate_size=24,
    q_lora_rank=24,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=16,
    routed_experts=8,
    experts_per_token=2,
    n_group=2,
    topk_group=1,
    first_dense_layers=1,
    mtp_layers=1,
    rope=RopeConfig(kind="yarn", factor=8.0, original_max_positions=32, mscale=1.0, mscale_all_dim=1.0),
    initializer_range=0.2,
)
PROMPTS = [[1, 2, 3, 4, 5, 6], [7, 8], [9, 10, 11, 12], [13]]
HOW = Sampling(max_new=12, stop_ids=(0, 5))


@pytest.fixture
def model() -> DeepseekV3:
    torch.manual_seed(0)
    return DeepseekV3(CONFIG).eval()


def test_log_probabilities_are_those_of_a_training_forward(model: DeepseekV3) -> None:
    groups = rollout(model, PROMPTS, group_size=4, sampling=HOW, max_rows=5)
    for prompt, samples in zip(PROMPTS, groups, strict=True):
        for sample, expected_T in zip(samples, score(model, prompt, samples, HOW), strict=True):
            torch.testing.assert_close(torch.tensor(sample.log_probs), expected_T.detach(), rtol=0, atol=1e-4)


def test_a_sample_does_not_depend_on_the_batch_around_it(model: DeepseekV3) -> None:
    many = rollout(model, PROMPTS, group_size=4, sampling=HOW, max_rows=16)
    few = rollout(model, PROMPTS, group_size=4, sampling=HOW, max_rows=3)
    assert [[sample.ids for sample in group] for group in many] == [[sample.ids for sample in group] for group in few]


def test_the_budget_counts_latents(model: DeepseekV3) -> None:
    assert kv_bytes_per_token(model, torch.float32) == 3 * (32 + 8) * 4


def test_adapters_are_read_live_by_both_ways_of_attention(model: DeepseekV3) -> None:
    before = rollout(model, PROMPTS, group_size=2, sampling=HOW)
    add_lora(model, 4, 8.0, ("kv_b_proj", "o_proj", "q_b_proj", "down_proj"))
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.3)
    after = rollout(model, PROMPTS, group_size=2, sampling=HOW)
    assert [s.ids for group in before for s in group] != [s.ids for group in after for s in group]
    scored = score(model, PROMPTS[0], after[0], HOW)
    for sample, expected_T in zip(after[0], scored, strict=True):
        torch.testing.assert_close(torch.tensor(sample.log_probs), expected_T.detach(), rtol=0, atol=1e-4)
    sum(expected_T.sum() for expected_T in scored).backward()
    touched = {name for name, layer in lora_layers(model).items() if layer.lora_A.grad is not None}
    assert "model.layers.0.self_attn.kv_b_proj" in touched


def test_the_layer_that_gives_no_numbers_is_named(model: DeepseekV3) -> None:
    with torch.no_grad():
        model.model.layers[1].mlp.shared_experts.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(ModelingError, match=r"layers\.1"):
        rollout(model, PROMPTS, sampling=HOW)
