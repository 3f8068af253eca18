"""From a recipe to everything a stage works with: the base, the learner, the tasks, the problems never to train on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearseek.errors import UserError
from clearseek.hub.files import hash_file, write_aside
from clearseek.hub.store import Store
from clearseek.ledger.meter import Meter
from clearseek.modeling import load_model
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.hf_config import config_from_hf
from clearseek.modeling.load import build_model
from clearseek.seeds import seed_of
from clearseek.settings import home
from clearseek.tasks.load import load_suite, load_task
from clearseek.tasks.references import check_references
from clearseek.tasks.splits import draw
from clearseek.tasks.task import Task
from clearseek.training.data.chat_format import chat_format_of
from clearseek.training.data.user_files import copy_into_run, rename_files
from clearseek.training.recipe.parsing import write_recipe
from clearseek.training.recipe.schema import FILES, Recipe, StagePlan
from clearseek.training.recipe.start import StartAdapter, copy_start, find_start
from clearseek.training.recipe.synonyms import nearest
from clearseek.training.run import checkpoint
from clearseek.training.run.run_folder import RECIPE
from clearseek.training.stages.base import StageContext
from clearseek.training.update.learner import open_learner
from clearseek.training.update.start_adapter import load_start_adapter

SUITE_TEST = 200
"""Test problems of a suite's task that no run trains on, however few it is tested on itself: those that
`clearseek eval` asks."""
EVAL_SEED = 0
"""Of the problems that a run is evaluated on: the same for every run, so that runs can be compared."""
REFERENCES = 8
"""Reference answers of each task that its verifier must accept before anything is trained."""
HEAD = """The resolved recipe of this run: every value written out, the derived ones too.
`clearseek train` reads it as it reads any recipe."""


@dataclass(frozen=True)
class Base:
    """What training begins from. `digest` is SHA-256 (hex) of the file, or of the list of a folder's files."""

    name: str
    path: Path
    digest: str
    source: str
    start: StartAdapter | None = None
    """What LoRA over it begins as."""

    def as_json(self) -> dict[str, Any]:
        began = {"adapter": self.start.as_json()} if self.start else {}
        return {"name": self.name, "digest": {"sha256": self.digest}, "source": self.source, **began}


@dataclass(frozen=True)
class RunContext:
    """What stages work with, and what only the loop needs. `unseen` are tasks that are never trained on."""

    stage_context: StageContext
    base: Base | None
    unseen: tuple[Task, ...]


def find_base(recipe: Recipe) -> Base | None:
    """The base's files; None where the recipe starts from nothing. Raises UserError where it is missing."""
    if recipe.base is None:
        return None
    path, start = Path(recipe.base), find_start(recipe.adapter)
    if path.is_absolute() or path.exists():
        if not path.exists():
            raise UserError(f"The base {path} is not there.")
        return Base(path.name, path, _digest(path), f"file:{path.name}", start)
    model = Store(home() / "models").find(recipe.base)
    return Base(model.name, model.path, model.sha256, model.source, start)


def _digest(path: Path) -> str:
    if path.is_file():
        return hash_file(path)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise UserError(f"The base {path} is a folder without .safetensors files.")
    if len(weights) == 1:
        return hash_file(weights[0])
    return hashlib.sha256("".join(f"{hash_file(file)}  {file.name}\n" for file in weights).encode()).hexdigest()


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def open_model(recipe: Recipe, base: Base | None) -> CausalLM:
    """The base's weights, or random ones where the recipe starts from nothing."""
    if base is not None:
        return load_model(base.path, device=pick_device())
    assert recipe.architecture is not None
    table = {key: value for key, value in recipe.architecture.items() if key != "tokenizer"}
    config = config_from_hf(table)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(recipe.seed, "weights") % 2**63)
        return build_model(config).to(pick_device())


def tokenizer_place(recipe: Recipe, base: Base | None) -> Path:
    return base.path if base is not None else Path(str((recipe.architecture or {})["tokenizer"]))


