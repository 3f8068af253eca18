"""The compiled parts of a training step are the torch ones, in both types; and they refuse what they would misread."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from clearseek.training.kernels.ops import TorchOps  # noqa: E402
from clearseek.training.kernels.train_ops import CompiledTrainOps, train_ops  # noqa: E402

CPU = torch.device("cpu")
PLAIN = TorchOps()
TYPES = [torch.float32, torch.bfloat16]


@pytest.fixture
def compiled(request: pytest.FixtureRequest) -> Any:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler here")
    return lambda dtype: train_ops(dtype, CPU)


def random(*shape: int, dtype: Any, seed: int = 0) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def near(found: Any, wanted: Any, dtype: Any) -> None:
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    rtol, atol = (1e-5, 2e-6) if dtype == torch.float32 else (2e-2, 2e-2)
    torch.testing.assert_close(found.float(), wanted.float(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_each_function_is_what_torch_computes(compiled: Any, dtype: Any, threads: int) -> None:
    torch.set_num_threads(threads)
    ops = compiled(dtype)
    assert isinstance(ops, CompiledTrainOps)
    x, dy, base = (random(7, 24, dtype=dtype, seed=seed) for seed in range(3))
    weight = random(24, dtype=dtype, seed=3)
    for one, other in zip(ops.norm(x, weight, 1e-5), PLAIN.norm(x, weight, 1e-5), strict=True):
        near(one, other, dtype)
    rms = PLAIN.norm(x, weight, 1e-5)[1]
    for more, learns in ((None, False), (base, True)):
        found = ops.norm_backward(dy, x, rms, weight, more, learns=learns)
        wanted = PLAIN.norm_backward(dy, x, rms, weight, more, learns=learns)
        near(found[0], wanted[0], dtype)
        assert (found[1] is None) == (wanted[1] is None)
        if wanted[1] is not None:
            near(found[1], wanted[1], torch.bfloat16)

    angles = torch.randn(7, 4).repeat(1, 2)
    for back in (False, True):
        heads = [random(7, 6, 8, dtype=dtype) for _ in range(2)]
        for each, how in zip(heads, (ops, PLAIN), strict=True):
            how.rotate_(each, (angles.cos(), angles.sin()), 4, back=back)
        near(heads[0], heads[1], dtype)

    pairs = [random(7, 20, dtype=dtype) for _ in range(2)]
    slope = random(7, 10, dtype=dtype, seed=5)
    near(ops.swiglu(pairs[0]), PLAIN.swiglu(pairs[1]), dtype)
    near(ops.swiglu_backward_(slope, pairs[0]), PLAIN.swiglu_backward_(slope, pairs[1]), dtype)
    near(pairs[0], pairs[1], dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_gathering_and_putting_back(compiled: Any, dtype: Any) -> None:
    ops = compiled(dtype)
    whole = random(9, 8, 4, dtype=dtype)
    index = torch.tensor([[0, 3, -1], [8, 7, 2]])
    for part, groups in ((whole[:, :4], 2), (whole[:, 4:6], 2), (whole[:, 1:5], 1)):
        found, wanted = ops.gather(part, index, groups), PLAIN.gather(part, index, groups)
        assert torch.equal(found, wanted)
        outs = [torch.zeros(9, 8, 4, dtype=dtype) for _ in range(2)]
        for out, how in zip(outs, (ops, PLAIN), strict=True):
            how.scatter_(wanted.contiguous(), index, out[:, : part.shape[1]])
        assert torch.equal(outs[0], outs[1])
        real = index[index >= 0]
        assert torch.equal(outs[0][real, : part.shape[1]], part[real])
    rows = random(2, 2, 5, 4, dtype=dtype)  # one head a group, two places before the three that are meant
    outs = [torch.zeros(9, 2, 4, dtype=dtype) for _ in range(2)]
    for out, how in zip(outs, (ops, PLAIN), strict=True):
        how.scatter_(rows, index, out, 2)
    assert torch.equal(outs[0], outs[1])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("tokens", "keys"), [(1, 1), (3, 3), (3, 8)])
def test_softmax_over_what_is_seen(compiled: Any, dtype: Any, tokens: int, keys: int) -> None:
    ops = compiled(dtype)
    scores = random(2, 3, 2 * tokens, keys, dtype=dtype) * 10
    found, wanted = ops.seen_softmax_(scores.clone(), tokens, 0.3), PLAIN.seen_softmax_(scores.clone(), tokens, 0.3)
    near(found, wanted, dtype)
    slope = random(2, 3, 2 * tokens, keys, dtype=dtype, seed=1)
    near(
        ops.seen_softmax_backward_(wanted, slope.clone(), tokens, 0.3),
        PLAIN.seen_softmax_backward_(wanted, slope.clone(), tokens, 0.3),
        dtype,
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_and_entropy(compiled: Any, dtype: Any, temperature: float) -> None:
    ops = compiled(dtype)
    logits = random(5, 1003, dtype=dtype) * 8
    targets = torch.tensor([0, 1002, 5, 7, 500])
    found = ops.head_softmax_(logits.clone(), targets, temperature)
    for one, other in zip(found, PLAIN.head_softmax_(logits.clone(), targets, temperature), strict=True):
        near(one, other, dtype)
    exact = torch.distributions.Categorical(logits=logits.double() / temperature)
    torch.testing.assert_close(found[1].double(), exact.entropy(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[0].double(), exact.log_prob(targets), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_numbers_show(compiled: Any, bad: float) -> None:
    logits = random(2, 100, dtype=torch.float32)
    logits[1, 50] = bad
    log_probs, _, _ = compiled(torch.float32).head_softmax_(logits, torch.tensor([3, 3]), 1.0)
    assert bool(torch.isfinite(log_probs[0]))
    assert not bool(torch.isfinite(log_probs[1]))


def test_what_would_be_misread_is_refused(compiled: Any) -> None:
    ops = compiled(torch.float32)
    x, weight = torch.randn(4, 8), torch.randn(8)
    for call in (
        lambda: ops.norm(x.double(), weight, 1e-5),
        lambda: ops.norm(x.t(), weight, 1e-5),
        lambda: ops.norm(x, weight[:4], 1e-5),
        lambda: ops.gather(torch.randn(4, 2, 8), torch.tensor([[4]]), 1),
        lambda: ops.head_softmax_(x.clone(), torch.tensor([0, 1, 2, 8]), 1.0),
        lambda: ops.head_softmax_(x.clone(), torch.tensor([0, 1, 2, -1]), 1.0),
        lambda: ops.rotate_(torch.randn(4, 2, 8), (torch.randn(3, 8), torch.randn(3, 8)), 2),
        lambda: ops.scatter_(torch.randn(1, 1, 3, 8), torch.tensor([[0, 1]]), torch.randn(4, 1, 8)),
    ):
        with pytest.raises(ValueError, match="another type, shape or layout"):
            call()
