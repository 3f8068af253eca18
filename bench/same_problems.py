"""Whether reinforcement learning learns at all: the same problems in every step, and others beside them.

    python bench/same_problems.py recipes/two-ways-reasoning.toml [--problems 12] [--steps 6] [--lr 1e-4]

Problems of the stage's tasks are asked until enough of them have groups that are partly right. Half of those are asked
in every step, with fresh samples, and learned from; the others are only asked, before and after, with the same seeds.
What rises in the first and not in the others was learned by heart; where nothing rises, the rate is too low or
something is broken. The rate is constant. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clearseek.training.score.rewards import ScoredGroup
from clearseek.training.stages.grpo_metrics import group_metrics

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads sleep while they wait

from clearseek.errors import UserError
from clearseek.ledger.meter import Meter
from clearseek.tasks.task import Problem, Task
from clearseek.training.recipe.parsing import read_recipe
from clearseek.training.run.context import open_context
from clearseek.training.stages.grpo import GrpoSettings, GrpoStage

ROUNDS = 8
"""How often problems are drawn at most, to find enough that are partly right."""
BEFORE = 1_000_000
"""Numbers of steps that only ask, out of the way of those that learn."""


class SameProblems(GrpoStage):
    """The stage, asking what it is told to."""

    fixed: tuple[tuple[Task, Problem], ...] = ()

    def problems(self, seeds: Sequence[int | str]) -> list[tuple[Task, Problem]]:
        return list(self.fixed) or super().problems(seeds)

    def ask(self, number: int) -> list[ScoredGroup]:
        """What the samples of one step earn; nothing is learned."""
        seeds = (self.context.seed, self.settings.name, number, 0)
        drawn, _ = self.draw(seeds)
        return self.score(drawn, self.roll_out(drawn, seeds), seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--stage", default="reasoning", help="its name in the recipe")
    parser.add_argument("--problems", type=int, default=12)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-4)
    given = parser.parse_args()
    recipe = read_recipe(given.recipe)
    settings = next((one.settings for one in recipe.stages if one.name == given.stage), None)
    if not isinstance(settings, GrpoSettings):
        raise UserError(f"{given.recipe} has no stage {given.stage} of the kind grpo.")
    settings = dataclasses.replace(
        settings, steps=given.steps, lr=given.lr, warmup=0, decay="constant", rounds=1, min_groups=1, curriculum=False
    )
    with tempfile.TemporaryDirectory() as place:
        bench = open_context(recipe, Path(place), Meter(lambda draft: None), print)
        stage = SameProblems(settings, bench.stage_context)
        found: list[tuple[Task, Problem]] = []
        for round_ in range(ROUNDS):
            found += [(one.task, one.problem) for one in stage.ask(BEFORE + round_) if one.informative]
            print(f"{len(found)} problems that are partly right, of {2 * given.problems} wanted", flush=True)
            if len(found) >= 2 * given.problems:
                break
        learned, others = tuple(found[: given.problems]), tuple(found[given.problems : 2 * given.problems])
        if not others:
            raise UserError("Hardly any problem is solved now and then; take easier tasks, or fewer problems.")

        def look_at(which: tuple[tuple[Task, Problem], ...]) -> float:
            stage.fixed = which
            return group_metrics(stage.ask(2 * BEFORE), stage.tasks)["accuracy"]

        before = {"learned from": look_at(learned), "only asked": look_at(others)}
        print(*(f"{name}: {accuracy:.3f}" for name, accuracy in before.items()), "before", sep=", ", flush=True)
        stage.fixed = learned
        for number in range(given.steps):
            told = stage.step(number).numbers
            print(
                f"step {number + 1}: {told['accuracy']:.3f} right before it, entropy {told.get('entropy', 0.0):.3f}, "
                f"gradient norm {told['grad_norm']:.3f}",
                flush=True,
            )
        for name, which in (("learned from", learned), ("only asked", others)):
            count = f"{len(which)} problems x {settings.samples}"
            print(f"{name} ({count}): {before[name]:.3f} -> {look_at(which):.3f}")


if __name__ == "__main__":
    main()
