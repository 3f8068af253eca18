"""The fast path on the real small model: the numbers of the model's own forward, and of a rollout."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from clearseek.hub.model import Model  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.training.data.chat_format import chat_format_of  # noqa: E402
from clearseek.training.data.groups import Group  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.rollout.rollout import rollout  # noqa: E402
from clearseek.training.rollout.slots import Sampling  # noqa: E402
from clearseek.training.update.learner import open_learner  # noqa: E402
from clearseek.training.update.losses import sft_loss  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_smollm2_is_scored_as_it_is_sampled_and_learns(real_model: Model) -> None:
    model = load_model(real_model.path, torch.float32)
    chat = chat_format_of(real_model.path)
    learner = open_learner(model, LearnerSettings(method="lora", rank=4, dtype="float32"))
    prompts = [chat.prompt("How many legs do two dogs have?"), chat.prompt("What is 12 + 30?")]
    samples = rollout(model, prompts, group_size=2, sampling=Sampling(max_new=8), seed=1, max_rows=4)
    groups = [
        Group(tuple(prompt), tuple(sample.ids for sample in group))
        for prompt, group in zip(prompts, samples, strict=True)
    ]
    scored = learner.log_probs(groups)
    drawn = torch.tensor([value for group in samples for sample in group for value in sample.log_probs])
    assert (scored.log_probs_A - drawn).abs().max() < 1e-3
    with torch.no_grad():
        ids = torch.tensor([[*prompts[0], *samples[0][1].ids]])
        logits = model(ids[:, :-1])[0, len(prompts[0]) - 1 :]
        own = torch.log_softmax(logits, -1).gather(1, ids[0, len(prompts[0]) :, None])[:, 0]
    assert (scored.split()[1] - own).abs().max() < 1e-3

    example = Group(tuple(prompts[1]), (tuple(chat.completion("12 + 30 = 42", "42")),))
    weights_A = torch.full((example.scored,), 1.0 / example.scored)
    losses = [learner.update([example], lambda s: sft_loss(s, weights_A), 3e-3).loss for _ in range(6)]
    assert losses[-1] < losses[0] / 2
    assert sum(tensor.numel() for name, tensor in learner.state().items() if name.startswith("weights/")) < 2_000_000
