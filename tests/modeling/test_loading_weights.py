"""Loading: what is wrong with a folder or a GGUF is named, and what is right arrives to the bit."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from families import FAMILIES, hf_config, reference  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from clearseek.hub.errors import BadModelFile  # noqa: E402
from clearseek.modeling import load as load_module  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.export_gguf import export_gguf  # noqa: E402
from clearseek.modeling.export_hf import export_hf  # noqa: E402
from clearseek.modeling.hf_config import config_from_hf  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.modeling.load import build_model  # noqa: E402
from clearseek.modeling.tokenizer import Tokenizer  # noqa: E402


def small(name: str = "smollm2", seed: int = 0) -> Llama:
    torch.manual_seed(seed)
    model = build_model(config_from_hf(hf_config(name)))
    assert isinstance(model, Llama)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.5, 0.2)
    return model


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_hf(small("qwen3"), tmp_path_factory.mktemp("good") / "model")


def changed(good: Path, place: Path, change: Any) -> Path:
    """A copy of the folder in which `change(tensors)` has happened."""
    folder = shutil.copytree(good, place / "changed")
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_what_transformers_wrote_gives_its_logits(name: str, tmp_path: Path) -> None:
    theirs = reference(name)
    theirs.save_pretrained(tmp_path / "theirs")  # type: ignore[operator]
    ours = load_model(tmp_path / "theirs")
    ids_BT = torch.randint(0, 320, (1, 150), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert (theirs(ids_BT).logits - ours(ids_BT)).abs().max() <= 1e-4


def test_several_files_and_their_index(tmp_path: Path) -> None:
    theirs = reference("qwen2-yarn")
    theirs.save_pretrained(tmp_path / "m", max_shard_size="50KB")  # type: ignore[operator]
    assert len(list((tmp_path / "m").glob("*.safetensors"))) > 3
    ours = load_model(tmp_path / "m")
    assert all(torch.equal(ours.state_dict()[key], tensor) for key, tensor in theirs.state_dict().items())

    gone = sorted((tmp_path / "m").glob("*.safetensors"))[1]
    gone.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelingError, match=f"lacks files that its index names: {gone.name}"):
        load_model(tmp_path / "m")


def test_an_index_may_not_lead_out_of_the_folder(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "m")
    index = {"weight_map": {"lm_head.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelingError, match="not safetensors beside it"):
        load_model(folder)


def test_what_an_index_promises_and_no_file_holds_is_named(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "m")
    index = {"weight_map": {"lm_head.weight": "model.safetensors", "ghost": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelingError, match=r"promises: ghost \(in model.safetensors\)"):
        load_model(folder)


def test_missing_extra_and_misshapen_tensors_are_named_with_their_file(good: Path, tmp_path: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["model.norm.weight"]
        tensors["model.layers.9.extra.weight"] = torch.zeros(2)
        tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(96, 65)

    with pytest.raises(ModelingError) as told:
        load_model(changed(good, tmp_path, change))
    said = str(told.value)
    assert "missing: model.norm.weight" in said
    assert "model.layers.9.extra.weight (model.safetensors)" in said
    assert "model.layers.0.mlp.up_proj.weight is 96 x 65 and should be 96 x 64 (model.safetensors)" in said


def test_tied_weights_that_were_written_out_are_no_extra(tmp_path: Path) -> None:
    model = small("smollm2")
    folder = export_hf(model, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)  # old files have it
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load_model(folder)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_file_cut_short_is_told(good: Path, tmp_path: Path, share: float) -> None:
    folder = shutil.copytree(good, tmp_path / "m")
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(ModelingError, match="is not whole safetensors"):
        load_model(folder)


def test_a_header_that_lies_is_told(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "m")
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[:8] = (1 << 62).to_bytes(8, "little")
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(ModelingError, match="is not whole safetensors"):
        load_model(folder)


def test_pickles_are_not_opened(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelingError, match="run programs when they are opened"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ("[" * 100_000, "is not JSON"),
        ('{"model_type": "gpt_neox"}', "'gpt_neox' is not supported; the nearest one"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told(good: Path, tmp_path: Path, content: str, sentence: str) -> None:
    folder = shutil.copytree(good, tmp_path / "m")
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelingError, match=sentence):
        load_model(folder)


def test_places_that_are_no_model_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelingError, match="There is no folder and no file"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelingError, match=r"has no config\.json"):
        load_model(tmp_path)
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(3))
    with pytest.raises(BadModelFile):
        load_model(tmp_path / "x.gguf")
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(ModelingError, match="name the folder"):
        load_model(tmp_path / "x.safetensors")


def test_too_little_memory_is_said_before_loading_with_the_sum(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "available_memory", lambda: 100_000)
    with pytest.raises(ModelingError, match=r"GB of memory and 0\.00 GB are free: \d+M numbers x 2 bytes = "):
        load_model(good, dtype=torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_type_is_the_one_asked_for(good: Path, dtype: torch.dtype) -> None:
    model = load_model(good, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert not model.training
    with pytest.raises(ModelingError, match="cannot be held as"):
        load_model(good, dtype=torch.int8)


def test_the_model_does_not_hang_on_its_file(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "m")
    model = load_model(folder)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(4096)
        file.write(bytes(20_000))
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_gguf_of_float32_gives_back_the_model_to_the_bit(name: str, tmp_path: Path, words: Tokenizer) -> None:
    model = small(name)
    loaded = load_model(export_gguf(model, tmp_path / "m.gguf", "f32", tokenizer=words))
    ids = {"bos_token_id": words.bos_id, "eos_token_ids": (words.eos_id,)}
    assert loaded.config == dataclasses.replace(model.config, **ids)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in loaded.state_dict().items())


@pytest.mark.parametrize(("kind", "error"), [("f16", 1e-3), ("bf16", 5e-3), ("q8_0", 1e-2), ("q4_0", 0.15)])
def test_a_gguf_of_fewer_bits_is_near(kind: Any, error: float, tmp_path: Path, words: Tokenizer) -> None:
    model = small("qwen2")
    loaded = load_model(export_gguf(model, tmp_path / "m.gguf", kind, tokenizer=words)).state_dict()
    for key, tensor in model.state_dict().items():
        assert (loaded[key] - tensor).abs().max() <= error, key
        if tensor.ndim == 1:
            assert torch.equal(loaded[key], tensor)


@pytest.mark.parametrize("kind", ["Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"])
def test_the_other_quantisations_are_read_as_the_library_reads_them(kind: str, tmp_path: Path) -> None:
    import gguf
    import numpy as np

    from clearseek.hub.gguf_file import read_header
    from clearseek.modeling.gguf_weights import read_tensor

    label = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[label]
    raw = np.random.default_rng(5).integers(0, 100, (24, 512 // block * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(str(tmp_path / "x.gguf"), "llama")
    writer.add_tensor("token_embd.weight", raw, raw_dtype=label)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    header = read_header(tmp_path / "x.gguf")
    found = read_tensor(tmp_path / "x.gguf", header, header.tensors[0])
    expected = torch.from_numpy(gguf.quants.dequantize(raw, label))
    assert found.shape == (24, 512)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_a_gguf_of_another_architecture_is_named_with_the_nearest(tmp_path: Path, words: Tokenizer) -> None:
    path = export_gguf(small("qwen2"), tmp_path / "m.gguf", "f32", tokenizer=words)
    raw = path.read_bytes()
    for other, near in ((b"phi35", "llama"), (b"qwen9", "llama")):
        (tmp_path / "other.gguf").write_bytes(raw.replace(b"qwen2", other))
        with pytest.raises(ModelingError, match=f"architecture '{other.decode()}'.*nearest one that is known: {near}"):
            load_model(tmp_path / "other.gguf")


def test_a_gguf_cut_short_or_lacking_a_tensor_is_told(tmp_path: Path, words: Tokenizer) -> None:
    path = export_gguf(small("qwen3"), tmp_path / "m.gguf", "q8_0", tokenizer=words)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1000])
    with pytest.raises(BadModelFile):
        load_model(path)
    path.write_bytes(raw.replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xp.weight"))
    with pytest.raises(ModelingError, match=r"missing: model\.layers\.1\.mlp\.up_proj\.weight; not part .*m\.gguf"):
        load_model(path)
