"""FLOP of learning: the formula against what torch counts, and the parts that learning adds."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from small_context import tiny  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from clearseek.modeling.lora import add_lora  # noqa: E402
from clearseek.training.data.groups import Group  # noqa: E402
from clearseek.training.update.flops import forward_only_flops, model_sizes, rollout_flops, update_flops  # noqa: E402

T = 12
GROUP = Group(tuple(range(T - 4)), ((1, 2, 3, 4, 5),))  # T tokens computed, the last five states predict


def test_a_forward_pass_is_what_torch_counts() -> None:
    model = tiny()
    sizes = model_sizes(model)
    with FlopCounterMode(display=False) as counter:
        model(torch.arange(T)[None])
    counted = counter.get_total_flops()  # the head at every token, attention without regard to what is masked
    config = model.config
    square = 4 * config.layers * config.heads * config.head_dim * T * T
    ours = forward_only_flops(sizes, [GROUP], T).value
    assert ours is not None
    causal = square * (T * (T + 1) / 2) / (T * T)
    assert ours - causal + 2 * sizes.head * (T - 5) == pytest.approx(counted - square)


def test_what_learns_costs_more() -> None:
    model = tiny()
    forward = model_sizes(model).body * 2 * T
    head = model_sizes(model).head * 2 * 5
    attention = model_sizes(model).attention * T * (T + 1) / 2
    full = update_flops(model_sizes(model), [GROUP], T).value
    assert full == pytest.approx(3 * forward + 4 * head + 3 * attention)  # the embedding learns too: the head once more
    model.lm_head.weight.requires_grad_(False)
    assert update_flops(model_sizes(model), [GROUP], T).value == pytest.approx(3 * forward + 2 * head + 3 * attention)
    add_lora(model, 2, 4.0)
    sizes = model_sizes(model)
    assert 0 < sizes.adapters < sizes.body
    lora = update_flops(sizes, [GROUP], T).value
    assert lora == pytest.approx(2 * forward + 2 * head + 3 * attention + 6 * sizes.adapters * T)


def test_a_rollout_reads_a_prompt_once_for_its_group() -> None:
    sizes = model_sizes(tiny())
    one = rollout_flops(sizes, [Group((1, 2, 3), ((1, 2),))]).value or 0
    four = rollout_flops(sizes, [Group((1, 2, 3), ((1, 2),) * 4)]).value or 0
    assert one < four < 4 * one
