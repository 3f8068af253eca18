"""Parameters and FLOPs against published numbers, and against the formulas by hand."""

from __future__ import annotations

import pytest

from clearseek.audit.architecture import Architecture, shipped, shipped_names
from clearseek.audit.flops import count, per_token

# published: total, active (None: not published, or counted in a way nobody says)
PUBLISHED = {
    "deepseek-v3": (671.0e9, 37e9),
    "deepseek-v2": (236e9, 21e9),
    "deepseek-67b": (67e9, 67e9),
    "falcon-180b": (180e9, 180e9),
    "glm-4.5": (355e9, 32e9),
    "gpt-3-175b": (175e9, 175e9),
    "gpt-oss-120b": (116.8e9, 5.13e9),
    "gpt-oss-20b": (20.9e9, 3.6e9),
    "kimi-k2": (1.04e12, 32e9),
    "llama-1-65b": (65.2e9, 65.2e9),
    "llama-2-70b": (69e9, 69e9),
    "llama-2-7b": (6.74e9, 6.74e9),
    "llama-3.1-405b": (405.9e9, 405.9e9),
    "llama-3.1-70b": (70.6e9, 70.6e9),
    "llama-3.1-8b": (8.03e9, 8.03e9),
    "llama-3.2-1b": (1.23e9, 1.23e9),
    "llama-4-maverick": (400e9, 17e9),
    "qwen3-235b-a22b": (235e9, 22e9),
    "smollm3-3b": (3.08e9, 3.08e9),
}


def test_every_shipped_architecture_is_checked_here() -> None:
    assert set(PUBLISHED) == set(shipped_names())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    total, active = PUBLISHED[name]
    counted = count(shipped(name))
    assert counted.total == pytest.approx(total, rel=0.015)
    # vendors count the embedding, the head, both or neither among the active ones
    least = counted.matmul - shipped(name).vocabulary * shipped(name).width
    assert least * 0.985 <= active <= counted.active * 1.015


def test_deepseek_v3() -> None:
    """671B and 250 GFLOP/token are published; MTP by hand: 1.615B more, 10.2 GFLOP (4.1%)."""
    v3 = shipped("deepseek-v3")
    counted, flop = count(v3), per_token(v3, 4096)
    assert counted.total == pytest.approx(671.025e9, rel=1e-5)
    assert flop.causal == pytest.approx(250e9, rel=0.005)
    assert flop.causal == pytest.approx(250.4e9, rel=5e-4)
    assert flop.non_causal * 14.8e12 == pytest.approx(4.161e24, rel=5e-4)
    assert counted.mtp_matmul == pytest.approx(1.615e9, rel=5e-4)
    assert flop.mtp == pytest.approx(10.2e9, rel=5e-3)
    assert flop.mtp / flop.causal == pytest.approx(0.041, rel=0.01)


def test_deepseek_v2() -> None:
    v2 = shipped("deepseek-v2")
    assert count(v2).total == pytest.approx(235.7e9, rel=5e-4)
    assert per_token(v2, 4096).causal == pytest.approx(155e9, rel=0.005)


def test_context_extension_is_mostly_attention() -> None:
    v3 = shipped("deepseek-v3")
    assert per_token(v3, 32768).causal == pytest.approx(465e9, rel=2e-3)
    assert per_token(v3, 131072).causal == pytest.approx(1202e9, rel=2e-3)
    flop = per_token(v3, 131072)
    assert flop.attention / flop.causal > 0.8


def test_published_gflops_of_dense_models() -> None:
    """Table 2 of arXiv 2505.09343 has 2,448 for Llama 3.1 405B and 394 for Qwen2.5 72B, at 4,096 tokens."""
    assert per_token(shipped("llama-3.1-405b"), 4096).causal == pytest.approx(2448e9, rel=0.012)
    qwen = Architecture(152064, 8192, 80, 64, 8, 128, 29568, qkv_bias=True)
    assert count(qwen).total == 72_706_203_648
    assert per_token(qwen, 4096).matmul < 450e9


def test_a_tiny_dense_model_by_hand() -> None:
    a = Architecture(vocabulary=10, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, ffn=3)
    # q 4x4, k and v 4x2 each, o 4x4; three matrices of 4x3; two norms, one at the end; embedding and head 10x4
    matrices = 16 + 8 + 8 + 16 + 36
    assert count(a).total == 40 + 40 + matrices + 8 + 4
    assert count(a).matmul == matrices + 40
    flop = per_token(a, 8)
    assert flop.matmul == 6 * (matrices + 40)
    assert flop.attention_full == 6 * 1 * 2 * (2 + 2) * 8
    assert flop.attention == flop.attention_full / 2


def test_tied_embeddings_are_stored_once_and_multiplied_once() -> None:
    untied = Architecture(10, 4, 1, 2, 1, 2, 3)
    tied = Architecture(10, 4, 1, 2, 1, 2, 3, tied=True)
    assert count(untied).total - count(tied).total == 40
    assert count(untied).matmul == count(tied).matmul


def test_experts_by_hand() -> None:
    a = Architecture(10, 4, 3, 2, 1, 2, 6, routed_experts=8, active_experts=2, shared_experts=1, expert_ffn=3,
                     dense_layers=1)  # fmt: skip
    attention, dense, expert, router = 48, 72, 36, 32
    assert count(a).matmul == 3 * attention + dense + 2 * (3 * expert + router) + 40
    assert count(a).total - count(a).active == 2 * 6 * expert


def test_a_window_bounds_what_is_seen() -> None:
    wide = Architecture(10, 4, 2, 2, 1, 2, 3)
    narrow = Architecture(10, 4, 2, 2, 1, 2, 3, window=16, windowed_layers=2)
    assert per_token(narrow, 8) == per_token(wide, 8)
    assert per_token(narrow, 4096).attention == pytest.approx(per_token(wide, 32).attention, rel=0.01)
