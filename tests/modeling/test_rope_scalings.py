"""Rotary positions against `transformers`, and the two conventions against each other."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from clearseek.modeling import first_calls  # noqa: E402
from clearseek.modeling.config import RopeConfig, rope_from_hf  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.rope import (  # noqa: E402
    Rope,
    attention_factor,
    inverse_frequencies,
    rotate_half,
    rotate_interleaved,
)

SCALINGS = [
    {"rope_type": "linear", "factor": 2.5},
    {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096},
    {
        "rope_type": "yarn",
        "factor": 40.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 0.707,
        "mscale_all_dim": 1.0,
    },
    {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096, "attention_factor": 1.25},
    {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096, "truncate": False},
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda s: f"{s['rope_type']}-{len(s)}")
def test_frequencies_are_those_of_transformers(scaling: dict[str, object]) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    theirs = LlamaConfig(
        hidden_size=256,
        num_attention_heads=4,
        max_position_embeddings=131_072,
        rope_parameters={"rope_theta": 500_000.0, **scaling},
    )
    expected, factor = ROPE_INIT_FUNCTIONS[str(scaling["rope_type"])](theirs, torch.device("cpu"))
    rope = rope_from_hf({"rope_theta": 500_000.0, "rope_scaling": scaling}, 131_072)
    torch.testing.assert_close(inverse_frequencies(rope, 64), expected, rtol=1e-6, atol=0)
    assert attention_factor(rope) == pytest.approx(factor)


def test_the_two_conventions_differ_by_the_order_of_values_only() -> None:
    rope = Rope(RopeConfig(), 16)
    x_BHTK = torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(0))
    positions_BT = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 100, 5000]])
    order = torch.arange(16).view(2, 8).T.flatten()  # i, i + K/2 -> 2i, 2i + 1
    half = rotate_half(x_BHTK, *rope.half_split(positions_BT, torch.float32))
    woven = rotate_interleaved(x_BHTK[..., order], *rope.interleaved(positions_BT, torch.float32))
    torch.testing.assert_close(half[..., order], woven)


def test_turning_keeps_lengths_and_depends_on_distance_only() -> None:
    rope = Rope(RopeConfig(), 32)
    q, k = torch.randn(2, 1, 1, 1, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def turned(x: torch.Tensor, position: int) -> torch.Tensor:
        return rotate_half(x, *rope.half_split(torch.tensor([[position]]), torch.float64))

    assert turned(q, 77).norm().item() == pytest.approx(q.norm().item())
    near, far = (turned(q, 5) * turned(k, 2)).sum(), (turned(q, 1005) * turned(k, 1002)).sum()
    assert near.item() == pytest.approx(far.item(), abs=1e-3)


def test_angles_stay_exact_in_a_model_of_bfloat16() -> None:
    rope = Rope(RopeConfig(), 8)
    angles = rope.angles(torch.tensor([[256, 257]]))
    assert angles.dtype == torch.float32
    assert (angles[0, 1, 0] - angles[0, 0, 0]).item() == pytest.approx(1.0)


def test_a_stretch_without_what_it_needs_is_told() -> None:
    with pytest.raises(ModelingError, match="original_max_position_embeddings"):
        inverse_frequencies(RopeConfig(kind="yarn", factor=4.0), 64)
    rope = RopeConfig(kind="llama3", factor=4.0, original_max_positions=8192, high_freq_factor=1.0)
    with pytest.raises(ModelingError, match="high_freq_factor above"):
        inverse_frequencies(rope, 64)


def test_torchs_functions_are_first_called_by_one_thread_on_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are made on the meta device, where nothing is computed: a first call there would be none."""
    called: list[tuple[str, str, int]] = []

    def watched(name: str, function: Any) -> Any:
        def call(x: torch.Tensor) -> Any:
            called.append((name, str(x.dtype), x.numel() if x.device.type == "cpu" else 0))
            return function(x)

        return call

    for name in first_calls.NAMES:
        monkeypatch.setattr(torch, name, watched(name, getattr(torch, name)))
    first_calls.make_first_calls.cache_clear()
    with torch.device("meta"):
        Rope(RopeConfig(), 8)
    assert set(called) == {(name, f"torch.{kind}", 1) for name in first_calls.NAMES for kind in ("float32", "float64")}
    before = len(called)
    Rope(RopeConfig(), 8)
    assert len(called) == before
