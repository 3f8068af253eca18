"""How quickly settings learn: the first steps of a recipe's supervised stage, on the same batches for every arm.

    python bench/first_steps.py RECIPE lora:2e-3 full:3e-4 [--stage cold-start] [--steps 70] [--data RUN]

An arm is a method and a peak learning rate; the schedule, the batches and everything else are the recipe's. Arms take
turns step by step, so that a busy moment slows all of them. `--data` is a run folder with the data files that the
stage's sources name. Prints the loss, weighted by tokens, and the seconds a step, in tens of steps. Needs the extra
`train`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads sleep while they wait

from clearseek.ledger.meter import Meter
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.recipe.parsing import read_recipe
from clearseek.training.recipe.schema import Recipe
from clearseek.training.run.context import open_context
from clearseek.training.stages import sft

TENS = 10


def open_arm(recipe: Recipe, arm: str, stage: str, folder: Path) -> sft.SftStage:
    """The stage, ready for its first step."""
    method, _, rate = arm.partition(":")
    if method == recipe.learner.method:
        learner = recipe.learner
    else:
        learner = LearnerSettings(method=method, seed=recipe.seed)  # type: ignore[arg-type]
        if method == "lora":
            learner = dataclasses.replace(learner, rank=32, alpha=64.0)
    bench = open_context(dataclasses.replace(recipe, learner=learner), folder, Meter(lambda draft: None), print)
    settings = next(one.settings for one in recipe.stages if one.name == stage)
    return sft.open_stage(dataclasses.replace(settings, lr=float(rate)), bench.stage_context)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("arms", nargs="+", metavar="METHOD:RATE")
    parser.add_argument("--stage", default="cold-start")
    parser.add_argument("--steps", type=int, default=70)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    recipe = read_recipe(given.recipe)
    with tempfile.TemporaryDirectory() as place:
        if given.data:
            shutil.copytree(given.data / "data", Path(place) / "data")
        stages = [open_arm(recipe, arm, given.stage, Path(place)) for arm in given.arms]
        print(f"{'steps':>9}" + "".join(f"{arm:>22}" for arm in given.arms))
        losses, tokens, seconds = ([0.0] * len(stages) for _ in range(3))
        for number in range(given.steps):
            for index, stage in enumerate(stages):
                began = time.perf_counter()
                numbers = stage.step(number).numbers
                seconds[index] += time.perf_counter() - began
                losses[index] += numbers["loss"] * numbers["tokens_trained"]
                tokens[index] += numbers["tokens_trained"]
            if (number + 1) % TENS == 0:
                row = zip(losses, tokens, seconds, strict=True)
                told = "".join(f"{loss / count:13.3f} {took / TENS:6.1f} s" for loss, count, took in row)
                print(f"{number + 2 - TENS:4}-{number + 1:<4}{told}", flush=True)
                losses, tokens, seconds = ([0.0] * len(stages) for _ in range(3))


if __name__ == "__main__":
    main()
