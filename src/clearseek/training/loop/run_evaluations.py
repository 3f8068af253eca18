"""A run's evaluations: the model as it is now, by rollouts, and the finished one as llama.cpp serves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clearseek.evaluation.engine_backend import EngineBackend, LedgerSink, model_of_file
from clearseek.evaluation.results import Conditions, Evaluation, Membership, as_json
from clearseek.evaluation.runner import draw_queries, evaluate
from clearseek.hub.files import write_aside
from clearseek.tasks.task import Task
from clearseek.training.recipe.schema import Recipe
from clearseek.training.rollout.torch_backend import evaluate_learner
from clearseek.training.run import run_folder
from clearseek.training.run.context import EVAL_SEED, RunContext


def evaluate_current(
    recipe: Recipe,
    context: RunContext,
    split: str,
    n: int,
    *,
    unseen: bool,
    progress: Callable[[int, int, int], None] | None,
    labels: Any,
) -> Evaluation:
    """The model as it is now, on the tasks trained on and, where wanted, on those that never are."""
    stage_context = context.stage_context
    tasks = (*stage_context.tasks, *(context.unseen if unseen else ()))
    return evaluate_learner(
        stage_context.learner,
        stage_context.chat,
        stage_context.meter,
        tasks,
        split,
        n,
        EVAL_SEED,
        max_new=recipe.evaluate.max_new,
        membership={task.name: "unseen" for task in context.unseen},
        progress=progress,
        **labels,
    )


def evaluate_served(recipe: Recipe, context: RunContext, gguf: Path, books: LedgerSink) -> Evaluation:
    """The problems of the last test, put to llama.cpp with the file that was exported."""
    plan = recipe.evaluate
    model = model_of_file(gguf)
    tasks: list[tuple[Task, Membership]] = [(task, "trained") for task in context.stage_context.tasks]
    tasks += [(task, "unseen") for task in context.unseen] if plan.unseen else []
    how = Conditions(
        model=recipe.name,
        digest=model.sha256,
        by="llama.cpp",
        suite=recipe.suite,
        split="test",
        n=plan.test,
        seed=EVAL_SEED,
        max_new=plan.max_new,
    )
    return evaluate(EngineBackend(model, books), draw_queries(tasks, "test", plan.test, how.seed), how)


def metrics_row(name: str, done: int, result: Evaluation, seconds: float) -> dict[str, Any]:
    """An evaluation as a line of metrics.jsonl; of dev with every problem, so that looks can be paired."""
    right: dict[str, list[float]] = {}
    for row in result.rows:
        right.setdefault(row.task, []).append(row.accuracy)
    return {
        "kind": "eval",
        "name": name,
        "split": result.conditions.split,
        "done": done,
        "mean": result.mean.as_json(),
        "tasks": {task.task: task.accuracy.as_json() for task in result.tasks},
        "means": {kind: mean.as_json() for kind, mean in result.means.items()},
        "well_formed": _mean([task.well_formed for task in result.tasks]),
        "truncated": _mean([task.truncated for task in result.tasks]),
        "tokens": _mean([task.tokens for task in result.tasks]),
        "warnings": list(result.notes),
        **({"right": right} if result.conditions.split == "dev" else {}),
        "time": {"seconds": seconds, "at": run_folder.now()},
    }


def write_results(folder: Path, name: str, result: Evaluation) -> None:
    """Results and transcripts under evaluations/: the results as a receipt holds them."""
    place = folder / "evaluations"
    place.mkdir(exist_ok=True)
    rows = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in result.rows)
    write_aside(place / f"{name}.transcripts.jsonl", rows.encode())
    write_aside(place / f"{name}.json", json.dumps(as_json(result, name), ensure_ascii=False).encode())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
