"""Multi-token prediction: against `transformers`, its loss, and speculative decoding that changes no distribution."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch.nn import functional  # noqa: E402

from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.mtp import check, draw, mtp_loss, speculate  # noqa: E402

CONFIG = DeepseekV3Config(
    vocab_size=48,
    hidden_size=32,
    layers=2,
    heads=2,
    intermediate_size=48,
    moe_intermediate_size=16,
    q_lora_rank=None,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=4,
    v_head_dim=8,
    routed_experts=8,
    experts_per_token=2,
    n_group=2,
    topk_group=1,
    first_dense_layers=1,
    mtp_layers=1,
    initializer_range=0.3,
)


def model_of(config: DeepseekV3Config, seed: int = 0) -> DeepseekV3:
    torch.manual_seed(seed)
    model = DeepseekV3(config).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" in name:
                tensor.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("depths", [1, 2])
def test_modules_equal_those_of_transformers(depths: int) -> None:
    from transformers.cache_utils import DynamicCache
    from transformers.modeling_layers import MtpModel

    model = model_of(replace(CONFIG, mtp_layers=depths))
    config = model.config
    made = transformers.AutoConfig.for_model(**config.to_hf())
    made._attn_implementation = "eager"
    main = transformers.DeepseekV3ForCausalLM(made).eval()
    theirs = MtpModel(main, depths).eval()
    ours = dict(model.state_dict())
    with torch.no_grad():
        for name, tensor in main.state_dict().items():
            if name in ours:
                tensor.copy_(ours[name])
        for depth, layer in enumerate(theirs.layers):
            at = f"model.layers.{config.layers + depth}."
            for name, tensor in layer.state_dict().items():
                own = name.replace("mtp_block.", "").replace("post_norm.", "shared_head.norm.")
                if ".experts." in name:
                    each = [f"{at}mlp.experts.{e}." for e in range(config.routed_experts)]
                    if name.endswith("down_proj"):
                        tensor.copy_(torch.stack([ours[e + "down_proj.weight"] for e in each]))
                    else:
                        both = [torch.cat((ours[e + "gate_proj.weight"], ours[e + "up_proj.weight"])) for e in each]
                        tensor.copy_(torch.stack(both))
                else:
                    tensor.copy_(ours[at + own])
        ids_BT = torch.randint(0, config.vocab_size, (1, 20))
        x_BTD = y_BTD = model.hidden(ids_BT)
        for depth in range(depths):
            ids = ids_BT[:, depth + 1 :]
            positions = torch.arange(depth + 1, 20)[None]  # theirs are the next token's; only differences matter
            x_BTD = model.further(depth, x_BTD[:, :-1], ids)
            y_BTD = theirs.forward_layer(depth, y_BTD[:, :-1], positions, DynamicCache(), input_ids=ids)
            torch.testing.assert_close(x_BTD, y_BTD, rtol=0, atol=1e-4)
            torch.testing.assert_close(model.logits(x_BTD), main.lm_head(y_BTD), rtol=0, atol=1e-4)


def test_with_a_cache_as_without() -> None:
    model = model_of(CONFIG)
    ids_BT = torch.randint(0, 48, (2, 12))
    cache = model.new_cache(2, 12, mtp=True)
    with torch.no_grad():
        whole = model.further(0, model.hidden(ids_BT)[:, :-1], ids_BT[:, 1:])
        x_BTD = model.hidden(ids_BT, cache)
        parts = [
            model.further(0, x_BTD[:, a:b], ids_BT[:, a + 1 : b + 1], cache, torch.arange(a, b).expand(2, -1))
            for a, b in ((0, 6), (6, 7), (7, 11))
        ]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-4)


def test_the_modules_share_embedding_and_head() -> None:
    model = model_of(CONFIG)
    state = model.state_dict()
    assert state["model.layers.2.embed_tokens.weight"].data_ptr() == state["model.embed_tokens.weight"].data_ptr()
    assert state["model.layers.2.shared_head.head.weight"].data_ptr() == state["lm_head.weight"].data_ptr()
    names = {name for name, _ in model.named_parameters()}
    assert {"lm_head.weight", "model.embed_tokens.weight"} <= names
    assert not {"model.layers.2.embed_tokens.weight", "model.layers.2.shared_head.head.weight"} & names


def test_what_is_not_there_is_told() -> None:
    model = model_of(CONFIG)
    ids_BT = torch.zeros(1, 4, dtype=torch.int64)
    x_BTD = model.hidden(ids_BT)
    with pytest.raises(ModelingError, match="1 tokens further"):
        model.further(1, x_BTD, ids_BT)
    with pytest.raises(ModelingError, match="mtp=True"):
        model.further(0, x_BTD, ids_BT, model.new_cache(1, 4), torch.arange(4)[None])
    with pytest.raises(ModelingError, match="positions"):
        model.further(0, x_BTD, ids_BT, model.new_cache(1, 4, mtp=True))
    with pytest.raises(ModelingError, match="MTP"):
        speculate(model_of(replace(CONFIG, mtp_layers=0)), ids_BT[0], 4)


def test_the_loss_by_hand() -> None:
    model = model_of(replace(CONFIG, mtp_layers=2))
    ids_BT = torch.randint(0, 48, (2, 9))
    mask_BT = torch.ones(2, 9, dtype=torch.bool)
    mask_BT[1, 6:] = False
    with torch.no_grad():
        x_BTD = model.hidden(ids_BT)
        first = model.further(0, x_BTD[:, :-1], ids_BT[:, 1:])
        second = model.further(1, first[:, :-1], ids_BT[:, 2:])
        expected = 0.0
        for depth, states in enumerate((first, second)):
            losses = []
            for row in range(2):
                for place in range(9 - depth - 2):
                    target = place + depth + 2
                    if mask_BT[row, target]:
                        logits_V = model.logits(states[row, place])
                        losses.append(float(-logits_V.log_softmax(-1)[ids_BT[row, target]]))
            expected += sum(losses) / len(losses)
        found = float(mtp_loss(model, ids_BT, x_BTD, mask_BT, weight=0.3))
        short = float(mtp_loss(model, ids_BT[:, :2], x_BTD[:, :2]))
    assert found == pytest.approx(0.3 * expected / 2, rel=1e-5)
    assert short == 0.0


def test_the_loss_reaches_every_parameter() -> None:
    model = model_of(CONFIG)
    ids_BT = torch.randint(0, 48, (4, 16))
    mtp_loss(model, ids_BT, model.hidden(ids_BT)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None and ".experts." not in n]
    assert without == []


@pytest.mark.parametrize("depths", [1, 2, 3])
def test_greedy_guessing_changes_no_token(depths: int) -> None:
    model = model_of(replace(CONFIG, mtp_layers=depths), seed=3)
    prompt_T = torch.randint(0, 48, (7,))
    plain = prompt_T
    with torch.no_grad():
        for _ in range(24):
            plain = torch.cat((plain, model(plain[None])[0, -1].argmax()[None]))
    made = speculate(model, prompt_T, 24, temperature=0)
    assert made.ids_T.tolist() == plain[7:].tolist()
    assert made.guessed >= made.kept
    assert made.logprobs_T.abs().max() == 0


@pytest.mark.parametrize("depths", [1, 3])
def test_guesses_are_those_of_a_reading_without_a_cache(depths: int) -> None:
    """What the modules have in their cache after wrong guesses is as if only the true tokens had been there."""
    model = model_of(replace(CONFIG, mtp_layers=depths, vocab_size=6), seed=1)
    prompt_T = torch.tensor([1, 2, 3, 4, 5])
    made = speculate(model, prompt_T, 40, temperature=0)
    ids, kept, passes = [*prompt_T.tolist(), int(made.ids_T[0])], 0, 1
    with torch.no_grad():
        while len(ids) - 5 < 40:
            guessed = list(ids)
            x_BTD = model.hidden(torch.tensor([ids[:-1]]))
            for depth in range(depths):
                x_BTD = model.further(depth, x_BTD, torch.tensor([guessed[depth + 1 :]]))
                guessed.append(int(model.logits(x_BTD[0, -1]).argmax()))
            best_T = model(torch.tensor([guessed]))[0].argmax(-1).tolist()
            good = 0
            while good < depths and guessed[len(ids) + good] == best_T[len(ids) - 1 + good]:
                good += 1
            ids = [*guessed[: len(ids) + good], best_T[len(ids) - 1 + good]]
            kept, passes = kept + good, passes + 1
    assert made.ids_T.tolist() == ids[5:45]
    assert (made.kept, made.passes) == (kept, passes)
    assert 0 < kept < made.guessed


def test_guesses_of_a_good_guesser_are_kept() -> None:
    """A model that always repeats its token, and a module that knows it: each pass gives two tokens."""
    model = model_of(CONFIG)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            for name, parameter in layer.mlp.named_parameters():
                if "down_proj" in name:
                    parameter.zero_()
        last = model.model.layers[-1]
        last.eh_proj.weight.zero_()
        last.eh_proj.weight[:, :32] = torch.eye(32)  # the embedding's half
        model.lm_head.weight.copy_(10 * functional.normalize(model.model.embed_tokens.weight, dim=1))
        for norm in (model.model.norm, last.enorm, last.hnorm, last.shared_head.norm):
            norm.weight.fill_(1.0)
    made = speculate(model, torch.tensor([5, 9]), 21, temperature=0)
    assert made.ids_T.tolist() == [9] * 21
    assert made.kept == made.guessed == 10
    assert made.passes == 11


def test_it_stops_at_a_stop_token_and_repeats_with_its_seed() -> None:
    model = model_of(CONFIG)
    prompt_T = torch.tensor([1, 2, 3])
    first = speculate(model, prompt_T, 30, seed=5)
    again = speculate(model, prompt_T, 30, seed=5)
    assert first.ids_T.tolist() == again.ids_T.tolist()
    assert len(first.ids_T) == 30
    stop = int(first.ids_T[10])
    place = first.ids_T.tolist().index(stop)
    stopped = speculate(model, prompt_T, 30, seed=5, stop_ids={stop})
    assert stopped.ids_T.tolist() == first.ids_T.tolist()[: place + 1]


def test_logprobs_are_those_of_a_plain_pass() -> None:
    model = model_of(replace(CONFIG, mtp_layers=2))
    prompt_T = torch.tensor([1, 2, 3])
    made = speculate(model, prompt_T, 20, temperature=0.8, seed=1)
    ids_T = torch.cat((prompt_T, made.ids_T))
    with torch.no_grad():
        logprobs_TV = (model(ids_T[None])[0] / 0.8).log_softmax(-1)
    expected = logprobs_TV[2:-1].gather(1, made.ids_T[:, None])[:, 0]
    torch.testing.assert_close(made.logprobs_T, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_checked_token_has_the_model_s_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    p_KV = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4]])
    q_KV = torch.tensor([[0.1, 0.6, 0.1, 0.2]])
    first, second, times = torch.zeros(4), torch.zeros(4), 20_000
    for _ in range(times):
        guess = draw(q_KV[0], torch.rand((), generator=generator, dtype=torch.float64))
        good, token = check(p_KV, q_KV, guess[None], generator)
        first[guess if good else token] += 1
        if good:
            second[token] += 1
    # five standard errors of a frequency
    assert (first / times - p_KV[0]).abs().max() < 5 * 0.5 / times**0.5
    assert (second / second.sum() - p_KV[1]).abs().max() < 5 * 0.5 / float(second.sum()) ** 0.5
    assert first[3] == 0


@pytest.mark.slow
def test_generated_tokens_have_the_model_s_distribution() -> None:
    """Pairs of tokens after a prompt: how often they came, against their probability (chi-square)."""
    config = replace(CONFIG, vocab_size=4, mtp_layers=1)
    model = model_of(config, seed=2)
    prompt_T = torch.tensor([1, 3])
    with torch.no_grad():
        first_V = model(prompt_T[None])[0, -1].softmax(-1)
        pairs = torch.stack([torch.tensor([1, 3, token]) for token in range(4)])
        expected_VV = first_V[:, None] * model(pairs)[:, -1].softmax(-1)
    times = 1000
    seen_VV = torch.zeros(4, 4)
    kept = 0
    for seed in range(times):
        made = speculate(model, prompt_T, 3, seed=seed)
        seen_VV[made.ids_T[0], made.ids_T[1]] += 1
        kept += made.kept
    chi_square = float(((seen_VV - times * expected_VV) ** 2 / (times * expected_VV)).sum())
    assert kept > 0
    assert chi_square < 37.7  # 15 degrees of freedom, p = 0.001


def test_a_draw_never_takes_what_has_no_weight() -> None:
    p_V = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0])
    drawn = [int(draw(p_V, torch.tensor(u, dtype=torch.float64))) for u in (0.0, 0.2499, 0.25, 0.5, 1 - 1e-16)]
    assert drawn == [1, 1, 3, 3, 3]
