"""A recipe: what is trained, on what, by which stages, and what it may cost. TOML in, and TOML out with nothing left
to guess.

    name = "mine"
    base = "smollm2-135m-instruct"      # a model of the store, a folder or a GGUF; or [architecture], from nothing
    adapter = "earlier"                 # what LoRA begins as: an earlier run's, which learns on; left out: nothing
    suite = "r1"                        # or [[tasks]] tables
    [budget]  [lora] or [full]  [evaluate]  [checkpoints]  [publish]
    [[stage]]                           # kind = "sft" | "grpo" | "reject" | "distill", in the order they run
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clearseek.errors import UsageError, UserError
from clearseek.tasks.load import TaskSpec
from clearseek.training.data.examples import FROM_TASKS, IDENTITY
from clearseek.training.data.user_files import content_of, is_file, renamed
from clearseek.training.recipe.start import find_start
from clearseek.training.tables import BadKey, Source, fill, nearest, plain, table_of, write_toml
from clearseek.training.update.learner import LearnerSettings

KINDS = {
    "sft": ("clearseek.training.stages.sft", "SftSettings"),
    "grpo": ("clearseek.training.stages.grpo", "GrpoSettings"),
    "reject": ("clearseek.training.stages.rejection", "RejectSettings"),
    "distill": ("clearseek.training.stages.distillation", "DistillSettings"),
}
WRITERS = ("reject", "distill")
"""Stages that write examples for supervised ones after them."""
MAX_RECIPE = 1 << 20
FILES = ("jsonl", "python")
"""Keys of a task's table that name a file."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_TOP = (
    "name", "seed", "base", "adapter", "suite", "weights", "scale", "architecture", "budget", "lora", "full",
    "evaluate", "checkpoints", "publish", "tasks", "stage",
)  # fmt: skip
_LORA_DEFAULTS = {"rank": 32, "alpha": 64.0}


def _least(plan: Any, least: int, *keys: str) -> None:
    """Raises BadKey for the first of these that is smaller."""
    for key in keys:
        value = getattr(plan, key)
        if isinstance(value, int) and value < least:
            raise BadKey(key, f"`{key}` is {value}, and must be at least {least}.")


@dataclass(frozen=True)
class BudgetPlan:
    """`[budget]`: what the whole run may take, all sittings together. Nothing said is no limit."""

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
        return hashlib.sha256(json.dumps(decisive(self), sort_keys=True).encode()).hexdigest()


def decisive(recipe: Recipe) -> dict[str, Any]:
    """What decides the weights, as tables: everything but the budget, the name, and what is kept or published. Files
    stand there by the digest of what is in them; of a Python file, comments and layout are not."""
    stages = (dataclasses.replace(one, settings=renamed(one.settings, content_of)) for one in recipe.stages)
    told = plain_tables(dataclasses.replace(recipe, stages=tuple(stages)))
    for key in ("name", "budget", "checkpoints", "publish"):
        told.pop(key, None)
    for task in told.get("tasks", ()):
        task["name"] = task.get("name") or task.get("generator") or Path(task.get("jsonl") or task["python"]).stem
        for key in FILES:
            if task.get(key):
                task[key] = content_of(task[key])
    if recipe.adapter is not None:
        with contextlib.suppress(UserError):  # one that is not there is told where the run begins
            start = find_start(recipe.adapter)
            told["adapter"] = start.adapter.sha256 if start else None
    return told


def read_recipe(path: Path | str, *, scale: float | None = None) -> Recipe:
    """The recipe in a file, or the resolved one of a run folder. Raises UsageError with the line that is wrong."""
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / "recipe.toml"
    try:
        content = path.read_bytes()
    except OSError as error:
        shipped = sorted(file.stem for file in Path("recipes").glob("*.toml")) if Path("recipes").is_dir() else []
        hint = f"; {nearest(path.stem, shipped)}" if shipped and not path.exists() else "."
        raise UserError(f"The recipe {path} cannot be read: {(error.strerror or str(error)).lower()}{hint}") from None
    if len(content) > MAX_RECIPE:
        raise UsageError(f"{path} is larger than a recipe can be (1 MiB).")
    try:
        text = content.decode("utf-8")
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {str(error).rstrip('.')}.") from None
    return parse_recipe(given, Source(path.name, text), path.resolve().parent, scale=scale)


