"""Learning: the fast path computes what the model computes, gradients add up, and a state goes back bit for bit."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from clearseek.modeling.config import LlamaConfig  # noqa: E402
from clearseek.modeling.deepseek_config import DeepseekV3Config  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.training.data.groups import Group  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.update.learner import Learner, NotFinite, open_learner  # noqa: E402
from clearseek.training.update.losses import LossSum, TokenLogProbs, sft_loss  # noqa: E402

SIZES: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 300,
    "hidden_size": 32,
    "layers": 3,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_positions": 256,
}
KINDS: dict[str, dict[str, Any]] = {
    "smollm2": {"tie_embeddings": True},
    "qwen2": {"model_type": "qwen2", "attention_bias": True},
    "qwen3": {"model_type": "qwen3", "qk_norm": True},
}
GROUPS = [
    Group((5, 6, 7, 8), ((9, 10, 11), (12, 13), (14,), (15, 16, 17, 18, 19, 2))),
    Group((3,), ((1, 2),)),
    Group((100, 101, 102, 103, 104, 105), ((7, 8, 9), (4, 4, 4, 4))),
    Group((17, 4), ((299, 0, 1), (2,), (2,))),
]
M = sum(group.scored for group in GROUPS)
DEEPSEEK = DeepseekV3Config(
    vocab_size=300,
    hidden_size=32,
    layers=3,
    heads=2,
    intermediate_size=48,
    moe_intermediate_size=16,
    q_lora_rank=None,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=8,
    v_head_dim=8,
    routed_experts=4,
    experts_per_token=2,
    n_group=1,
    topk_group=1,
    first_dense_layers=1,
    mtp_layers=0,
    max_positions=256,
)


def tiny(kind: str = "smollm2", seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = Llama(LlamaConfig(**{**SIZES, **KINDS[kind]}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(0.0 if name.endswith("bias") else 1.0, 0.2)
            else:
                parameter.mul_(4.0)
    return model


def weighted(scored: TokenLogProbs) -> LossSum:
    """Every token with another weight, so that a gradient that went to the wrong one shows."""
    weights_A = torch.linspace(-1.0, 2.0, M)
    loss = -(scored.log_probs_M * weights_A[scored.place_M]).sum()
    return LossSum(loss, {"tokens": torch.tensor(float(len(scored.place_M)))})


def by_hand(model: Any, temperature: float = 1.0) -> tuple[Any, Any]:
    """Log-probabilities and the gradient of `weighted`, one completion at a time, by autograd through the model."""
    found = []
    for group in GROUPS:
        for completion in group.completions:
            ids = torch.tensor([[*group.prompt, *completion]])
            logits = model(ids[:, :-1])[0, len(group.prompt) - 1 :].float() / temperature
            found.append(torch.log_softmax(logits, -1).gather(1, torch.tensor(completion)[:, None])[:, 0])
    log_probs_A = torch.cat(found)
    loss = weighted(TokenLogProbs(log_probs_A, log_probs_A.detach(), torch.arange(M))).loss
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(learning.values()))
    return log_probs_A.detach(), dict(zip(learning, gradients, strict=True))


def same(found: Any, wanted: Any, tolerance: float = 1e-4) -> bool:
    """Rounding alone: in twelve draws each path was up to 4.5e-5 from the same gradient in float64."""
    return bool((found - wanted).abs().max() <= tolerance * wanted.abs().max().clamp_min(1.0))


class Caught(Exception):
    pass


def gradients_of(learner: Learner, temperature: float = 1.0) -> dict[str, Any]:
    """What stands in `.grad` when the optimizer would step."""
    kept: dict[str, Any] = {}

    def step(*_: Any, **__: Any) -> None:
        kept.update({name: p.grad.clone() for name, p in learner.trainable().items() if p.grad is not None})
        raise Caught

    learner.optimizer.step = step  # type: ignore[method-assign]
    with pytest.raises(Caught):
        learner.update(GROUPS, weighted, 1e-3, temperature=temperature)
    return kept


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(("tokens", "compiled"), [(1, True), (8, True), (4096, True), (8, False), (4096, False)])
def test_the_packed_path_is_the_model_gradients_too(kind: str, method: Any, tokens: int, compiled: bool) -> None:
    settings = LearnerSettings(method=method, rank=4, clip=0.0, micro_batch_tokens=tokens, dtype="float32")
    learner = open_learner(tiny(kind), settings, compiled=compiled)
    if method == "lora":  # B is zero at first, and then A has no gradient
        with torch.no_grad():
            for name, parameter in learner.trainable().items():
                if name.endswith("lora_B"):
                    parameter.normal_(0.0, 0.1)
    log_probs_A, wanted = by_hand(learner.model, 0.7)
    assert torch.allclose(learner.log_probs(GROUPS, temperature=0.7).log_probs_A, log_probs_A, atol=1e-5)
    found = gradients_of(learner, 0.7)
    assert set(found) == set(wanted)
    for name, gradient in wanted.items():
        assert same(found[name], gradient), name


@pytest.mark.parametrize("tied", [True, False])
def test_embedding_and_output_matrix_learn_where_they_are_to(tied: bool) -> None:
    model = tiny("smollm2" if tied else "qwen2")
    learner = open_learner(
        model, LearnerSettings(clip=0.0, train_embedding=True, micro_batch_tokens=16, dtype="float32")
    )
    _, wanted = by_hand(model)
    found = gradients_of(learner)
    for name, gradient in wanted.items():
        assert same(found[name], gradient), name


def test_every_other_architecture_has_the_plain_path_with_the_same_numbers() -> None:
    torch.manual_seed(1)
    model = DeepseekV3(DEEPSEEK)
    learner = open_learner(model, LearnerSettings(clip=0.0, micro_batch_tokens=16, dtype="float32"))
    log_probs_A, wanted = by_hand(model)
    assert torch.allclose(learner.log_probs(GROUPS).log_probs_A, log_probs_A, atol=1e-5)
    found = gradients_of(learner)
    for name, gradient in wanted.items():
        if ".mlp.gate" not in name:  # the balance loss pulls at the routers too
            assert same(found[name], gradient, 2e-4), name


def test_experts_are_balanced_by_a_bias_that_moves_after_each_step() -> None:
    torch.manual_seed(1)
    model = DeepseekV3(DEEPSEEK)
    learner = open_learner(model, LearnerSettings(dtype="float32"))
    before = learner.state()["buffers/model.layers.1.mlp.gate.e_score_correction_bias"].clone()
    learner.log_probs(GROUPS)
    learner.update(GROUPS, lambda scored: sft_loss(scored, torch.full((M,), 1 / M)), 1e-3)
    after = learner.state()["buffers/model.layers.1.mlp.gate.e_score_correction_bias"]
    assert set((after - before).abs().mul(1000).round().tolist()) <= {0.0, 1.0}
    assert not torch.equal(before, after)


def test_plain_and_packed_agree_on_whole_updates() -> None:
    models = tiny(), tiny()
    packed = open_learner(models[0], LearnerSettings(micro_batch_tokens=24, dtype="float32"))
    plain = open_learner(models[1], LearnerSettings(micro_batch_tokens=1000, dtype="float32"), plain=True)
    for _ in range(3):
        reports = [learner.update(GROUPS, weighted, 1e-2) for learner in (packed, plain)]
        assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-3, abs=1e-4)
        assert reports[0].grad_norm == pytest.approx(reports[1].grad_norm, rel=1e-3)
        assert reports[0].parts["tokens"] == reports[0].scored == M
    assert reports[0].tokens < reports[1].tokens  # prompts were computed once


@pytest.mark.parametrize("method", ["full", "lora"])
def test_interrupted_equals_uninterrupted_bit_for_bit(method: Any) -> None:
    settings = LearnerSettings(method=method, rank=4, weight_decay=0.1)

    def learn(learner: Learner, steps: range) -> None:
        for step in steps:
            learner.update(GROUPS[step % 2 :], lambda s: sft_loss(s, torch.full((M,), 1 / M)), 1e-2 / (step + 1))

    whole = open_learner(tiny(), settings)
    learn(whole, range(6))
    first = open_learner(tiny(), settings)
    learn(first, range(3))
    kept = {name: tensor.clone() for name, tensor in first.state().items()}
    second = open_learner(tiny(seed=0), settings)
    second.restore(kept)
    learn(second, range(3, 6))
    wanted, found = whole.state(), second.state()
    assert set(wanted) == set(found)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert second.updates == 6


def test_a_state_of_something_else_is_refused_and_nothing_changes() -> None:
    learner = open_learner(tiny(), LearnerSettings(method="lora", rank=4))
    other = open_learner(tiny(), LearnerSettings(method="lora", rank=2))
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    with pytest.raises(ModelingError, match="another model or another method"):
        learner.restore(other.state())
    with pytest.raises(ModelingError, match="another"):
        learner.restore({**before, "weights/extra": torch.zeros(1)})
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.state().items())


def test_a_loss_that_is_not_a_number_changes_nothing_and_says_where() -> None:
    learner = open_learner(tiny(), LearnerSettings(micro_batch_tokens=8))
    learner.update(GROUPS, weighted, 1e-3)
    before = {name: tensor.clone() for name, tensor in learner.state().items()}

    def bad(scored: TokenLogProbs) -> LossSum:
        loss = scored.log_probs_M.sum()
        return LossSum(loss * (float("nan") if 20 in scored.place_M.tolist() else 1.0), {})

    with pytest.raises(NotFinite, match=r"micro-batch \d of \d+ of update 2"):
        learner.update(GROUPS, bad, 1e-3)
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.state().items())
    learner.update(GROUPS, weighted, 1e-3)


def test_a_gradient_that_is_not_a_number_names_its_parameter() -> None:
    model = tiny()
    learner = open_learner(model, LearnerSettings(clip=1.0))
    before = copy.deepcopy({name: tensor.clone() for name, tensor in learner.state().items()})

    def huge(scored: TokenLogProbs) -> LossSum:
        return LossSum((scored.log_probs_M * 1e38).sum() * 1e-30 * 1e30 * 0.0 + (scored.log_probs_M * 3e38).mean(), {})

    with pytest.raises(NotFinite):
        learner.update(GROUPS, huge, 1e-3)
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.state().items())


def test_the_reference_is_what_was_kept() -> None:
    learner = open_learner(tiny(), LearnerSettings())
    start = learner.log_probs(GROUPS).log_probs_A
    kept = learner.keep()
    learner.update(GROUPS, weighted, 1e-2)
    moved = learner.log_probs(GROUPS).log_probs_A
    assert not torch.allclose(start, moved)
    assert torch.equal(learner.log_probs(GROUPS, weights=kept).log_probs_A, start)
    assert torch.equal(learner.log_probs(GROUPS).log_probs_A, moved)
    assert [len(part) for part in learner.log_probs(GROUPS).split()] == [3, 2, 1, 6, 2, 3, 4, 3, 1, 1]


def test_it_learns_what_it_is_shown() -> None:
    learner = open_learner(tiny(), LearnerSettings())
    shown = [Group((5, 6, 7), ((9, 10, 11),)), Group((5, 6, 8), ((12, 13),))]
    losses = [learner.update(shown, lambda s: sft_loss(s, torch.full((5,), 0.2)), 1e-2).loss for _ in range(40)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("compiled", [True, False])
def test_what_is_computed_in_bfloat16_is_near_and_masters_stay_float32(compiled: bool) -> None:
    learner = open_learner(tiny(), LearnerSettings(dtype="bfloat16"), compiled=compiled)
    exact = open_learner(tiny(), LearnerSettings(dtype="float32"))
    near, right = learner.log_probs(GROUPS).log_probs_A, exact.log_probs(GROUPS).log_probs_A
    assert (near - right).abs().max() < 0.1
    learner.update(GROUPS, weighted, 1e-3)
    assert all(parameter.dtype == torch.float32 for parameter in learner.trainable().values())


def test_groups_that_do_not_fit_are_refused() -> None:
    learner = open_learner(tiny(), LearnerSettings())
    for group, words in (
        (Group((), ((1,),)), "not empty"),
        (Group((1,), ((),)), "not empty"),
        (Group((1,), ((300,),)), "vocabulary"),
        (Group(tuple([1] * 256), ((1, 1),)), "256 places"),
    ):
        with pytest.raises(ModelingError, match=words):
            learner.log_probs([group])
    with pytest.raises(ModelingError, match="nothing to train on"):
        learner.update([], weighted, 1e-3)
    with pytest.raises(ModelingError, match="learning rate"):
        learner.update(GROUPS, weighted, float("nan"))


def test_a_long_gradient_is_cut_to_the_clip_and_a_short_one_left_as_it_is() -> None:
    whole = gradients_of(open_learner(tiny(), LearnerSettings(clip=0.0, dtype="float32")))
    norm = float(torch.cat([gradient.flatten() for gradient in whole.values()]).double().norm())
    for clip, scale in ((norm / 4, 0.25), (norm * 4, 1.0), (norm * 0.999, 0.999), (norm * 1.001, 1.0)):
        found = gradients_of(open_learner(tiny(), LearnerSettings(clip=clip, dtype="float32")))
        for name, gradient in whole.items():
            assert same(found[name], gradient * scale, 1e-5), (clip / norm, name)


def test_the_reported_norm_is_that_before_clipping() -> None:
    norms = [
        open_learner(tiny(), LearnerSettings(clip=clip, dtype="float32")).update(GROUPS, weighted, 0.0).grad_norm
        for clip in (0.0, 1e-3, 1e6)
    ]
    assert norms[0] > 1e-3
    assert norms[1:] == [pytest.approx(norms[0])] * 2


def test_the_balance_of_experts_weighs_the_same_in_however_many_micro_batches() -> None:
    """Four times the same group has the same balance loss whole and in four parts; nothing else pulls here."""
    four = [Group(GROUPS[2].prompt, ((7, 8, 9),))] * 4

    def nothing(scored: TokenLogProbs) -> LossSum:
        return LossSum((scored.log_probs_M * 0.0).sum(), {})

    def routers(tokens: int) -> tuple[dict[str, Any], int]:
        torch.manual_seed(1)
        learner = open_learner(
            DeepseekV3(DEEPSEEK), LearnerSettings(clip=0.0, micro_batch_tokens=tokens, dtype="float32")
        )
        kept: dict[str, Any] = {}

        def step(*_: Any, **__: Any) -> None:
            gates = {name: p.grad for name, p in learner.trainable().items() if ".mlp.gate." in name}
            kept.update({name: gradient.clone() for name, gradient in gates.items() if gradient is not None})

        learner.optimizer.step = step  # type: ignore[method-assign]
        return kept, learner.update(four, nothing, 0.0).micro_batches

    whole, one = routers(4096)
    parts, several = routers(10)
    assert one < several
    assert whole
    assert any(float(gradient.abs().max()) > 0 for gradient in whole.values())
    for name, gradient in whole.items():
        assert float((parts[name] - gradient).abs().max()) <= 0.05 * float(gradient.abs().max()), name


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": -1.0},
        {"weight_decay": -0.1},
        {"eps": 0.0},
        {"eps": -1e-8},
        {"micro_batch_tokens": 0},
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, -0.1)},
    ],
)
def test_settings_of_adam_that_make_no_sense_are_refused_each_by_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelingError):
        LearnerSettings(**wrong)
