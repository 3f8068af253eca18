"""A GGUF small enough to write in a millisecond, with everything a real one has."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WIDTH, LAYERS, VOCABULARY = 64, 2, 96


def write_tiny(
    path: Path, *, kind: str = "F32", seed: int = 7, template: str | None = TEMPLATE, vocab: int = VOCABULARY
) -> Path:
    """A llama of two layers and 64 wide, random weights; `kind` is the type of its matrices."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_file_type(0 if kind == "F32" else 3)
    writer.add_tokenizer_model("gpt2")
    tokens = [*CONTROL, "<think>", *(f"t{number}" for number in range(vocab - 4))]
    types = [3, 3, 3, 4, *([1] * (vocab - 4))]
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["t 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    random = np.random.default_rng(seed)
    label = gguf.GGMLQuantizationType[kind]

    def matrix(name: str, rows: int, columns: int, as_type: gguf.GGMLQuantizationType = label) -> None:
        values = random.normal(0, 0.05, (rows, columns)).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(values, as_type), raw_dtype=as_type)

    matrix("token_embd.weight", vocab, WIDTH, gguf.GGMLQuantizationType.Q8_0)
    for layer in range(LAYERS):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(WIDTH, np.float32))
        matrix(f"blk.{layer}.attn_q.weight", WIDTH, WIDTH)
        matrix(f"blk.{layer}.attn_k.weight", WIDTH // 2, WIDTH)
        matrix(f"blk.{layer}.attn_v.weight", WIDTH // 2, WIDTH)
        matrix(f"blk.{layer}.attn_output.weight", WIDTH, WIDTH)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", np.ones(WIDTH, np.float32))
        matrix(f"blk.{layer}.ffn_gate.weight", 2 * WIDTH, WIDTH)
        matrix(f"blk.{layer}.ffn_up.weight", 2 * WIDTH, WIDTH)
        matrix(f"blk.{layer}.ffn_down.weight", WIDTH, 2 * WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
