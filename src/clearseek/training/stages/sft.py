"""Supervised learning: worked examples, and the loss on what the model is to write."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from clearseek.errors import UserError
from clearseek.seeds import seed_of
from clearseek.training.data.examples import Example, counts_of, encode, from_file, from_tasks, load_source
from clearseek.training.data.sources import FROM_TASKS, GLANCES, SOLUTIONS
from clearseek.training.data.traces import Trace
from clearseek.training.data.user_files import is_file
from clearseek.training.recipe.schedule import learning_rate
from clearseek.training.recipe.sft_settings import SftSettings
from clearseek.training.stages.base import StageContext, StageState, StepReport
from clearseek.training.update.flops import model_sizes, update_flops
from clearseek.training.update.losses import sft_loss

SAMPLES = 2
"""Examples of a step that are told to people."""


def open_stage(settings: SftSettings, context: StageContext) -> SftStage:
    """Read the stage's files and work out its steps. Examples that are too long are left out at once, so that no step
    comes to consist of them. Raises UserError for a source that is not there, or of which nothing is short enough."""
    traces: dict[str, list[Trace]] = {}
    messages = []
    for name in settings.sources:
        if name not in FROM_TASKS:
            traces[name], data = short_enough(name, load_source(name, context.folder), settings, context)
            messages += data
    endless = any(name in FROM_TASKS for name in settings.sources)
    if endless and not context.tasks:
        raise UserError(f"The stage {settings.name} is to learn from worked solutions, and the run has no tasks.")
    check_steps(settings)
    steps = settings.steps
    if not steps:
        steps = max(1, round(settings.epochs * sum(map(len, traces.values())) / settings.examples))
    return SftStage(settings, context, traces, steps, messages)


def limit_of(settings: SftSettings, context: StageContext) -> int:
    """Tokens that an example may have."""
    positions: int = context.learner.model.config.max_positions
    return min(settings.max_tokens, positions)


def short_enough(
    name: str, traces: Sequence[Trace], settings: SftSettings, context: StageContext
) -> tuple[list[Trace], list[str]]:
    """The examples of a file that are, and a sentence that names the lines of those that are not."""
    limit = limit_of(settings, context)
    spare = limit - length_of(Trace("1", "1", "1"), context)
    kept, long = [], []
    for line, trace in enumerate(traces, 1):
        size = sum(len(text.encode()) for text in (trace.prompt, trace.thinking or "", trace.answer))
        # a token is at least a byte, so most need not be counted
        if size > spare and (tokens := length_of(trace, context)) > limit:
            long.append((line, tokens))
        else:
            kept.append(trace)
    if not long:
        return kept, []
    file = name if is_file(name) else f"data/{name}.jsonl"
    lines = ", ".join(f"line {line} ({tokens} tokens)" for line, tokens in long[:3]) + (", ..." if long[3:] else "")
    bound = "`max_tokens` allows" if limit == settings.max_tokens else "the model holds"
    what = f"{len(long)} of {len(traces)} examples in {file} are longer than the {limit} tokens that {bound}"
    if not kept:
        raise UserError(f"{what}, so the stage {settings.name} has nothing to learn from: {lines}.")
    return kept, [f"{what}, and are left out: {lines}."]


def length_of(trace: Trace, context: StageContext) -> int:
    """Tokens of an example, prompt included."""
    group = encode(trace, context.chat, "").group
    return len(group.prompt) + group.scored


def check_steps(settings: SftSettings) -> None:
    """Raises UserError for a stage of which nobody can say when it ends."""
    if not settings.steps and any(name in FROM_TASKS for name in settings.sources):
        raise UserError(f"The stage {settings.name} learns from worked solutions, which never end: say its `steps`.")


class SftStage:
    """A `Stage`. Nothing is remembered from step to step."""

    kind = "sft"

    def __init__(
        self,
        settings: SftSettings,
        context: StageContext,
        traces: Mapping[str, Sequence[Trace]],
        steps: int,
        said: Sequence[str] = (),
    ) -> None:
        self.settings, self.stage_context, self.traces, self.steps = settings, context, traces, steps
        self.said = said
        """What was found on opening; the first step tells it."""
        self.limit = limit_of(settings, context)
        lora = context.learner.settings.method == "lora"
        self.lr = settings.lr or (1e-3 if lora else 3e-4)
        if settings.shares:
            self.shares: tuple[float, ...] = settings.shares
        elif any(name in FROM_TASKS for name in settings.sources):
            self.shares = tuple(1.0 for _ in settings.sources)
        else:  # each file as often as it is long, so that epochs are epochs
            self.shares = tuple(float(len(traces[name])) for name in settings.sources)
        self.sizes = model_sizes(context.learner.model)

    def step(self, number: int) -> StepReport:
        settings, context = self.settings, self.stage_context
        examples, warnings = self.examples(number)
        if number == 0:
            warnings = [*self.said, *warnings]
        if not examples:
            return StepReport({"skipped": 1.0, "lr": 0.0, "examples": 0.0}, (), warnings)
        groups = [example.group for example in examples]
        scored = sum(group.scored for group in groups)
        weights_A = torch.full((scored,), 1.0 / scored, device=context.learner.device)
        lr = learning_rate(
            number, self.steps, self.lr, warmup=settings.warmup, decay=settings.decay, floor=settings.floor
        )
        started = time.perf_counter()
        with context.meter.span("update") as span:
            report = context.learner.update(groups, lambda scores: sft_loss(scores, weights_A), lr)
            span.count(prompt_tokens=report.tokens, flops=update_flops(self.sizes, groups, report.tokens))
        numbers = {
            "loss": report.loss,
            "lr": lr,
            "grad_norm": report.grad_norm,
            "entropy": report.parts["entropy"],
            "examples": float(len(examples)),
            "length": scored / len(examples),
            "tokens_trained": float(scored),
            "tokens_generated": 0.0,
        }
        seconds = {"update": time.perf_counter() - started}
        samples = [self.sample(number, example) for example in examples[:SAMPLES]] if number == 0 else []
        return StepReport(numbers, samples, warnings, seconds)

    def examples(self, number: int) -> tuple[list[Example], list[str]]:
        """The examples of a step, and what is to be said about them."""
        settings, context = self.settings, self.stage_context
        seeds = (context.seed, settings.name)
        results: list[Example] = []
        dropped = 0
        for source, (start, count) in zip(
            settings.sources, counts_of(number, settings.examples, self.shares), strict=True
        ):
            drawn = (context.tasks, context.weights, count, context.avoid, *seeds, number)
            if source == SOLUTIONS:
                traces = from_tasks(*drawn)
            elif source == GLANCES:
                traces = from_tasks(*drawn, source, glances=True)
            else:
                traces = from_file(self.traces[source], start, count, *seeds, source)
            rng = random.Random(seed_of(*seeds, number, source, "thinking"))
            for trace in traces:
                thinking = rng.random() >= settings.thinking_off
                example = encode(trace, context.chat, source, thinking=thinking or source not in FROM_TASKS)
                if len(example.group.prompt) + example.group.scored > self.limit:
                    dropped += 1
                else:
                    results.append(example)
        warnings = []
        if dropped * 4 > dropped + len(results):
            nothing = "" if results else ", so this step taught nothing"
            warnings.append(
                f"{dropped} of {dropped + len(results)} examples have more than {self.limit} tokens and were left out"
                f"{nothing}: raise max_tokens, or write shorter ones."
            )
        return results, warnings

    def sample(self, number: int, example: Example) -> dict[str, Any]:
        """An example as people read it."""
        decode = self.stage_context.chat.tokenizer.decode
        return {
            "step": number,
            "stage": self.settings.name,
            "kind": "example",
            "source": example.source,
            "task": example.task,
            "prompt": example.text,
            "text": decode(list(example.group.completions[0]), keep_control=True),
        }

    def state(self) -> StageState:
        return StageState()

    def restore(self, state: StageState) -> None:
        if state.values or state.tensors:
            raise UserError(f"The checkpoint of the stage {self.settings.name} is of another kind of stage.")
