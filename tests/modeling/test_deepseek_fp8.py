"""FP8 weights with a scale per block: read as published, edges and errors included."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fp8_writer import quantise  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.fp8_blocks import dequantise, is_scale, read_weight, scale_name  # noqa: E402


@pytest.mark.parametrize("shape", [(128, 128), (256, 384), (576, 200), (1, 1), (129, 127)])
def test_each_block_has_its_own_scale(shape: tuple[int, int]) -> None:
    weight_OI = torch.randint(-8, 9, shape).to(torch.float8_e4m3fn)
    scale_PQ = torch.rand(-(-shape[0] // 128), -(-shape[1] // 128)) + 0.5
    found = dequantise(weight_OI, scale_PQ)
    expected = weight_OI.float()
    for row in range(shape[0]):
        for block in range(scale_PQ.shape[1]):
            expected[row, block * 128 : (block + 1) * 128] *= scale_PQ[row // 128, block]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert found.dtype == torch.float32
    assert dequantise(weight_OI, scale_PQ, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(256, 256), (300, 130)])
def test_quantising_is_undone_within_the_format_s_precision(shape: tuple[int, int]) -> None:
    weight_OI = torch.randn(shape) * 0.02
    weight_OI[:128, :128] *= 100  # a loud block does not drown the others
    weight_OI[-1] = 0
    found = dequantise(*quantise(weight_OI))
    # 3 bits of mantissa: half a step is 1/16; below the normal range half a step is 2^-10 / 448 of the largest
    largest = torch.where(torch.arange(shape[0])[:, None] < 128, weight_OI.abs().max(), weight_OI[128:].abs().max())
    assert ((found - weight_OI).abs() <= weight_OI.abs() / 16 + largest * 2**-18).all()
    assert (found[-1] == 0).all()


def test_a_block_of_zeros() -> None:
    weight_OI, scale_PQ = quantise(torch.zeros(130, 5))
    assert scale_PQ.tolist() == [[1.0], [1.0]]
    assert (dequantise(weight_OI, scale_PQ) == 0).all()


def test_other_block_sizes() -> None:
    weight_OI = torch.randn(10, 7)
    eight, scale_PQ = quantise(weight_OI, (4, 2))
    assert scale_PQ.shape == (3, 4)
    assert (dequantise(eight, scale_PQ, (4, 2)) - weight_OI).abs().max() < 0.3


def test_reading_from_a_checkpoint(tmp_path: Path) -> None:
    weight_OI = torch.randn(200, 300)
    eight, scale_PQ = quantise(weight_OI)
    save_file(
        {"a.weight": eight, "a.weight_scale_inv": scale_PQ, "norm.weight": torch.ones(3, dtype=torch.bfloat16)},
        tmp_path / "m.safetensors",
    )
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        names = set(file.keys())
        found = {name: read_weight(name, names, file.get_tensor) for name in names if not is_scale(name, names)}
    assert found.keys() == {"a.weight", "norm.weight"}
    torch.testing.assert_close(found["a.weight"], dequantise(eight, scale_PQ), rtol=0, atol=0)
    assert found["norm.weight"].dtype == torch.bfloat16


def test_what_does_not_fit_is_told() -> None:
    eight, scale_PQ = quantise(torch.randn(200, 300))
    with pytest.raises(ModelingError, match=r"shape \(2, 2\).*200, 300"):
        dequantise(eight, scale_PQ[:, :2])
    with pytest.raises(ModelingError, match="not in FP8"):
        dequantise(eight.float(), scale_PQ)
    with pytest.raises(ModelingError, match=r"a\.weight_scale_inv are missing"):
        read_weight("a.weight", {"a.weight"}, lambda name: eight)
    assert scale_name("a.weight") == "a.weight_scale_inv"
    assert not is_scale("b.weight_scale_inv", {"b.weight_scale_inv"})