def parse_recipe(given: Mapping[str, Any], source: Source, folder: Path, *, scale: float | None = None) -> Recipe:
    """Tables as a recipe. `scale` multiplies the steps of every stage, on top of what the recipe says."""
    source.check_keys(given, _TOP, "")
    name = _text(given, "name", source)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{source.where('', None, 'name')}: a recipe's name is made of a-z, 0-9, `.`, `_` and `-`.")
    seed = given.get("seed", 1)
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise UsageError(f"{source.where('', None, 'seed')}: `seed` must be a whole number from 0 on.")
    architecture = given.get("architecture")
    if ("base" in given) == (architecture is not None):
        raise UsageError(f"{source.name} needs `base`, or [architecture] to start from nothing, and not both.")
    if architecture is not None and not isinstance(architecture, dict):
        raise UsageError(f"{source.where('architecture')}: [architecture] must be a table.")
    learner = _learner(given, source, seed, architecture is not None)
    factor = _scale(given, source) * (1.0 if scale is None else scale)
    stages = _stages(given.get("stage"), source, factor, folder)
    tasks = _tasks(given.get("tasks"), source, folder)
    suite = given.get("suite")
    if suite is not None and not isinstance(suite, str):
        raise UsageError(f"{source.where('', None, 'suite')}: `suite` must be the name of a suite.")
    if not tasks and suite is None:
        raise UsageError(f'{source.name} names no problems: give `suite = "r1"` or [[tasks]] tables.')
    return Recipe(
        name=name,
        stages=stages,
        seed=seed,
        base=_base(_text(given, "base", source), folder) if "base" in given else None,
        adapter=_adapter(given, source, folder, learner) if "adapter" in given else None,
        architecture=_architecture(architecture, folder, source),
        suite=suite,
        weights=_weights(given, source),
        tasks=tasks,
        learner=learner,
        budget=fill(BudgetPlan, _table(given, "budget", source), source, "budget"),
        evaluate=fill(EvaluatePlan, _table(given, "evaluate", source), source, "evaluate"),
        checkpoints=fill(CheckpointPlan, _table(given, "checkpoints", source), source, "checkpoints"),
        publish=fill(PublishPlan, _table(given, "publish", source), source, "publish"),
        scaled_by=1.0 if scale is None else scale,
    )


def write_recipe(recipe: Recipe, comment: str = "") -> str:
    """The resolved recipe: every value written out, so that it reads back as the same recipe anywhere."""
    return write_toml(plain_tables(recipe), comment)


def with_budget(recipe: Recipe, minutes: float | None, usd: float | None) -> Recipe:
    """The recipe with the budget of the command line, where one was given."""
    try:
        plan = BudgetPlan(
            recipe.budget.minutes if minutes is None else minutes, recipe.budget.usd if usd is None else usd
        )
    except BadKey as error:
        raise UsageError(str(error)) from None
    return dataclasses.replace(recipe, budget=plan)


def task_name(plan: TaskPlan) -> str:
    """What a task is called, as far as the recipe alone says."""
    spec = plan.spec
    return spec.name or spec.generator or Path(spec.jsonl or spec.python).stem