def open_tasks(recipe: Recipe) -> tuple[tuple[Task, ...], tuple[float, ...], tuple[Task, ...]]:
    """Tasks to train on, how often each is drawn, and tasks never trained on. Raises UserError."""
    trained: list[Task] = []
    weights: list[float] = []
    unseen: tuple[Task, ...] = ()
    if recipe.suite is not None:
        suite = load_suite(recipe.suite)
        trained += suite.trained
        names = [task.name for task in suite.trained]
        for name in recipe.weights:
            if name not in names:
                raise UserError(f"[weights] names {name}, and {suite.name} trains no such task; {nearest(name, names)}")
        weights += [recipe.weights.get(name, 1.0) for name in names]
        unseen = tuple(suite.unseen)
    for plan in recipe.tasks:
        trained.append(load_task(plan.spec))
        weights.append(plan.weight)
    names = [task.name for task in trained]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"Two tasks are called {twice[0]}; give one of them another `name`.")
    total = sum(weights)
    return tuple(trained), tuple(weight / total for weight in weights), unseen


def check_tasks(tasks: tuple[Task, ...]) -> None:
    """Raises UserError for a task whose verifier rejects its own reference answers, with the problem."""
    for task in tasks:
        check_references(task, REFERENCES)


def held_out(recipe: Recipe, trained: tuple[Task, ...], unseen: tuple[Task, ...]) -> frozenset[str]:
    """Digests of the problems of dev and test that this run is evaluated on, and that `clearseek eval` asks later."""
    results: set[str] = set()
    plan = recipe.evaluate
    test = max(plan.test, SUITE_TEST) if recipe.suite is not None else plan.test
    for task in trained:
        for split, count in (("dev", plan.dev), ("test", test)):
            if count:
                results |= {problem.digest for problem in draw(task, split, count, EVAL_SEED)}  # type: ignore[arg-type]
    for task in unseen if plan.unseen and plan.test else ():
        results |= {problem.digest for problem in draw(task, "test", plan.test, EVAL_SEED)}
    return frozenset(results)


def open_context(recipe: Recipe, folder: Path, meter: Meter, tell: Callable[[str], None]) -> RunContext:
    """Everything, opened. The slow part is reading the weights. Raises UserError for whatever is missing."""
    base = find_base(recipe)
    trained, weights, unseen = open_tasks(recipe)
    check_tasks(trained)
    chat = chat_format_of(tokenizer_place(recipe, base))
    avoid = held_out(recipe, trained, unseen)
    learner = open_learner(open_model(recipe, base), recipe.learner)
    if base is not None and base.start is not None:
        load_start_adapter(learner.model, base.start, base.digest)
    return RunContext(
        StageContext(
            learner, chat, trained, weights, meter, recipe.seed, folder, tell, avoid, partial(first_state, folder)
        ),
        base,
        unseen,
    )


def first_state(folder: Path) -> Mapping[str, Tensor]:
    """The state of the learner before the first step of the run in this folder. Raises UserError where it is gone."""
    return checkpoint.load(folder / "checkpoints" / "step-000000").learner


def starting_state(plan: StagePlan, context: StageContext) -> dict[str, Tensor]:
    """The state that a stage begins with: the weights as they are or the run's first ones, the optimizer as new."""
    return checkpoint.without_optimizer(context.first_state() if plan.start == "base" else context.learner.state())


def with_files_copied(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its tasks' and its stages' files, and the adapter it begins from, copied into the run folder and
    named from there: a run stands on its own."""
    tasks = []
    start = find_start(recipe.adapter)
    adapter = copy_start(start, folder) if start is not None else None
    for plan in recipe.tasks:
        spec: Any = plan.spec
        for key in FILES:
            name = getattr(spec, key, None)
            if name and Path(name).is_file():
                changed: Any = {key: copy_into_run(Path(name), folder, "tasks")}
                spec = dataclasses.replace(spec, **changed)
        tasks.append(dataclasses.replace(plan, spec=spec))
    stages = _renamed(recipe.stages, lambda name: copy_into_run(Path(name), folder, "files"))
    return dataclasses.replace(recipe, tasks=tuple(tasks), stages=stages, adapter=adapter)


def resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Write the resolved recipe into the run folder, with its files beside it; the recipe to go by from here on, whose
    stages read those: what is changed outside the folder meanwhile does not count."""
    own = with_files_copied(recipe, folder)
    write_aside(folder / RECIPE, write_recipe(own, HEAD).encode())
    return dataclasses.replace(recipe, stages=_renamed(own.stages, lambda name: str(folder / name)))


def _renamed(stages: tuple[StagePlan, ...], name_of: Callable[[str], str]) -> tuple[StagePlan, ...]:
    return tuple(dataclasses.replace(plan, settings=rename_files(plan.settings, name_of)) for plan in stages)
