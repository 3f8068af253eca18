"""Rejection sampling: the model as it is now answers problems several times, and what is right is kept to learn from.

With `general`, the base's own answers to everyday prompts are written beside them, so that a model that learns to
reason does not unlearn to chat (DeepSeek-R1, arXiv 2501.12948, section 2.3.3, mixes reasoning and other data alike).
Everything goes to RUN/data/NAME.jsonl; a supervised stage after this one names it in its `sources`.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch

from clearseek.errors import UserError
from clearseek.hub.chat_template import THINK_CLOSE, THINK_OPEN
from clearseek.seeds import seed_of
from clearseek.tasks.lines import tag_in
from clearseek.tasks.task import Problem, Task
from clearseek.tasks.verifier_faults import Scored, faults_of
from clearseek.training.data.chat_format import ChatFormat
from clearseek.training.data.examples import ends_of
from clearseek.training.data.problem_stream import Supply
from clearseek.training.data.prompt_lengths import fitting
from clearseek.training.data.traces import Trace
from clearseek.training.data.user_files import PROMPTS_FILE
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sample, Sampling, kv_bytes
from clearseek.training.run import checkpoint
from clearseek.training.stages.base import StageState, StepReport, Workshop, check_asked
from clearseek.training.tables import BadKey, above_zero, at_least, between
from clearseek.training.update.batch_layout import Group
from clearseek.training.update.flops import rollout_flops, sizes_of
from clearseek.training.update.with_weights import twin

Pick = Literal["shortest", "diverse", "first"]
DIRECT = (
    "There is nothing to work out here.",
    "This needs no steps. I can answer it directly.",
    "Nothing to calculate, so I answer.",
    "I can say this at once.",
)
"""The thought before an everyday answer."""
_WORD = re.compile(r"[^\W\d_]+")
SAMPLES = 2
"""Kept answers of a step that are told to people."""


@dataclass(frozen=True, slots=True)
class RejectSettings:
    """One stage of rejection sampling."""

    name: str = "reject"
    """Its name, and that of the data it writes."""
    steps: int = 16
    """How many steps; those for `general` come on top. 0: only those."""
    tasks: tuple[str, ...] = ()
    """Which of the run's tasks; empty: all, alike."""
    prompts: int = 32
    """Problems of a step."""
    samples: int = 4
    """Answers to each."""
    keep: int = 1
    """Right answers kept of a problem, at most."""
    pick: Pick = "shortest"
    """Which: the shortest, those that differ most from each other (the shortest first), or those that came first."""
    skip_easy: float = 1.0
    """Problems of which more than this share was answered right are kept only half of the time: 1 keeps all."""
    max_new: int = 192
    """Tokens an answer may have; one that is cut off is not kept."""
    temperature: float = 1.0
    """What is sampled at."""
    general: int = 0
    """Everyday prompts that the base answers, greedily and as its own template asks; 0: none."""
    general_max_new: int = 192
    """Tokens such an answer may have. One that is cut off is kept without an end: only what ends early would be kept
    otherwise, and a small model's early ends are its excuses. One that goes round in circles is not kept."""
    general_thinking: float = 0.5
    """Share of these answers that are written down with a thought before them: that nothing has to be worked out. A
    model that learns to think before it answers has to learn as well when there is nothing to think about."""
    general_file: str = ""
    """A .jsonl file with a `prompt` on each line; empty: those that come with ClearSeek."""
    rows: int = 128
    """Samples generated at once."""
    kv_gigabytes: float = 2.0
    """Memory for keys and values while generating."""

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts", "samples", "keep", "max_new", "general_max_new", "rows")
        at_least(self, 0, "steps", "general")
        between(self, 0.0, 1.0, "skip_easy", "general_thinking")
        between(self, 0.01, 10.0, "temperature")
        above_zero(self, "kv_gigabytes")
        if self.steps == 0 and self.general == 0:
            raise BadKey("steps", f"The stage {self.name} has no `steps` and no `general` prompts: nothing to do.")

    @property
    def planned_steps(self) -> int:
        return self.steps + math.ceil(self.general / self.prompts)


def open_stage(settings: RejectSettings, workshop: Workshop) -> RejectStage:
    """Raises UserError for a task that the run does not have, or a file of prompts that is none."""
    check_asked(settings.name, settings.tasks, workshop.tasks)
    general = read_prompts(settings.general_file) if settings.general else []
    if settings.general > len(general):
        raise UserError(
            f"The stage {settings.name} asks for {settings.general} everyday prompts, and there are {len(general)}."
        )
    random.Random(seed_of(workshop.seed, settings.name, "general")).shuffle(general)
    return RejectStage(settings, workshop, general[: settings.general])


