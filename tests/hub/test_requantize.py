"""Requantising: the same metadata, the same vectors, matrices in the other type; by an independent reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from tiny_gguf import write_tiny

from clearseek.hub.errors import BadModelFile
from clearseek.hub.gguf_file import read_header
from clearseek.hub.requantize import requantize


def tensors(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """What the gguf package reads: each tensor's type and values."""
    return {
        tensor.name: (tensor.tensor_type.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
        for tensor in gguf.GGUFReader(str(path)).tensors
    }


def pairs(path: Path) -> dict[str, object]:
    return {key: field.contents() for key, field in gguf.GGUFReader(str(path)).fields.items()}


@pytest.mark.parametrize("source", ["F32", "F16", "Q4_1", "Q8_0"])
@pytest.mark.parametrize(("kind", "number", "error"), [("q4_0", 2, 0.16), ("q8_0", 7, 0.01)])
def test_another_reader_finds_the_same_model(tmp_path: Path, source: str, kind: str, number: int, error: float) -> None:
    old, new = write_tiny(tmp_path / "old.gguf", kind=source), tmp_path / "new.gguf"
    seen: list[tuple[int, int]] = []
    requantize(old, new, kind, lambda done, total: seen.append((done, total)))  # type: ignore[arg-type]
    before, after = tensors(old), tensors(new)
    assert list(before) == list(after)
    for name, (label, values) in after.items():
        was, original = before[name]
        if original.ndim == 1 or was == "Q8_0":
            assert (label, values.tobytes()) == (was, original.tobytes())  # untouched
        else:
            assert label in (kind.upper(), "Q8_0")
            assert np.abs(values - original).max() <= error * np.abs(original).max()
    changed = {key for key, value in pairs(old).items() if pairs(new)[key] != value}
    assert changed <= {"general.file_type"}
    assert pairs(new)["general.file_type"] == number
    assert seen[-1][0] == seen[-1][1] > 0
    assert list(tmp_path.glob("*.part")) == []
    assert read_header(new).quantisation == kind.upper()


def test_memory_does_not_grow_with_the_tensor(tmp_path: Path) -> None:
    """A tensor of 64 MB as float32 is worked through in pieces."""
    path = tmp_path / "large.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_file_type(1)
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((16384, 1024), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    code = (
        "import resource, sys\nfrom pathlib import Path\nimport gguf.quants\n"
        "from clearseek.hub.requantize import requantize\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "requantize(Path(sys.argv[1]), Path(sys.argv[2]), 'q4_0')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "out.gguf")], capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(said.stdout) * unit < 48e6


def test_a_source_that_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    old = write_tiny(tmp_path / "old.gguf")
    with old.open("r+b") as file:
        file.truncate(old.stat().st_size // 2)
    with pytest.raises(BadModelFile):
        requantize(old, tmp_path / "new.gguf", "q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["old.gguf"]
