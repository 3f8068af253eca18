"""How long reinforcement learning takes to an accuracy: our stage and TRL's GRPOTrainer, from the same weights.

    python bench/time_to_accuracy.py MODEL.gguf --task leg_counting --steps 12 --out curve.json

Both get the same problems in the same order, the same number and length of samples, temperature, learning rate (it
falls to nothing), optimizer and reward (the task's verifier), and learn with every weight. Steps are taken in turns,
TRL's first, so that a busy moment slows both. Accuracy on dev (greedy, by the same rollouts for both) is measured off
the clock, and what was gained since the beginning is paired problem by problem. Needs the extra `train` and TRL.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads sleep while they wait

import torch

from clearseek.benchmarks.peers import Shape, TrlStep, run_trl
from clearseek.errors import UserError
from clearseek.evaluation.comparison import compare as compare_answers
from clearseek.evaluation.results import Conditions, Evaluation
from clearseek.evaluation.runner import draw_queries, evaluate
from clearseek.hub.files import write_aside
from clearseek.ledger.meter import Meter
from clearseek.modeling import load_model
from clearseek.modeling.tokenizer_files import load_tokenizer
from clearseek.tasks.load import load_suite
from clearseek.tasks.task import Problem, Task
from clearseek.training.data.chat_format import chat_format
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.rollout.slots import Sample
from clearseek.training.rollout.torch_backend import TorchBackend
from clearseek.training.score.rewards import RewardRule, score_samples
from clearseek.training.stages.base import StageContext
from clearseek.training.stages.grpo import GrpoSettings, GrpoStage
from clearseek.training.update.learner import open_learner

ADAM = {"adam_beta1": 0.9, "adam_beta2": 0.99, "max_grad_norm": 1.0, "weight_decay": 0.0}
MICRO_BATCH = 16  # rows that TRL puts through at once: 64 with up to 128 new tokens took more than 24 GB


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Both curves: seconds of learning so far, and the accuracy on dev with its interval."""
    task = next((one for one in load_suite("r1").trained if one.name == given.task), None)
    if task is None:
        raise UserError(f"The suite r1 trains no task {given.task}.")
    tokenizer = load_tokenizer(given.model)
    chat = chat_format(tokenizer)
    learner = open_learner(load_model(given.model), LearnerSettings(method="full", seed=given.seed))
    meter = Meter(lambda draft: None)
    dev = draw_queries([(task, "trained")], "dev", given.dev, 0)
    avoid = frozenset(problem.digest for problem in dev.problems[task.name])
    folder = Path(tempfile.gettempdir())
    workshop = StageContext(learner, chat, (task,), (1.0,), meter, given.seed, folder, print, avoid)
    settings = GrpoSettings(
        steps=given.steps,
        prompts=given.prompts,
        samples=given.samples,
        max_new=given.max_new,
        lr=given.lr,
        warmup=0,
        decay="linear",
        floor=0.0,
        length_constant=float(given.max_new),
        clip_high=0.2,
        min_groups=1,
        curriculum=False,
        format_reward=0.0,
    )
    stage = GrpoStage(settings, workshop)
    problems = [one for step in range(given.steps) for one in stage.problems((given.seed, settings.name, step, 0))]
    curves: dict[str, list[dict[str, float]]] = {"clearseek": [], "trl": []}
    spent = dict.fromkeys(curves, 0.0)
    looks: list[Evaluation] = []
    theirs_here = copy.deepcopy(learner.model)

    def look(arm: str, steps: int, model: Any) -> None:
        conditions = Conditions("learner", None, "torch", None, "dev", given.dev, 0, 1, 0.0, True, given.max_new)
        answers: Evaluation = evaluate(TorchBackend(model, chat, meter, dtype=learner.dtype), dev, conditions)
        looks.append(answers)
        mean = answers.tasks[0].accuracy
        gain = compare_answers(looks[0], answers).tasks[0].difference  # the same problems, before and now
        point = {"step": steps, "seconds": spent[arm], "accuracy": mean.value, "low": mean.low, "high": mean.high}
        point |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        curves[arm].append(point)
        print(
            f"{arm:>10} after {steps:3} steps, {spent[arm]:7.1f} s: {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}],"
            f" {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]",
            flush=True,
        )

    def found() -> dict[str, Any]:
        asked = {"task": task.name, "rollouts": given.prompts * given.samples, "dev": given.dev, "lr": given.lr}
        return asked | {"curves": curves} | reached(curves)

    look("clearseek", 0, learner.model)
    curves["trl"].append(dict(curves["clearseek"][0]))  # the same weights
    rule = RewardRule(format=0.0, max_new=given.max_new)

    def rewards(places: Sequence[int], samples: Sequence[Sequence[int]]) -> list[float]:
        return [
            _reward(problems[place], ids, chat, rule, given.max_new) for place, ids in zip(places, samples, strict=True)
        ]

    def after(step: TrlStep) -> None:
        spent["trl"] += step.seconds
        began = time.perf_counter()
        stage.step(step.number)
        spent["clearseek"] += time.perf_counter() - began
        print(
            f"step {step.number + 1}: trl {step.seconds:.1f} s, clearseek {time.perf_counter() - began:.1f} s",
            flush=True,
        )
        if (step.number + 1) % given.every == 0:
            look("clearseek", step.number + 1, learner.model)
            theirs_here.load_state_dict(step.model.state_dict())
            look("trl", step.number + 1, theirs_here)
            if given.out:  # whoever stops it has what was measured
                write_aside(given.out, json.dumps(found(), indent=1).encode())

    prompts = [tokenizer.decode(chat.prompt(problem.prompt), keep_control=True) for _, problem in problems]
    shape = Shape(prompts=given.prompts, samples=given.samples, new_tokens=given.max_new)
    rows = math.gcd(given.prompts * given.samples, MICRO_BATCH)
    parts = {
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": given.prompts * given.samples // rows,
    }
    falls = {"learning_rate": given.lr, "lr_scheduler_type": "linear"}
    casts = learner.dtype == torch.bfloat16  # both keep float32 weights: bfloat16 ones would not take so small steps
    how = {**falls, "loss_type": "dr_grpo", "seed": given.seed, "bf16": casts, **ADAM, **parts}
    run_trl(learner, tokenizer, prompts, shape, rewards, after, **how)
    return found()


