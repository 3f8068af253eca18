"""Before anything is spent: a short measured probe, and what memory, time and money the whole recipe will take by it.

The probe generates a few tokens and computes one update whose learning rate is 0, on this machine with these weights.
What a model will write later, and how many groups will teach, nobody knows: the forecast is an interval.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from clearseek.errors import UserError
from clearseek.ledger.prices import Rates
from clearseek.seeds import seed_of
from clearseek.tasks.task import Task
from clearseek.training.recipe.recipe import Recipe, StagePlan
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sampling, kv_bytes
from clearseek.training.run import checkpoint
from clearseek.training.run.budget import Limits, dial, usd_per_second
from clearseek.training.run.context import Bench, some
from clearseek.training.update.batch_layout import Group
from clearseek.training.update.learner import Learner
from clearseek.training.update.losses import sft_loss

PROBE_PROMPTS, PROBE_ROWS, PROBE_TOKENS = 4, 64, 12
LEAST_SCALE = 0.001
"""The least that `--scale` takes."""
TEACH = 0.7
"""Share of sampled tokens that are taken to be trained on."""
SPREAD = (0.6, 1.7)
"""What the forecast is multiplied with for its ends: lengths and groups that teach change as a model learns."""


@dataclass(frozen=True)
class StageForecast:
    """Seconds of one step and how many there are; `steps` 0: known only when the stage begins."""

    name: str
    kind: str
    steps: int
    step_seconds: float
    dialled: bool = True
    """Whether `--scale` changes how many steps there are; not where a stage's data says it."""

    @property
    def seconds(self) -> float:
        return self.steps * self.step_seconds


@dataclass(frozen=True)
class Preflight:
    """The forecast. Rates are tokens a second, memory and disk bytes, `usd_each` dollars a second (None: no price)."""

    generate_rate: float
    train_rate: float
    prompt_tokens: float
    answer_tokens: float
    parameters: int
    learned: int
    memory_needed: float
    memory_there: float
    disk_needed: float
    disk_there: float
    stages: tuple[StageForecast, ...]
    tests_seconds: Mapping[str, float]
    evaluations_total: float
    export_seconds: float
    usd_each: float | None
    limit_seconds: float | None
    limit_why: str
    threads: int
    dtype: str
    peak_gflops: float
    """GFLOP/s of a bare matrix product here: what shares of the peak are shares of."""
    scaled_by: float = 1.0
    """What `--scale` said already: the steps above are multiplied with it."""

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages) + self.evaluations_total + self.export_seconds

    def step_seconds(self, name: str) -> float:
        return next((stage.step_seconds for stage in self.stages if stage.name == name), 0.0)

    def evaluation_seconds(self, split: str, unseen: bool) -> float:
        return self.tests_seconds.get(f"{split}{'+' if unseen else ''}", 0.0)

    @property
    def scale(self) -> float | None:
        """The one dial: the `--scale` with which the recipe fits its budget; None where it fits as it is, 0.0 where no
        scale makes it fit."""
        if self.limit_seconds is None or self.seconds <= self.limit_seconds:
            return None
        fixed = self.evaluations_total + self.export_seconds
        fixed += sum(stage.seconds for stage in self.stages if not stage.dialled)
        found = dial([stage.seconds for stage in self.stages if stage.dialled], fixed, self.limit_seconds)
        scale = self.scaled_by * (found or 0.0)
        return scale if scale >= LEAST_SCALE else 0.0

    def refuse(self) -> None:
        """Raises UserError for what cannot work: too little memory or disk, a budget that holds no step."""
        if self.memory_needed > self.memory_there:
            raise UserError(
                f"About {self.memory_needed / 1e9:.1f} GB of memory are needed and {self.memory_there / 1e9:.1f} GB "
                "are there: lower `micro_batch_tokens` under [lora], or the stages' `kv_gigabytes` and `rows`."
            )
        if self.disk_needed > self.disk_there:
            raise UserError(
                f"Checkpoints and model need about {self.disk_needed / 1e9:.1f} GB of disk and "
                f"{self.disk_there / 1e9:.1f} GB are free: lower `keep` under [checkpoints]."
            )
        first = next((stage for stage in self.stages if stage.step_seconds), None)
        if self.limit_seconds is not None and first is not None:
            least = first.step_seconds + self.tests_seconds.get("test+", 0.0) + self.export_seconds
            if least > self.limit_seconds:
                raise UserError(
                    f"{self.limit_why[:1].upper()}{self.limit_why[1:]} is too small for one step: a step takes about "
                    f"{first.step_seconds:.1f} s, and the evaluation and export at the end "
                    f"{least - first.step_seconds:.0f} s; `test = 0` under [evaluate] leaves the evaluation out."
                )

    def words(self) -> list[str]:
        """For people."""
        low, high = (self.seconds * part / 60 for part in SPREAD)
        lines = [
            f"Probe: {self.generate_rate:.0f} tokens/s generated, {self.train_rate:.0f} trained ({self.dtype}, "
            f"{self.threads} threads); {self.learned / 1e6:.2f}M of {self.parameters / 1e6:.1f}M weights learn.",
            *(
                f"  {stage.name} ({stage.kind}): {stage.steps} steps of about {stage.step_seconds:.1f} s"
                if stage.steps
                else f"  {stage.name} ({stage.kind}): as many steps as its data has, each {stage.step_seconds:.1f} s"
                for stage in self.stages
            ),
            f"  evaluations {self.evaluations_total / 60:.1f} min, export {self.export_seconds / 60:.1f} min",
            f"Forecast: {self.seconds / 60:.0f} min ({low:.0f} to {high:.0f}), memory "
            f"{self.memory_needed / 1e9:.1f} of {self.memory_there / 1e9:.1f} GB, "
            f"disk {self.disk_needed / 1e9:.2f} GB, "
            + (
                f"${self.seconds * self.usd_each:.3f}"
                if self.usd_each is not None
                else "money unknown: no price of this machine is declared"
            )
            + ".",
        ]
        if self.scale is not None:
            turn = f"`--scale {_down(self.scale):g}` makes it fit" if self.scale > 0 else "fewer evaluations make room"
            lines.append(
                f"That is more than {self.limit_why}: {turn}; as it is, the run ends, in order, when it is used up."
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"forecast_seconds": self.seconds, "scale": self.scale}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Preflight:
        values = {field.name: told[field.name] for field in dataclasses.fields(cls) if field.name in told}
        values["stages"] = tuple(StageForecast(**stage) for stage in told["stages"])
        return cls(**values)


