"""Evaluations: problems asked of a model, answers scored, every transcript kept.

Nothing here imports torch, so that `clearseek eval` of a served model works without it. Who answers is a `Backend`:
`engine_backend.py` (llama.cpp as served, or a remote engine) or `training/rollout/torch_backend.py` (a model in torch).
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clearseek.errors import UserError
from clearseek.evaluation.results import Conditions, Evaluation, Finish, Membership, Row, summarise
from clearseek.seeds import seed_of
from clearseek.tasks.task import CUT_OFF, Problem, Score, Task
from clearseek.toml_tables import Source, fill

if TYPE_CHECKING:
    from clearseek.evaluation.transcripts import Transcripts


@dataclass(frozen=True, slots=True)
class Query:
    """One sample of one problem."""

    task: Task
    problem: Problem
    sample: int
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote, and what it took. Counts are tokens."""

    thinking: str
    answer: str
    finish: Finish
    well_formed: bool
    prompt_tokens: int
    thinking_tokens: int
    tokens: int
    """Written in all, the thinking's among them."""
    seconds: float
    refused: str | None = None
    """Why there is no answer to judge: the problem is longer than the model's context, or a filter withheld it."""


class Backend(Protocol):
    """Who answers. `took` is called once for each ask, in any order, as soon as its answer is whole."""

    def answer(self, asks: Sequence[Query], how: Conditions, took: Callable[[Query, Completion], None]) -> None: ...


@dataclass(frozen=True)
class QuerySet:
    """The tasks of an evaluation and what is asked of each."""

    tasks: tuple[tuple[Task, Membership], ...]
    problems: Mapping[str, Sequence[Problem]]
    notes: tuple[str, ...] = ()

    def asks(self, samples: int, seed: int) -> list[Query]:
        return [
            Query(task, problem, sample, seed_of(seed, problem.id, problem.digest, sample))
            for task, _ in self.tasks
            for problem in self.problems[task.name]
            for sample in range(samples)
        ]


def draw_queries(tasks: Sequence[tuple[Task, Membership]], split: str, n: int, seed: int) -> QuerySet:
    """Draw `n` problems of each task; all there are, with a note, where a task has fewer. Raises UserError for none."""
    from clearseek.tasks.splits import draw

    problems: dict[str, Sequence[Problem]] = {}
    notes = []
    for task, _ in tasks:
        result = draw(task, split, n, seed)  # type: ignore[arg-type]
        if not result:
            raise UserError(f"The task {task.name} has no problem in the split {split}.")
        if len(result) < n:
            notes.append(f"{task.name} has only {len(result)} different problems in {split}: all of them were asked.")
        problems[task.name] = result
    return QuerySet(tuple(tasks), problems, tuple(notes))


TRAINED_LOOK = 3000
"""Problems of a task's train split that are looked at to see whether those asked are among them."""


def contamination_notes(asked: QuerySet, split: str, kept: frozenset[str]) -> list[str]:
    """A sentence for each task of one's own of which a model may have been trained on what it is asked now.

    A file of problems puts each question into one split. A program may make the same question for several, and a run
    keeps out those that it was itself evaluated on: `kept`, their digests.
    """
    from clearseek.tasks.splits import OutOfProblems, draw

    results = []
    for task, membership in asked.tasks:
        if membership != "other" or split == "train" or "sizes" in task.card:
            continue
        try:
            trained = draw(task, "train", TRAINED_LOOK, 1)
        except OutOfProblems as short:
            trained = draw(task, "train", short.found, 1)
        digests = {problem.digest for problem in trained} - kept
        problems = asked.problems[task.name]
        known = sum(problem.digest in digests for problem in problems)
        if known:
            but = " and were not kept out of this run" if kept else ""
            results.append(
                f"{known} of the {len(problems)} {split} problems of {task.name} are problems of its train split as "
                f"well{but}: a model that was trained on it may know them by heart. A run's own test asks only what it "
                "kept out."
            )
    return results


def held_out_by(folder: Path) -> frozenset[str]:
    """Digests of the problems that the run in this folder was evaluated on and never trained on; empty where the folder
    is no run's, or its tasks cannot be read any more."""
    from clearseek.tasks.load import load_task
    from clearseek.tasks.splits import draw
    from clearseek.tasks.task_spec import TaskSpec

    results: set[str] = set()
    try:
        source = Source("recipe.toml", (folder / "recipe.toml").read_text("utf-8"))  # a resolved one
        recipe = tomllib.loads(source.text)
        for index, table in enumerate(recipe.get("tasks", [])):
            own = {key: value for key, value in table.items() if key != "weight"}
            for key in ("python", "jsonl"):
                if own.get(key):
                    own[key] = str(folder / own[key])
            task = load_task(fill(TaskSpec, own, source, "tasks", index))
            for split in ("dev", "test"):
                count = int(recipe.get("evaluate", {}).get(split, 0))
                results |= {problem.digest for problem in draw(task, split, count, 0)}
    except (UserError, OSError, ValueError, TypeError, AttributeError):
        return frozenset()
    return frozenset(results)


def evaluate(
    answerer: Backend,
    asked: QuerySet,
    conditions: Conditions,
    *,
    kept: Transcripts | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> Evaluation:
    """Ask what is not answered yet, score it, and sum up. `progress` gets (done, all, tokens written just now).

    With `kept`, rows found there are taken as they are and every new one is added as soon as it is scored.
    """
    asks = asked.asks(conditions.samples, conditions.seed)
    rows: dict[tuple[str, int], Row] = (
        {} if kept is None else kept.take({(ask.problem.id, ask.sample): ask.problem.digest for ask in asks})
    )
    missing = [ask for ask in asks if (ask.problem.id, ask.sample) not in rows]
    seconds = 0.0 if kept is None else kept.seconds
    written = 0
    started = time.perf_counter()

    def took(ask: Query, answered: Completion) -> None:
        nonlocal written
        row = scored(ask, answered)
        rows[ask.problem.id, ask.sample] = row
        written += answered.tokens
        if kept is not None:
            kept.add(row, seconds + time.perf_counter() - started)
        if progress is not None:
            progress(len(rows), len(asks), written)

    if progress is not None:
        progress(len(rows), len(asks), 0)
    if missing:
        answerer.answer(missing, conditions, took)
        seconds += time.perf_counter() - started
    in_order = [rows[ask.problem.id, ask.sample] for ask in asks]
    members = [(task.name, kind) for task, kind in asked.tasks]
    return summarise(conditions, members, in_order, seconds, asked.notes)


def scored(ask: Query, answered: Completion) -> Row:
    """The transcript of one answer, judged by its task on what stands after the thinking; cut off, it is none."""
    problem = ask.problem
    if answered.refused is not None:
        score = Score(0.0, f"refused: {answered.refused}")
    elif answered.finish == "length":  # what was written would have gone on
        score = Score(0.0, CUT_OFF)
    else:
        score = ask.task.check(problem, answered.answer)
    return Row(
        problem=problem.id,
        digest=problem.digest,
        task=ask.task.name,
        sample=ask.sample,
        prompt=problem.prompt,
        thinking=answered.thinking,
        answer=answered.answer,
        reference=problem.answer,
        accuracy=score.accuracy,
        why=score.why,
        second=score.second,
        finish=answered.finish,
        well_formed=answered.well_formed,
        prompt_tokens=answered.prompt_tokens,
        thinking_tokens=answered.thinking_tokens,
        tokens=answered.tokens,
        seconds=round(answered.seconds, 4),
        fault=score.fault,
    )
