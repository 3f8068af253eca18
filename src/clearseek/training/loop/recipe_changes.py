"""A recipe that was changed since its run began: what differs, what may, and how the rest can be had.

Bits are what decides. What is still to come may be other, because nothing of it has been used; so may the number of
steps of a stage under way whose rate does not fall. Everything else would have made another run from the start.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.hub.files import write_aside
from clearseek.toml_tables import write_toml
from clearseek.training.data.user_files import files_of, rename_files
from clearseek.training.recipe.schema import Recipe, StagePlan, as_tables, weight_deciding
from clearseek.training.run import checkpoint
from clearseek.training.run.run_folder import RECIPE

SHOWN = 4


def differences(own: Recipe, given: Recipe) -> list[str]:
    """What decides the weights and is not the same, in words: what the run has, and what the recipe says now."""
    return _apart(weight_deciding(own), weight_deciding(given))


def _apart(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    results: list[str] = []
    for key in dict.fromkeys((*was, *now)):
        old, new = was.get(key), now.get(key)
        if old == new:
            continue
        if key in ("stage", "tasks"):
            what = "stage" if key == "stage" else "task"
            results += _of_list(what, old or [], new or [])
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            results += [_said(f"`{name}` of [{key}]", old.get(name), new.get(name)) for name in _changed(old, new)]
        else:
            results.append(_said(f"`{key}`", old, new))
    return results


def _of_list(what: str, was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    old, new = ({_name(table): table for table in tables} for tables in (was, now))
    results = [f"the {what} {name} is gone" for name in old if name not in new]
    results += [f"the {what} {name} is new" for name in new if name not in old]
    for name in old:
        if name in new:
            results += [
                _said(f"`{key}` of the {what} {name}", old[name].get(key), new[name].get(key))
                for key in _changed(old[name], new[name])
            ]
    if not results:
        results.append(f"the {what}s come in another order")
    return results


def _name(table: Mapping[str, Any]) -> str:
    return str(table["name"])


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key in dict.fromkeys((*was, *now)) if was.get(key) != now.get(key)]


def _said(what: str, old: Any, new: Any) -> str:
    if any(isinstance(one, str) and len(one) == 64 for one in (old, new)):  # digests
        return f"what is in the file of {what}"
    values = ["not said" if one is None else f"{one:g}" if isinstance(one, float) else str(one) for one in (old, new)]
    return f"{what} (there {values[0]}, now {values[1]})"


def describe_changes(changes: Sequence[str]) -> str:
    more = len(changes) - SHOWN
    return "; ".join(changes[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def changed_recipe(own: Recipe, given: Recipe, folder: Path) -> tuple[Recipe, list[str]]:
    """The recipe to go on by, and what it changes of the run's own: budget, checkpoints and publishing as given, the
    rest as the run has it, but for stages still to come. Raises UserError where what differs cannot be exact."""
    kept = dataclasses.replace(
        own, budget=given.budget, checkpoints=given.checkpoints, publish=given.publish, scaled_by=given.scaled_by
    )
    changes = differences(own, given)
    if not changes:
        return kept, []
    number, step = _reached(folder)
    stages = (*own.stages[:number], *given.stages[number:])
    under_way = step > 0 and number < len(own.stages)
    if under_way and number < len(given.stages):
        first = given.stages[number]
        stages = (*own.stages[:number], _longer(own.stages[number], first, step), *given.stages[number + 1 :])
    later = dataclasses.replace(kept, stages=stages)
    rest = differences(later, given)
    if rest or len(given.stages) < number + under_way or files(later) != files(kept):
        names = [stage.name for stage in own.stages]
        begun = ", ".join(names[: number + under_way]) or "none"
        raise UserError(
            f"The run in {folder} was begun with another recipe: {describe_changes(rest or changes)}. On --resume "
            f"only stages that have not begun may change (begun: {begun}), and `steps` of one under way whose `decay` "
            "is constant: everything else would have made other weights from the start. Go on with its own "
            f"(`clearseek train {folder} --resume`), or begin another run with --out; once this one is finished, "
            f"{_again(own, folder)} begins where it ended."
        )
    return later, changes


def _reached(folder: Path) -> tuple[int, int]:
    """Stage and step of the last whole checkpoint; (0, 0) where there is none."""
    try:
        at = checkpoint.load_latest(folder / "checkpoints")[0].position
    except UserError:
        return 0, 0
    return at.stage, at.step


def _longer(own: StagePlan, given: StagePlan, step: int) -> StagePlan:
    """The stage under way with the steps that are asked for now, where what was done would have been the same."""
    steps = getattr(given.settings, "steps", 0)
    exact = getattr(own.settings, "decay", "") == "constant" and own.settings.steps > 0
    if not exact or steps < max(1, step):
        return own
    return dataclasses.replace(own, settings=dataclasses.replace(own.settings, steps=steps))


def files(recipe: Recipe) -> list[str]:
    return sorted(name for plan in recipe.stages for name in files_of(plan.settings))


def _again(own: Recipe, folder: Path) -> str:
    """The line of a new recipe that goes on from this run's model."""
    if own.learner.method == "lora" and own.base is not None:
        return f'a recipe with `adapter = "{folder}"`'
    return f'a recipe with `base = "{folder / "model"}"`'


def already_finished(own: Recipe, given: Recipe, folder: Path) -> UserError:
    """What is said to whoever resumes a run that has ended."""
    changes = differences(own, given)
    asked = f" The recipe differs from its own: {describe_changes(changes)}." if changes else ""
    return UserError(
        f"The run in {folder} is finished; there is nothing left to do.{asked} To train its model further, begin "
        f"another run: {_again(own, folder)} begins where it ended."
    )


def write_down(recipe: Recipe, folder: Path, head: str) -> None:
    """The recipe that a run goes on by, into its folder, with the names that its files have there."""

    def inside(name: str) -> str:
        path = Path(name)
        return path.relative_to(folder.resolve()).as_posix() if path.is_relative_to(folder.resolve()) else name

    text = (folder / RECIPE).read_text("utf-8")
    stages = tuple(dataclasses.replace(plan, settings=rename_files(plan.settings, inside)) for plan in recipe.stages)
    now = as_tables(dataclasses.replace(recipe, stages=stages))
    tables = {**tomllib.loads(text), **{key: now[key] for key in ("budget", "checkpoints", "publish", "stage")}}
    new = write_toml(tables, head)
    if new != text:
        write_aside(folder / RECIPE, new.encode())
