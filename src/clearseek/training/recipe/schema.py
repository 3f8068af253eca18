"""A recipe, checked: what is trained, on what, by which stages, and what it may cost."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clearseek.errors import UserError
from clearseek.tasks.task_spec import TaskSpec
from clearseek.toml_tables import BadKey, plain, table_of
from clearseek.training.data.user_files import content_of, rename_files
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.recipe.start import find_start

WRITERS = ("reject", "distill")
"""Stages that write examples for supervised ones after them."""

FILES = ("jsonl", "python")
"""Keys of a task's table that name a file."""


def _least(plan: Any, least: int, *keys: str) -> None:
    """Raises BadKey for the first of these that is smaller."""
    for key in keys:
        value = getattr(plan, key)
        if isinstance(value, int) and value < least:
            raise BadKey(key, f"`{key}` is {value}, and must be at least {least}.")


@dataclass(frozen=True)
class BudgetPlan:
    """`[budget]`: what the whole run may take, all attempts together. Nothing said is no limit."""

    minutes: float | None = None
    usd: float | None = None
    """Needs a declared price of this machine; there is no default one."""

    def __post_init__(self) -> None:
        for name in ("minutes", "usd"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise BadKey(name, f"`{name}` of a budget must be above 0.")


@dataclass(frozen=True)
class EvaluatePlan:
    """`[evaluate]`: how often and on how many problems. Always greedy, always the same problems."""

    every: int = 25
    """Steps between evaluations on dev; 0: only between stages."""
    dev: int = 16
    """Problems of each task on dev."""
    test: int = 50
    """Problems of each task on test, before training, after each stage and at the end; 0: none."""
    max_new: int = 192
    """Tokens that an answer may take, thinking included."""
    served: bool = True
    """Whether the finished model is tested once more as it is served: quantised, by llama.cpp."""
    unseen: bool = True
    """Whether the suite's tasks that are never trained on are in the tests before and at the end."""

    def __post_init__(self) -> None:
        _least(self, 0, "every", "dev", "test")
        _least(self, 1, "max_new")


@dataclass(frozen=True)
class CheckpointPlan:
    """`[checkpoints]`: what a run that is cut short goes on from."""

    every: int = 25
    """Steps between checkpoints. One is also written at the start and at the end of each stage."""
    keep: int | Literal["all"] = 3
    """How many of the latest are kept beside those at the ends of stages; "all" makes every segment replayable."""

    def __post_init__(self) -> None:
        _least(self, 0, "every")
        _least(self, 1, "keep")


@dataclass(frozen=True)
class PublishPlan:
    """`[publish]`: what happens to the model at the end."""

    register: bool = True
    """Whether it becomes a model of this machine's store."""
    model: str = ""
    """Under which name; empty: the recipe's."""
    rank: int = 0
    """With [full]: the rank of the adapter that the difference to the base is also written as; 0: none."""

    def __post_init__(self) -> None:
        _least(self, 0, "rank")


@dataclass(frozen=True)
class TaskPlan:
    spec: TaskSpec
    weight: float = 1.0


@dataclass(frozen=True)
class StagePlan:
    """One `[[stage]]`. `start` is where its weights begin: where the stage before ended, or at the base again, as R1
    does after rejection sampling (arXiv 2501.12948, section 2.3)."""

    name: str
    kind: str
    settings: Any
    start: Literal["here", "base"] = "here"


@dataclass(frozen=True)
class Recipe:
    """What a recipe says, checked. Paths are whole, from the recipe's own folder on."""

    name: str
    stages: tuple[StagePlan, ...]
    seed: int = 1
    base: str | None = None
    adapter: str | None = None
    """What LoRA begins as: an earlier run or its folder, or the name of an adapter in the package."""
    architecture: Mapping[str, Any] | None = None
    suite: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    """How often a task of the suite is drawn, by its name; 1 where nothing is said."""
    tasks: tuple[TaskPlan, ...] = ()
    learner: LearnerSettings = field(default_factory=LearnerSettings)
    budget: BudgetPlan = BudgetPlan()
    evaluate: EvaluatePlan = EvaluatePlan()
    checkpoints: CheckpointPlan = CheckpointPlan()
    publish: PublishPlan = PublishPlan()
    scaled_by: float = 1.0
    """What the command line's `--scale` multiplied the stages' steps with; no part of what a recipe says."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the weights."""
        return hashlib.sha256(json.dumps(weight_deciding(self), sort_keys=True).encode()).hexdigest()


def weight_deciding(recipe: Recipe) -> dict[str, Any]:
    """What decides the weights, as tables: everything but the budget, the name, and what is kept or published. Files
    stand there by the digest of what is in them; of a Python file, comments and layout are not."""
    stages = (dataclasses.replace(stage, settings=rename_files(stage.settings, content_of)) for stage in recipe.stages)
    data = as_tables(dataclasses.replace(recipe, stages=tuple(stages)))
    for key in ("name", "budget", "checkpoints", "publish"):
        data.pop(key, None)
    for task in data.get("tasks", ()):
        task["name"] = _task_name(task)
        for key in FILES:
            if task.get(key):
                task[key] = content_of(task[key])
    if recipe.adapter is not None:
        with contextlib.suppress(UserError):  # one that is not there is told where the run begins
            start = find_start(recipe.adapter)
            data["adapter"] = start.adapter.sha256 if start else None
    return data


def task_name(plan: TaskPlan) -> str:
    """What a task is called, as far as the recipe alone says."""
    spec = plan.spec
    return _task_name(dataclasses.asdict(spec))


def _task_name(task: Mapping[str, Any]) -> str:
    plain = f"plain_{task['plain']}" if task.get("plain") else ""
    return task.get("name") or task.get("generator") or plain or Path(task.get("jsonl") or task["python"]).stem


def as_tables(recipe: Recipe) -> dict[str, Any]:
    """A recipe as the tables that TOML writes."""
    learner = table_of(recipe.learner)
    method = learner.pop("method")
    if method == "full":
        for key in ("rank", "alpha", "targets"):
            learner.pop(key, None)
    fields: dict[str, Any] = {"name": recipe.name, "seed": recipe.seed}
    for key in ("base", "adapter", "suite"):
        if getattr(recipe, key) is not None:
            fields[key] = getattr(recipe, key)
    if recipe.weights:
        fields["weights"] = dict(recipe.weights)
    if recipe.architecture is not None:
        fields["architecture"] = plain(recipe.architecture)
    fields |= {
        "budget": table_of(recipe.budget),
        method: learner,
        "evaluate": table_of(recipe.evaluate),
        "checkpoints": table_of(recipe.checkpoints),
        "publish": table_of(recipe.publish),
    }
    if recipe.tasks:
        fields["tasks"] = [{**_said(task.spec), "weight": task.weight} for task in recipe.tasks]
    fields["stage"] = [
        {"kind": stage.kind, "name": stage.name, "start": stage.start, **_without(table_of(stage.settings), "name")}
        for stage in recipe.stages
    ]
    return fields


def _said(spec: TaskSpec) -> dict[str, Any]:
    """A task's table without what it leaves at its default: most tasks say two things of twenty."""
    bare = table_of(TaskSpec(name="x"))
    return {key: value for key, value in table_of(spec).items() if key == "name" or value != bare[key]}


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}
