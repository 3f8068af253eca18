"""Reinforcement learning on problems that can be checked: GRPO, strictly on-policy unless told otherwise.

A step draws problems, samples a group of answers to each, lets the verifier score them, and makes what did better than
its group likelier. Groups whose rewards are all equal are not trained on, and a step in which hardly any group teaches
changes nothing.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from clearseek.errors import UserError
from clearseek.seeds import seed_of
from clearseek.tasks.task import Problem, Task
from clearseek.tasks.verifier_faults import faults_of
from clearseek.training.data.groups import Group
from clearseek.training.data.problems import draw_up_to
from clearseek.training.data.prompt_lengths import fitting
from clearseek.training.recipe.grpo_settings import GrpoSettings
from clearseek.training.recipe.schedule import learning_rate
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sample, Sampling, kv_bytes
from clearseek.training.score.advantages import group_advantages, spread, token_weights
from clearseek.training.score.rewards import Graded, RewardRule, grade, teaches
from clearseek.training.stages.base import StageContext, StageState, StepReport, check_asked
from clearseek.training.stages.curriculum import remember, spread_draws, weigh
from clearseek.training.stages.health import AGAIN, START, warnings_of
from clearseek.training.update.flops import forward_only_flops, rollout_flops, sizes_of, update_flops
from clearseek.training.update.learner import UpdateReport
from clearseek.training.update.losses import GrpoRule, GrpoTokens, grpo_loss

__all__ = ["GrpoSettings", "GrpoStage", "open_stage"]

SAMPLES = 4
"""Samples of a step that are told to people."""


def open_stage(settings: GrpoSettings, context: StageContext) -> GrpoStage:
    """Raises UserError for a task the run does not have."""
    if not context.tasks:
        raise UserError(f"The stage {settings.name} needs tasks to check answers with, and the run has none.")
    check_asked(settings.name, settings.tasks, context.tasks)
    return GrpoStage(settings, context)


@dataclass(slots=True)
class _Drawn:
    """One problem of a step, its samples and what they earned."""

    task: Task
    problem: Problem
    prompt: tuple[int, ...]
    samples: list[Sample]
    graded: list[Graded]
    mask: bool
    """Whether samples that were cut off are left out of what is learned."""

    @property
    def trained(self) -> list[bool]:
        """Which samples are learned from; the others are still of the group that each is compared with."""
        return [not (self.mask and graded.truncated) for graded in self.graded]

    @property
    def teaches(self) -> bool:
        return teaches(self.graded) and any(self.trained)


@dataclass(slots=True)
class Clocks:
    """Seconds of a step, by what it did."""

    rollout: float = 0.0
    verify: float = 0.0
    update: float = 0.0


@dataclass(slots=True)
class _Memory:
    """What a step needs of those before it: all of it is in the checkpoint."""

    taught: dict[str, float] = field(default_factory=dict)
    first: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    told: dict[str, int] = field(default_factory=dict)


class GrpoStage:
    """A `Stage`."""

    kind = "grpo"

    def __init__(self, settings: GrpoSettings, context: StageContext) -> None:
        self.settings, self.stage_context, self.steps = settings, context, settings.steps
        chosen = [
            (task, share)
            for task, share in zip(context.tasks, context.weights, strict=True)
            if not settings.tasks or task.name in settings.tasks
        ]
        self.tasks = [task for task, _ in chosen]
        self.shares = [share for _, share in chosen]
        self.lr = settings.lr or (5e-5 if context.learner.settings.method == "lora" else 1e-5)
        self.rule = GrpoRule(settings.clip_low, settings.clip_high, settings.kl, settings.importance_cap)
        self.rewards = RewardRule(
            settings.format_reward,
            settings.length_reward,
            settings.max_new,
            settings.length_margin,
            settings.reward == "random",
        )
        self.sizes = sizes_of(context.learner.model)
        self.memory = _Memory()
        self.left_out: list[str] = []
        """What is said of problems that this step could not ask."""
        self.reference: dict[str, Tensor] = {}
        """The weights before the first step, where there is a KL term."""

    def step(self, number: int) -> StepReport:
        settings = self.settings
        if settings.kl > 0 and not self.reference:
            self.reference = self.stage_context.learner.keep()
        clocks = Clocks()
        drawn: list[_Drawn] = []
        self.left_out = []
        for round_ in range(settings.rounds):
            drawn += self.draw(number, round_, clocks)
            if sum(one.teaches for one in drawn) >= settings.enough_groups:
                break
        if not drawn:
            return StepReport({"skipped": 1.0, "lr": 0.0}, (), self.left_out, asdict(clocks))
        taught = [one for one in drawn if one.teaches]
        lr = learning_rate(
            number, self.steps, self.lr, warmup=settings.warmup, decay=settings.decay, floor=settings.floor
        )
        numbers = self.numbers(drawn)
        started = time.perf_counter()
        samples_drawn = sum(len(one.samples) for one in drawn)
        reports = self.update(number, taught, lr, samples_drawn) if len(taught) >= settings.min_groups else []
        clocks.update = time.perf_counter() - started
        numbers |= {
            "lr": lr if reports else 0.0,
            "skipped": 0.0 if reports else 1.0,
            "loss": sum(report.loss for report in reports),
            "grad_norm": max((report.grad_norm for report in reports), default=0.0),
            "tokens_trained": float(sum(report.scored for report in reports)),
            "tokens_generated": float(sum(len(sample.ids) for one in drawn for sample in one.samples)),
            "mismatch": 0.0,
        }
        if reports:
            names = sorted({name for report in reports for name in report.parts})
            scored = sum(report.scored for report in reports)
            for name in names:  # the loss's shares add up over updates, the means are weighted by tokens
                if name in ("policy", "kl"):
                    numbers[f"loss/{name}"] = sum(report.parts[name] for report in reports)
                else:
                    numbers[name] = sum(report.parts[name] * report.scored for report in reports) / scored
        samples = [self.sample(number, one, 0) for one in drawn[:: max(1, len(drawn) // SAMPLES)]][:SAMPLES]
        warnings = [*self.left_out, *self.remember(number, drawn, numbers)]
        return StepReport(numbers, samples, warnings, asdict(clocks))

    def draw(self, number: int, round_: int, clocks: Clocks) -> list[_Drawn]:
        """Problems, samples and scores of one round."""
        settings, context = self.settings, self.stage_context
        seeds = (context.seed, settings.name, number, round_)
        positions = context.learner.model.config.max_positions
        fit, said = fitting(self.problems(*seeds), context.chat.prompt, settings.max_new, positions)
        self.left_out += said
        problems, prompts = [(task, problem) for task, problem, _ in fit], [ids for _, _, ids in fit]
        sampling = Sampling(
            max_new=settings.max_new, temperature=settings.temperature, stop_ids=tuple(context.chat.stop_ids)
        )
        started = time.perf_counter()
        learner = context.learner
        with context.meter.span("rollout") as span:
            groups = rollout(
                learner.model,
                prompts,
                group_size=settings.samples,
                sampling=sampling,
                seeds=[
                    [seed_of(*seeds, problem.id, sample) for sample in range(settings.samples)]
                    for _, problem in problems
                ],
                max_rows=settings.rows,
                kv_bytes=kv_bytes(settings.kv_gigabytes),
                dtype=learner.rollout_dtype,
            )
            made = [
                Group(prompt, tuple(sample.ids for sample in group))
                for prompt, group in zip(prompts, groups, strict=True)
            ]
            span.count(
                prompt_tokens=sum(map(len, prompts)),
                completion_tokens=sum(group.scored for group in made),
                flops=rollout_flops(self.sizes, made),
            )
        clocks.rollout += time.perf_counter() - started
        started = time.perf_counter()
        mask = settings.overlong == "mask"
        drawn = []
        with context.meter.span("verify"):
            for (task, problem), prompt, group in zip(problems, prompts, groups, strict=True):
                graded = grade(task, problem, group, context.chat, self.rewards, *seeds)
                drawn.append(_Drawn(task, problem, prompt, group, graded, mask))
        clocks.verify += time.perf_counter() - started
        return drawn

    def problems(self, *seeds: int | str) -> list[tuple[Task, Problem]]:
        """The problems of one round, in an order without meaning."""
        rng = random.Random(seed_of(*seeds, "tasks"))
        known = self.memory.taught if self.settings.curriculum else {}
        weights = weigh(self.shares, [task.name for task in self.tasks], known)
        found: list[tuple[Task, Problem]] = []
        for task, count in zip(self.tasks, spread_draws(weights, self.settings.prompts, rng), strict=True):
            if count:
                chosen = draw_up_to(task, count, seed_of(*seeds, task.name), self.stage_context.avoid)
                found += [(task, problem) for problem in chosen]
        return found

    def update(self, number: int, taught: Sequence[_Drawn], lr: float, drawn: int) -> list[UpdateReport]:
        """Learn from these groups, in one or several optimizer steps; `drawn` are the samples of the step in all."""
        settings, learner = self.settings, self.stage_context.learner
        order = list(taught)
        if settings.updates > 1:
            random.Random(seed_of(self.stage_context.seed, settings.name, number, "order")).shuffle(order)
        each = -(-len(order) // settings.updates)
        batches = [order[start : start + each] for start in range(0, len(order), each)]
        reports = []
        with self.stage_context.meter.span("update") as span:
            prepared = [self.tokens(batch, drawn, more_updates=len(batches) > 1) for batch in batches]
            for groups, tokens in prepared:
                report = learner.update(
                    groups,
                    functools.partial(grpo_loss, tokens=tokens, rule=self.rule),
                    lr,
                    temperature=settings.temperature,
                )
                span.count(prompt_tokens=report.tokens, flops=update_flops(self.sizes, groups, report.tokens))
                passes = (tokens.old_A is not None) + (tokens.reference_A is not None)
                for _ in range(passes):
                    span.count(flops=forward_only_flops(self.sizes, groups, report.tokens))
                reports.append(report)
        return reports

    def tokens(self, batch: Sequence[_Drawn], drawn: int, *, more_updates: bool) -> tuple[list[Group], GrpoTokens]:
        """What is known of the tokens of these groups before the update. Samples that are left out have none: they
        count in no mean over tokens, and are not held to the reference either. `drawn` are all samples of the step,
        which is what the constant normaliser and the mean over samples divide by."""
        settings, learner = self.settings, self.stage_context.learner
        samples = [[sample for sample, own in zip(one.samples, one.trained, strict=True) if own] for one in batch]
        completions = [tuple(sample.ids for sample in own) for own in samples]
        groups = [Group(one.prompt, ids) for one, ids in zip(batch, completions, strict=True)]
        lengths = [len(sample.ids) for own in samples for sample in own]
        rewards_PS = torch.tensor([[graded.reward for graded in one.graded] for one in batch])
        advantages_PS = group_advantages(rewards_PS, divide_by_std=settings.divide_by_std)
        advantages_R = advantages_PS[torch.tensor([one.trained for one in batch])]
        weights_A = token_weights(lengths, settings.normalise, samples=drawn, length=settings.length_constant)
        sampled_A = torch.tensor([value for own in samples for sample in own for value in sample.log_probs])
        old_A = reference_A = None
        if more_updates:  # the weights will have moved when the later batches come
            old_A = learner.log_probs(groups, temperature=settings.temperature).log_probs_A
        if self.reference:
            reference_A = learner.log_probs(
                groups, temperature=settings.temperature, weights=self.reference
            ).log_probs_A
        device = learner.device

        def there(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        return groups, GrpoTokens(
            spread(advantages_R, lengths).to(device),
            weights_A.to(device),
            sampled_A.to(device),
            there(old_A),
            there(reference_A),
        )

    def numbers(self, drawn: Sequence[_Drawn]) -> dict[str, float]:
        """Rewards and their parts, apart, over everything that was drawn."""
        every = [graded for one in drawn for graded in one.graded]
        second = [graded.second for graded in every if graded.second is not None]
        judged = [graded.accuracy for graded in every if graded.second is not None]
        found = {
            "reward": _mean([graded.reward for graded in every]),
            "accuracy": _mean([graded.accuracy for graded in every]),
            "format": _mean([graded.form for graded in every]),
            "length_reward": _mean([graded.length for graded in every]),
            "length": _mean([float(len(sample.ids)) for one in drawn for sample in one.samples]),
            "truncated": _mean([float(graded.truncated) for graded in every]),
            "not_scored": _mean([float(bool(graded.fault)) for graded in every]),
            "groups": float(len(drawn)),
            "groups_that_teach": _mean([float(one.teaches) for one in drawn]),
            "groups_all_right": _mean([float(all(g.accuracy >= 1.0 for g in one.graded)) for one in drawn]),
            "groups_all_wrong": _mean([float(all(g.accuracy <= 0.0 for g in one.graded)) for one in drawn]),
            "second_judged": len(second) / len(every),
        }
        if second:  # where it said nothing of a sample, it cannot disagree
            found["second_verifier"] = _mean(second) + found["accuracy"] - _mean(judged)
        for task in self.tasks:
            own = [graded.accuracy for one in drawn if one.task is task for graded in one.graded]
            if own:
                found[f"accuracy/{task.name}"] = _mean(own)
        return found

    def remember(self, number: int, drawn: Sequence[_Drawn], numbers: Mapping[str, float]) -> list[str]:
        """Put down what later steps need; the warnings that are due."""
        memory = self.memory
        by_task: dict[str, list[bool]] = {}
        for one in drawn:
            by_task.setdefault(one.task.name, []).append(one.teaches)
        memory.taught = remember(memory.taught, by_task)
        kept = {
            name: numbers[name]
            for name in (
                *("groups_that_teach", "truncated", "mismatch", "accuracy", "format", "length", "entropy"),
                *("second_judged", "second_verifier", "skipped", "groups"),
            )
            if name in numbers
        }
        memory.steps += 1
        if len(memory.first) < START:
            memory.first.append(kept)
        memory.recent = [*memory.recent, kept][-2 * START :]
        history = memory.recent if memory.steps <= 2 * START else [*memory.first, *memory.recent]
        signs = warnings_of(
            history,
            max_new=self.settings.max_new,
            random_reward=self.rewards.random,
            min_groups=self.settings.min_groups,
        )
        signs |= faults_of((one.task.name, graded.fault, graded.why) for one in drawn for graded in one.graded)
        due = [name for name in signs if number - memory.told.get(name, -AGAIN) >= AGAIN]
        memory.told |= dict.fromkeys(due, number)
        return [signs[name] for name in due]

    def sample(self, number: int, one: _Drawn, place: int) -> dict[str, Any]:
        """A sample as people read it."""
        graded, ids = one.graded[place], one.samples[place].ids
        return {
            "step": number,
            "stage": self.settings.name,
            "kind": "sample",
            "task": one.task.name,
            "problem": one.problem.id,
            "prompt": one.problem.prompt,
            "reference": one.problem.answer,
            "text": self.stage_context.chat.tokenizer.decode(list(ids), keep_control=True),
            "answer": graded.written.answer,
            "reward": graded.reward,
            "accuracy": graded.accuracy,
            "format": graded.form,
            "length": graded.length,
            "why": graded.why,
            "right_in_group": sum(other.accuracy for other in one.graded),
        }

    def state(self) -> StageState:
        memory = self.memory
        values: dict[str, Any] = {
            "taught": memory.taught,
            "first": memory.first,
            "recent": memory.recent,
            "steps": memory.steps,
            "told": memory.told,
        }
        return StageState(values, {f"reference/{name}": tensor for name, tensor in self.reference.items()})

    def restore(self, state: StageState) -> None:
        values = state.values
        if set(values) != {"taught", "first", "recent", "steps", "told"}:
            raise UserError(f"The checkpoint of the stage {self.settings.name} is of another kind of stage.")
        self.memory = _Memory(
            dict(values["taught"]), list(values["first"]), list(values["recent"]), values["steps"], dict(values["told"])
        )
        found = {name.removeprefix("reference/"): tensor for name, tensor in state.tensors.items()}
        if bool(found) != (self.settings.kl > 0 and self.memory.steps > 0):
            raise UserError(f"The checkpoint of the stage {self.settings.name} was made with another `kl`.")
        self.reference = {name: tensor.clone() for name, tensor in found.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
