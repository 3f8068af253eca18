"""From a recipe to everything a stage works with: the base, the learner, the tasks, the problems never to train on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearseek.errors import UserError
from clearseek.hub.files import hash_file, write_aside
from clearseek.hub.store import Store
from clearseek.ledger.meter import Meter
from clearseek.modeling import load_model
from clearseek.modeling.config import config_from_hf
from clearseek.modeling.load import build_model
from clearseek.seeds import seed_of
from clearseek.settings import home
from clearseek.tasks.cards import data_report
from clearseek.tasks.load import load_task
from clearseek.tasks.references import check_references
from clearseek.tasks.splits import OutOfProblems, draw
from clearseek.tasks.suites import load_suite
from clearseek.tasks.task import Problem, Task
from clearseek.training.data.chat_format import chat_format_of
from clearseek.training.data.user_files import carry, files_of, renamed, shipped_files_of
from clearseek.training.recipe.recipe import FILES, Recipe, StagePlan, write_recipe
from clearseek.training.recipe.start import Start, begin_as, carry_start, find_start
from clearseek.training.run import checkpoint
from clearseek.training.run.run_folder import RECIPE
from clearseek.training.stages.base import Workshop
from clearseek.training.tables import nearest
from clearseek.training.update.learner import Learner, open_learner

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
    start: Start | None = None
    """What LoRA over it begins as."""

    def as_json(self) -> dict[str, Any]:
        began = {"adapter": self.start.as_json()} if self.start else {}
        return {"name": self.name, "digest": {"sha256": self.digest}, "source": self.source, **began}


@dataclass(frozen=True)
class Bench:
    """A workshop, and what only the loop needs. `unseen` are tasks that are never trained on."""

    workshop: Workshop
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


def open_model(recipe: Recipe, base: Base | None) -> Any:
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


def some(task: Task, count: int, seed: int, avoid: frozenset[str]) -> list[Problem]:
    """Problems to train on; all there are, where a task has fewer."""
    try:
        return draw(task, "train", count, seed, avoid)
    except OutOfProblems as short:
        if not short.found:
            raise
        return draw(task, "train", short.found, seed, avoid)


def check_tasks(tasks: tuple[Task, ...]) -> None:
    """Raises UserError for a task whose verifier rejects its own reference answers, with the problem."""
    for task in tasks:
        check_references(task, REFERENCES)


def kept_out(recipe: Recipe, trained: tuple[Task, ...], unseen: tuple[Task, ...]) -> frozenset[str]:
    """Digests of the problems of dev and test that this run is evaluated on, and that `clearseek eval` asks later."""
    found: set[str] = set()
    plan = recipe.evaluate
    test = max(plan.test, SUITE_TEST) if recipe.suite is not None else plan.test
    for task in trained:
        for split, count in (("dev", plan.dev), ("test", test)):
            if count:
                found |= {problem.digest for problem in draw(task, split, count, EVAL_SEED)}  # type: ignore[arg-type]
    for task in unseen if plan.unseen and plan.test else ():
        found |= {problem.digest for problem in draw(task, "test", plan.test, EVAL_SEED)}
    return frozenset(found)


def open_bench(recipe: Recipe, folder: Path, meter: Meter, tell: Callable[[str], None]) -> Bench:
    """Everything, opened. The slow part is reading the weights. Raises UserError for whatever is missing."""
    base = find_base(recipe)
    trained, weights, unseen = open_tasks(recipe)
    check_tasks(trained)
    chat = chat_format_of(tokenizer_place(recipe, base))
    avoid = kept_out(recipe, trained, unseen)
    learner = open_learner(open_model(recipe, base), recipe.learner)
    if base is not None and base.start is not None:
        begin_as(learner.model, base.start, base.digest)
    workshop = Workshop(learner, chat, trained, weights, meter, recipe.seed, folder, tell, avoid)
    return Bench(workshop, base, unseen)


def data_notes(recipe: Recipe, bench: Bench) -> list[dict[str, Any]]:
    """What was read, in the terms of a receipt; the cards themselves are written to the run folder.

    A card says where the problems come from, by which digest those of dev and test are known, and how near the test
    problems lie to a thousand that may be trained on. Beside it stands the same as Croissant metadata.
    """
    folder, plan = bench.workshop.folder, recipe.evaluate
    cards = folder / "data" / "cards"
    cards.mkdir(parents=True, exist_ok=True)
    found = []
    trained = [(task, True) for task in bench.workshop.tasks]
    for task, learned in (*trained, *((task, False) for task in bench.unseen)):
        report = data_report(task, plan.dev, plan.test, EVAL_SEED, trained=learned)
        metadata = report.pop("croissant")
        name = task.name.replace("/", "_")
        files = [
            _written(cards / f"{name}.json", report, folder, "application/json"),
            _written(cards / f"{name}.croissant.json", metadata, folder, "application/ld+json"),
        ]
        licence = task.card.get("license") or task.card.get("licence")
        found.append({
            "name": task.name,
            "description": str(task.card.get("description") or task.card.get("generator") or task.name)[:400],
            **({"license": str(licence)} if licence else {}),
            "distribution": files,
        })  # fmt: skip
    own = {name: plan.name for plan in reversed(recipe.stages) for name in files_of(plan.settings)}
    for name, stage in own.items():
        file = Path(name)
        found.append({
            "name": file.name,
            "description": f"A file of one's own, read by the stage {stage}.",
            "distribution": [_noted(file, file.read_bytes(), folder, "application/jsonl")],
        })  # fmt: skip
    shipped = {name: plan.name for plan in reversed(recipe.stages) for name in shipped_files_of(plan.settings)}
    return found + [shipped_data(name, stage) for name, stage in shipped.items()]


def shipped_data(name: str, stage: str) -> dict[str, Any]:
    """A file of the package that a stage reads, as a receipt names it: `clearseek:` and its path in the package."""
    content = (resources.files("clearseek") / name).read_bytes()
    return {
        "name": name.rpartition("/")[2],
        "description": f"Ships with ClearSeek, and is read by the stage {stage}.",
        "license": "Apache-2.0",
        "distribution": [
            {
                "name": name.rpartition("/")[2],
                "sha256": hashlib.sha256(content).hexdigest(),
                "contentUrl": f"clearseek:{name}",
                "encodingFormat": "application/jsonl",
            }
        ],
    }


def _written(file: Path, content: Any, folder: Path, encoding: str) -> dict[str, Any]:
    data = json.dumps(_json(content), indent=1, sort_keys=True, ensure_ascii=False).encode()
    write_aside(file, data)
    return _noted(file, data, folder, encoding)


def _noted(file: Path, data: bytes, folder: Path, encoding: str) -> dict[str, Any]:
    return {
        "name": file.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "contentUrl": file.relative_to(folder).as_posix(),
        "encodingFormat": encoding,
    }


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def starting_weights(plan: StagePlan, learner: Learner, checkpoints: Path) -> dict[str, Tensor]:
    """The state that a stage begins with: the weights as they are or the run's first ones, the optimizer as new."""
    if plan.start == "base":
        return checkpoint.without_optimizer(checkpoint.load(checkpoints / "step-000000").learner)
    return checkpoint.without_optimizer(learner.state())


