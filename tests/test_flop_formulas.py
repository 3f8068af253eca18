"""The formulas, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from clearseek.flops import (
    TransformerSizes,
    causal_pairs,
    forward,
    forward_and_backward,
    pair_flops,
    token_bounds,
    trained_token,
)

SIZES = TransformerSizes(body=100, head=10, attention=3)
WHOLE = TransformerSizes(100, 10, 3, trained=100, head_trained=True)


def test_pairs_and_what_they_take() -> None:
    assert causal_pairs(0) == 0
    assert causal_pairs(3) == 1 + 2 + 3
    assert causal_pairs(2, 4) == 5 + 6, "two tokens after four"
    assert pair_flops(1, 2, 3) == 2 * (2 + 3)


def test_a_forward_pass() -> None:
    assert forward(SIZES, 10, 0, 0) == 2 * 100 * 10
    assert forward(SIZES, 10, 4, 7) == 2 * 100 * 10 + 2 * 10 * 4 + 3 * 7


def test_a_pass_with_gradients() -> None:
    frozen = forward_and_backward(SIZES, 10, 4, 7)
    assert frozen == 4 * 100 * 10 + 4 * 10 * 4 + 3 * 3 * 7
    adapters = TransformerSizes(100, 10, 3, adapters=5)
    assert forward_and_backward(adapters, 10, 4, 7) == frozen + 6 * 5 * 10
    assert forward_and_backward(WHOLE, 10, 4, 7) == 6 * 100 * 10 + 8 * 10 * 4 + 3 * 3 * 7


def test_the_papers_convention_is_three_forward_passes() -> None:
    assert trained_token(100, 0) == 6 * 100
    assert trained_token(0, 7) == 21


@pytest.mark.parametrize("kind", ["sft", "grpo", "reject", "evaluation"])
def test_what_is_counted_lies_within_the_bounds(kind: str) -> None:
    """The dearest and the cheapest token of each kind, counted by the formulas above."""
    bounds = token_bounds(WHOLE, kind, context=50, longest=20)
    low, high = bounds["prompt_tokens"]
    if kind == "sft":
        for predicted in (0, 1):
            assert low <= forward_and_backward(WHOLE, 1, predicted, causal_pairs(20) / 20) <= high
    else:
        assert low <= forward(WHOLE, 1, 0, 0) <= forward(WHOLE, 1, 1, 50) <= high
        written = bounds["completion_tokens"]
        assert written[0] <= forward(WHOLE, 1, 1, 0) <= forward(WHOLE, 1, 1, 50) <= written[1]


def test_of_other_work_nothing_is_said() -> None:
    assert token_bounds(SIZES, "distill", 50, 20) == {}
