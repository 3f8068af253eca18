"""Rollouts: the same samples whatever stands beside them, log-probs that training can trust, stops, budgets."""

from __future__ import annotations

import copy
import dataclasses

import pytest

torch = pytest.importorskip("torch")

from clearseek.hub.model import Model  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.config import LlamaConfig  # noqa: E402
from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.modeling.lora import add_lora, lora_parameters, remove_lora  # noqa: E402
from clearseek.modeling.tokenizer_files import load_tokenizer  # noqa: E402
from clearseek.training.rollout.rollout import kv_bytes_per_token, rollout, score  # noqa: E402
from clearseek.training.rollout.slots import Progress, Sampling, Slots, sample_seed  # noqa: E402

CONFIG = LlamaConfig(
    model_type="llama",
    vocab_size=300,
    hidden_size=32,
    layers=3,
    heads=4,
    kv_heads=2,
    head_dim=8,
    intermediate_size=48,
    max_positions=256,
)
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [3], [100, 101, 102], [17, 4], [299, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
HOW = Sampling(max_new=24, stop_ids=(2, 7, 11, 40, 41, 42))


def tiny(config: LlamaConfig = CONFIG, seed: int = 0) -> Llama:
    torch.manual_seed(seed)
    model = Llama(config)
    for parameter in model.parameters():
        parameter.data.mul_(3.0)  # a distribution that is not flat
    return model


@pytest.fixture(scope="module")
def model() -> Llama:
    return tiny()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("rows", [*(pytest.param(rows, marks=pytest.mark.slow) for rows in (1, 3, 64)), 8])
def test_a_sample_is_the_same_whatever_stands_beside_it(model: Llama, rows: int, plain: bool) -> None:
    alone = rollout(model, PROMPTS, group_size=4, sampling=HOW, seed=9, max_rows=1, plain=True)
    together = rollout(model, PROMPTS, group_size=4, sampling=HOW, seed=9, max_rows=rows, plain=plain)
    assert [[s.ids for s in group] for group in together] == [[s.ids for s in group] for group in alone]
    assert len({s.ids for group in together for s in group}) == 20
    assert {s.finish for group in together for s in group} == {"stop_id", "length"}


def test_seeds_can_be_given_and_decide_alone(model: Llama) -> None:
    first = rollout(model, PROMPTS[:2], group_size=2, sampling=HOW, seeds=[[1, 2], [3, 4]])
    swapped = rollout(model, PROMPTS[1::-1], group_size=2, sampling=HOW, seeds=[[4, 3], [2, 1]])
    assert first[0][0].ids == swapped[1][1].ids
    assert first[1][1].ids == swapped[0][0].ids
    with pytest.raises(ModelingError, match="Seeds"):
        rollout(model, PROMPTS[:2], group_size=2, sampling=HOW, seeds=[[1, 2]])
    assert len({sample_seed(1, prompt, number) for prompt in range(50) for number in range(50)}) == 2500


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    "how",
    [
        Sampling(max_new=20, stop_ids=(2, 7)),
        Sampling(max_new=20, temperature=0.7),
        Sampling(max_new=20, min_new=12, temperature=1.5, stop_ids=tuple(range(60))),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"model_type": "qwen2", "attention_bias": True, "tie_embeddings": True},
        {"model_type": "qwen3", "qk_norm": True, "kv_heads": 1},
    ],
)
def test_log_probs_are_those_of_a_training_forward(plain: bool, how: Sampling, change: dict[str, object]) -> None:
    model = tiny(dataclasses.replace(CONFIG, **change), seed=1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    groups = rollout(model, PROMPTS, group_size=3, sampling=how, max_rows=4, plain=plain)
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for sample, expected_T in zip(group, score(model, prompt, group, how), strict=True):
            assert expected_T.requires_grad
            assert len(sample.ids) >= how.min_new
            assert torch.allclose(torch.tensor(sample.log_probs), expected_T, atol=1e-4, rtol=0)


def test_greedy_is_the_most_probable_path(model: Llama) -> None:
    how = Sampling(max_new=8, temperature=0.0)
    (group,) = rollout(model, [PROMPTS[0]], group_size=2, sampling=how)
    ids = list(PROMPTS[0])
    for _ in range(8):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert group[0].ids == group[1].ids == tuple(ids[len(PROMPTS[0]) :])


def test_no_stop_id_before_the_minimum(model: Llama) -> None:
    how = Sampling(max_new=30, min_new=10, stop_ids=tuple(range(150)))
    for group in rollout(model, PROMPTS, group_size=4, sampling=how):
        for sample in group:
            assert len(sample.ids) > 10 or sample.finish == "length"
            assert all(token >= 150 for token in sample.ids[:10])
            assert sample.finish == "stop_id"
            assert sample.ids[-1] < 150
            assert all(value > float("-inf") for value in sample.log_probs)


def test_stop_strings_end_a_sample_at_the_token_that_completes_them(model: Llama) -> None:
    def decode(ids: object) -> str:
        return "".join(chr(97 + token % 26) for token in ids)  # type: ignore[attr-defined]

    how = Sampling(max_new=200, stop_strings=("ab", "xyz"))
    groups = rollout(model, PROMPTS[:2], group_size=8, sampling=how, decode=decode, max_rows=5)
    ended = [sample for group in groups for sample in group if sample.finish == "stop_string"]
    assert ended
    for sample in ended:
        text = decode(sample.ids)
        assert text.endswith(("ab", "xyz"))
        assert not any(stop in text[:-1] for stop in how.stop_strings)
    with pytest.raises(ModelingError, match="decode"):
        rollout(model, PROMPTS, sampling=how)


def test_lora_is_read_live_and_the_model_is_left_alone() -> None:
    model = tiny(seed=2)
    add_lora(model, 4, 8.0)
    before = rollout(model, PROMPTS, sampling=HOW)
    for parameter in lora_parameters(model):
        torch.nn.init.normal_(parameter, std=0.3)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    packed = rollout(model, PROMPTS, sampling=HOW)
    plain = rollout(model, PROMPTS, sampling=HOW, plain=True)
    merging = copy.deepcopy(model)
    remove_lora(merging, merge=True)
    merged = rollout(merging, PROMPTS, sampling=HOW)
    assert [g[0].ids for g in packed] == [g[0].ids for g in plain] == [g[0].ids for g in merged]
    assert [g[0].ids for g in packed] != [g[0].ids for g in before]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_kv_budget_bounds_the_rows_and_a_budget_without_a_row_is_refused(model: Llama) -> None:
    assert kv_bytes_per_token(model, torch.float32) == 3 * 2 * 2 * 8 * 4
    seen: list[Progress] = []
    one_row = (11 + 24) * kv_bytes_per_token(model, torch.float32)
    reading = 55 * kv_bytes_per_token(model, torch.float32)
    groups = rollout(
        model, PROMPTS, group_size=4, sampling=HOW, seed=9, kv_bytes=3 * one_row + reading, progress=seen.append
    )
    assert max(state.rows for state in seen) <= 3
    assert seen[-1].done == seen[-1].samples == 20
    assert seen[-1].tokens == sum(len(s.ids) for group in groups for s in group)
    with pytest.raises(ModelingError, match="holds no row"):
        rollout(model, PROMPTS, sampling=HOW, kv_bytes=one_row)


@pytest.mark.parametrize(
    ("prompts", "how", "words"),
    [
        ([[1] * 250], Sampling(max_new=24), "250 tokens long"),
        ([[]], Sampling(max_new=9), "empty"),
        ([[300]], Sampling(max_new=9), "outside the vocabulary"),
        ([[1]], Sampling(max_new=9, stop_ids=(300,)), "stop id"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(model: Llama, prompts: object, how: Sampling, words: str) -> None:
    with pytest.raises(ModelingError, match=words):
        rollout(model, prompts, sampling=how)  # type: ignore[arg-type]


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"max_new": 0},
        {"min_new": 5, "max_new": 4},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"stop_strings": ("",)},
    ):
        with pytest.raises(ModelingError):
            Sampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("plain", [True, False])
def test_logits_that_are_not_numbers_stop_and_name_the_layer(plain: bool) -> None:
    model = tiny(seed=3)
    model.model.layers[1].mlp.up_proj.weight.data[3, 3] = float("nan")
    with pytest.raises(ModelingError, match=r"model\.layers\.1\.mlp\.up_proj"):
        rollout(model, PROMPTS, sampling=HOW, plain=plain)


def test_rows_close_up_when_an_eighth_is_empty() -> None:
    from clearseek.training.rollout.slots import Job

    slots = Slots(16)
    for row in range(16):
        slots.put(row, Job(0, row, row))
    slots.take(3)
    assert slots.closing_moves() == []
    slots.take(15)
    assert slots.closing_moves() == [(14, 3)]
    assert slots.count == 14
    assert [job.number for job in slots.jobs[:14] if job] == [0, 1, 2, 14, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]


def test_deepseek_rolls_out_over_its_latent_cache() -> None:
    config = DeepseekV3Config(
        vocab_size=300,
        hidden_size=32,
        layers=2,
        heads=2,
        intermediate_size=48,
        moe_intermediate_size=16,
        q_lora_rank=None,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        routed_experts=8,
        experts_per_token=2,
        n_group=2,
        topk_group=1,
        first_dense_layers=1,
        max_positions=64,
        initializer_range=0.1,
    )
    torch.manual_seed(0)
    model = DeepseekV3(config)
    assert kv_bytes_per_token(model, torch.float32) >= (16 + 8) * 2 * 4
    alone = rollout(model, PROMPTS, group_size=3, sampling=HOW, max_rows=1)
    groups = rollout(model, PROMPTS, group_size=3, sampling=HOW, max_rows=5)
    assert [[s.ids for s in group] for group in groups] == [[s.ids for s in group] for group in alone]
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for sample, expected_T in zip(group, score(model, prompt, group, HOW), strict=True):
            assert torch.allclose(torch.tensor(sample.log_probs), expected_T, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_log_probs_of_a_real_model_are_those_of_a_training_forward(real_model: Model) -> None:
    model = load_model(real_model.path)
    tokenizer = load_tokenizer(real_model.path)
    prompts = [tokenizer.encode(text) for text in ("Once upon a time", "The capital of France is", "1 + 1 =")]
    how = Sampling(max_new=40, stop_ids=tokenizer.end_ids, stop_strings=("\n\n",))
    groups = rollout(model, prompts, group_size=4, sampling=how, decode=tokenizer.decode, max_rows=5)
    plain = rollout(model, prompts, group_size=4, sampling=how, decode=tokenizer.decode, max_rows=12, plain=True)
    assert [[s.ids for s in group] for group in groups] == [[s.ids for s in group] for group in plain]
    for prompt, group in zip(prompts, groups, strict=True):
        with torch.no_grad():
            expected = score(model, prompt, group, how)
        for sample, expected_T in zip(group, expected, strict=True):
            assert torch.allclose(torch.tensor(sample.log_probs), expected_T, atol=1e-4, rtol=0)
            assert ("\n\n" in tokenizer.decode(sample.ids)) == (sample.finish == "stop_string")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_same_code_runs_on_cuda() -> None:
    model = tiny(seed=4).cuda()
    groups = rollout(model, PROMPTS, group_size=3, sampling=HOW)
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for sample, expected_T in zip(group, score(model, prompt, group, HOW), strict=True):
            assert torch.allclose(torch.tensor(sample.log_probs), expected_T.cpu(), atol=1e-3, rtol=0)


def test_a_model_that_is_not_packed_is_counted_in_the_type_that_its_cache_has() -> None:
    """It computes in its own type, whatever was asked for, and its cache is of that type."""
    config = DeepseekV3Config(
        vocab_size=300, hidden_size=32, layers=2, heads=2, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8,
        v_head_dim=8, intermediate_size=48, moe_intermediate_size=16, routed_experts=8, experts_per_token=2,
        n_group=2, topk_group=1, first_dense_layers=1, max_positions=64, q_lora_rank=None,
    )  # fmt: skip
    model = DeepseekV3(config)
    prompt, how = [1, 2, 3], Sampling(max_new=4)
    one = kv_bytes_per_token(model, torch.float32) * (len(prompt) + how.max_new + len(prompt))
    rollout(model, [prompt], sampling=how, kv_bytes=one, dtype=torch.bfloat16)
    with pytest.raises(ModelingError, match="holds no row"):
        rollout(model, [prompt], sampling=how, kv_bytes=one - 1, dtype=torch.bfloat16)