def plain_tables(recipe: Recipe) -> dict[str, Any]:
    """A recipe as the tables that TOML writes."""
    learner = table_of(recipe.learner)
    method = learner.pop("method")
    if method == "full":
        for key in ("rank", "alpha", "targets"):
            learner.pop(key, None)
    found: dict[str, Any] = {"name": recipe.name, "seed": recipe.seed}
    for key in ("base", "adapter", "suite"):
        if getattr(recipe, key) is not None:
            found[key] = getattr(recipe, key)
    if recipe.weights:
        found["weights"] = dict(recipe.weights)
    if recipe.architecture is not None:
        found["architecture"] = plain(recipe.architecture)
    found |= {
        "budget": table_of(recipe.budget),
        method: learner,
        "evaluate": table_of(recipe.evaluate),
        "checkpoints": table_of(recipe.checkpoints),
        "publish": table_of(recipe.publish),
    }
    if recipe.tasks:
        found["tasks"] = [{**_said(task.spec), "weight": task.weight} for task in recipe.tasks]
    found["stage"] = [
        {"kind": stage.kind, "name": stage.name, "start": stage.start, **_without(table_of(stage.settings), "name")}
        for stage in recipe.stages
    ]
    return found


def _said(spec: TaskSpec) -> dict[str, Any]:
    """A task's table without what it leaves at its default: most tasks say two things of twenty."""
    bare = table_of(TaskSpec(name="x"))
    return {key: value for key, value in table_of(spec).items() if key == "name" or value != bare[key]}


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


def _text(given: Mapping[str, Any], key: str, source: Source) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{source.where('', None, key)}: a recipe needs `{key}`, a text.")
    return value


def _table(given: Mapping[str, Any], key: str, source: Source) -> Mapping[str, Any]:
    value = given.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{source.where(key)}: [{key}] must be a table.")
    return value


def _scale(given: Mapping[str, Any], source: Source) -> float:
    value = given.get("scale", 1.0)
    if type(value) not in (int, float) or not 0 < value <= 1000:
        raise UsageError(f"{source.where('', None, 'scale')}: `scale` must be a number above 0.")
    return float(value)


def _learner(given: Mapping[str, Any], source: Source, seed: int, nothing: bool) -> LearnerSettings:
    if "lora" in given and "full" in given:
        raise UsageError(f"{source.name} has both [lora] and [full]; a run trains one way.")
    method = "full" if "full" in given or (nothing and "lora" not in given) else "lora"
    table = dict(_table(given, method, source))
    if "method" in table:
        raise UsageError(f"{source.where(method, None, 'method')}: the table's name is the method; leave `method` out.")
    defaults: dict[str, Any] = {"method": method, "seed": seed}
    if method == "lora":
        defaults |= _LORA_DEFAULTS
    elif nothing:
        defaults["train_embedding"] = True  # an embedding that came from nowhere has to be learned
    if method == "lora" and type(table.get("rank")) is int and table["rank"] < 1:
        raise UsageError(f"{source.where(method, None, 'rank')}: `rank` is {table['rank']}, and must be at least 1.")
    return fill(LearnerSettings, {**defaults, **table}, source, method)


def _stages(given: Any, source: Source, scale: float, folder: Path) -> tuple[StagePlan, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(table, dict) for table in given):
        raise UsageError(f"{source.name} has no stages: a recipe needs at least one [[stage]] table.")
    found: list[StagePlan] = []
    for index, table in enumerate(given):
        rest = dict(table)
        kind = rest.pop("kind", None)
        if kind == "pretrain":
            raise UsageError(
                f"{source.where('stage', index, 'kind')}: stages of kind `pretrain` are not built yet; "
                f"there are {', '.join(KINDS)}."
            )
        if kind not in KINDS:
            said = "a stage needs a `kind`."
            if kind:
                said = f"there is no kind `{kind}`; {nearest(str(kind), list(KINDS))}"
            raise UsageError(f"{source.where('stage', index, 'kind' if kind else None)}: {said}")
        module, settings_name = KINDS[kind]
        settings_class = getattr(importlib.import_module(module), settings_name)
        own = [one.name for one in dataclasses.fields(settings_class) if one.init and one.name != "name"]
        source.check_keys(rest, ["name", "start", *own], "stage", index)
        name = rest.pop("name", None) or (kind if kind not in {one.name for one in found} else f"{kind}-{index + 1}")
        start = rest.pop("start", "here")
        if start not in ("here", "base"):
            raise UsageError(f'{source.where("stage", index, "start")}: `start` must be "here" or "base".')
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(f"{source.where('stage', index, 'name')}: a stage's name is made of a-z, 0-9 and `-`.")
        if name in {one.name for one in found} | {"setup", "evaluation", "publish"}:
            raise UsageError(f"{source.where('stage', index, 'name')}: the name `{name}` is taken; choose another.")
        try:
            settings: Any = fill(settings_class, {**rest, "name": name}, source, "stage", index)
        except UsageError:
            raise
        except UserError as error:
            raise UsageError(f"{source.where('stage', index)}: {error}") from None
        _check_sources(getattr(settings, "sources", ()), found, source.where("stage", index, "sources"))
        settings = renamed(settings, lambda file: str(_beside(file, folder)))
        steps = getattr(settings, "steps", None)
        if isinstance(steps, int) and steps > 0 and scale != 1.0:
            settings = dataclasses.replace(settings, steps=max(1, round(steps * scale)))
        found.append(StagePlan(name, kind, settings, start))
    return tuple(found)


