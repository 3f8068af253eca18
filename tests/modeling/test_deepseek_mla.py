"""Latent attention: two ways that are one, the cache's size, the blockwise kernel, adapters."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from clearseek.modeling import mla  # noqa: E402
from clearseek.modeling.config import RopeConfig  # noqa: E402
from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.lora import put_lora  # noqa: E402
from clearseek.modeling.mla import LatentAttention, LatentCache, Past  # noqa: E402
from clearseek.modeling.rope import Rope  # noqa: E402

YARN = RopeConfig(kind="yarn", factor=40.0, original_max_positions=64, mscale=1.0, mscale_all_dim=1.0)
CONFIG = DeepseekV3Config(
    vocab_size=64,
    hidden_size=96,
    layers=2,
    heads=6,
    intermediate_size=64,
    moe_intermediate_size=16,
    q_lora_rank=32,
    kv_lora_rank=48,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=20,
    routed_experts=4,
    experts_per_token=2,
    n_group=1,
    topk_group=1,
    first_dense_layers=1,
    mtp_layers=0,
    rope=YARN,
    initializer_range=0.2,
)


def attention(config: DeepseekV3Config = CONFIG) -> LatentAttention:
    torch.manual_seed(0)
    layer = LatentAttention(config)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter == 1))
    return layer


def turns_at(positions_BT: Tensor) -> tuple[Tensor, Tensor]:
    return Rope(CONFIG.rope, CONFIG.qk_rope_head_dim).interleaved(positions_BT, torch.float32)


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_absorbed_equals_expanded(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    layer = attention()
    rows, before = 3, 50
    x_BTD = torch.randn(rows, before + tokens, 96)
    ends_B = torch.tensor([before, 20, 1])  # rows at different positions
    found = []
    with torch.no_grad():
        for absorb, limit in ((False, mla.MANY_SCORES), (True, mla.MANY_SCORES), (True, 100)):
            monkeypatch.setattr(mla, "MANY_SCORES", limit)
            cache = LatentCache(1, rows, 64, CONFIG.latent_size, torch.float32)
            at_BT = torch.arange(before).expand(rows, -1)
            seen = torch.arange(before) <= at_BT[:, None, :, None]
            layer(x_BTD[:, :before], turns_at(at_BT), seen, Past(cache, 0, at_BT, before), absorb=False)
            at_BT = ends_B[:, None] + torch.arange(tokens)
            reach = before + tokens
            mask = torch.arange(reach) <= at_BT[:, None, :, None]
            found.append(layer(x_BTD[:, before:], turns_at(at_BT), mask, Past(cache, 0, at_BT, reach), absorb=absorb))
    assert found[0].abs().max() > 0.1
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[2], found[0], rtol=0, atol=1e-5)


def test_absorbed_equals_expanded_without_a_cache_and_in_its_gradients() -> None:
    layer = attention()
    x_BTD = torch.randn(2, 9, 96)
    turns = turns_at(torch.arange(9)[None])
    gradients = []
    for absorb in (False, True):
        layer.zero_grad()
        layer(x_BTD, turns, None, None, absorb=absorb).square().sum().backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in layer.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-3 * float(gradient.abs().max()))


def test_the_way_is_chosen_by_what_it_costs() -> None:
    published = LatentAttention(
        DeepseekV3Config(hidden_size=64, heads=2)  # ranks and head widths as published; few heads, to be small
    )
    assert published._absorbing_is_cheaper(1, 4096)
    assert published._absorbing_is_cheaper(2, 4096)
    assert not published._absorbing_is_cheaper(4096, 4096)
    assert not published._absorbing_is_cheaper(1, 1)


def test_cache_bytes_are_the_latents_and_nothing_else() -> None:
    config = replace(CONFIG, kv_lora_rank=512, qk_rope_head_dim=64, layers=3, mtp_layers=1)
    model = DeepseekV3(config)
    for dtype, size in ((torch.float32, 4), (torch.bfloat16, 2)):
        cache = model.new_cache(5, 7, dtype)
        assert cache.bytes == 576 * 3 * size * 5 * 7  # values x layers x bytes of one, for each token of each row
    assert model.new_cache(1, 1, torch.bfloat16, mtp=True).bytes == 576 * 4 * 2
    # as published: 61 layers in bf16, 70,272 bytes a token (arXiv 2505.09343, table 1, says 70.272 KB)
    assert LatentCache(61, 1, 1, DeepseekV3Config().latent_size, torch.bfloat16).bytes == 70_272


def test_a_step_with_a_cache_in_another_type() -> None:
    torch.manual_seed(0)
    model = DeepseekV3(CONFIG).eval()
    ids_BT = torch.randint(0, 64, (2, 20))
    with torch.no_grad():
        cache = model.new_cache(2, 20, torch.bfloat16)
        model.hidden(ids_BT[:, :19], cache)
        step, whole = model(ids_BT[:, 19:], cache), model(ids_BT)[:, 19:]
    assert cache.latent_LBSZ.dtype == torch.bfloat16
    assert (step - whole).abs().max() < 0.05 * whole.abs().max()


@pytest.mark.parametrize("through_cache", [False, True])
def test_the_blockwise_kernel_gives_the_same(monkeypatch: pytest.MonkeyPatch, through_cache: bool) -> None:
    torch.manual_seed(0)
    model = DeepseekV3(CONFIG).eval()
    ids_BT = torch.randint(0, 64, (2, 33))

    def run() -> Tensor:
        if not through_cache:
            return model(ids_BT)
        cache = model.new_cache(2, 40)
        return torch.cat((model(ids_BT[:, :9], cache), model(ids_BT[:, 9:], cache)), dim=1)

    with torch.no_grad():
        plain = run()
        monkeypatch.setattr(mla, "MANY_SCORES", 0)
        torch.testing.assert_close(run(), plain, rtol=0, atol=1e-4)


def test_a_mask_keeps_packed_texts_apart() -> None:
    torch.manual_seed(0)
    model = DeepseekV3(CONFIG).eval()
    first, second = torch.randint(0, 64, (1, 8)), torch.randint(0, 64, (1, 5))
    text_T = torch.tensor([0] * 8 + [1] * 5)
    mask = (text_T[:, None] == text_T) & torch.ones(13, 13, dtype=torch.bool).tril()
    positions = torch.cat((torch.arange(8), torch.arange(5)))[None]
    with torch.no_grad():
        packed = model.hidden(torch.cat((first, second), 1), positions_BT=positions, mask=mask[None, None])
        torch.testing.assert_close(packed[:, :8], model.hidden(first), rtol=0, atol=1e-4)
        torch.testing.assert_close(packed[:, 8:], model.hidden(second), rtol=0, atol=1e-4)


def test_an_adapter_on_the_absorbed_matrix_counts() -> None:
    torch.manual_seed(0)
    model = DeepseekV3(CONFIG).eval()
    for number in range(2):
        layer = put_lora(model, f"model.layers.{number}.self_attn.kv_b_proj", 4, 8.0, 2.0)
        torch.nn.init.normal_(layer.lora_A, std=0.3)
        torch.nn.init.normal_(layer.lora_B, std=0.3)
    ids_BT = torch.randint(0, 64, (1, 30))
    cache = model.new_cache(1, 30)
    with torch.no_grad():
        model.hidden(ids_BT[:, :29], cache)
        assert model.model.layers[0].self_attn._absorbing_is_cheaper(1, 30)
        torch.testing.assert_close(model(ids_BT[:, 29:], cache), model(ids_BT)[:, 29:], rtol=0, atol=1e-4)
