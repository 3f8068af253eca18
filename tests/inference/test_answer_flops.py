"""FLOPs of an answer, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clearseek.flops import TransformerSizes
from clearseek.hub.gguf_file import TensorInfo, read_header
from clearseek.hub.gguf_sizes import sizes_of
from clearseek.hub.model import Model
from clearseek.inference.flops import answer_flops


def test_the_default_models_numbers(real_model: Model) -> None:
    """SmolLM2-135M: 30 layers, width 576, 9 heads of 64, a feed-forward of 1536, 3 heads of keys, 49,152 tokens."""
    found = sizes_of(read_header(real_model.path))
    layer = 576 * 576 * 2 + 2 * 576 * 192 + 3 * 576 * 1536
    assert found.body == 30 * layer
    assert found.head == 49_152 * 576  # tied: the embedding is the head
    assert found.attention == 2 * 30 * 9 * (64 + 64)


def test_an_answer_is_what_was_read_and_written_with_its_attention() -> None:
    model = TransformerSizes(body=50, head=5, attention=1)
    assert answer_flops(model, prompt=3, cached=0, completion=0).value == 3 * 100 + (1 + 2 + 3)
    assert answer_flops(model, prompt=3, cached=2, completion=2).value == 3 * 100 + 2 * 10 + (3 + 4 + 5)
    assert answer_flops(model, prompt=0, cached=0, completion=0).value == 0


def test_of_experts_only_those_that_are_used_count(real_model: Model) -> None:
    header = read_header(real_model.path)
    experts = TensorInfo("blk.0.ffn_up_exps.weight", (10, 20, 8), "F32", 0, 6400)
    output = TensorInfo("output.weight", (10, 50), "F32", 0, 2000)
    embedding = TensorInfo("token_embd.weight", (10, 50), "F32", 0, 2000)
    norm = TensorInfo("blk.0.attn_norm.weight", (10,), "F32", 0, 40)
    arch = header.architecture
    numbers = {f"{arch}.expert_count": 8, f"{arch}.expert_used_count": 2, "general.architecture": arch}
    made = replace(header, tensors=(experts, output, embedding, norm), metadata=numbers)
    found = sizes_of(made)
    assert found.body == pytest.approx(10 * 20 * 8 * 2 / 8)
    assert found.head == 500, "the embedding is looked up, not multiplied"
    assert found.attention == 0, "the header does not say"
