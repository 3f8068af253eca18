"""Tokenisers: the ids that llama.cpp and the published tokenisers give, and control tokens only where trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from families import hf_config  # noqa: E402
from llama_child import llama_cpp  # noqa: E402
from trained_words import train_tokenizer  # noqa: E402

from clearseek.hub.chat_template import Piece  # noqa: E402
from clearseek.hub.model import Model  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.export_gguf import export_gguf  # noqa: E402
from clearseek.modeling.gguf_metadata import PROBE  # noqa: E402
from clearseek.modeling.gguf_pairs import encode_pairs, read_arrays  # noqa: E402
from clearseek.modeling.gguf_tokenizer import CUTS  # noqa: E402
from clearseek.modeling.hf_config import config_from_hf  # noqa: E402
from clearseek.modeling.load import build_model  # noqa: E402
from clearseek.modeling.tokenizer import Tokenizer  # noqa: E402
from clearseek.modeling.tokenizer_files import load_tokenizer  # noqa: E402

TEXTS = [
    PROBE,
    "",
    " ",
    "\n\n  \n",
    "Hello <|im_end|> world<think>no</think>",
    "I'm, you're, HE'S; can't've 1 22 333 4444",
    "  lots   of    spaces\t\ttabs \u00a0nbsp\u2003em ",
    "price: $1,234.56 (-7%) #tag @you a/b\\c __init__",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u3053\u3093\u306b\u3061\u306f \uc548\ub155",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940",
    "e\u0301 combining, \u2167 roman, \u00b2 squared, \U0001f469\u200d\U0001f4bb\U0001f1eb\U0001f1f7",
    "def f(x):\r\n    return {'a': [1,2,3]}\r\n\r\n",
]


@pytest.mark.parametrize("pre", CUTS)
def test_ids_from_a_gguf_are_those_of_llama_cpp(pre: str, tmp_path: Path) -> None:
    trained = train_tokenizer(pre)
    model = build_model(config_from_hf({**hf_config("qwen2"), "num_hidden_layers": 1, "vocab_size": 330}))
    path = export_gguf(model, tmp_path / "m.gguf", "f32", tokenizer=trained)
    words = load_tokenizer(path)
    assert words.pre == pre
    assert (words.bos_id, words.eos_id, words.end_ids) == (1, 2, (0, 2))
    assert words.control_tokens == trained.control_tokens
    assert words.user_tokens == ("<think>",)
    with llama_cpp(path, context=64, threads=1) as server:
        for text in TEXTS:
            for control in (False, True):
                ids = words.encode(text, control=control)
                assert ids == server.tokenize(text, control=control), (text, control)
                assert words.decode(ids, keep_control=True) == text


def test_ids_of_sentence_pieces_are_those_of_llama_cpp(tmp_path: Path) -> None:
    path = write_sentence_pieces(tmp_path / "m.gguf")
    words = load_tokenizer(path)
    assert words.kind == "llama"
    assert words.start_ids == (1,)
    with llama_cpp(path, context=64, threads=1) as server:
        for text in ("the theme then", "hello  the\nthe", "\u00e9t\u00e9", "he the </s> the", "a", "thethe hethe"):
            for control in (False, True):
                assert words.encode(text, control=control) == server.tokenize(text, control=control), text
    assert words.decode(words.encode("the  theme \u00e9t\u00e9")) == "the  theme \u00e9t\u00e9"


def write_sentence_pieces(path: Path) -> Path:
    """One layer of noise under a vocabulary of bytes and a few words."""
    import gguf
    import numpy as np

    pieces = [
        "▁",
        *"thenmloa\n",
        "th",
        "he",
        "en",
        "the",
        "▁t",
        "▁th",
        "▁the",
        "then",
        "em",
        "eme",
        "▁h",
        "ll",
        "lo",
        "▁▁",
    ]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    types = [2, 3, 3, *[6] * 256, *[1] * len(pieces)]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(number) for number in range(len(pieces))])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"token_embd": (len(tokens), 64), "output": (len(tokens), 64), "output_norm": (64,)}
    shapes |= {f"blk.0.{name}": (64, 64) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {f"blk.0.{name}": (64, 64) for name in ("ffn_gate", "ffn_up", "ffn_down")}
    shapes |= {"blk.0.attn_norm": (64,), "blk.0.ffn_norm": (64,)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.full(shape, 0.1, np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return path


def test_control_tokens_count_only_where_they_are_trusted(words: Tokenizer) -> None:
    end = words.rust.token_to_id("<|im_end|>")
    assert words.encode("a<|im_end|>", control=True)[-1] == end
    assert end not in words.encode("a<|im_end|>")
    ids = words.encode_pieces(
        [Piece("<|im_start|>user\n", True), Piece("<|im_end|>", False), Piece("<|im_end|>", True)]
    )
    assert ids.count(end) == 1
    assert ids[-1] == end
    assert words.decode(ids, keep_control=True) == "<|im_start|>user\n<|im_end|><|im_end|>"
    assert words.decode(ids) == "user\n<|im_end|>"


def test_the_beginning_is_written_once(words: Tokenizer) -> None:
    other = Tokenizer(words.rust, bos_id=1, end_ids=[2], add_bos=True)
    assert other.encode_pieces([Piece("hey", True)])[0] == 1
    ids = other.encode_pieces([Piece("<|im_start|>hey", True)])
    assert ids[0] == 1
    assert ids[1] != 1
    assert words.encode_pieces([Piece("hey", True)])[0] != 1


def test_a_saved_tokeniser_comes_back(words: Tokenizer, tmp_path: Path) -> None:
    words.save(tmp_path)
    back = load_tokenizer(tmp_path)
    assert [back.encode(text, control=True) for text in TEXTS] == [words.encode(text, control=True) for text in TEXTS]
    for name in ("bos_id", "end_ids", "eos_id", "pad_id", "add_bos", "chat_template", "control_tokens", "user_tokens"):
        assert getattr(back, name) == getattr(words, name), name


def test_a_folder_that_adds_a_beginning_is_understood(words: Tokenizer, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as RustTokenizer
    from tokenizers.processors import TemplateProcessing

    words.save(tmp_path)
    rust = RustTokenizer.from_str(words.rust.to_str())
    rust.post_processor = TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)])
    rust.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text('{"eos_token_id": [2, 0]}')
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    back = load_tokenizer(tmp_path)
    assert back.start_ids == (1,)
    assert back.encode("hey") == words.encode("hey")
    assert back.end_ids == (0, 2)
    assert back.template().source == "{{ messages[0].content }}"


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("tokenizer.json", None, r"has no tokenizer\.json"),
        ("tokenizer.json", "{}", "is not a tokeniser that can be read"),
        ("tokenizer.json", "\0\0", "is not a tokeniser that can be read"),
        ("tokenizer_config.json", "[1]", "holds no JSON object"),
    ],
)
def test_a_folder_with_a_broken_tokeniser_is_told(
    file: str, content: str | None, sentence: str, words: Tokenizer, tmp_path: Path
) -> None:
    words.save(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ModelingError, match=sentence):
        load_tokenizer(tmp_path)


def test_a_gguf_whose_tokeniser_is_not_known_is_told(words: Tokenizer, tmp_path: Path) -> None:
    model = build_model(config_from_hf({**hf_config("qwen2"), "num_hidden_layers": 1}))
    raw = export_gguf(model, tmp_path / "m.gguf", "f32", tokenizer=words).read_bytes()
    for old, new, sentence in (
        (b"smollm", b"gemma4", "in the way called 'gemma4'"),
        (b"gpt2", b"bert", "of the kind 'bert'"),
        (b"ggml.tokens", b"ggml.tokenx", "has no vocabulary"),
        (b"ggml.token_type", b"ggml.token_typo", None),
    ):
        (tmp_path / "odd.gguf").write_bytes(raw.replace(old, new))
        if sentence is None:  # without types no token is special
            assert load_tokenizer(tmp_path / "odd.gguf").control_tokens == ()
            continue
        with pytest.raises(ModelingError, match=sentence):
            load_tokenizer(tmp_path / "odd.gguf")


def test_metadata_is_read_back_as_written(tmp_path: Path) -> None:
    import struct

    from clearseek.hub.gguf_file import read_header

    pairs = {"a": True, "b": 7, "c": 1.5, "d": "text", "e": ["x", "\u00e9"], "f": [1, -2], "g": [0.5, 2.0]}
    raw = struct.pack("<4sIQQ", b"GGUF", 3, 0, len(pairs)) + encode_pairs(pairs)  # type: ignore[arg-type]
    path = tmp_path / "x.gguf"
    path.write_bytes(raw + bytes(-len(raw) % 32))
    header = read_header(path)
    assert {key: header.metadata[key] for key in "abcd"} == {key: pairs[key] for key in "abcd"}
    assert read_arrays(path, header, {"e", "f", "g"}) == {"e": ("x", "\u00e9"), "f": (1, -2), "g": (0.5, 2.0)}
    path.write_bytes(raw[:30])
    with pytest.raises(ModelingError, match="changed while it was read"):
        read_arrays(path, header, {"e"})


@pytest.mark.slow
def test_smollm2_ids_are_those_of_llama_cpp(real_model: Model) -> None:
    words = load_tokenizer(real_model.path)
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")
    with llama_cpp(real_model.path, context=64) as server:
        for text in (*TEXTS, readme, json.dumps(readme)):
            for control in (False, True):
                assert words.encode(text, control=control) == server.tokenize(text, control=control)
