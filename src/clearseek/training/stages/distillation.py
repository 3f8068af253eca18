"""Distillation: another model thinks and answers, what is right is kept to learn from.

The teacher is any engine: a model of this machine's store, or any OpenAI-compatible server. Every answer is written to
RUN/data/NAME.answers.jsonl, and is on the disk, before the next one counts: what was paid for is never asked again,
whatever happens in between. At the end RUN/data/NAME.jsonl holds those that the verifiers accepted.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from clearseek.errors import UserError
from clearseek.evaluation.engine_backend import EngineBackend, LedgerSink, RemoteBackend
from clearseek.evaluation.results import Conditions
from clearseek.evaluation.runner import Backend, Completion, Query
from clearseek.seeds import seed_of
from clearseek.tasks.json_lines import tag_in
from clearseek.tasks.task import Score
from clearseek.tasks.verifier_faults import Scored, faults_of
from clearseek.training.data.examples import end_markers
from clearseek.training.data.problem_stream import ProblemStream
from clearseek.training.data.traces import Trace, write_traces
from clearseek.training.recipe.distillation_settings import DistillSettings
from clearseek.training.stages.base import StageContext, StageState, StepReport, check_asked
from clearseek.training.stages.rejection import pick_traces

SAMPLES = 2
KEY = "CLEARSEEK_TEACHER_KEY"
"""The environment variable that a remote teacher's key is read from: keys do not belong into recipes."""


def open_stage(settings: DistillSettings, context: StageContext) -> DistillStage:
    """Raises UserError for a task that the run does not have, or a teacher that is not there."""
    check_asked(settings.name, settings.tasks, context.tasks)
    return DistillStage(settings, context, _teacher(settings, context))


def _teacher(settings: DistillSettings, context: StageContext) -> Backend:
    books = LedgerSink(context.meter.sink, context.meter.machine)
    if settings.engine_url:
        return RemoteBackend(settings.engine_url, os.environ.get(KEY), settings.model, books, at_once=settings.at_once)
    from clearseek.hub.store import Store
    from clearseek.settings import home

    return EngineBackend(Store(home() / "models").find(settings.model), books, at_once=settings.at_once)