def carried(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its tasks' and its stages' files, and the adapter it begins from, copied into the run folder and
    named from there: a run stands on its own."""
    tasks = []
    start = find_start(recipe.adapter)
    adapter = carry_start(start, folder) if start is not None else None
    for plan in recipe.tasks:
        spec: Any = plan.spec
        for key in FILES:
            name = getattr(spec, key, None)
            if name and Path(name).is_file():
                changed: Any = {key: carry(Path(name), folder, "tasks")}
                spec = dataclasses.replace(spec, **changed)
        tasks.append(dataclasses.replace(plan, spec=spec))
    stages = _renamed(recipe.stages, lambda name: carry(Path(name), folder, "files"))
    return dataclasses.replace(recipe, tasks=tuple(tasks), stages=stages, adapter=adapter)


def settled(recipe: Recipe, folder: Path) -> Recipe:
    """Write the resolved recipe into the run folder, with its files beside it; the recipe to go by from here on, whose
    stages read those: what is changed outside the folder meanwhile does not count."""
    own = carried(recipe, folder)
    write_aside(folder / RECIPE, write_recipe(own, HEAD).encode())
    return dataclasses.replace(recipe, stages=_renamed(own.stages, lambda name: str(folder / name)))


def _renamed(stages: tuple[StagePlan, ...], name_of: Callable[[str], str]) -> tuple[StagePlan, ...]:
    return tuple(dataclasses.replace(plan, settings=renamed(plan.settings, name_of)) for plan in stages)
