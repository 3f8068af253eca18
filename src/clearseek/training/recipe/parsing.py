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

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearseek.errors import UsageError, UserError
from clearseek.tasks.task_spec import TaskSpec
from clearseek.toml_tables import BadKey, Source, fill, parse_toml, write_toml
from clearseek.training.data.sources import FROM_TASKS, IDENTITY
from clearseek.training.data.user_files import is_file, rename_files
from clearseek.training.recipe.distillation_settings import DistillSettings
from clearseek.training.recipe.grpo_settings import GrpoSettings
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.recipe.rejection_settings import RejectSettings
from clearseek.training.recipe.schema import (
    FILES,
    WRITERS,
    BudgetPlan,
    CheckpointPlan,
    EvaluatePlan,
    PublishPlan,
    Recipe,
    StagePlan,
    TaskPlan,
    as_tables,
)
from clearseek.training.recipe.sft_settings import SftSettings
from clearseek.training.recipe.synonyms import nearest, source_of

KINDS = {"sft": SftSettings, "grpo": GrpoSettings, "reject": RejectSettings, "distill": DistillSettings}
"""What a stage's `kind` may be, and what its table may say."""
MAX_RECIPE = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_TOP = (
    "name", "seed", "base", "adapter", "suite", "weights", "scale", "architecture", "budget", "lora", "full",
    "evaluate", "checkpoints", "publish", "tasks", "stage",
)  # fmt: skip
_LORA_DEFAULTS = {"rank": 32, "alpha": 64.0}


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
    given = parse_toml(content, str(path))
    return parse_recipe(given, source_of(path.name, content.decode()), path.resolve().parent, scale=scale)


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
    return write_toml(as_tables(recipe), comment)


def with_budget(recipe: Recipe, minutes: float | None, usd: float | None) -> Recipe:
    """The recipe with the budget of the command line, where one was given."""
    try:
        plan = BudgetPlan(
            recipe.budget.minutes if minutes is None else minutes, recipe.budget.usd if usd is None else usd
        )
    except BadKey as error:
        raise UsageError(str(error)) from None
    return dataclasses.replace(recipe, budget=plan)


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
    results: list[StagePlan] = []
    for index, table in enumerate(given):
        rest = dict(table)
        kind = rest.pop("kind", None)
        if kind == "pretrain":
            raise UsageError(
                f"{source.where('stage', index, 'kind')}: stages of kind `pretrain` are not built yet; "
                f"there are {', '.join(KINDS)}."
            )
        if kind not in KINDS:
            message = "a stage needs a `kind`."
            if kind:
                message = f"there is no kind `{kind}`; {nearest(str(kind), list(KINDS))}"
            raise UsageError(f"{source.where('stage', index, 'kind' if kind else None)}: {message}")
        settings_class = KINDS[kind]
        own = [field_.name for field_ in dataclasses.fields(settings_class) if field_.init and field_.name != "name"]
        source.check_keys(rest, ["name", "start", *own], "stage", index)
        taken = {stage.name for stage in results}
        name = rest.pop("name", None) or (f"{kind}-{index + 1}" if kind in taken else kind)
        start = rest.pop("start", "here")
        if start not in ("here", "base"):
            raise UsageError(f'{source.where("stage", index, "start")}: `start` must be "here" or "base".')
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(f"{source.where('stage', index, 'name')}: a stage's name is made of a-z, 0-9 and `-`.")
        if name in taken | {"setup", "evaluation", "publish"}:
            raise UsageError(f"{source.where('stage', index, 'name')}: the name `{name}` is taken; choose another.")
        try:
            settings: Any = fill(settings_class, {**rest, "name": name}, source, "stage", index)
        except UsageError:
            raise
        except UserError as error:
            raise UsageError(f"{source.where('stage', index)}: {error}") from None
        _check_sources(getattr(settings, "sources", ()), results, source.where("stage", index, "sources"))
        settings = rename_files(settings, lambda file: str(_beside(file, folder)))
        steps = getattr(settings, "steps", None)
        if isinstance(steps, int) and steps > 0 and scale != 1.0:
            settings = dataclasses.replace(settings, steps=max(1, round(steps * scale)))
        results.append(StagePlan(name, kind, settings, start))
    return tuple(results)


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
    results = []
    for index, table in enumerate(given):
        rest = dict(table)
        weight = _weight(rest.pop("weight", 1.0), source.where("tasks", index, "weight"), "weight")
        for key in FILES:
            if isinstance(rest.get(key), str):
                rest[key] = str(_beside(rest[key], folder))
        results.append(TaskPlan(fill(TaskSpec, rest, source, "tasks", index), weight))
    return tuple(results)


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
    text = _text(given, "adapter", source)
    if "base" not in given or learner.method != "lora":
        raise UsageError(
            f"{source.where('', None, 'adapter')}: `adapter` is what [lora] over a `base` begins as; a recipe with it "
            "needs both."
        )
    return _base(text, folder)


def _architecture(table: Any, folder: Path, source: Source) -> Mapping[str, Any] | None:
    if table is None:
        return None
    if not isinstance(table.get("tokenizer"), str):
        raise UsageError(
            f"{source.where('architecture')}: [architecture] needs `tokenizer`, a folder or a GGUF that has one."
        )
    return {**table, "tokenizer": str(_beside(table["tokenizer"], folder))}