class DistillStage:
    """A `Stage`. It needs no state: what was answered stands in its file of answers."""

    kind = "distill"

    def __init__(self, settings: DistillSettings, context: StageContext, teacher: Backend) -> None:
        self.settings, self.stage_context, self.teacher = settings, context, teacher
        self.steps = settings.steps
        wanted = set(settings.tasks)
        self.tasks = [task for task in context.tasks if not wanted or task.name in wanted]
        self.folder = context.folder / "data"
        self.paid = self.folder / f"{settings.name}.answers.jsonl"
        self.known = read_paid(self.paid)
        self.scores: dict[tuple[str, int], Score] = {}
        self.supply = ProblemStream(lambda task: seed_of(context.seed, settings.name, task), context.avoid)

    def asks(self, number: int) -> list[Query]:
        """The problems of a step, alike over the tasks, each as often as it is to be answered; none comes in two steps
        as far as the tasks are large enough."""
        results = []
        for place, task in enumerate(self.tasks):
            start, count = sum(self.count(place, earlier) for earlier in range(number)), self.count(place, number)
            for problem in self.supply.take(task, start, count) if count else ():
                for sample in range(self.settings.samples):
                    results.append(Query(task, problem, sample, seed_of(self.stage_context.seed, problem.id, sample)))
        return results

    def count(self, place: int, number: int) -> int:
        """How many problems of the task at this place a step has."""
        share, more = divmod(self.settings.prompts, len(self.tasks))
        return share + ((place - number * more) % len(self.tasks) < more)

    def step(self, number: int) -> StepReport:
        asks = self.asks(number)
        missing = [ask for ask in asks if (ask.problem.id, ask.sample) not in self.known]
        began = time.perf_counter()
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.paid.open("ab") as out:

                def took(ask: Query, answered: Completion) -> None:
                    line = {"problem": ask.problem.id, "sample": ask.sample, **asdict(answered)}
                    out.write(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n")
                    out.flush()
                    os.fsync(out.fileno())
                    self.known[ask.problem.id, ask.sample] = answered

                self.teacher.answer(missing, self.conditions(), took)
        seconds = time.perf_counter() - began
        kept = self.kept(asks)
        answered = [self.known[ask.problem.id, ask.sample] for ask in asks]
        right = sum(self.trace(ask) is not None for ask in asks)
        if number == self.steps - 1:
            self.finish()
        numbers = {
            "accuracy": right / max(1, len(asks)),
            "kept": float(len(kept)),
            "length": sum(one.tokens for one in answered) / max(1, len(answered)),
            "truncated": sum(one.finish == "length" for one in answered) / max(1, len(answered)),
            "tokens_generated": float(sum(one.tokens for one in answered)),
        }
        samples = [{"kind": "kept", **asdict(trace)} for trace in kept[:SAMPLES]]
        return StepReport(numbers, samples, list(faults_of(self.scored(asks)).values()), {"rollout": seconds})

    def scored(self, asks: Sequence[Query]) -> list[Scored]:
        """What the verifiers said of what came to its end."""
        results = []
        for ask in asks:
            answered = self.known[ask.problem.id, ask.sample]
            if answered.finish == "stop" and answered.answer.strip():
                score = self.score(ask)
                results.append((ask.task.name, score.fault, score.why))
        return results

    def conditions(self) -> Conditions:
        settings = self.settings
        return Conditions(
            model=settings.model,
            digest=None,
            by="remote" if settings.engine_url else "llama.cpp",
            suite=None,
            split="train",
            n=settings.prompts,
            seed=self.stage_context.seed,
            samples=settings.samples,
            temperature=settings.temperature,
            max_new=settings.max_new,
            system=settings.system or None,
        )

    def score(self, ask: Query) -> Score:
        """What the verifier says of what was answered; it is asked once."""
        key = ask.problem.id, ask.sample
        if key not in self.scores:
            self.scores[key] = ask.task.check(ask.problem, self.known[key].answer)
        return self.scores[key]

    def trace(self, ask: Query) -> Trace | None:
        """What the teacher wrote, where it ended by itself, thought and was right."""
        answered = self.known[ask.problem.id, ask.sample]
        if answered.finish != "stop" or not answered.thinking.strip() or not answered.answer.strip():
            return None
        score = self.score(ask)
        if score.accuracy < 1.0 or (score.second is not None and score.second < 1.0):
            return None
        thinking, answer = answered.thinking.strip(), answered.answer.strip()
        ends = end_markers(self.stage_context.chat)
        if tag_in(thinking, ends) or tag_in(answer, ends):
            return None  # a tag of the teacher's would be learned as text
        return Trace(ask.problem.prompt, thinking, answer, ask.task.name, ask.problem.id, self.settings.model)

    def kept(self, asks: Sequence[Query]) -> list[Trace]:
        """The right ones of these, at most `keep` a problem."""
        by_problem: dict[str, list[Trace]] = {}
        for ask in asks:
            if (trace := self.trace(ask)) is not None:
                by_problem.setdefault(trace.problem, []).append(trace)
        return [
            trace for good in by_problem.values() for trace in pick_traces(good, self.settings.keep, self.settings.pick)
        ]

    def finish(self) -> None:
        """Everything that was kept, in the order of the steps, whatever order it came in."""
        asks = {(ask.problem.id, ask.sample): ask for number in range(self.steps) for ask in self.asks(number)}
        traces = self.kept(list(asks.values()))  # a problem that came again has the same answers
        if not traces:
            raise UserError(
                f"None of the teacher's answers in {self.paid} was right, or none showed its thinking: is "
                f"{self.settings.model} a model that thinks?"
            )
        write_traces(self.folder / f"{self.settings.name}.jsonl", traces)

    def state(self) -> StageState:
        return StageState()

    def restore(self, state: StageState) -> None:
        if state.values or state.tensors:
            raise UserError(f"The checkpoint of the stage {self.settings.name} is of another kind of stage.")


def read_paid(file: Path) -> dict[tuple[str, int], Completion]:
    """Answers that are there already; a last line that was cut short is not one, and is taken away."""
    results: dict[tuple[str, int], Completion] = {}
    if not file.exists():
        return results
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(file, whole)
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            data = json.loads(line)
            key = str(data.pop("problem")), int(data.pop("sample"))
            results[key] = Completion(**data)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(f"{file}, line {number}, is no answer; take that line out to ask again.") from None
    return results
