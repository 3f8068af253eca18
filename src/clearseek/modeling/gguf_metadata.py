"""The metadata of a GGUF from nothing: what llama.cpp must know of an architecture and of a tokeniser."""

from __future__ import annotations

import json

from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.gguf_pairs import Pair
from clearseek.modeling.gguf_tokenizer import CUTS, byte_pairs
from clearseek.modeling.tokenizer import Tokenizer

_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5

PROBE = (
    "Don't DON'T we'LL  12345 6\n\n\n x\t\ty  \r\n  .,;:!? -- ...\n(a+b)==c;//d  _e \u00e9t\u00e9 "
    "na\u00efve \u4f60\u597d\u3001\u4e16\u754c3.14\u3000\u0440\u0443\u0441 \u00bd\u0663\u0664 "
    "\U0001f600\U0001f600 's 't  '  \n \n  end   "
)
"""Text on which the known ways of cutting differ: with it the right one is found by what it does."""


def model_pairs(config: LlamaConfig, name: str, file_type: int) -> dict[str, Pair]:
    """`general.*` and the architecture's own entries."""
    arch, rope = config.model_type, config.rope
    pairs: dict[str, Pair] = {
        "general.architecture": arch,
        "general.type": "model",
        "general.name": name,
        "general.file_type": file_type,
        "general.quantization_version": 2,
        f"{arch}.block_count": config.layers,
        f"{arch}.context_length": config.max_positions,
        f"{arch}.embedding_length": config.hidden_size,
        f"{arch}.feed_forward_length": config.intermediate_size,
        f"{arch}.attention.head_count": config.heads,
        f"{arch}.attention.head_count_kv": config.kv_heads,
        f"{arch}.attention.key_length": config.head_dim,
        f"{arch}.attention.value_length": config.head_dim,
        f"{arch}.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        f"{arch}.rope.dimension_count": config.head_dim,
        f"{arch}.rope.freq_base": float(rope.theta),
        f"{arch}.vocab_size": config.vocab_size,
    }
    if rope.kind in ("linear", "yarn"):
        pairs |= {f"{arch}.rope.scaling.type": rope.kind, f"{arch}.rope.scaling.factor": float(rope.factor)}
    if rope.kind == "yarn":
        if rope.attention_factor is not None or rope.mscale is not None or not rope.truncate:
            raise ModelingError("llama.cpp knows YaRN only with the attention factor that follows from its own rule.")
        pairs |= {
            f"{arch}.rope.scaling.original_context_length": rope.original_max_positions or config.max_positions,
            f"{arch}.rope.scaling.yarn_beta_fast": float(rope.beta_fast),
            f"{arch}.rope.scaling.yarn_beta_slow": float(rope.beta_slow),
        }
    return pairs


def tokenizer_pairs(tokenizer: Tokenizer, rows: int) -> dict[str, Pair]:
    """`tokenizer.*` for a byte-level tokeniser; the vocabulary is filled up to the embedding's rows.

    Raises ModelingError for other kinds, and where its way of cutting text is none that llama.cpp has a name for here.
    """
    model = json.loads(tokenizer.rust.to_str())["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise ModelingError("Only byte-level tokenisers can be written into a GGUF; name a GGUF to take another from.")
    vocabulary: dict[str, int] = tokenizer.rust.get_vocab(with_added_tokens=True)
    if max(vocabulary.values()) >= rows:
        raise ModelingError(f"The tokeniser has ids up to {max(vocabulary.values())}, and the embedding {rows} rows.")
    tokens, types = [f"[PAD{number}]" for number in range(rows)], [_UNUSED] * rows
    for token, number in vocabulary.items():
        tokens[number], types[number] = token, _NORMAL
    for number, added in tokenizer.rust.get_added_tokens_decoder().items():
        types[number] = _CONTROL if added.special else _USER
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    pairs: dict[str, Pair] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _name_of_cut(tokenizer, model["vocab"], merges),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": tokenizer.add_bos,
    }
    for name, special in (("bos", tokenizer.bos_id), ("eos", tokenizer.eos_id), ("padding", tokenizer.pad_id)):
        if special is not None:
            pairs[f"tokenizer.ggml.{name}_token_id"] = special
    if tokenizer.chat_template is not None:
        pairs["tokenizer.chat_template"] = tokenizer.chat_template
    return pairs


def _name_of_cut(tokenizer: Tokenizer, vocabulary: dict[str, int], merges: list[str]) -> str:
    """llama.cpp's name for how the tokeniser cuts text: the one known way that gives the same ids."""
    if tokenizer.kind == "gpt2" and tokenizer.pre is not None:
        return tokenizer.pre
    wanted = tokenizer.rust.encode(PROBE, add_special_tokens=False).ids
    for pre in CUTS:
        if byte_pairs(vocabulary, merges, pre).encode(PROBE, add_special_tokens=False).ids == wanted:
            return pre
    raise ModelingError(f"The tokeniser cuts text in a way that is none of {', '.join(CUTS)}.")
