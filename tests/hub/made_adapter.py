"""Adapters made up for tests, without torch: coarse random factors, written as ClearSeek writes them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clearseek.hub.adapter import FORMAT, grid_bits
from clearseek.hub.gguf_file import read_header

TEMPLATE = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n<think>\n' -}}{%- endif -%}"
)


def coarse(x: np.ndarray, rank: int) -> np.ndarray:
    """Rounded to bfloat16 and to the grid."""
    bits = x.astype(np.float32).view(np.uint32)
    short = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32).astype(np.float64)
    step = float(np.abs(short).max()) or 1.0
    exponent = int(np.frexp(step)[1]) - grid_bits(rank)
    return np.ldexp(np.rint(np.ldexp(short, -exponent)), exponent)


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]]) -> None:
    header: dict[str, Any] = {}
    data = b""
    for name, (kind, x) in tensors.items():
        if kind == "BF16":
            raw = (x.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            raw = x.astype("<f4" if kind == "F32" else np.int8).tobytes()
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def make_adapter(
    folder: Path,
    base: Path,
    *,
    name: str = "made-up",
    rank: int = 4,
    parts: tuple[str, ...] = ("attn_q", "attn_v", "ffn_down"),
    size: float = 0.05,
    seed: int = 3,
    base_name: str = "tiny",
    original_sha256: str | None = None,
    quant: str = "keep",
    result: str | None = None,
) -> Path:
    """An adapter over the GGUF `base`, and a replaced last norm; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    tensors: dict[str, tuple[str, np.ndarray]] = {}
    for tensor in read_header(base).tensors:
        if any(part in tensor.name for part in parts):
            columns, rows = tensor.shape
            tensors[f"{tensor.name}.lora_a"] = "BF16", coarse(random.normal(0, 1, (rank, columns)), rank)
            tensors[f"{tensor.name}.lora_b"] = "BF16", coarse(random.normal(0, size, (rows, rank)) * size, rank)
        if tensor.name == "output_norm.weight":
            tensors[tensor.name] = "F32", random.normal(1, 0.01, tensor.shape).astype(np.float32)
    write_safetensors(folder / "adapter.safetensors", tensors)
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    record = {
        "format": FORMAT,
        "name": name,
        "base": {"name": base_name, "sha256": digest, "original_sha256": original_sha256 or digest, "quant": quant},
        "weights": {"sha256": hashlib.sha256((folder / "adapter.safetensors").read_bytes()).hexdigest()},
        "rank": rank,
        "quant": "q8_0",
        "metadata": {"general.name": "Made Up", "general.license": "apache-2.0", "tokenizer.chat_template": TEMPLATE},
        "result": {"sha256": result},
    }
    (folder / "adapter.json").write_text(json.dumps(record), "utf-8")
    return folder


def change(folder: Path, **changes: Any) -> None:
    """Set keys of adapter.json."""
    path = folder / "adapter.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), "utf-8")
