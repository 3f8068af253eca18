"""Exporting: what others load is what we have, to the bit where the format allows it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from families import FAMILIES, hf_config, in_type, reference  # noqa: E402
from llama_child import llama_cpp  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from trained_words import train_tokenizer  # noqa: E402

from clearseek.hub.gguf_file import read_header  # noqa: E402
from clearseek.hub.model import Model  # noqa: E402
from clearseek.hub.requantize import requantize  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.export_gguf import export_gguf  # noqa: E402
from clearseek.modeling.export_hf import export_hf  # noqa: E402
from clearseek.modeling.hf_config import config_from_hf  # noqa: E402
from clearseek.modeling.load import build_model  # noqa: E402
from clearseek.modeling.tokenizer import Tokenizer  # noqa: E402
from clearseek.modeling.tokenizer_files import load_tokenizer  # noqa: E402


def greedy(model: torch.nn.Module, ids: list[int], tokens: int, ends: tuple[int, ...]) -> list[int]:
    cache = model.new_cache(1, len(ids) + tokens)  # type: ignore[operator]
    new, ids_BT = [], torch.tensor([ids])
    with torch.no_grad():
        for _ in range(tokens):
            token = int(model(ids_BT, cache)[0, -1].argmax())
            if token in ends:
                break
            new.append(token)
            ids_BT = torch.tensor([[token]])
    return new


def without_end(ids: list[int], ends: tuple[int, ...]) -> list[int]:
    return ids[:-1] if ids and ids[-1] in ends else ids


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_transformers_to_ours_to_transformers_is_the_same_to_the_bit(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    theirs = in_type(reference(name), dtype)
    theirs.save_pretrained(tmp_path / "theirs")  # type: ignore[operator]
    export_hf(load_model(tmp_path / "theirs", dtype), tmp_path / "ours")
    first, second = (load_file(tmp_path / who / "model.safetensors") for who in ("theirs", "ours"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) and first[key].dtype == second[key].dtype for key in first)

    back, info = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=dtype, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(back) is type(theirs)
    assert back.dtype == dtype
    ids_BT = torch.arange(150)[None]
    back.set_attn_implementation("eager")
    with torch.no_grad():
        assert torch.equal(back(ids_BT).logits, theirs(ids_BT).logits)


def test_a_folder_of_several_files_with_its_tokeniser(tmp_path: Path, words: Tokenizer) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = build_model(config_from_hf(hf_config("qwen3")))
    folder = export_hf(model, tmp_path / "m", tokenizer=words, shard_bytes=60_000, dtype=torch.bfloat16)
    names = sorted(file.name for file in folder.iterdir())
    count = len([name for name in names if name.endswith(".safetensors")])
    assert count > 3
    assert f"model-00001-of-{count:05}.safetensors" in names
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "bfloat16"
    back = AutoModelForCausalLM.from_pretrained(folder)
    assert all(torch.equal(back.state_dict()[key], t.bfloat16()) for key, t in model.state_dict().items())
    theirs = AutoTokenizer.from_pretrained(folder)
    text = "The fox doesn't <|im_end|> jump 42 times"
    assert theirs.encode(text, add_special_tokens=False) == words.encode(text, control=True)
    chat = [{"role": "user", "content": "jump"}]
    (piece,) = words.template().render(chat)
    assert theirs.apply_chat_template(chat, tokenize=False) == piece.text
    assert not list(tmp_path.glob("*.part"))


def test_what_is_there_is_not_overwritten_and_adapters_are_not_written(tmp_path: Path, words: Tokenizer) -> None:
    model = build_model(config_from_hf(hf_config("qwen2")))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "x").write_text("mine")
    with pytest.raises(ModelingError, match="is there already"):
        export_hf(model, tmp_path / "m")
    assert (tmp_path / "m" / "x").read_text() == "mine"
    model.model.layers[0].mlp.adapter = torch.nn.Linear(2, 2)  # type: ignore[union-attr, index, assignment]
    for write in (export_hf, export_gguf):
        with pytest.raises(ModelingError, match=r"merge and remove its adapter first \(model\.layers\.0\.mlp\.adapter"):
            write(model, tmp_path / "n", tokenizer=words)
    with pytest.raises(ModelingError, match="none of ClearSeek's architectures"):
        export_hf(torch.nn.Linear(2, 2), tmp_path / "n")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m"]


def test_a_gguf_needs_a_tokeniser_that_fits(tmp_path: Path, words: Tokenizer) -> None:
    model = build_model(config_from_hf({**hf_config("qwen2"), "vocab_size": 300}))
    with pytest.raises(ModelingError, match="carries its tokeniser"):
        export_gguf(model, tmp_path / "m.gguf")
    with pytest.raises(ModelingError, match="ids up to 319, and the embedding 300 rows"):
        export_gguf(model, tmp_path / "m.gguf", tokenizer=words)
    with pytest.raises(ModelingError, match="not as 'q9_9'"):
        export_gguf(model, tmp_path / "m.gguf", "q9_9", tokenizer=words)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_metadata_of_the_base_stays_byte_for_byte(tmp_path: Path, words: Tokenizer) -> None:
    torch.manual_seed(3)
    model = build_model(config_from_hf(hf_config("llama-3")))
    base = export_gguf(model, tmp_path / "base.gguf", "f32", tokenizer=words, name="Base")
    steps: list[tuple[int, int]] = []
    new = export_gguf(model, tmp_path / "new.gguf", "q8_0", base=base, progress=lambda *at: steps.append(at))
    before, after = read_header(base), read_header(new)
    assert after.quantisation == "Q8_0"
    assert dict(after.metadata) | {"general.file_type": 0} == dict(before.metadata)
    assert after.chat_template == words.chat_template
    raw, at = base.read_bytes()[: before.pairs_end], before.file_type_at
    assert at is not None
    assert new.read_bytes()[24:at] == raw[24:at]
    assert new.read_bytes()[at + 4 : before.pairs_end] == raw[at + 4 :]
    assert steps[-1] == (len(before.tensors), len(before.tensors))
    other = build_model(config_from_hf({**hf_config("llama-3"), "intermediate_size": 128}))
    with pytest.raises(ModelingError, match=r"base\.gguf is of another model: its intermediate_size is 96, and 128"):
        export_gguf(other, tmp_path / "x.gguf", base=base)


@pytest.mark.parametrize("name", FAMILIES)
def test_llama_cpp_continues_as_we_do(name: str, tmp_path: Path) -> None:
    """Every kind of the family, from nothing: names, the order of rows, biases, norms and stretched positions."""
    words = train_tokenizer("qwen2")
    torch.manual_seed(11)
    model = build_model(config_from_hf(hf_config(name))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.15)
    path = export_gguf(model, tmp_path / "m.gguf", "f32", tokenizer=words)
    prompt = words.encode("The quick brown fox doesn't jump over 12345 lazy dogs; it's 3.14 metres. " * 3)[:120]
    with llama_cpp(path, context=256, threads=1) as server:
        theirs = server.next_logprobs(prompt, 20)
        short = server.next_logprobs(prompt[:5], 20)
    with torch.no_grad():
        ours = [model(torch.tensor([ids]))[0, -1].log_softmax(-1) for ids in (prompt, prompt[:5])]
    for found, expected in zip((theirs, short), ours, strict=True):
        assert max(abs(expected[token].item() - value) for token, value in found.items()) < 0.02, name


QUESTIONS = ("What is the capital of France?", "Write one sentence about the sea.", "Name three colours.")


def answers_of_llama_cpp(path: Path, prompts: list[list[int]]) -> list[list[int]]:
    with llama_cpp(path, context=256) as server:
        return [server.greedy(prompt, 24) for prompt in prompts]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "same"), [("f32", 3), ("bf16", 2)])
def test_smollm2_exported_gives_the_same_greedy_text(kind: Any, same: int, real_model: Model, tmp_path: Path) -> None:
    """llama.cpp rounds activations to bfloat16 before it multiplies: there one near tie may fall the other way."""
    words = load_tokenizer(real_model.path)
    path = export_gguf(load_model(real_model.path), tmp_path / "m.gguf", kind, base=real_model.path)
    template = words.template()
    prompts = [words.encode_pieces(template.render([{"role": "user", "content": text}])) for text in QUESTIONS]
    model = load_model(path)
    theirs = [without_end(ids, words.end_ids) for ids in answers_of_llama_cpp(path, prompts)]
    ours = [greedy(model, prompt, 24, words.end_ids) for prompt in prompts]
    assert sum(words.decode(a) == words.decode(b) for a, b in zip(theirs, ours, strict=True)) >= same
    assert words.decode(theirs[0]).startswith("The capital of France is Paris")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_smollm2_quantised_is_the_file_that_others_make(kind: Any, real_model: Model, tmp_path: Path) -> None:
    """Quantised weights are multiplied with activations rounded to 8 bits, which no float32 model follows to the
    token; so our file is compared with one that never was a torch model, and with what llama.cpp makes of that."""
    path = export_gguf(load_model(real_model.path), tmp_path / "ours.gguf", kind, base=real_model.path)
    if kind == "q8_0":
        other = real_model.path
    else:
        exact = export_gguf(load_model(real_model.path), tmp_path / "f32.gguf", "f32", base=real_model.path)
        other = tmp_path / "theirs.gguf"
        requantize(exact, other, kind)
    assert tensor_bytes(path) == tensor_bytes(other)
    words = load_tokenizer(real_model.path)
    template = words.template()
    prompts = [words.encode_pieces(template.render([{"role": "user", "content": text}])) for text in QUESTIONS]
    found = answers_of_llama_cpp(path, prompts)
    assert found == answers_of_llama_cpp(other, prompts)
    assert all(len(ids) > 2 for ids in found)


def tensor_bytes(path: Path) -> dict[str, bytes]:
    header, raw = read_header(path), memoryview(path.read_bytes())
    start = header.data_offset
    return {
        tensor.name: hashlib.sha256(raw[start + tensor.offset :][: tensor.bytes]).digest() for tensor in header.tensors
    }
