"""The suites that ship with ClearSeek: tasks to train on, and tasks never trained on."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from clearseek.errors import UserError
from clearseek.suggest import suggest
from clearseek.tasks.plain import KINDS
from clearseek.tasks.task_spec import TaskSpec
from clearseek.toml_tables import Source, fill


@dataclass(frozen=True)
class SuiteSpec:
    title: str
    about: str
    trained: tuple[TaskSpec, ...]
    unseen: tuple[TaskSpec, ...]


@cache
def shipped_suites() -> dict[str, SuiteSpec]:
    text = resources.files("clearseek.tasks").joinpath("suites.toml").read_text("utf-8")
    source = Source("suites.toml", text)
    return {"plain": _plain()} | {
        name: SuiteSpec(
            table["title"],
            table["about"],
            *(
                tuple(fill(TaskSpec, task, source, f"{name}.{part}", index) for index, task in enumerate(table[part]))
                for part in ("trained", "unseen")
            ),
        )
        for name, table in tomllib.loads(text).items()
    }


def _plain() -> SuiteSpec:
    specs = {kind: TaskSpec(name=f"plain_{kind.name}", plain=kind.name) for kind in KINDS}
    return SuiteSpec(
        "Questions in people's words",
        f"{len(KINDS)} kinds of question as people ask them, each in a dozen wordings and more. The wordings of dev "
        "and test are in no training, and fifteen kinds are in none at all.",
        tuple(spec for kind, spec in specs.items() if kind.role != "unseen"),
        tuple(spec for kind, spec in specs.items() if kind.role == "unseen"),
    )


def shipped_spec(name: str) -> TaskSpec:
    """What a shipped task is, by its name. Raises UserError."""
    specs = {spec.name: spec for suite in shipped_suites().values() for spec in (*suite.trained, *suite.unseen)}
    if name not in specs:
        raise UserError(
            f"No shipped suite has a task {name!r}; {suggest(name, specs)} A task of your own needs a `generator`, "
            "`jsonl` or `python`."
        )
    return specs[name]
