"""The GGUF reader: right on good files, one sentence on every bad one, never long and never large."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_gguf import CONTROL, TEMPLATE, VOCABULARY, write_tiny

from clearseek.hub.errors import BadModelFile
from clearseek.hub.gguf_file import kv_bytes_per_token, read_header
from clearseek.hub.gguf_types import file_type_ids, file_types, tensor_type_ids, tensor_types


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def head(pairs: int, tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(BadModelFile) as caught:
        read_header(path)
    return str(caught.value)


def test_reads_what_the_gguf_package_wrote(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    header = read_header(path)
    theirs = gguf.GGUFReader(str(path))
    assert header.version == 3
    assert (header.architecture, header.context_length, header.licence) == ("llama", 256, "apache-2.0")
    assert header.chat_template == TEMPLATE
    assert header.control_tokens == CONTROL
    assert header.user_tokens == ("<think>",)
    assert (header.bos_token, header.eos_token, header.add_bos) == ("<|im_start|>", "<|im_end|>", False)
    assert header.vocab_size == VOCABULARY
    assert header.skipped["tokenizer.ggml.tokens"] == VOCABULARY
    ours = {tensor.name: (tensor.shape, header.data_offset + tensor.offset, tensor.bytes) for tensor in header.tensors}
    assert ours == {
        tensor.name: (tuple(int(n) for n in tensor.shape), tensor.data_offset, int(tensor.n_bytes))
        for tensor in theirs.tensors
    }
    assert header.parameter_count == sum(int(tensor.n_elements) for tensor in theirs.tensors)
    # two layers, two key-value heads of 16 for keys and 16 for values, two bytes each
    assert kv_bytes_per_token(header) == 2 * 2 * (16 + 16) * 2


def test_types_are_those_of_the_format() -> None:
    """Against numbers written down here: a file says 8 for Q8_0 whatever a package calls it."""
    assert tensor_types()[8] == ("Q8_0", 32, 34)
    assert tensor_types()[12] == ("Q4_K", 256, 144)
    assert tensor_types()[30] == ("BF16", 1, 2)
    assert tensor_type_ids()["Q4_1"] == 3
    assert {number: file_types()[number] for number in (0, 1, 2, 7, 15, 32)} == {
        0: "F32", 1: "F16", 2: "Q4_0", 7: "Q8_0", 15: "Q4_K_M", 32: "BF16",
    }  # fmt: skip
    assert file_type_ids()["q8_0"] == 7
    assert 1024 not in file_types()


def test_the_default_model(real_model) -> None:  # type: ignore[no-untyped-def]
    start = time.process_time()
    header = read_header(real_model.path)
    assert time.process_time() - start < 0.15 * 4  # four times the promise: the machine may be busy
    assert header.parameter_count == 134_515_008
    assert header.quantisation in ("Q4_1", "Q8_0", "Q4_0")
    assert kv_bytes_per_token(header) == 30 * 3 * (64 + 64) * 2
    assert "<|im_end|>" in header.control_tokens


@pytest.mark.slow
def test_a_large_vocabulary_takes_little_memory_and_time(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "large.gguf", vocab=150_000)
    code = (
        "import resource, sys, time\n"
        "from clearseek.hub.gguf_file import read_header\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = time.process_time(); read_header(sys.argv[1]); took = time.process_time() - start\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, took)"
    )
    grown, took = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    ).stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown) * unit < 20e6
    assert float(took) < 0.5


@pytest.mark.parametrize("cut", [0, 3, 4, 23, 24, 100, 1000, 3000])
def test_a_file_cut_short_in_its_header(tmp_path: Path, cut: int) -> None:
    whole = write_tiny(tmp_path / "tiny.gguf").read_bytes()
    words = refused(tmp_path / "cut.gguf", whole[:cut])
    assert words.startswith("cut.gguf is not a usable GGUF file")


def test_a_file_cut_short_in_its_tensors_says_so(tmp_path: Path) -> None:
    whole = write_tiny(tmp_path / "tiny.gguf").read_bytes()
    words = refused(tmp_path / "cut.gguf", whole[: len(whole) // 2])
    assert "its tensors need" in words
    assert "cut short" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x10\0\0\0\0\0\0\0{}" + b" " * 60, "it is safetensors"),
        (b'{\x01\0\0\0\0\0\0{"a"' + b" " * 60, "it is safetensors"),
        (b"", "it is empty"),
        (b"\0" * 4096, "begins with zeros"),
        (b"hello, world, this is a text and no weights at all", "does not begin with `GGUF`"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 145000000\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><head><title>Sign in</title>", "a web page"),
        (b"<html>", "a web page"),
        (b"PK\x03\x04" + b"\0" * 80, "PyTorch"),
        (b"\x80\x02}q\x00" + b"\0" * 80, "pickle"),
        (b"\x1f\x8b\x08" + b"\0" * 80, "unpack it first"),
        (b"tjgg" + b"\1" * 80, "from before GGUF"),
        (b'{"error": "Entry not found"}', "JSON text"),
        (b"GGUF\3\0\0\0", "cut short"),
        (head(0, version=1) + b"\0" * 8, "its version is 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (head(1 << 60), "claims"),
        (head(0, tensors=1 << 63), "claims"),
        (head(1) + struct.pack("<Q", 1 << 62) + b"x" * 90, "metadata key is"),
        (head(1) + pair("a", 8, struct.pack("<Q", 1 << 63)) + b"x" * 90, "ends at byte"),
        (head(1) + pair("a", 9, struct.pack("<IQ", 8, 1 << 40)), "claims 1099511627776 items"),
        (head(1) + pair("a", 9, struct.pack("<IQ", 8, 1 << 20)) + b"\xff" * 900, "ends at byte"),
        (head(1) + pair("a", 9, struct.pack("<IQ", 9, 1) * 3), "unknown type 9"),
        (head(1) + pair("a", 13, b"\0" * 8), "unknown type 13"),
        (head(2) + pair("a", 4, b"\0" * 4) * 2, "comes twice"),
        (head(1) + text("a").replace(b"a", b"\xff") + b"\0" * 40, "not UTF-8"),
        (head(1) + pair("general.alignment", 4, struct.pack("<I", 0)), "alignment"),
        (head(1) + pair("general.alignment", 4, struct.pack("<I", 33)), "alignment"),
        (head(1) + pair("tokenizer.chat_template", 8, struct.pack("<Q", 1 << 30)) + b"x" * 90, "chat template is"),
        (head(0, 1) + text("w") + struct.pack("<I", 99), "99 dimensions"),
        (head(0, 1) + text("w") + struct.pack("<IQQIQ", 2, 1 << 62, 1 << 62, 0, 0), "tensors need"),
        (head(0, 1) + text("w") + struct.pack("<IQIQ", 1, 32, 77, 0), "type 77"),
        (head(0, 1) + text("w") + struct.pack("<IQIQ", 1, 31, 2, 0), "rows of 31"),
        (head(0, 1) + text("w") + struct.pack("<IQIQ", 1, 32, 0, 3), "not aligned"),
        (head(0, 2) + (text("w") + struct.pack("<IQIQ", 1, 0, 0, 0)) * 2, "comes twice"),
    ],
)
def test_hostile_headers_get_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    said = refused(tmp_path / "hostile.gguf", content)
    assert words in said
    assert said.endswith(".")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="There is no file"):
        read_header(tmp_path / "nothing.gguf")
    with pytest.raises(BadModelFile, match="folder"):
        read_header(tmp_path)


def test_a_header_that_never_ends_is_left(tmp_path: Path) -> None:
    """A sparse gigabyte of empty strings must not be walked to its end."""
    path = tmp_path / "long.gguf"
    with path.open("wb") as file:
        file.write(head(16_000) + b"".join(pair(f"k{n}", 9, struct.pack("<IQ", 8, 4_000_000)) for n in range(1)))
        file.truncate(1 << 30)
    start = time.process_time()
    with pytest.raises(BadModelFile):
        read_header(path)
    assert time.process_time() - start < 10


@pytest.fixture(scope="module")
def tiny_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()


@settings(
    max_examples=400, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(st.data())
def test_mutations_never_get_past_the_reader_as_anything_but_a_sentence(
    tiny_bytes: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    """Change, cut and insert bytes anywhere in the header: a Header or BadModelFile, and nothing else."""
    content = bytearray(tiny_bytes)
    limit = tiny_bytes.index(b"output_norm.weight") + 60
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(limit, len(content) - 1)))
        match data.draw(st.sampled_from(["change", "number", "cut", "insert"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "number":
                value = data.draw(st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 1 << 40]))
                content[at : at + 8] = struct.pack("<Q", value)
            case "cut":
                del content[at : at + data.draw(st.integers(1, 64))]
            case "insert":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=32))
        if not content:
            break
    path = tmp_path / "mutated.gguf"
    path.write_bytes(content)
    try:
        header = read_header(path)
    except BadModelFile:
        return
    assert kv_bytes_per_token(header) >= 0
    assert header.parameter_count >= 0
    assert isinstance(header.quantisation, str)
