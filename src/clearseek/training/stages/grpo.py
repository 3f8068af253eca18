"""Reinforcement learning on problems that can be checked: GRPO, strictly on-policy unless told otherwise.

A step draws problems, rolls out a group of samples for each, lets the verifier score them, turns scores into
advantages, and updates: what did better than its group becomes likelier. Groups whose rewards are all equal are not
trained on, and a step in which hardly any group is informative changes nothing.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from clearseek.errors import UserError
from clearseek.ledger.meter import Span
from clearseek.seeds import seed_of
from clearseek.tasks.task import Problem, Task
from clearseek.training.data.groups import Group
from clearseek.training.data.problems import draw_up_to
from clearseek.training.data.prompt_lengths import that_fit
from clearseek.training.recipe.grpo_settings import GrpoSettings
from clearseek.training.recipe.schedule import learning_rate
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sample, Sampling, kv_bytes
from clearseek.training.score.advantages import group_advantages, per_token, token_weights
from clearseek.training.score.rewards import RewardRule, ScoredGroup, score_samples
from clearseek.training.stages.base import StageContext, StageState, StepReport, check_asked
from clearseek.training.stages.curriculum import spread_draws, weigh
from clearseek.training.stages.grpo_metrics import History, group_metrics, sample_rows, update_metrics
from clearseek.training.update.flops import forward_only_flops, model_sizes, rollout_flops, update_flops
from clearseek.training.update.learner import UpdateReport
from clearseek.training.update.losses import GrpoRule, GrpoTokens, grpo_loss

__all__ = ["GrpoSettings", "GrpoStage", "open_stage"]

Drawn = tuple[Task, Problem, tuple[int, ...]]
"""A problem, and its prompt's ids."""


def open_stage(settings: GrpoSettings, context: StageContext) -> GrpoStage:
    """Raises UserError for a task the run does not have."""
    if not context.tasks:
        raise UserError(f"The stage {settings.name} needs tasks to check answers with, and the run has none.")
    check_asked(settings.name, settings.tasks, context.tasks)
    return GrpoStage(settings, context)


@dataclass(slots=True)
class Clocks:
    """Seconds of a step, by what it did."""

    rollout: float = 0.0
    verify: float = 0.0
    update: float = 0.0

    @contextmanager
    def running(self, phase: Literal["rollout", "verify", "update"]) -> Iterator[None]:
        started = time.perf_counter()
        yield
        setattr(self, phase, getattr(self, phase) + time.perf_counter() - started)


