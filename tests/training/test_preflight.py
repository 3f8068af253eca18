"""Looking ahead: a probe that leaves everything as it was, and what is refused before anything is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from small_context import copying, stage_context  # noqa: E402
from test_learner import DEEPSEEK  # noqa: E402
from tiny_run import GRPO, SFT, recipe_text  # noqa: E402

from clearseek.ledger.prices import Rates  # noqa: E402
from clearseek.modeling.deepseek_v3 import DeepseekV3  # noqa: E402
from clearseek.training.loop.preflight import preflight  # noqa: E402
from clearseek.training.publish.replay import same_bits  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.run.budget import Limits  # noqa: E402
from clearseek.training.run.context import RunContext  # noqa: E402
from clearseek.training.update.learner import open_learner  # noqa: E402


def test_a_probe_leaves_the_bias_of_experts_where_it_was(tmp_path: Path) -> None:
    """An update with a learning rate of 0 moves it: what was probed began from other weights than its base."""
    torch.manual_seed(0)
    learner = open_learner(DeepseekV3(DEEPSEEK), LearnerSettings(method="full", dtype="float32"))
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    assert any(name.endswith("e_score_correction_bias") for name in before)
    (tmp_path / "recipe.toml").write_text(recipe_text(tmp_path, SFT + GRPO))
    recipe = read_recipe(tmp_path / "recipe.toml")
    preflight(recipe, RunContext(stage_context(tmp_path, [copying()], learner), None, ()), Limits(), Rates(), tmp_path)
    assert same_bits(before, learner.state())
