"""A task from what a recipe says of it: a generator of reasoning-gym, a JSONL file, or a Python file of your own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from clearseek.errors import UserError
from clearseek.suggest import suggest
from clearseek.tasks.suites import shipped_suites
from clearseek.tasks.task import Task
from clearseek.tasks.task_spec import TaskSpec


def load_task(spec: TaskSpec | str) -> Task:
    """The task. A text is the name of a task of a shipped suite.

    Raises UserError, in one sentence, for whatever does not exist or does not fit together; a generator's or a
    user's own problems are made only when they are asked for.
    """
    from clearseek.tasks.suites import shipped_spec

    if isinstance(spec, str):
        spec = shipped_spec(spec)
    elif not (spec.generator or spec.jsonl or spec.python or spec.plain):
        spec = _over(shipped_spec(spec.name), spec)
    if spec.verifier:
        from clearseek.tasks.verifiers import check_name

        check_name(spec.verifier)
    if spec.generator:
        from clearseek.tasks.generator_task import generated_task

        return generated_task(spec)
    if spec.plain:
        from clearseek.tasks.plain.task import plain_task

        return plain_task(spec)
    if spec.jsonl:
        from clearseek.tasks.jsonl import jsonl_task

        return jsonl_task(spec, _file(spec.jsonl))
    from clearseek.tasks.python_task import python_task

    return python_task(spec, _file(spec.python))


def _over(shipped: TaskSpec, given: TaskSpec) -> TaskSpec:
    """A shipped task with what the recipe says over it: only what changes no problem's text may be said."""
    if given != TaskSpec(name=given.name, seed=given.seed, seconds=given.seconds):
        raise UserError(
            f"{given.name} is a shipped task and takes no settings but `seed`; write its `generator` to make your own."
        )
    return dataclasses.replace(shipped, seed=given.seed, seconds=given.seconds)


def _file(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"There is no file {name}.")
    return path


@dataclass(frozen=True)
class Suite:
    """`trained` are the tasks that ClearSeek's own recipes train on (with other seeds), `unseen` never were."""

    name: str
    trained: tuple[Task, ...]
    unseen: tuple[Task, ...]


def load_suite(name: str) -> Suite:
    """Raises UserError for a suite that is not there."""
    suites = shipped_suites()
    if name not in suites:
        raise UserError(f"There is no suite {name!r}; {suggest(name, suites, 0.4)}")
    suite = suites[name]
    return Suite(name, tuple(map(load_task, suite.trained)), tuple(map(load_task, suite.unseen)))