def read_prompts(file: str) -> list[str]:
    """Everyday prompts, in the order of the file. Raises UserError, naming the line that is none."""
    if file:
        where, text = file, _text(Path(file))
    else:
        place = resources.files("clearseek") / PROMPTS_FILE
        where, text = "prompts.jsonl", place.read_text("utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            prompt = None
        if not isinstance(prompt, str) or not prompt.strip():
            raise UserError(f"{where}, line {number}, holds no `prompt`.")
        found.append(prompt)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None


class RejectStage:
    """A `Stage`. Its state is how long its file is and what it counted."""

    kind = "reject"

    def __init__(self, settings: RejectSettings, workshop: Workshop, general: Sequence[str]) -> None:
        self.settings, self.workshop, self.general = settings, workshop, general
        self.steps = settings.planned_steps
        wanted = set(settings.tasks)
        self.tasks = [task for task in workshop.tasks if not wanted or task.name in wanted]
        self.file = workshop.folder / "data" / f"{settings.name}.jsonl"
        self.supply = Supply(lambda task: seed_of(workshop.seed, settings.name, task), workshop.avoid)
        self.places: list[dict[str, int]] = [{}]
        """For each step, how many problems of each task came before it; as far as was asked."""
        self.bytes = 0
        self.kept: dict[str, set[str]] = {}
        """Problem -> the thoughts that were kept of it; as the file has them."""
        self.counts: dict[str, list[int]] = {}
        """Task -> [samples right, samples drawn]."""
        self.sizes = sizes_of(workshop.learner.model)

    def step(self, number: int) -> StepReport:
        settings = self.settings
        if number < settings.steps:
            return self.verified(number)
        start = (number - settings.steps) * settings.prompts
        return self.everyday(number, self.general[start : start + settings.prompts])

    def verified(self, number: int) -> StepReport:
        """Problems, answers, the verifier, and what is kept."""
        settings, workshop = self.settings, self.workshop
        positions = workshop.learner.model.config.max_positions
        fit, warnings = fitting(self.problems(number), workshop.chat.prompt, settings.max_new, positions)
        problems, prompts = [(task, problem) for task, problem, _ in fit], [ids for _, _, ids in fit]
        began = time.perf_counter()
        model = workshop.learner.model
        groups = self.generate(model, prompts, settings.samples, settings.max_new, settings.temperature, number)
        generated = time.perf_counter()
        kept: list[Trace] = []
        scored: list[Scored] = []
        right = drawn = cut = 0
        lengths: list[int] = []
        with workshop.meter.span("verify"):
            for (task, problem), group in zip(problems, groups, strict=True):
                judged = [self.judge(task, problem, sample, scored) for sample in group]
                good = [trace for trace in judged if trace is not None]
                right, drawn = right + len(good), drawn + len(group)
                cut += sum(sample.finish == "length" for sample in group)
                lengths += [len(sample.ids) for sample in group]
                tally = self.counts.setdefault(task.name, [0, 0])
                tally[0], tally[1] = tally[0] + len(good), tally[1] + len(group)
                easy = len(good) > settings.skip_easy * len(group)
                if easy and random.Random(seed_of(workshop.seed, settings.name, problem.id)).random() < 0.5:
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
        found = []
        for task, count in self.counts_of(number):
            start = self.places[number].get(task.name, 0)
            found += [(task, problem) for problem in self.supply.take(task, start, count)] if count else []
        return found

    def counts_of(self, number: int) -> list[tuple[Task, int]]:
        """How many problems of each task a step has, in an order of its own."""
        share, more = divmod(self.settings.prompts, len(self.tasks))
        order = list(self.tasks)
        random.Random(seed_of(self.workshop.seed, self.settings.name, number)).shuffle(order)
        return [(task, share + (place < more)) for place, task in enumerate(order)]

    def new(self, problem: Problem, good: Sequence[Trace]) -> list[Trace]:
        """Of the right answers to a problem, those to keep: a problem that came again, because its task has no more,
        keeps no more than `keep` in all, and nothing twice."""
        there = self.kept.setdefault(problem.id, set())
        fresh = [trace for trace in good if (trace.thinking or "") not in there]
        chosen = choose(fresh, max(0, self.settings.keep - len(there)), self.settings.pick)
        there.update(trace.thinking or "" for trace in chosen)
        return chosen

    def judge(self, task: Task, problem: Problem, sample: Sample, scored: list[Scored]) -> Trace | None:
        """A trace, where the answer is well formed and right, by the hidden verifier too where there is one. `scored`
        is added to."""
        written = self.workshop.chat.read(sample.ids)
        if not written.well_formed:
            return None
        score = task.check(problem, written.answer)
        scored.append((task.name, score.fault, score.why))
        if score.accuracy < 1.0 or (score.second is not None and score.second < 1.0):
            return None
        ends = ends_of(self.workshop.chat)
        if tag_in(written.thinking, ends) or tag_in(written.answer, ends):
            return None  # a tag as text would be learned as text
        source = f"reject:{self.settings.name}"
        return Trace(problem.prompt, written.thinking, written.answer, task.name, problem.id, source)

    def everyday(self, number: int, prompts: Sequence[str]) -> StepReport:
        """What the base answers to everyday prompts."""
        settings, chat = self.settings, self.workshop.chat
        own = chat.tokenizer.template()
        ids = []
        for prompt in prompts:
            pieces = own.render([{"role": "user", "content": prompt}])
            ids.append(chat.tokenizer.encode_pieces(list(pieces)))
        began = time.perf_counter()
        groups = self.generate(base_model(self.workshop), ids, 1, settings.general_max_new, 0.0, number)
        kept = []
        lengths = [len(group[0].ids) for group in groups]
        cut = 0
        for prompt, group in zip(prompts, groups, strict=True):
            answer, ended = everyday_answer(chat, group[0].ids)
            cut += not ended
            if answer and not goes_round(answer) and not tag_in(answer, ends_of(chat)):
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
        rng = random.Random(seed_of(self.workshop.seed, self.settings.name, "thought", prompt))
        return rng.choice(DIRECT) if rng.random() < self.settings.general_thinking else None

    def generate(
        self, model: Any, prompts: Sequence[Sequence[int]], samples: int, max_new: int, temperature: float, number: int
    ) -> list[list[Sample]]:
        settings, workshop = self.settings, self.workshop
        with workshop.meter.span("rollout") as span:
            groups: list[list[Sample]] = rollout(
                model,
                prompts,
                group_size=samples,
                sampling=Sampling(max_new=max_new, temperature=temperature, stop_ids=workshop.chat.stop_ids),
                seed=seed_of(workshop.seed, settings.name, number, "samples"),
                kv_bytes=kv_bytes(settings.kv_gigabytes),
                max_rows=settings.rows,
                dtype=workshop.learner.rollout_dtype,
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
            told = json.loads(line)
            if told["problem"]:
                self.kept.setdefault(told["problem"], set()).add(told["thinking"] or "")


def choose(good: Sequence[Trace], keep: int, pick: Pick) -> list[Trace]:
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
        chosen.append(max(rest, key=lambda trace: min(apart(trace, one) for one in chosen)))
    return chosen


def apart(one: Trace, other: Trace) -> float:
    """1 minus the share of words that two lines of thinking have in common (Jaccard)."""
    a, b = set((one.thinking or "").split()), set((other.thinking or "").split())
    return 1.0 - len(a & b) / max(1, len(a | b))


def everyday_answer(chat: ChatFormat, ids: Sequence[int]) -> tuple[str, bool]:
    """What was answered without thinking, and whether it came to an end; without its last word where it did not. Empty
    where it holds tags of thinking."""
    written = chat.read(ids, thinking=False)
    if written.well_formed:
        return written.answer, True
    text = written.answer
    if THINK_OPEN in text or THINK_CLOSE in text:
        return "", False
    return text[: max(text.rfind(" "), text.rfind("\n"), 0)].rstrip(), False


def goes_round(answer: str) -> bool:
    """Whether more than a fifth of its runs of four words, or a quarter of its lines, were there before.

    Numbers, signs and capitals make no other word: the items of a list repeat themselves under new numbers.
    """
    lines = [tuple(_WORD.findall(line.lower())) for line in answer.splitlines()]
    said = [line for line in lines if line]
    words = [word for line in said for word in line]
    runs = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return len(set(runs)) < 0.8 * len(runs) or len(set(said)) < 0.75 * len(said)


def base_model(workshop: Workshop) -> Any:
    """The base itself, beside the model that learns; without the adapter that a recipe may name as its beginning."""
    learner = workshop.learner
    folder = workshop.folder / "checkpoints" / "step-000000"
    if learner.settings.method == "lora":
        start = {name: torch.zeros_like(value) for name, value in learner.trainable().items()}
    elif folder.is_dir():
        found = checkpoint.load(folder).learner
        start = {name.removeprefix("weights/"): value for name, value in found.items() if name.startswith("weights/")}
    else:
        raise UserError("The weights that this run began with are gone (checkpoints/step-000000).")
    return twin(learner.model, start)


def _sample(trace: Trace) -> dict[str, Any]:
    return {"kind": "kept", **asdict(trace)}
