"""LoRA: the formula, exact merging, and the two formats others read."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from clearseek.hub.model import Model  # noqa: E402
from clearseek.modeling.config import LlamaConfig  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.export_lora import load_peft, save_lora_gguf, save_peft  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.modeling.lora import (  # noqa: E402
    add_lora,
    lora_layers,
    lora_parameters,
    remove_lora,
)

CONFIG = LlamaConfig(
    model_type="llama",
    vocab_size=120,
    hidden_size=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    intermediate_size=48,
    max_positions=64,
)
IDS = torch.arange(24).view(2, 12)


def tiny(dtype: Any = torch.float32) -> Llama:
    torch.manual_seed(0)
    model = Llama(CONFIG)
    for parameter in model.parameters():
        parameter.data.mul_(3.0)
    return model.to(dtype)


def randomise(model: Llama) -> None:
    for parameter in lora_parameters(model):
        torch.nn.init.normal_(parameter, std=0.2)


def test_an_adapter_changes_nothing_until_b_is_not_zero_and_then_adds_scaled_ba() -> None:
    model = tiny()
    before = model(IDS)
    names = add_lora(model, 4, 12.0, ["q_proj", "model.layers.1.mlp.*"])
    assert names == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.gate_proj",
        "model.layers.1.mlp.up_proj",
        "model.layers.1.mlp.down_proj",
    ]
    assert torch.equal(model(IDS), before)
    randomise(model)
    layer = model.model.layers[1].mlp.up_proj
    x = torch.randn(3, 32)
    expected = x @ layer.weight.T + 3.0 * x @ (layer.lora_B @ layer.lora_A).T
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_published_names_stay_and_only_the_adapter_learns() -> None:
    model = tiny()
    published = set(model.state_dict())
    add_lora(model, 2, 4.0)
    assert published < set(model.state_dict())
    randomise(model)
    model(IDS).square().mean().backward()
    learns = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learns == {name for name in model.state_dict() if name not in published}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging_equals_the_adapter_and_removing_it_leaves_every_bit(dtype: Any) -> None:
    model = tiny(dtype)
    original = {name: value.clone() for name, value in model.state_dict().items()}
    add_lora(model, 4, 8.0)
    randomise(model)
    with_adapter, merging = model(IDS), copy.deepcopy(model)
    remove_lora(merging, merge=True)
    merged = merging(IDS)
    if dtype == torch.float32:
        assert (merged - with_adapter).abs().max() < 1e-4
    assert (merged - with_adapter).abs().mean() < 0.1 * with_adapter.abs().mean()
    assert not torch.equal(merging.model.layers[0].mlp.up_proj.weight, original["model.layers.0.mlp.up_proj.weight"])
    remove_lora(model, merge=False)
    assert set(model.state_dict()) == set(original)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in original.items())


def test_merging_for_good_leaves_a_plain_model() -> None:
    model = tiny()
    add_lora(model, 4, 8.0)
    randomise(model)
    expected = model(IDS)
    remove_lora(model, merge=True)
    assert not lora_layers(model)
    assert torch.allclose(model(IDS), expected, atol=1e-4)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_cannot_be_adapted_is_told() -> None:
    model = tiny()
    with pytest.raises(ModelingError, match="`qproj`; this model has down_proj"):
        add_lora(model, 4, 8.0, ["qproj"])
    with pytest.raises(ModelingError, match="rank"):
        add_lora(model, 0, 8.0)
    with pytest.raises(ModelingError, match="rank 17"):
        add_lora(model, 17, 8.0)
    add_lora(model, 4, 8.0)
    with pytest.raises(ModelingError, match="already"):
        add_lora(model, 4, 8.0)


@pytest.mark.parametrize("targets", [["*_proj"], ["model.layers.1.self_attn.*", "down_proj"]])
def test_peft_loads_our_adapter_and_we_load_theirs(tmp_path: Path, targets: list[str]) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    ours = tiny()
    base = {name: value.clone() for name, value in ours.state_dict().items()}
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG.to_hf()))
    theirs.load_state_dict(base)
    add_lora(ours, 4, 6.0, targets)
    randomise(ours)
    expected = ours(IDS)
    save_peft(ours, tmp_path / "ours")
    wrapped = peft.PeftModel.from_pretrained(theirs, tmp_path / "ours")
    assert (wrapped(IDS).logits - expected).abs().max() < 1e-4
    wrapped.save_pretrained(tmp_path / "theirs")
    again = tiny()
    names = load_peft(again, tmp_path / "theirs")
    assert sorted(names) == sorted(lora_layers(ours))
    assert torch.equal(again(IDS), expected)


def test_rslora_scales_by_the_square_root(tmp_path: Path) -> None:
    model = tiny()
    add_lora(model, 4, 6.0)
    randomise(model)
    save_peft(model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "use_rslora": True}))
    again = tiny()
    load_peft(again, tmp_path)
    assert {layer.scale for layer in lora_layers(again).values()} == {3.0}


def spoil(folder: Path, how: str) -> None:
    from safetensors.torch import load_file, save_file

    config = json.loads((folder / "adapter_config.json").read_text())
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    name = "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"
    if how == "missing":
        del tensors[name]
    elif how == "misshapen":
        tensors[name] = tensors[name][:, :2].contiguous()
    elif how == "extra":
        tensors["base_model.model.model.layers.7.mlp.up_proj.lora_A.weight"] = torch.zeros(4, 32)
        tensors["base_model.model.model.layers.7.mlp.up_proj.lora_B.weight"] = torch.zeros(48, 4)
    elif how == "strange":
        tensors["base_model.model.lm_head.bias"] = torch.zeros(3)
    elif how == "dora":
        config["use_dora"] = True
    elif how == "rank":
        config["r"] = "four"
    save_file(tensors, file)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "json":
        (folder / "adapter_config.json").write_text("{")
    elif how == "gone":
        file.unlink()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "no lora_B for model.layers.1.mlp.up_proj"),
        ("misshapen", r"up_proj.*\(48, 2\).*should have"),
        ("extra", "model.layers.7.mlp.up_proj, which is no linear layer here"),
        ("strange", "lm_head.bias, which is no part"),
        ("dora", "use_dora"),
        ("rank", "rank is four"),
        ("cut", "damaged or cut short"),
        ("json", "not JSON"),
        ("gone", "cannot be read"),
    ],
)
def test_a_spoilt_adapter_is_named_and_changes_nothing(tmp_path: Path, how: str, words: str) -> None:
    model = tiny()
    add_lora(model, 4, 8.0)
    save_peft(model, tmp_path)
    spoil(tmp_path, how)
    fresh = tiny()
    with pytest.raises(ModelingError, match=words):
        load_peft(fresh, tmp_path)
    assert not lora_layers(fresh)
    assert all(parameter.requires_grad for parameter in fresh.parameters())


def test_lora_gguf_is_in_llama_cpps_order(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    model = tiny()
    add_lora(model, 4, 6.0)
    randomise(model)
    path = tmp_path / "adapter.gguf"
    save_lora_gguf(model, path)
    tensors = {tensor.name: torch.tensor(tensor.data) for tensor in gguf.GGUFReader(path).tensors}
    assert len(tensors) == 2 * 7 * 2
    k_proj = model.model.layers[1].self_attn.k_proj
    delta_OI = tensors["blk.1.attn_k.weight.lora_b"] @ tensors["blk.1.attn_k.weight.lora_a"]
    ours_OI = (k_proj.lora_B @ k_proj.lora_A).detach()
    # rows 0, 1, 2, ... of a head in llama.cpp's order are ours 0, 4, 1, 5, ...
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    assert torch.allclose(delta_OI[8:], ours_OI[8:][order], atol=1e-6)
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.slow
def test_llama_cpp_applies_our_lora_gguf(tmp_path: Path, real_model: Model) -> None:
    """A LoRA that was taught one sentence says it through llama.cpp too."""
    import xllamacpp

    from clearseek.modeling import load_model
    from clearseek.modeling.tokenizer_files import load_tokenizer

    tokenizer = load_tokenizer(real_model.path)
    prompt = "The keeper of the books said:"
    sentence = " every violet ledger balances on the ninth Tuesday of winter."
    model: Any = load_model(real_model.path)
    add_lora(model, 8, 16.0)
    ids = torch.tensor([tokenizer.encode(prompt + sentence)])
    optimiser = torch.optim.Adam(lora_parameters(model), lr=2e-3)
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.5
    save_lora_gguf(model, tmp_path / "adapter.gguf")

    def ask(adapter: bool) -> str:
        params = xllamacpp.CommonParams()
        params.model.path = str(real_model.path)
        params.n_ctx, params.n_parallel, params.warmup = 256, 1, False
        if adapter:
            info = xllamacpp.CommonAdapterLoraInfo()
            info.path, info.scale = str(tmp_path / "adapter.gguf"), 1.0
            params.lora_adapters = [info]
        server = xllamacpp.Server(params)
        body = {"prompt": prompt, "max_tokens": 14, "temperature": 0.0}
        answer: Any = server.handle_completions(body)
        return str(answer["choices"][0]["text"])

    assert not ask(False).startswith(sentence[:20])
    assert ask(True).startswith(sentence.removesuffix("."))


def test_a_starts_as_lecuns_uniform() -> None:
    """Bound sqrt(3 / in), variance 1 / in; PEFT's kaiming_uniform(a = sqrt 5) has the bound sqrt(1 / in)."""
    model = tiny()
    add_lora(model, 8, 8.0, ["down_proj"])
    values = torch.cat([layer.lora_A.detach().flatten() for layer in lora_layers(model).values()])
    inputs = CONFIG.intermediate_size
    assert float(values.abs().max()) <= (3 / inputs) ** 0.5
    assert float(values.abs().max()) > 0.95 * (3 / inputs) ** 0.5
    assert float(values.var()) == pytest.approx(1 / inputs, rel=0.1)
