"""Rejection sampling: the model as it is now answers problems several times, and what is right is kept to learn from.

With `general`, the base's own answers to everyday prompts are written beside them, so that a model that learns to
reason does not unlearn to chat (DeepSeek-R1, arXiv 2501.12948, section 2.3.3, mixes reasoning and other data alike).
Everything goes to RUN/data/NAME.jsonl; a supervised stage after this one names it in its `sources`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from clearseek.errors import UserError
from clearseek.modeling.causal_lm import CausalLM
from clearseek.seeds import seed_of
from clearseek.tasks.json_lines import tag_in
from clearseek.tasks.task import Problem, Task
from clearseek.tasks.verifier_faults import Scored, faults_of
from clearseek.training.data.everyday_chat import DIRECT, everyday_answer, is_repetitive, read_prompts
from clearseek.training.data.examples import end_markers
from clearseek.training.data.groups import Group
from clearseek.training.data.problem_stream import ProblemStream
from clearseek.training.data.prompt_lengths import that_fit
from clearseek.training.data.traces import Trace
from clearseek.training.recipe.rejection_settings import Pick, RejectSettings
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sample, Sampling, kv_bytes
from clearseek.training.stages.base import StageContext, StageState, StepReport, check_asked
from clearseek.training.update.flops import model_sizes, rollout_flops
from clearseek.training.update.with_weights import with_weights

SAMPLES = 2
"""Kept answers of a step that are told to people."""


def open_stage(settings: RejectSettings, context: StageContext) -> RejectStage:
    """Raises UserError for a task that the run does not have, or a file of prompts that is none."""
    check_asked(settings.name, settings.tasks, context.tasks)
    general = read_prompts(settings.general_file) if settings.general else []
    if settings.general > len(general):
        raise UserError(
            f"The stage {settings.name} asks for {settings.general} everyday prompts, and there are {len(general)}."
        )
    random.Random(seed_of(context.seed, settings.name, "general")).shuffle(general)
    return RejectStage(settings, context, general[: settings.general])


class RejectStage:
    """A `Stage`. Its state is how long its file is and what it counted."""

    kind = "reject"

    def __init__(self, settings: RejectSettings, context: StageContext, general: Sequence[str]) -> None:
        self.settings, self.stage_context, self.general = settings, context, general
        self.steps = settings.planned_steps
        wanted = set(settings.tasks)
        self.tasks = [task for task in context.tasks if not wanted or task.name in wanted]
        self.file = context.folder / "data" / f"{settings.name}.jsonl"
        self.supply = ProblemStream(lambda task: seed_of(context.seed, settings.name, task), context.avoid)
        self.places: list[dict[str, int]] = [{}]
        """For each step, how many problems of each task came before it; as far as was asked."""
        self.bytes = 0
        self.kept: dict[str, set[str]] = {}
        """Problem -> the thoughts that were kept of it; as the file has them."""
        self.counts: dict[str, list[int]] = {}
        """Task -> [samples right, samples drawn]."""
        self.sizes = model_sizes(context.learner.model)

    def step(self, number: int) -> StepReport:
        settings = self.settings
        if number < settings.steps:
            return self.verified(number)
        start = (number - settings.steps) * settings.prompts
        return self.everyday(number, self.general[start : start + settings.prompts])

    def verified(self, number: int) -> StepReport:
        """Problems, answers, the verifier, and what is kept."""
        settings, context = self.settings, self.stage_context
        positions = context.learner.model.config.max_positions
        fit, warnings = that_fit(self.problems(number), context.chat.prompt, settings.max_new, positions)
        problems, prompts = [(task, problem) for task, problem, _ in fit], [ids for _, _, ids in fit]
        began = time.perf_counter()
        model = context.learner.model
        groups = self.generate(model, prompts, settings.samples, settings.max_new, settings.temperature, number)
        generated = time.perf_counter()
        kept: list[Trace] = []
        scored: list[Scored] = []
        right = drawn = cut = 0
        lengths: list[int] = []
        with context.meter.span("verify"):
            for (task, problem), group in zip(problems, groups, strict=True):
                judged = [self.judge(task, problem, sample, scored) for sample in group]
                good = [trace for trace in judged if trace is not None]
                right, drawn = right + len(good), drawn + len(group)
                cut += sum(sample.finish == "length" for sample in group)
                lengths += [len(sample.ids) for sample in group]
                tally = self.counts.setdefault(task.name, [0, 0])
                tally[0], tally[1] = tally[0] + len(good), tally[1] + len(group)
                easy = len(good) > settings.skip_easy * len(group)
                if easy and random.Random(seed_of(context.seed, settings.name, problem.id)).random() < 0.5:
                    continue
                kept += self.new(problem, good)
        self.write(kept)
        numbers = {
            "accuracy": right / max(1, drawn),
            "kept": float(len(kept)),
            "length": sum(lengths) / max(1, len(lengths)),
            "truncated": cut / max(1, drawn),
            "tokens_generated": float(sum(lengths)),
            **{f"accuracy/{name}": tally[0] / tally[1] for name, tally in self.counts.items()},
        }
        warnings += faults_of(scored).values()
        if number == settings.steps - 1 and self.bytes == 0:
            raise UserError(
                f"The stage {settings.name} kept nothing: none of the answers was right. Train longer before it, or "
                "sample more often."
            )
        if number == 0 and right == 0 and drawn:
            warnings.append("None of the first answers was right: there may be nothing to keep.")
        seconds = {"rollout": generated - began, "verify": time.perf_counter() - generated}
        return StepReport(numbers, [_sample(trace) for trace in kept[:SAMPLES]], warnings, seconds)

    def problems(self, number: int) -> list[tuple[Task, Problem]]:
        """The problems of a step; no problem comes in two steps, as far as the tasks are large enough."""
        while len(self.places) <= number:
            before, counts = self.places[-1], self.counts_of(len(self.places) - 1)
            self.places.append({task.name: before.get(task.name, 0) + count for task, count in counts})
        results = []
        for task, count in self.counts_of(number):
            start = self.places[number].get(task.name, 0)
            results += [(task, problem) for problem in self.supply.take(task, start, count)] if count else []
        return results

    def counts_of(self, number: int) -> list[tuple[Task, int]]:
        """How many problems of each task a step has, in an order of its own."""
        share, more = divmod(self.settings.prompts, len(self.tasks))
        order = list(self.tasks)
        random.Random(seed_of(self.stage_context.seed, self.settings.name, number)).shuffle(order)
        return [(task, share + (place < more)) for place, task in enumerate(order)]

    def new(self, problem: Problem, good: Sequence[Trace]) -> list[Trace]:
        """Of the right answers to a problem, those to keep: a problem that came again, because its task has no more,
        keeps no more than `keep` in all, and nothing twice."""
        there = self.kept.setdefault(problem.id, set())
        fresh = [trace for trace in good if (trace.thinking or "") not in there]
        chosen = pick_traces(fresh, max(0, self.settings.keep - len(there)), self.settings.pick)
        there.update(trace.thinking or "" for trace in chosen)
        return chosen

    def judge(self, task: Task, problem: Problem, sample: Sample, scored: list[Scored]) -> Trace | None:
        """A trace, where the answer is well formed and right, by the hidden verifier too where there is one. `scored`
        is added to."""
        written = self.stage_context.chat.read(sample.ids)
        if not written.well_formed:
            return None
        score = task.check(problem, written.answer)
        scored.append((task.name, score.fault, score.why))
        if score.accuracy < 1.0 or (score.second is not None and score.second < 1.0):
            return None
        ends = end_markers(self.stage_context.chat)
        if tag_in(written.thinking, ends) or tag_in(written.answer, ends):
            return None  # a tag as text would be learned as text
        source = f"reject:{self.settings.name}"
        return Trace(problem.prompt, written.thinking, written.answer, task.name, problem.id, source)

    def everyday(self, number: int, prompts: Sequence[str]) -> StepReport:
        """What the base answers to everyday prompts."""
        settings, chat = self.settings, self.stage_context.chat
        own = chat.tokenizer.template()
        ids = []
        for prompt in prompts:
            pieces = own.render([{"role": "user", "content": prompt}])
            ids.append(chat.tokenizer.encode_pieces(list(pieces)))
        began = time.perf_counter()
        groups = self.generate(base_model(self.stage_context), ids, 1, settings.general_max_new, 0.0, number)
        kept = []
        lengths = [len(group[0].ids) for group in groups]
        cut = 0
        for prompt, group in zip(prompts, groups, strict=True):
            answer, ended = everyday_answer(chat, group[0].ids)
            cut += not ended
            if answer and not is_repetitive(answer) and not tag_in(answer, end_markers(chat)):
                kept.append(Trace(prompt, self.thought(prompt), answer, source="base", cut=not ended))
        self.write(kept)
        numbers = {
            "kept": float(len(kept)),
            "length": sum(lengths) / len(lengths),
            "truncated": cut / len(prompts),
            "tokens_generated": float(sum(lengths)),
        }
        seconds = {"rollout": time.perf_counter() - began}
        return StepReport(numbers, [_sample(trace) for trace in kept[:SAMPLES]], seconds=seconds)

    def thought(self, prompt: str) -> str | None:
        rng = random.Random(seed_of(self.stage_context.seed, self.settings.name, "thought", prompt))
        return rng.choice(DIRECT) if rng.random() < self.settings.general_thinking else None

    def generate(
        self,
        model: CausalLM,
        prompts: Sequence[Sequence[int]],
        samples: int,
        max_new: int,
        temperature: float,
        number: int,
    ) -> list[list[Sample]]:
        settings, context = self.settings, self.stage_context
        with context.meter.span("rollout") as span:
            groups: list[list[Sample]] = rollout(
                model,
                prompts,
                group_size=samples,
                sampling=Sampling(max_new=max_new, temperature=temperature, stop_ids=context.chat.stop_ids),
                seed=seed_of(context.seed, settings.name, number, "samples"),
                kv_bytes=kv_bytes(settings.kv_gigabytes),
                max_rows=settings.rows,
                dtype=context.learner.rollout_dtype,
            )
            made = [
                Group(tuple(prompt), tuple(sample.ids for sample in group))
                for prompt, group in zip(prompts, groups, strict=True)
            ]
            span.count(
                prompt_tokens=sum(map(len, prompts)),
                completion_tokens=sum(group.scored for group in made),
                flops=rollout_flops(self.sizes, made),
            )
        return groups

    def write(self, traces: Sequence[Trace]) -> None:
        """Behind what was written up to the last step, and on the disk when this returns."""
        text = "".join(json.dumps(asdict(trace), ensure_ascii=False, sort_keys=True) + "\n" for trace in traces)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("r+b" if self.file.exists() else "w+b") as out:
            out.truncate(self.bytes)
            out.seek(self.bytes)
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        self.bytes += len(text.encode())

    def state(self) -> StageState:
        return StageState({"bytes": self.bytes, "counts": {name: list(pair) for name, pair in self.counts.items()}})

    def restore(self, state: StageState) -> None:
        if set(state.values) != {"bytes", "counts"}:
            raise UserError(f"The checkpoint of the stage {self.settings.name} is of another kind of stage.")
        self.bytes = int(state.values["bytes"])
        self.counts = {name: list(pair) for name, pair in state.values["counts"].items()}
        content = self.file.read_bytes() if self.file.exists() else b""
        if len(content) < self.bytes:
            raise UserError(f"{self.file} is shorter than its checkpoint says; start the run again.")
        self.kept = {}
        for line in content[: self.bytes].splitlines():
            data = json.loads(line)
            if data["problem"]:
                self.kept.setdefault(data["problem"], set()).add(data["thinking"] or "")


def pick_traces(good: Sequence[Trace], keep: int, pick: Pick) -> list[Trace]:
    """At most `keep` different ones."""
    different = list({trace.thinking: trace for trace in good}.values())
    if pick == "first":
        return different[:keep]
    by_length = sorted(different, key=lambda trace: (len(trace.thinking or ""), trace.thinking or ""))
    if pick == "shortest":
        return by_length[:keep]
    chosen = by_length[:1]
    while len(chosen) < min(keep, len(by_length)):
        rest = [trace for trace in by_length if trace not in chosen]
        chosen.append(max(rest, key=lambda trace: min(jaccard_distance(trace, one) for one in chosen)))
    return chosen


def jaccard_distance(trace: Trace, other: Trace) -> float:
    """1 minus the share of words that two lines of thinking have in common (Jaccard)."""
    a, b = set((trace.thinking or "").split()), set((other.thinking or "").split())
    return 1.0 - len(a & b) / max(1, len(a | b))


def base_model(context: StageContext) -> CausalLM:
    """The base itself, beside the model that learns; without the adapter that a recipe may name as its beginning."""
    learner = context.learner
    if learner.settings.method == "lora":
        start = {name: torch.zeros_like(value) for name, value in learner.trainable().items()}
    else:
        state = context.first_state()
        start = {name.removeprefix("weights/"): value for name, value in state.items() if name.startswith("weights/")}
    return with_weights(learner.model, start)


def _sample(trace: Trace) -> dict[str, Any]:
    return {"kind": "kept", **asdict(trace)}
