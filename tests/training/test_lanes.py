"""Lanes: an update and a rollout split over threads give what one thread gives, the same bits each time, and end as one
when something goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from clearseek.modeling.config import LlamaConfig  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.modeling.lora import add_lora, lora_parameters  # noqa: E402
from clearseek.training.data.groups import Group  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.rollout.rollout import rollout  # noqa: E402
from clearseek.training.rollout.slots import Progress, Sample, Sampling  # noqa: E402
from clearseek.training.update import trainers  # noqa: E402
from clearseek.training.update.batch_layout import worker_batches  # noqa: E402
from clearseek.training.update.learner import NotFinite, UpdateReport, open_learner  # noqa: E402
from clearseek.training.update.losses import LossSum, TokenLogProbs, sft_loss  # noqa: E402
from clearseek.training.update.worker_threads import run_in_threads  # noqa: E402

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
GROUPS = [
    Group((5, 6, 7, 8), ((9, 10, 11), (12, 13), (14,), (15, 16, 17, 18, 19, 2))),
    Group((3,), ((1, 2),)),
    Group((100, 101, 102, 103, 104, 105), ((7, 8, 9), (4, 4, 4, 4))),
    Group((17, 4), ((299, 0, 1), (2,), (2,))),
]
M = sum(group.scored for group in GROUPS)
PROMPTS = [[5, 6, 7, 8], [3], [100, 101, 102], [17, 4], [299, 0, 1, 2, 3]]
HOW = Sampling(max_new=24, stop_ids=(2, 7, 11, 40))


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def tiny() -> Any:
    torch.manual_seed(0)
    model = Llama(CONFIG)
    for parameter in model.parameters():
        parameter.data.mul_(3.0)
    add_lora(model, 4, 8.0, seed=1)
    torch.manual_seed(2)
    for parameter in lora_parameters(model):
        parameter.data.normal_(0.0, 0.1)
    return model


def updated(**how: Any) -> tuple[UpdateReport, dict[str, Any]]:
    learner = open_learner(tiny(), LearnerSettings(method="lora", rank=4, dtype="float32", **how))
    weights_A = torch.linspace(0.1, 1.0, M) / M
    for _ in range(2):
        report = learner.update(GROUPS, lambda scores: sft_loss(scores, weights_A), 0.01)
    return report, learner.keep()


@pytest.mark.parametrize("tokens", [8, 1024])
def test_an_update_in_lanes_is_the_update(two_threads: None, tokens: int) -> None:
    split, weights = updated(micro_batch_tokens=tokens)
    assert split.micro_batches > 1
    again, same = updated(micro_batch_tokens=tokens)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert again.loss == split.loss
    torch.set_num_threads(1)
    whole, alone = updated()
    assert whole.micro_batches == 1
    assert (split.loss, split.grad_norm) == pytest.approx((whole.loss, whole.grad_norm), rel=1e-5)
    for name in weights:
        torch.testing.assert_close(weights[name], alone[name], rtol=1e-3, atol=1e-5)


def test_a_lane_without_numbers_changes_nothing(two_threads: None) -> None:
    learner = open_learner(tiny(), LearnerSettings(method="lora", rank=4, dtype="float32"))
    before = learner.keep()

    def wrong(scores: TokenLogProbs) -> LossSum:
        bad = float("nan") if int(scores.place_M.max()) == M - 1 else 1.0
        return LossSum(scores.log_probs_M.sum() * bad, {})

    with pytest.raises(NotFinite, match="not a number"):
        learner.update(GROUPS, wrong, 0.01)
    assert all(parameter.grad is None for parameter in learner.trainable().values())
    assert all(torch.equal(before[name], value) for name, value in learner.keep().items())
    assert torch.get_num_threads() == 2


def all_weights(kind: str = "llama", **how: Any) -> tuple[list[UpdateReport], dict[str, Any]]:
    """Two updates of every weight, and what came of them."""
    torch.manual_seed(0)
    config = replace(CONFIG, model_type=kind, attention_bias=kind == "qwen2", qk_norm=kind == "qwen3")
    model = Llama(config)
    for parameter in model.parameters():
        parameter.data.normal_(0.0, 0.3)
    learner = open_learner(model, LearnerSettings(**{"dtype": "float32", **how}))
    weights_A = torch.linspace(0.1, 1.0, M) / M
    reports = [learner.update(GROUPS, lambda scores: sft_loss(scores, weights_A), 0.001) for _ in range(2)]
    return reports, learner.keep()


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("tokens", [8, 1024])
def test_every_weight_learns_in_two_lanes(two_threads: None, kind: str, tokens: int) -> None:
    split, weights = all_weights(kind, micro_batch_tokens=tokens)
    assert split[0].micro_batches > 1
    again, same = all_weights(kind, micro_batch_tokens=tokens)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert [one.grad_norm for one in again] == [one.grad_norm for one in split]
    torch.set_num_threads(1)
    whole, alone = all_weights(kind)
    assert whole[0].micro_batches == 1
    for one, other in zip(split, whole, strict=True):
        assert (one.loss, one.grad_norm) == pytest.approx((other.loss, other.grad_norm), rel=1e-4)
    for name in weights:
        torch.testing.assert_close(weights[name], alone[name], rtol=1e-3, atol=2e-4)


def test_every_weight_in_two_lanes_with_bfloat16(two_threads: None) -> None:
    split, _ = all_weights(dtype="bfloat16")
    again, _ = all_weights(dtype="bfloat16")
    torch.set_num_threads(1)
    whole, _ = all_weights(dtype="bfloat16")
    assert split[0].micro_batches == 2 * whole[0].micro_batches
    assert [one.grad_norm for one in again] == [one.grad_norm for one in split]
    assert split[0].grad_norm == pytest.approx(whole[0].grad_norm, rel=2e-2)


def test_gradients_too_large_to_have_twice_learn_in_one_lane(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all_weights()[0][0].micro_batches == 2
    assert all_weights(train_embedding=True)[0][0].micro_batches == 1
    monkeypatch.setattr(trainers, "LANE_BYTES", 1000)
    assert all_weights()[0][0].micro_batches == 1


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(1, 12), min_size=1, max_size=5)), min_size=1),
    lanes=st.integers(1, 4),
    tokens=st.integers(1, 80),
)
def test_every_completion_is_in_one_lane(sizes: list[tuple[int, list[int]]], lanes: int, tokens: int) -> None:
    groups = [Group((1,) * prompt, tuple((2,) * length for length in lengths)) for prompt, lengths in sizes]
    dealt = worker_batches(groups, tokens, lanes)
    assert 1 <= len(dealt) <= lanes
    places = [place for batches in dealt for pieces in batches for piece in pieces for place in piece.places]
    assert sorted(places) == list(range(sum(group.scored for group in groups)))
    for batches in dealt:
        for pieces in batches:
            alone = len(pieces) == 1 and len(pieces[0].chosen) == 1
            assert alone or sum(piece.computed for piece in pieces) <= max(1, tokens // lanes)
    loads = [sum(piece.computed for pieces in batches for piece in pieces) for batches in dealt]
    largest = max(piece.computed for batches in dealt for pieces in batches for piece in pieces)
    if len(dealt) == lanes:
        assert max(loads) - min(loads) <= largest


def ids(groups: list[list[Sample]]) -> list[list[tuple[int, ...]]]:
    return [[sample.ids for sample in group] for group in groups]


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_samples_are_the_same_in_lanes(two_threads: None, rows: int) -> None:
    model = tiny()
    told: list[Progress] = []
    split = rollout(model, PROMPTS, group_size=4, sampling=HOW, seed=9, max_rows=rows, progress=told.append)
    assert split == rollout(model, PROMPTS, group_size=4, sampling=HOW, seed=9, max_rows=rows)
    assert (told[-1].done, told[-1].samples) == (20, 20)
    assert told[-1].tokens == sum(len(sample.ids) for group in split for sample in group)
    assert max(one.rows for one in told) <= rows
    torch.set_num_threads(1)
    assert ids(split) == ids(rollout(model, PROMPTS, group_size=4, sampling=HOW, seed=9, max_rows=rows))


def test_what_progress_raises_ends_all_lanes(two_threads: None) -> None:
    def enough(progress: Progress) -> None:
        raise KeyboardInterrupt

    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        rollout(tiny(), PROMPTS * 40, group_size=8, sampling=HOW, max_rows=2, progress=enough)
    assert time.perf_counter() - began < 20
    assert torch.get_num_threads() == 2


def test_jobs_come_back_in_order_and_the_first_failure_is_told(two_threads: None) -> None:
    def slowly(value: int) -> int:
        time.sleep(0.05 * (3 - value))
        if value == 1:
            raise ValueError("one")
        if value == 2:
            raise ValueError("two")
        return value

    assert run_in_threads([lambda: slowly(0), lambda: slowly(3)]) == [0, 3]
    with pytest.raises(ValueError, match="one"):
        run_in_threads([lambda: slowly(0), lambda: slowly(1), lambda: slowly(2)])
    stop = threading.Event()
    with pytest.raises(ValueError, match="two"):
        run_in_threads([lambda: slowly(2), lambda: stop.wait(20) and 0], stop)
    assert torch.get_num_threads() == 2