def _check_sources(names: Sequence[str], before: Sequence[StagePlan], where: str) -> None:
    """Raises UsageError for a source that is neither a file of yours nor written by a stage before."""
    known = [*FROM_TASKS, IDENTITY, *(stage.name for stage in before if stage.kind in WRITERS)]
    for name in names:
        if not is_file(name) and name not in known:
            raise UsageError(f"{where}: no stage before this one writes `{name}`; {nearest(name, known)}")


def _tasks(given: Any, source: Source, folder: Path) -> tuple[TaskPlan, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        raise UsageError(
            f"{source.where('', None, 'tasks')}: write a [[tasks]] table, with two brackets, for each task; "
            "its `name` may be that of a shipped one."
        )
    found = []
    for index, table in enumerate(given):
        rest = dict(table)
        weight = _weight(rest.pop("weight", 1.0), source.where("tasks", index, "weight"), "weight")
        for key in FILES:
            if isinstance(rest.get(key), str):
                rest[key] = str(_beside(rest[key], folder))
        found.append(TaskPlan(fill(TaskSpec, rest, source, "tasks", index), weight))
    return tuple(found)


def _weight(value: Any, where: str, key: str) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e6:
        raise UsageError(f"{where}: `{key}` must be a number above 0.")
    return float(value)


def _weights(given: Mapping[str, Any], source: Source) -> dict[str, float]:
    table = _table(given, "weights", source)
    if table and "suite" not in given:
        raise UsageError(
            f"{source.where('weights')}: [weights] is for a suite; tasks of your own each have a `weight`."
        )
    return {name: _weight(value, source.where("weights", None, name), name) for name, value in table.items()}


def _beside(name: str, folder: Path) -> Path:
    """A path as the recipe means it: from the recipe's own folder on."""
    path = Path(name).expanduser()
    return path if path.is_absolute() else folder / path


def _base(name: str, folder: Path) -> str:
    """A model's name, or a path from the recipe's folder on where there is something at it."""
    path = _beside(name, folder)
    looks_like_path = "/" in name or name.endswith((".gguf", ".safetensors")) or name.startswith(".")
    return str(path.resolve()) if looks_like_path or path.is_dir() else name


def _adapter(given: Mapping[str, Any], source: Source, folder: Path, learner: LearnerSettings) -> str:
    """As `base`: a path from the recipe's folder on where there is something at it, else a name."""
    said = _text(given, "adapter", source)
    if "base" not in given or learner.method != "lora":
        raise UsageError(
            f"{source.where('', None, 'adapter')}: `adapter` is what [lora] over a `base` begins as; a recipe with it "
            "needs both."
        )
    return _base(said, folder)


def _architecture(table: Any, folder: Path, source: Source) -> Mapping[str, Any] | None:
    if table is None:
        return None
    if not isinstance(table.get("tokenizer"), str):
        raise UsageError(
            f"{source.where('architecture')}: [architecture] needs `tokenizer`, a folder or a GGUF that has one."
        )
    return {**table, "tokenizer": str(_beside(table["tokenizer"], folder))}
