"""The compiled step is the torch step; and without a compiler everything goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from clearseek.training.kernels.decode_ops import DECODE

torch = pytest.importorskip("torch")

from clearseek.modeling.config import LlamaConfig, RopeConfig  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.training.kernels import compiler  # noqa: E402
from clearseek.training.kernels.decode_ops import decode_ops  # noqa: E402
from clearseek.training.rollout.llama_decoder import LlamaDecoder  # noqa: E402

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler here")
CPU = torch.device("cpu")


def model(**changes: Any) -> Llama:
    torch.manual_seed(0)
    base: dict[str, Any] = {
        "model_type": "llama",
        "vocab_size": 130,
        "hidden_size": 40,
        "layers": 3,
        "heads": 6,
        "kv_heads": 2,
        "head_dim": 8,
        "intermediate_size": 56,
        "rope": RopeConfig(theta=500.0),
    }
    made = Llama(LlamaConfig(**{**base, **changes}))
    for name, parameter in made.named_parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
        else:
            parameter.data.mul_(4)
    return made


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model_type": "qwen2", "attention_bias": True, "tie_embeddings": True, "kv_heads": 6},
        {"model_type": "qwen3", "qk_norm": True, "kv_heads": 1, "head_dim": 16},
        {"rope": RopeConfig(kind="yarn", factor=4.0, original_max_positions=16)},
    ],
)
def test_a_compiled_step_is_the_torch_step(changes: dict[str, Any], dtype: Any) -> None:
    made = model(**changes).to(dtype)
    with torch.inference_mode():
        torch_step = LlamaDecoder(made, 7, 40, dtype, compiled=False)
        fast_step = LlamaDecoder(made, 7, 40, dtype)
        assert torch_step.fast is None
        assert fast_step.fast is not None
        starts = torch.tensor([0, 1, 5, 11, 2, 9, 30])
        for stepper in (torch_step, fast_step):
            stepper.read([list(range(3, 30)) + [4] * 3])
            for row in range(7):
                stepper.place(0, [row], int(starts[row]))
        for turn in range(9):
            n = 7 if turn < 5 else 4
            ids_N = torch.randint(0, 130, (n,), generator=torch.Generator().manual_seed(turn))
            expected, found = (stepper.step(ids_N, starts[:n] + turn).float() for stepper in (torch_step, fast_step))
            if dtype == torch.float32:
                assert (expected - found).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))
            else:
                assert (expected - found).abs().mean() < 0.05 * expected.abs().mean()
        if dtype == torch.float32:
            assert torch.allclose(torch_step.cache.k_LBGSK, fast_step.cache.k_LBGSK, atol=1e-3)


@needs_compiler
def test_a_position_outside_the_cache_is_refused() -> None:
    with torch.inference_mode():
        stepper = LlamaDecoder(model(), 2, 8, torch.float32)
        for wrong in (8, -1):
            with pytest.raises(IndexError):
                stepper.step(torch.tensor([1, 2]), torch.tensor([0, wrong]))


@needs_compiler
def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiler, "home", lambda: tmp_path)
    assert decode_ops(torch.float32, CPU) is not None
    (file,) = (tmp_path / "compiled").glob("decode-*")
    assert file.suffix == ".so"
    made = file.stat().st_mtime_ns
    assert compiler._built(compiler._compiler() or "", DECODE, tmp_path / "compiled") == file
    assert file.stat().st_mtime_ns == made


def test_without_a_compiler_torch_does_it_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiler, "home", lambda: tmp_path)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    assert decode_ops(torch.float32, CPU) is None
    assert LlamaDecoder(model(), 2, 8, torch.float32).fast is None


@pytest.mark.skipif(shutil.which("false") is None, reason="needs /bin/false")
def test_a_compiler_that_fails_is_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiler, "home", lambda: tmp_path)
    false = shutil.which("false")
    monkeypatch.setattr(compiler.shutil, "which", lambda name: false)
    assert decode_ops(torch.float32, CPU) is None