def preflight(recipe: Recipe, bench: Bench, limits: Limits, rates: Rates, folder: Path) -> Preflight:
    """Probe and forecast. The learner's state is the same afterwards, bit for bit: a probe's update moves the bias of
    experts, whatever its learning rate."""
    shop = bench.workshop
    learner: Learner = shop.learner
    before = {name: tensor.clone() for name, tensor in learner.state().items() if name.startswith("buffers/")}
    examples = probe_examples(bench, shop.seed)
    prompts = [list(group.prompt) for group in examples]
    prompt_tokens = statistics.fmean(map(len, prompts))
    solved = [len(group.completions[0]) for group in examples]
    answer_tokens = statistics.fmean(solved)
    generate_rate = _generate(learner, prompts)
    train_rate = _train(learner, examples)
    memory = psutil.Process().memory_info().rss
    kv = max((kv_bytes(float(getattr(plan.settings, "kv_gigabytes", 0.0))) for plan in recipe.stages), default=0)
    state = learner.state()
    one = checkpoint.room_needed(state) * (1.0 if any(name.startswith("exp_avg/") for name in state) else 3.0)
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
            (False, len(shop.tasks)),
            (True, len(shop.tasks) + (len(bench.unseen) if recipe.evaluate.unseen else 0)),
        )
    }
    devs = sum(stage.steps // recipe.evaluate.every + 1 if recipe.evaluate.every else 1 for stage in forecasts)
    total = tests["dev"] * devs + tests["test"] * (len(forecasts) - 1) + 2 * tests["test+"]
    place = next(one for one in (folder, *folder.resolve().parents) if one.exists())
    return Preflight(
        generate_rate=generate_rate,
        train_rate=train_rate,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        parameters=parameters,
        learned=sum(parameter.numel() for parameter in learner.trainable().values()),
        memory_needed=memory + kv,
        memory_there=float(memory + psutil.virtual_memory().available),
        disk_needed=one * (saved + len(forecasts) + 2) + parameters * 8.0,
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


def probe_examples(bench: Bench, seed: int) -> list[Group]:
    """A prompt of each task (some of the first ones where there are few), with an answer of a likely length."""
    shop = bench.workshop
    found = []
    each = max(1, 8 // len(shop.tasks))
    for task in shop.tasks[:16]:
        for problem in some(task, each, seed_of(seed, "probe"), shop.avoid):
            found.append(Group(tuple(shop.chat.prompt(problem.prompt)), (tuple(_answer(task, problem, bench)),)))
    most = shop.learner.model.config.max_positions - PROBE_TOKENS
    return [group for group in found if len(group.prompt) + group.scored <= most] or found[:1]


def _answer(task: Task, problem: Any, bench: Bench) -> Sequence[int]:
    chat = bench.workshop.chat
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


def _down(number: float) -> float:
    """Two significant digits, rounded down: what is said to fit has to fit."""
    digits = 1 - math.floor(math.log10(number))
    return math.floor(number * 10**digits + 1e-6) / 10**digits


def _evaluation(count: int, tasks: int, recipe: Recipe, generate: float, prompt: float) -> float:
    """Seconds, if half of the answers are cut off, as those of an untrained model are."""
    return tasks * count * (0.6 * recipe.evaluate.max_new + prompt / 4) / generate
