"""Experts: the choice by hand, the balance loss by hand, the bias that evens the load."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.moe import (  # noqa: E402
    MoE,
    Router,
    Routing,
    balance_loss,
    choose,
    load_of,
    loads_of,
    update_bias,
)

CONFIG = DeepseekV3Config(
    vocab_size=32,
    hidden_size=16,
    layers=2,
    heads=2,
    intermediate_size=16,
    moe_intermediate_size=8,
    q_lora_rank=None,
    kv_lora_rank=8,
    qk_nope_head_dim=4,
    qk_rope_head_dim=4,
    v_head_dim=4,
    routed_experts=8,
    experts_per_token=2,
    n_group=4,
    topk_group=2,
    first_dense_layers=0,
    mtp_layers=0,
)


def test_groups_limit_the_choice() -> None:
    # pairs of experts are groups, with sums .9, 1.0, .8, .3; the best expert of all stands in a closed group
    scores = torch.tensor([[0.5, 0.4, 0.45, 0.55, 0.79, 0.01, 0.2, 0.1]])
    assert sorted(choose(scores, CONFIG)[0].tolist()) == [0, 3]
    assert sorted(choose(scores, replace(CONFIG, topk_group=1))[0].tolist()) == [2, 3]
    assert sorted(choose(scores, replace(CONFIG, n_group=1, topk_group=1))[0].tolist()) == [3, 4]


def test_a_closed_group_stays_closed_when_every_score_is_negative() -> None:
    scores = torch.tensor([[-5.0, -6.0, -4.0, -3.0, -9.0, -8.0, -7.0, -9.5]])
    assert sorted(choose(scores, replace(CONFIG, topk_group=1))[0].tolist()) == [2, 3]


def test_the_bias_chooses_but_does_not_weigh() -> None:
    router = Router(replace(CONFIG, n_group=1, topk_group=1))
    x_ND = torch.randn(5, 16)
    router.e_score_correction_bias[6] = 10.0
    scores_NE, index_NK, weight_NK = router(x_ND)
    assert (index_NK == 6).any(-1).all()
    expected = scores_NE.gather(1, index_NK)
    torch.testing.assert_close(weight_NK, 2.5 * expected / expected.sum(-1, keepdim=True))


def test_each_token_gets_its_experts_and_the_shared_one() -> None:
    torch.manual_seed(0)
    layer = MoE(replace(CONFIG, initializer_range=0.5), 0)
    x_BTD = torch.randn(2, 5, 16)
    routes: list[Routing] = []
    found = layer(x_BTD, routes)
    assert layer.shared_experts is not None
    for b in range(2):
        for t in range(5):
            expected = layer.shared_experts(x_BTD[b, t])
            for k in range(2):
                expert = layer.experts[int(routes[0].index_BTK[b, t, k])]
                expected = expected + routes[0].weight_BTK[b, t, k] * expert(x_BTD[b, t])
            torch.testing.assert_close(found[b, t], expected, rtol=1e-4, atol=1e-5)


def test_without_shared_experts() -> None:
    layer = MoE(replace(CONFIG, shared_experts=0), 0)
    assert layer(torch.randn(1, 3, 16)).shape == (1, 3, 16)
    assert not any("shared" in name for name in layer.state_dict())


def test_the_bias_stays_exact_when_the_model_becomes_bfloat16() -> None:
    model = DeepseekV3(CONFIG)
    routers = [module for module in model.modules() if isinstance(module, Router)]
    for router in routers:
        router.e_score_correction_bias += 0.3001
    model.to(torch.bfloat16)
    for router in routers:
        assert router.weight.dtype == torch.bfloat16
        assert router.e_score_correction_bias.dtype == torch.float32
        assert float(router.e_score_correction_bias[0]) == pytest.approx(0.3001, abs=1e-7)
    with torch.device("meta"):
        shell = DeepseekV3(CONFIG).to(torch.bfloat16)
    made = shell.to_empty(device="cpu")
    assert made.model.layers[0].mlp.gate.e_score_correction_bias.dtype == torch.float32
    assert made.model.layers[0].mlp.gate.e_score_correction_bias.device.type == "cpu"


def test_loads_are_counted_and_a_mask_leaves_padding_out() -> None:
    index = torch.tensor([[[0, 1], [0, 2], [7, 1]]])
    routing = Routing(0, torch.zeros(1, 3, 8), index, torch.zeros(1, 3, 2))
    assert load_of(routing).tolist() == [2, 2, 1, 0, 0, 0, 0, 1]
    assert load_of(routing, torch.tensor([[1, 1, 0]])).tolist() == [2, 1, 1, 0, 0, 0, 0, 0]
    twice = loads_of([routing, replace(routing, layer=4), routing])
    assert twice[0].tolist() == [4, 4, 2, 0, 0, 0, 0, 2]
    assert twice[4].tolist() == [2, 2, 1, 0, 0, 0, 0, 1]


def test_the_bias_moves_against_the_load_and_takes_no_gradient() -> None:
    model = DeepseekV3(replace(CONFIG, layers=1))
    router = next(module for module in model.modules() if isinstance(module, Router))
    update_bias(model, {0: torch.tensor([9, 1, 5, 5, 5, 5, 5, 5])}, rate=0.01)
    assert router.e_score_correction_bias.tolist() == pytest.approx([-0.01, 0.01, 0, 0, 0, 0, 0, 0])
    assert "e_score_correction_bias" not in dict(router.named_parameters())
    for wrong in ({3: torch.ones(8)}, {0: torch.ones(4)}):
        with pytest.raises(ModelingError, match=r"no . routed experts"):
            update_bias(model, wrong)


def test_the_balance_loss_by_hand() -> None:
    scores = torch.rand(2, 5, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    expected = 0.0
    for b, tokens in enumerate((5, 3)):
        for e in range(8):
            f = sum(e in scores[b, t].topk(2).indices.tolist() for t in range(tokens)) * 8 / (2 * tokens)
            p = sum(float(scores[b, t, e] / scores[b, t].sum()) for t in range(tokens)) / tokens
            expected += 0.01 * f * p / 2
    routing = Routing(0, scores, torch.zeros(2, 5, 2, dtype=torch.int64), torch.zeros(2, 5, 2))
    assert float(balance_loss([routing], mask, weight=0.01)) == pytest.approx(expected, rel=1e-5)
    assert float(balance_loss([routing, routing], mask, weight=0.01)) == pytest.approx(2 * expected, rel=1e-5)
    assert float(balance_loss([])) == 0


def test_the_balance_loss_pulls_scores_towards_even() -> None:
    torch.manual_seed(0)
    model = DeepseekV3(replace(CONFIG, n_group=1, topk_group=1))
    ids_BT = torch.randint(0, 32, (4, 16))
    routes: list[Routing] = []
    model(ids_BT, routes=routes)
    loss = balance_loss(routes, weight=1.0)
    loss.backward()
    assert float(loss.detach()) > 2 * 0.99  # at least 1 for each of two layers, near it when even
    gradient = model.model.layers[0].mlp.gate.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_a_few_hundred_updates_even_a_lopsided_router() -> None:
    torch.manual_seed(0)
    model = DeepseekV3(replace(CONFIG, layers=1, n_group=1, topk_group=1, initializer_range=0.3)).eval()
    ids_BT = torch.randint(0, 32, (8, 32))
    spread = []
    with torch.no_grad():
        for _ in range(300):
            routes: list[Routing] = []
            model.hidden(ids_BT, routes=routes)
            loads = loads_of(routes)
            load_E = loads[0].float()
            spread.append(float(load_E.max() / load_E.mean() - 1))
            update_bias(model, loads, rate=0.003)
    assert spread[0] > 0.5
    assert spread[-1] < 0.1
