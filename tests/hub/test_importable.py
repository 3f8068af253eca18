"""What cannot be chatted with is told when it is imported, and what may surprise is told beside it."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from tiny_gguf import TEMPLATE, write_tiny

from clearseek.hub.errors import BadModelFile, UnknownModel
from clearseek.hub.gguf_file import read_header
from clearseek.hub.importable import check_importable
from clearseek.hub.store import Store


def other(path: Path, architecture: str = "llama", *, kind: str | None = None, tensor: str | None = "a.weight") -> Path:
    """A GGUF that is not a model, with what makes it one thing or another."""
    writer = gguf.GGUFWriter(str(path), architecture)
    if kind is not None:
        writer.add_type(kind)
    writer.add_token_list(["a", "b"])
    writer.add_token_types([1, 1])
    if tensor is not None:
        writer.add_tensor(tensor, np.ones((2, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def with_split(path: Path, number: int, count: int) -> Path:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_uint16("split.no", number)
    writer.add_uint16("split.count", count)
    writer.add_tensor("a.weight", np.ones((2, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def refused(store: Store, path: Path) -> str:
    with pytest.raises(BadModelFile) as caught:
        store.import_file(path)
    assert store.list() == []
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_a_part_of_a_split_model_is_refused_by_what_it_says_and_by_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    assert "part 2 of 3" in refused(store, with_split(tmp_path / "renamed.gguf", 1, 3))
    said = refused(store, write_tiny(tmp_path / "m-00001-of-00002.gguf"))
    assert "part 1 of 2" in said
    assert "--merge" in said
    assert store.import_file(write_tiny(tmp_path / "m-00001-of-00001.gguf"), "whole").name == "whole"


@pytest.mark.parametrize(
    ("architecture", "kind", "tensor", "words"),
    [
        ("llama", "adapter", "blk.0.attn_q.weight.lora_a", "is an adapter"),
        ("llama", None, "blk.0.attn_q.weight.lora_a", "is an adapter"),
        ("llama", None, None, "a vocabulary without weights"),
        ("llama", "vocab", "a.weight", "a vocabulary without weights"),
        ("clip", None, "a.weight", "does not write text"),
        ("clip", "mmproj", "a.weight", "eyes or ears"),
        ("imatrix", "imatrix", "a.weight", "statistics for quantising"),
        ("bert", "model", "a.weight", "does not write text"),
        ("nomic-bert", None, "a.weight", "does not write text"),
    ],
)
def test_what_is_no_model_is_told_as_what_it_is(
    tmp_path: Path, architecture: str, kind: str | None, tensor: str | None, words: str
) -> None:
    store = Store(tmp_path / "models")
    assert words in refused(store, other(tmp_path / "other.gguf", architecture, kind=kind, tensor=tensor))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for m in messages %}{{ m.content }", "cannot be read"),
        ("{{ raise_exception('never') }}", "never"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "too long"),
        ("<|im_start|>assistant\n", "leaves the question out"),
        ("{% for m in messages %}{{ m.text }}{% endfor %}", "leaves the question out"),
    ],
)
def test_a_template_that_cannot_be_used_is_told_at_import(tmp_path: Path, template: str, words: str) -> None:
    store = Store(tmp_path / "models")
    assert words in refused(store, write_tiny(tmp_path / "bad.gguf", template=template))


@pytest.mark.parametrize("template", [None, "", " \n"])
def test_a_model_without_a_template_is_taken_with_a_word(tmp_path: Path, template: str | None) -> None:
    file = write_tiny(tmp_path / "base.gguf", template=template)
    Store(tmp_path / "models").import_file(file)
    (note,) = check_importable(read_header(file), file)
    assert "no chat template" in note
    assert "ChatML" in note  # its vocabulary has ChatML's turn markers


def test_a_whole_model_needs_no_word(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "tiny.gguf", template=TEMPLATE)
    assert check_importable(read_header(file), file) == ()


def test_a_path_in_place_of_a_name_leads_to_import(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    for name in ("/some/where/model.gguf", "model.GGUF", "./x"):
        with pytest.raises(UnknownModel, match="clearseek models import"):
            store.find(name)
