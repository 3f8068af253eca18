"""Before anything is spent: a short measured probe, and what memory, time and money the whole recipe will take by it.

The probe generates a few tokens and computes one update whose learning rate is 0, on this machine with these weights.
What a model will write later, and how many groups will teach, nobody knows: the forecast is an interval.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from clearseek.ledger.prices import Rates
from clearseek.seeds import seed_of
from clearseek.tasks.task import Problem, Task
from clearseek.training.data.groups import Group
from clearseek.training.data.problems import draw_up_to
from clearseek.training.recipe.schema import Recipe, StagePlan
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sampling, kv_bytes
from clearseek.training.run import checkpoint
from clearseek.training.run.budget import Limits, usd_per_second
from clearseek.training.run.context import RunContext
from clearseek.training.run.forecast import RunForecast, StageForecast
from clearseek.training.update.learner import Learner
from clearseek.training.update.losses import sft_loss

PROBE_PROMPTS, PROBE_ROWS, PROBE_TOKENS = 4, 64, 12
TEACH = 0.7
"""Share of sampled tokens that are taken to be trained on."""


def preflight(recipe: Recipe, context: RunContext, limits: Limits, rates: Rates, folder: Path) -> RunForecast:
    """Probe and forecast. The learner's state is the same afterwards, bit for bit: a probe's update moves the bias of
    experts, whatever its learning rate."""
    stage_context = context.stage_context
    learner: Learner = stage_context.learner
    before = {name: tensor.clone() for name, tensor in learner.state().items() if name.startswith("buffers/")}
    examples = probe_examples(context, stage_context.seed)
    prompts = [list(group.prompt) for group in examples]
    prompt_tokens = statistics.fmean(map(len, prompts))
    solved = [len(group.completions[0]) for group in examples]
    answer_tokens = statistics.fmean(solved)
    generate_rate = _generate(learner, prompts)
    train_rate = _train(learner, examples)
    memory = psutil.Process().memory_info().rss
    kv = max((kv_bytes(float(getattr(plan.settings, "kv_gigabytes", 0.0))) for plan in recipe.stages), default=0)
    state = learner.state()
    room_needed = checkpoint.room_needed(state) * (1.0 if any(name.startswith("exp_avg/") for name in state) else 3.0)
    learner.restore(checkpoint.without_optimizer(state) | before)
    forecasts = tuple(
        _stage(plan, generate_rate, train_rate, prompt_tokens, answer_tokens, recipe) for plan in recipe.stages
    )
    kept = recipe.checkpoints.keep
    saved = sum(stage.steps for stage in forecasts) // max(1, recipe.checkpoints.every) if kept == "all" else int(kept)
    parameters = sum(parameter.numel() for parameter in learner.model.parameters())
    tests = {
        f"{split}{'+' if more else ''}": _evaluation(count, tasks, recipe, generate_rate, prompt_tokens)
        for split, count in (("dev", recipe.evaluate.dev), ("test", recipe.evaluate.test))
        for more, tasks in (
            (False, len(stage_context.tasks)),
            (True, len(stage_context.tasks) + (len(context.unseen) if recipe.evaluate.unseen else 0)),
        )
    }
    devs = sum(stage.steps // recipe.evaluate.every + 1 if recipe.evaluate.every else 1 for stage in forecasts)
    total = tests["dev"] * devs + tests["test"] * (len(forecasts) - 1) + 2 * tests["test+"]
    place = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    return RunForecast(
        generate_rate=generate_rate,
        train_rate=train_rate,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        parameters=parameters,
        learned=sum(parameter.numel() for parameter in learner.trainable().values()),
        memory_needed=memory + kv,
        memory_there=float(memory + psutil.virtual_memory().available),
        disk_needed=room_needed * (saved + len(forecasts) + 2) + parameters * 8.0,
        disk_there=float(checkpoint.free_bytes(place)),
        stages=forecasts,
        tests_seconds=tests,
        evaluations_total=total,
        export_seconds=1.0 + parameters * 4 / 20e6,
        usd_each=usd_per_second(rates, os.cpu_count() or 1),
        limit_seconds=limits.seconds,
        limit_why=limits.why,
        threads=torch.get_num_threads(),
        dtype=str(learner.dtype).removeprefix("torch."),
        peak_gflops=_peak(learner),
        scaled_by=recipe.scaled_by,
    )


def probe_examples(context: RunContext, seed: int) -> list[Group]:
    """A prompt of each task (some of the first ones where there are few), with an answer of a likely length."""
    stage_context = context.stage_context
    results = []
    each = max(1, 8 // len(stage_context.tasks))
    for task in stage_context.tasks[:16]:
        for problem in draw_up_to(task, each, seed_of(seed, "probe"), stage_context.avoid):
            results.append(
                Group(tuple(stage_context.chat.prompt(problem.prompt)), (tuple(_answer(task, problem, context)),))
            )
    most = stage_context.learner.model.config.max_positions - PROBE_TOKENS
    return [group for group in results if len(group.prompt) + group.scored <= most] or results[:1]


def _answer(task: Task, problem: Problem, context: RunContext) -> Sequence[int]:
    chat = context.stage_context.chat
    if task.solve is not None:
        with contextlib.suppress(ValueError):  # a problem of a kind its program was not written for
            solution = task.solve(problem, random.Random(0))
            return chat.completion(solution.thinking, solution.answer)
    return chat.completion("\n".join([problem.answer] * 4) + " so it is " * 10, problem.answer)


def _generate(learner: Learner, prompts: list[list[int]]) -> float:
    """Tokens a second of a full batch. What is compiled or packed once is not counted."""
    few, group = prompts[:PROBE_PROMPTS], PROBE_ROWS // min(PROBE_PROMPTS, len(prompts))
    how = Sampling(max_new=PROBE_TOKENS)
    rollout(learner.model, few[:1], sampling=Sampling(max_new=2), dtype=learner.rollout_dtype)
    started = time.perf_counter()
    rollout(learner.model, few, group_size=group, sampling=how, dtype=learner.rollout_dtype, max_rows=PROBE_ROWS)
    return len(few) * group * PROBE_TOKENS / (time.perf_counter() - started)


def _train(learner: Learner, examples: list[Group]) -> float:
    """Tokens a second of an update, prompts included, with a learning rate of 0."""
    groups = examples[:8]
    scored = sum(group.scored for group in groups)
    weights_A = torch.full((scored,), 1.0 / scored, device=learner.device)
    report = learner.update(groups, lambda scores: sft_loss(scores, weights_A), 0.0)
    return report.tokens / report.seconds


def _peak(learner: Learner, size: int = 1024) -> float:
    """GFLOP/s of one large matrix product in the type that is computed in."""
    a_SS = torch.ones((size, size), dtype=learner.dtype, device=learner.device)
    b_SS = torch.ones_like(a_SS)
    rates = []
    for _ in range(4):
        started = time.perf_counter()
        float((a_SS @ b_SS)[0, 0])  # read back, so that a GPU has finished
        rates.append(2 * size**3 / (time.perf_counter() - started) / 1e9)
    return max(rates)


def _stage(
    plan: StagePlan, generate: float, train: float, prompt: float, answer: float, recipe: Recipe
) -> StageForecast:
    """Seconds of a step by the tokens it will generate and train on."""
    settings = plan.settings
    steps = int(getattr(settings, "steps", 0) or 0)
    if plan.kind == "sft":
        seconds = settings.examples * (prompt + answer) / train
    elif plan.kind == "grpo":
        length = min(float(settings.max_new), 1.25 * answer)
        drawn = settings.prompts * settings.samples * length
        trained = TEACH * (drawn + settings.prompts * prompt)
        seconds = drawn / generate + trained * settings.updates / train
    elif plan.kind == "reject":
        length = min(float(settings.max_new), 1.25 * answer)
        seconds = settings.prompts * settings.samples * length / generate
        steps = settings.planned_steps
    else:  # another machine's time cannot be probed from here
        seconds, steps = 0.0, 0
    return StageForecast(plan.name, plan.kind, steps, seconds, dialled=getattr(settings, "steps", 0) > 1)


def _evaluation(count: int, tasks: int, recipe: Recipe, generate: float, prompt: float) -> float:
    """Seconds, if half of the answers are cut off, as those of an untrained model are."""
    return tasks * count * (0.6 * recipe.evaluate.max_new + prompt / 4) / generate