def _reward(asked: tuple[Task, Problem], ids: Sequence[int], chat: Any, rule: RewardRule, most: int) -> float:
    task, problem = asked
    ended = bool(ids) and ids[-1] in chat.stop_ids
    sample = Sample(0, 0, 0, tuple(ids), (0.0,) * len(ids), "stop_id" if ended else "length")
    return score_samples(task, problem, [sample], chat, rule)[0].reward


def reached(curves: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """The highest accuracy that both arms came to, and how long each took to it (straight lines between looks)."""
    level = min(max(point["accuracy"] for point in curve) for curve in curves.values())
    seconds = {name: _time_to(curve, level) for name, curve in curves.items()}
    ours = seconds["clearseek"]
    return {"level": level, "seconds": seconds, "ratio": seconds["trl"] / ours if ours else None}


def _time_to(curve: Sequence[dict[str, float]], level: float) -> float:
    before = curve[0]
    for point in curve:
        if point["accuracy"] >= level:
            rise = point["accuracy"] - before["accuracy"]
            share = (level - before["accuracy"]) / rise if rise > 0 else 0.0
            return before["seconds"] + share * (point["seconds"] - before["seconds"])
        before = point
    raise AssertionError("the level lies on every curve")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="weights that sometimes know the answer: an exported stage end")
    parser.add_argument("--task", default="leg_counting")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-new", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--dev", type=int, default=100)
    parser.add_argument("--every", type=int, default=3, help="steps between two looks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = compare(given)
    if given.out:
        write_aside(given.out, json.dumps(found, indent=1).encode())
    if found["ratio"] is None:
        print("No accuracy above the one at the beginning was reached by both.")
        return
    took = " and ".join(f"{seconds:.0f} s ({arm})" for arm, seconds in found["seconds"].items())
    print(f"{found['level']:.3f} after {took}: {found['ratio']:.2f} times as long")


if __name__ == "__main__":
    main()