class GrpoStage:
    """A `Stage`."""

    kind = "grpo"

    def __init__(self, settings: GrpoSettings, context: StageContext) -> None:
        self.settings, self.context, self.steps = settings, context, settings.steps
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
        self.sizes = model_sizes(context.learner.model)
        self.history = History()
        self.reference: dict[str, Tensor] = {}
        """The weights before the first step, where there is a KL term."""

    def step(self, number: int) -> StepReport:
        settings = self.settings
        if settings.kl > 0 and not self.reference:
            self.reference = self.context.learner.keep()
        clocks, left_out, groups = Clocks(), list[str](), list[ScoredGroup]()
        for round_ in range(settings.rounds):
            seeds = (self.context.seed, settings.name, number, round_)
            drawn, too_long = self.draw(seeds)
            left_out += too_long
            with clocks.running("rollout"):
                samples = self.roll_out(drawn, seeds)
            with clocks.running("verify"):
                groups += self.score(drawn, samples, seeds)
            if sum(group.informative for group in groups) >= settings.enough_groups:
                break
        if not groups:
            return StepReport({"skipped": 1.0, "lr": 0.0}, (), left_out, asdict(clocks))

        informative = [group for group in groups if group.informative]
        lr = learning_rate(
            number, self.steps, self.lr, warmup=settings.warmup, decay=settings.decay, floor=settings.floor
        )
        reports: list[UpdateReport] = []
        if len(informative) >= settings.min_groups:
            samples_drawn = sum(len(group.samples) for group in groups)
            with clocks.running("update"), self.context.meter.span("update") as span:
                batches = self.batches(number, informative)
                # before the first update: every advantage and every old log-probability is of the same weights
                inputs = [self.advantages(batch, samples_drawn, len(batches) > 1) for batch in batches]
                reports = [self.update(*each, lr, span) for each in inputs]

        metrics = group_metrics(groups, self.tasks) | update_metrics(reports, lr, groups)
        warnings = [*left_out, *self.history.add(number, groups, metrics, settings)]
        rows = sample_rows(number, settings.name, groups, self.context.chat)
        return StepReport(metrics, rows, warnings, asdict(clocks))

    def draw(self, seeds: Sequence[int | str]) -> tuple[list[Drawn], list[str]]:
        """The problems of one round; and what is said of those that are too long."""
        context, positions = self.context, self.context.learner.model.config.max_positions
        return that_fit(self.problems(seeds), context.chat.prompt, self.settings.max_new, positions)

    def problems(self, seeds: Sequence[int | str]) -> list[tuple[Task, Problem]]:
        """In an order without meaning."""
        settings, rng = self.settings, random.Random(seed_of(*seeds, "tasks"))
        known = self.history.taught if settings.curriculum else {}
        weights = weigh(self.shares, [task.name for task in self.tasks], known)
        problems: list[tuple[Task, Problem]] = []
        for task, count in zip(self.tasks, spread_draws(weights, settings.prompts, rng), strict=True):
            if count:
                chosen = draw_up_to(task, count, seed_of(*seeds, task.name), self.context.avoid)
                problems += [(task, problem) for problem in chosen]
        return problems

    def roll_out(self, drawn: Sequence[Drawn], seeds: Sequence[int | str]) -> list[list[Sample]]:
        """A group of samples for each problem."""
        settings, context = self.settings, self.context
        prompts = [prompt for _, _, prompt in drawn]
        with context.meter.span("rollout") as span:
            samples: list[list[Sample]] = rollout(
                context.learner.model,
                prompts,
                group_size=settings.samples,
                sampling=Sampling(
                    max_new=settings.max_new, temperature=settings.temperature, stop_ids=tuple(context.chat.stop_ids)
                ),
                seeds=[
                    [seed_of(*seeds, problem.id, sample) for sample in range(settings.samples)]
                    for _, problem, _ in drawn
                ],
                max_rows=settings.rows,
                kv_bytes=kv_bytes(settings.kv_gigabytes),
                dtype=context.learner.rollout_dtype,
            )
            made = [
                Group(prompt, tuple(sample.ids for sample in group))
                for prompt, group in zip(prompts, samples, strict=True)
            ]
            span.count(
                prompt_tokens=sum(map(len, prompts)),
                completion_tokens=sum(group.scored for group in made),
                flops=rollout_flops(self.sizes, made),
            )
        return samples

    def score(
        self, drawn: Sequence[Drawn], samples: Sequence[list[Sample]], seeds: Sequence[int | str]
    ) -> list[ScoredGroup]:
        """What the verifier says of every sample."""
        mask = self.settings.overlong == "mask"
        with self.context.meter.span("verify"):
            scores = [
                score_samples(task, problem, group, self.context.chat, self.rewards, *seeds)
                for (task, problem, _), group in zip(drawn, samples, strict=True)
            ]
        return [
            ScoredGroup(*problem, group, own, mask) for problem, group, own in zip(drawn, samples, scores, strict=True)
        ]

    def batches(self, number: int, informative: Sequence[ScoredGroup]) -> list[list[ScoredGroup]]:
        """The groups of each optimizer step."""
        order = list(informative)
        if self.settings.updates > 1:
            random.Random(seed_of(self.context.seed, self.settings.name, number, "order")).shuffle(order)
        each = -(-len(order) // self.settings.updates)
        return [order[start : start + each] for start in range(0, len(order), each)]

    def advantages(
        self, batch: Sequence[ScoredGroup], samples_drawn: int, more_updates: bool
    ) -> tuple[list[Group], GrpoTokens]:
        """What is known of the tokens of these groups before the update. Samples that are left out have none: they
        count in no mean over tokens, and are not held to the reference either. `samples_drawn` are all samples of the
        step, which is what the constant normaliser and the mean over samples divide by."""
        settings, learner = self.settings, self.context.learner
        samples = [group.trained_samples for group in batch]
        groups = [
            Group(group.prompt, tuple(sample.ids for sample in own)) for group, own in zip(batch, samples, strict=True)
        ]
        lengths = [len(sample.ids) for own in samples for sample in own]
        rewards_PS = torch.tensor([[score.reward for score in group.scores] for group in batch])
        advantages_PS = group_advantages(rewards_PS, divide_by_std=settings.divide_by_std)
        advantages_R = advantages_PS[torch.tensor([group.trained for group in batch])]
        weights_A = token_weights(lengths, settings.normalise, samples=samples_drawn, length=settings.length_constant)
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
            per_token(advantages_R, lengths).to(device),
            weights_A.to(device),
            sampled_A.to(device),
            there(old_A),
            there(reference_A),
        )

    def update(self, groups: Sequence[Group], tokens: GrpoTokens, lr: float, span: Span) -> UpdateReport:
        """One optimizer step."""
        report = self.context.learner.update(
            groups,
            functools.partial(grpo_loss, tokens=tokens, rule=self.rule),
            lr,
            temperature=self.settings.temperature,
        )
        span.count(prompt_tokens=report.tokens, flops=update_flops(self.sizes, groups, report.tokens))
        for _ in range((tokens.old_A is not None) + (tokens.reference_A is not None)):
            span.count(flops=forward_only_flops(self.sizes, groups, report.tokens))
        return report

    def state(self) -> StageState:
        return StageState(
            self.history.as_json(), {f"reference/{name}": tensor for name, tensor in self.reference.items()}
        )

    def restore(self, state: StageState) -> None:
        history = History.from_json(state.values)
        if history is None:
            raise UserError(f"The checkpoint of the stage {self.settings.name} is of another kind of stage.")
        self.history = history
        reference = {name.removeprefix("reference/"): tensor for name, tensor in state.tensors.items()}
        if bool(reference) != (self.settings.kl > 0 and history.steps > 0):
            raise UserError(f"The checkpoint of the stage {self.settings.name} was made with another `kl`.")
        self.reference = {name: tensor.clone() for name, tensor in reference.items()}
