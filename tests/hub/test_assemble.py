"""A base and an adapter become one file: exactly, everywhere the same, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import gguf
import numpy as np
import pytest
from made_adapter import TEMPLATE, change, coarse, make_adapter, write_safetensors
from tiny_gguf import write_tiny

from clearseek.hub.adapter import grid_bits, on_grid, read_adapter
from clearseek.hub.assemble import assemble, merged
from clearseek.hub.errors import BadModelFile, WrongHash
from clearseek.hub.gguf_file import read_header
from clearseek.hub.requantize import requantize
from clearseek.hub.safetensors_file import list_tensors, read_tensor


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "base.gguf", kind="Q4_1")


def tensors_of(path: Path) -> dict[str, bytes]:
    header, raw = read_header(path), path.read_bytes()
    return {one.name: raw[header.data_offset + one.offset :][: one.bytes] for one in header.tensors}


def test_what_has_no_adapter_is_the_requantised_base_and_the_rest_is_merged(base: Path, tmp_path: Path) -> None:
    adapter = read_adapter(make_adapter(tmp_path / "a", base))
    told: list[tuple[str, int, int | None]] = []
    digest = assemble(base, adapter, tmp_path / "out.gguf", lambda *said: told.append(said))
    assert hashlib.sha256((tmp_path / "out.gguf").read_bytes()).hexdigest() == digest
    steps = [done for stage, done, total in told if stage == "assembling"]
    assert steps == sorted(steps)
    assert steps[-1] == sum(one.bytes for one in read_header(base).tensors)
    requantize(base, tmp_path / "plain.gguf", "q8_0")
    ours, plain, old = (tensors_of(path) for path in (tmp_path / "out.gguf", tmp_path / "plain.gguf", base))
    assert list(ours) == list(plain)
    for name, content in ours.items():
        if name in adapter.pairs:
            w = gguf.quants.dequantize(np.frombuffer(old[name], np.uint8), gguf.GGMLQuantizationType.Q4_1)
            a_RI, b_OR = adapter.factors(name)
            new = gguf.quants.dequantize(np.frombuffer(content, np.uint8), gguf.GGMLQuantizationType.Q8_0)
            expected = (w.reshape(len(b_OR), -1) + b_OR @ a_RI).ravel()
            assert np.abs(new - expected).max() <= np.abs(expected).max() / 200
            assert content != plain[name]
        elif name in adapter.vectors:
            assert content == adapter.vector(name).astype("<f4").tobytes()
        else:
            assert content == plain[name]


def test_the_file_says_what_it_is_and_what_it_was_made_of(base: Path, tmp_path: Path) -> None:
    adapter = read_adapter(make_adapter(tmp_path / "a", base))
    assemble(base, adapter, tmp_path / "out.gguf")
    before, after = read_header(base), read_header(tmp_path / "out.gguf")
    assert after.chat_template == TEMPLATE
    assert after.text("general.name") == "Made Up"
    assert after.text("clearseek.base.sha256") == hashlib.sha256(base.read_bytes()).hexdigest()
    assert after.text("clearseek.adapter.sha256") == adapter.sha256
    assert after.quantisation == "Q8_0"
    changed = {"general.name", "general.license", "general.file_type", "tokenizer.chat_template"}
    for key, value in before.metadata.items():
        assert after.metadata[key] == value or key in changed
    assert after.skipped == before.skipped
    assert (after.control_tokens, after.vocab_size) == (before.control_tokens, before.vocab_size)
    assert {field.name for field in gguf.GGUFReader(tmp_path / "out.gguf").fields.values()} >= set(after.metadata)


def exactly(w: np.float32, a: np.ndarray, b: np.ndarray) -> np.float32:
    """One weight by whole fractions; `float` of a fraction rounds once, correctly."""
    total = Fraction(float(w)) + sum(
        (Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)), Fraction(0)
    )
    return np.float32(float(total))


@pytest.mark.parametrize(("rank", "spread"), [(1, 1.0), (16, 1.0), (64, 1e-6), (64, 1e5)])
def test_products_and_sums_are_exact_in_whatever_order(rank: int, spread: float) -> None:
    draw = np.random.default_rng(rank)
    wide = np.exp(draw.normal(0, 6, (rank, 48)))  # small and large values side by side
    a = coarse(draw.normal(0, spread, (rank, 48)) * wide, rank)
    b = coarse(draw.normal(0, 1 / spread, (40, rank)), rank)
    assert on_grid(a, rank)
    assert on_grid(b, rank)
    w = draw.normal(0, 0.05, (40, 48)).astype(np.float32)
    result = merged(w, a, b)
    for _ in range(3):
        order = draw.permutation(rank)
        assert (b[:, order] @ a[order] == b @ a).all()
        slow = np.zeros((40, 48))
        for r in order:  # one product after the other: no BLAS, no fused multiply-add
            slow = slow + b[:, r : r + 1] * a[r : r + 1]
        assert (slow == b @ a).all()
    pick = random.Random(rank)
    for _ in range(200):
        row, column = pick.randrange(40), pick.randrange(48)
        assert result[row, column] == exactly(w[row, column], a[:, column], b[row])


def test_numbers_that_are_not_coarse_enough_are_refused(base: Path, tmp_path: Path) -> None:
    assert not on_grid(np.array([1.0, 2.0**-40]), 4)
    assert not on_grid(np.array([1.0, np.inf]), 4)
    assert not on_grid(np.array([np.nan]), 4)
    assert on_grid(np.zeros(3), 4)
    assert 2 * grid_bits(64) + 6 <= 53
    folder = make_adapter(tmp_path / "a", base)
    old = list_tensors(folder / "adapter.safetensors")
    tensors = {name: (one.kind, read_tensor(folder / "adapter.safetensors", one)) for name, one in old.items()}
    name = "blk.0.attn_q.weight.lora_a"
    tensors[name][1][0, 0] = 2.0**-60
    write_safetensors(folder / "adapter.safetensors", tensors)
    change(folder, weights={"sha256": hashlib.sha256((folder / "adapter.safetensors").read_bytes()).hexdigest()})
    with pytest.raises(BadModelFile, match=r"blk\.0\.attn_q\.weight that are not finite or not coarse enough"):
        assemble(base, read_adapter(folder), tmp_path / "out.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "base.gguf"]


@pytest.mark.parametrize("kind", ["I8", "F32"])
def test_other_stored_types_mean_the_same(base: Path, tmp_path: Path, kind: str) -> None:
    folder = make_adapter(tmp_path / "a", base)
    old = list_tensors(folder / "adapter.safetensors")
    tensors = {name: (one.kind, read_tensor(folder / "adapter.safetensors", one)) for name, one in old.items()}
    first = assemble(base, read_adapter(folder), tmp_path / "first.gguf")
    for name, (_, x) in tensors.items():
        if kind == "I8" and name.endswith("lora_a"):
            tensors[name] = "I8", np.clip(np.rint(x * 20), -128, 127)
        elif kind == "F32":
            tensors[name] = "F32", x
    write_safetensors(folder / "adapter.safetensors", tensors)
    change(folder, weights={"sha256": hashlib.sha256((folder / "adapter.safetensors").read_bytes()).hexdigest()})
    adapter = read_adapter(folder)
    assemble(base, adapter, tmp_path / "second.gguf")
    same = tensors_of(tmp_path / "first.gguf") == tensors_of(tmp_path / "second.gguf")
    assert same == (kind == "F32")
    assert first


SCRIPT = """
import sys
from pathlib import Path
from clearseek.hub.adapter import read_adapter
from clearseek.hub.assemble import assemble
print(assemble(Path(sys.argv[1]), read_adapter(Path(sys.argv[2])), Path(sys.argv[3])))
"""


@pytest.mark.slow
def test_threads_and_kernels_of_the_blas_do_not_matter(base: Path, tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a", base, rank=33)
    found = set()
    for number, environ in enumerate(
        (
            {"OPENBLAS_NUM_THREADS": "1"},
            {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Haswell"},
            {"OPENBLAS_CORETYPE": "Nehalem"},  # no FMA
            {"OPENBLAS_CORETYPE": "SkylakeX", "NPY_DISABLE_CPU_FEATURES": "FMA3 AVX2"},
        )
    ):
        if environ.get("OPENBLAS_CORETYPE") == "SkylakeX":
            environ.pop("OPENBLAS_CORETYPE")  # its code would not run on a processor without AVX-512
        out = tmp_path / f"{number}.gguf"
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(base), str(folder), str(out)],
            env={**os.environ, **environ}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.add(done.stdout.strip())
    assert len(found) == 1


def refused(base: Path, folder: Path, out: Path) -> str:
    with pytest.raises((BadModelFile, WrongHash)) as caught:
        assemble(base, read_adapter(folder), out)
    assert not out.exists()
    assert not list(out.parent.glob("*.part"))
    return str(caught.value)


def test_a_wrong_base_a_corrupt_adapter_and_a_wrong_result_are_told(base: Path, tmp_path: Path) -> None:
    folder, out = make_adapter(tmp_path / "a", base), tmp_path / "out.gguf"
    other = write_tiny(tmp_path / "other.gguf", kind="Q4_1", seed=8)
    assert "The base tiny is not the one meant" in refused(other, folder, out)
    assert "The base tiny is missing" in refused(tmp_path / "nothing.gguf", folder, out)
    change(folder, result={"sha256": "0" * 64})
    assert "should have given 0000000000000000..." in refused(base, folder, out)
    weights = folder / "adapter.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert "The adapter of made-up is not the one meant" in refused(base, folder, out)
    weights.write_bytes(raw[:-5])
    assert "not a usable safetensors file" in refused(base, folder, out)
    weights.unlink()
    assert "cannot be read" in refused(base, folder, out)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"blk.9.attn_q.weight.lora_a": (4, 64), "blk.9.attn_q.weight.lora_b": (64, 4)}, "which tiny has not"),
        ({"blk.0.attn_q.weight.lora_a": (4, 32), "blk.0.attn_q.weight.lora_b": (64, 4)}, "does not fit blk.0.attn_q"),
        ({"output_norm.weight": (3,)}, "does not fit output_norm.weight of tiny"),
        ({"blk.0.attn_q.weight.lora_a": (5, 64), "blk.0.attn_q.weight.lora_b": (64, 5)}, "its rank is 4"),
        ({"blk.0.attn_q.weight.lora_a": (4, 64)}, "no part of an adapter"),
        ({"odd": (4, 64)}, "no part of an adapter"),
        ({"odd.lora_s": (4,)}, "scales that do not fit"),
    ],
)
def test_an_adapter_that_does_not_fit(
    base: Path, tmp_path: Path, parts: dict[str, tuple[int, ...]], words: str
) -> None:
    folder = make_adapter(tmp_path / "a", base)
    write_safetensors(folder / "adapter.safetensors", {name: ("F32", np.ones(shape)) for name, shape in parts.items()})
    change(folder, weights={"sha256": hashlib.sha256((folder / "adapter.safetensors").read_bytes()).hexdigest()})
    assert words in refused(base, folder, tmp_path / "out.gguf")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"}, {"rank": 0}, {"rank": True}, {"rank": 10**9}, {"quant": "q2"}, {"base": None},
        {"weights": {"sha256": "x"}}, {"metadata": {"general.name": [1]}}, {"result": {"sha256": 7}}, {"metadata": 3},
    ],
)  # fmt: skip
def test_a_description_that_is_not_in_order(base: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    folder = make_adapter(tmp_path / "a", base)
    change(folder, **changes)
    with pytest.raises(BadModelFile) as caught:
        read_adapter(folder)
    assert str(caught.value).endswith(".")


def header(said: object, data: int = 8) -> bytes:
    text = json.dumps(said).encode() if not isinstance(said, bytes) else said
    return len(text).to_bytes(8, "little") + text + b"\0" * data


@pytest.mark.parametrize(
    "content",
    [
        b"", b"short", b"\xff" * 16, header(b"{"), header([]), header({"a": 1}), header({"a": {}}),
        header({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}),
        header({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}),
        header({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}),
        header({"a": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}}),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 9),
        header({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}),
        header({"a": {"dtype": "F32", "shape": [10**9] * 5, "data_offsets": [0, 8]}}),
    ],
)  # fmt: skip
def test_hostile_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadModelFile, match="not a usable safetensors"):
        list_tensors(path)
