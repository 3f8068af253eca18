"""DeepSeek-V3 from folders: in FP8 blocks as published, as `transformers` writes it, with and without MTP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fp8_writer import quantise  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.config import RopeConfig  # noqa: E402
from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.export_hf import export_hf  # noqa: E402
from clearseek.modeling.fp8_blocks import dequantise, scale_name  # noqa: E402

CONFIG = DeepseekV3Config(
    vocab_size=96,
    hidden_size=160,
    layers=2,
    heads=4,
    intermediate_size=136,
    moe_intermediate_size=40,
    q_lora_rank=136,
    kv_lora_rank=32,
    qk_nope_head_dim=32,
    qk_rope_head_dim=16,
    v_head_dim=32,
    routed_experts=8,
    experts_per_token=2,
    n_group=2,
    topk_group=1,
    first_dense_layers=1,
    mtp_layers=1,
    rope=RopeConfig(kind="yarn", factor=4.0, original_max_positions=64, mscale=1.0, mscale_all_dim=1.0),
)
IN_FP8 = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def random_state(config: DeepseekV3Config = CONFIG) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = DeepseekV3(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" in name or name.endswith("bias"):
                tensor.uniform_(0.5, 1.5)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def write(folder: Path, config: dict[str, Any], state: dict[str, Tensor], files: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    names, where = sorted(state), {}
    for number in range(files):
        part = {name: state[name] for name in names[number::files]}
        file = "model.safetensors" if files == 1 else f"model-{number + 1:05d}-of-{files:05d}.safetensors"
        save_file(part, folder / file, {"format": "pt"})
        where |= dict.fromkeys(part, file)
    if files > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


def in_fp8(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state as published (FP8 blocks, the rest in bf16), and what it means in fp32."""
    stored, meant = {}, {}
    for name, tensor in state.items():
        if name.split(".")[-2] in IN_FP8:
            stored[name], stored[scale_name(name)] = quantise(tensor)
            meant[name] = dequantise(stored[name], stored[scale_name(name)])
        elif name.endswith("e_score_correction_bias"):
            stored[name] = meant[name] = tensor
        else:
            stored[name] = tensor.to(torch.bfloat16)
            meant[name] = stored[name].float()
    return stored, meant


FP8_CONFIG = {
    **CONFIG.to_hf(),
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    },
}


def test_fp8_blocks_in_several_files(tmp_path: Path) -> None:
    stored, meant = in_fp8(random_state())
    assert len(stored) > len(meant) + 20
    model = load_model(write(tmp_path / "m", FP8_CONFIG, stored, files=3))
    assert isinstance(model, DeepseekV3)
    assert model.config.mtp_layers == 1
    expected = DeepseekV3(CONFIG).eval()
    expected.load_state_dict(meant)
    ids_BT = torch.randint(0, 96, (2, 20))
    with torch.no_grad():
        x_BTD = expected.hidden(ids_BT)
        torch.testing.assert_close(model.hidden(ids_BT), x_BTD, rtol=0, atol=0)
        ahead = [each.further(0, x_BTD[:, :-1], ids_BT[:, 1:]) for each in (model, expected)]
    torch.testing.assert_close(ahead[0], ahead[1], rtol=0, atol=0)
    state = model.state_dict()
    assert state["model.layers.2.embed_tokens.weight"].data_ptr() == state["model.embed_tokens.weight"].data_ptr()


def test_in_bfloat16_the_routers_bias_stays_exact(tmp_path: Path) -> None:
    state = random_state()
    model = load_model(write(tmp_path / "m", CONFIG.to_hf(), state), torch.bfloat16)
    name = "model.layers.1.mlp.gate.e_score_correction_bias"
    found = model.state_dict()
    assert found["lm_head.weight"].dtype == torch.bfloat16
    torch.testing.assert_close(found[name], state[name], rtol=0, atol=0)


def test_a_folder_without_the_modules_it_speaks_of(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in random_state().items() if ".layers.2." not in name}
    model = load_model(write(tmp_path / "m", CONFIG.to_hf(), state))
    assert isinstance(model, DeepseekV3)
    assert model.config.mtp_layers == 0
    assert len(model.model.layers) == 2


def test_a_folder_that_transformers_wrote(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = replace(CONFIG, mtp_layers=0)
    folder = write(tmp_path / "ours", config.to_hf(), random_state(config))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, back = load_model(folder).state_dict(), load_model(tmp_path / "theirs").state_dict()
    assert ours.keys() == back.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(back[name], tensor, rtol=0, atol=0)


def test_what_does_not_fit_is_named_with_its_file(tmp_path: Path) -> None:
    stored, _ = in_fp8(random_state())
    gone = "model.layers.1.mlp.experts.3.up_proj.weight"
    less = {name: tensor for name, tensor in stored.items() if not name.startswith(gone)}
    with pytest.raises(ModelingError, match=gone):
        load_model(write(tmp_path / "a", FP8_CONFIG, less))
    with pytest.raises(ModelingError, match="scales"):
        load_model(write(tmp_path / "b", FP8_CONFIG, {n: t for n, t in stored.items() if n != scale_name(gone)}))
    with pytest.raises(ModelingError, match=rf"scales of {gone}"):
        load_model(write(tmp_path / "c", FP8_CONFIG, {**stored, scale_name(gone): torch.ones(2, 2)}))
    more = {"model.layers.1.mlp.experts.8.up_proj.weight": torch.ones(40, 160)}
    with pytest.raises(ModelingError, match=r"experts\.8.*model\.safetensors"):
        load_model(write(tmp_path / "d", FP8_CONFIG, stored | more))


@pytest.mark.parametrize(("mtp", "tied"), [(1, False), (0, False), (1, True)])
def test_our_own_folder_and_back(tmp_path: Path, mtp: int, tied: bool) -> None:
    transformers = pytest.importorskip("transformers")
    config = replace(CONFIG, mtp_layers=mtp, tie_embeddings=tied)
    model = load_model(write(tmp_path / "first", config.to_hf(), random_state(config)))
    export_hf(model, tmp_path / "second", shard_bytes=200_000)
    assert len([*(tmp_path / "second").glob("*.safetensors")]) > 1
    back = load_model(tmp_path / "second")
    assert back.config == model.config  # type: ignore[union-attr]
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], tensor, rtol=0, atol=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "second", dtype=torch.float32)
    ids_BT = torch.randint(0, 96, (2, 20))
    with torch.no_grad():
        torch.testing.assert_close(model(ids_BT), theirs(ids_BT).logits, rtol=0, atol=1e-4)
