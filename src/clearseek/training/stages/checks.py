"""What a stage would stop at when its turn comes, said before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearseek.hub.store import Store
from clearseek.settings import home
from clearseek.tasks.task import Task
from clearseek.training.data.everyday_chat import read_prompts
from clearseek.training.data.examples import check_solved, load_source
from clearseek.training.data.sources import FROM_TASKS
from clearseek.training.data.user_files import is_file
from clearseek.training.recipe.schema import Recipe
from clearseek.training.stages.base import check_asked
from clearseek.training.stages.sft import check_steps


def check_stages(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Raises UserError for a stage that asks for a task, a file, a teacher or worked solutions that are not there."""
    for plan in recipe.stages:
        settings: Any = plan.settings
        check_asked(plan.name, getattr(settings, "tasks", ()), tasks)
        if plan.kind == "sft":
            check_steps(settings)
        for source in getattr(settings, "sources", ()):
            if is_file(source):
                load_source(source, Path())
            elif source in FROM_TASKS:
                for task in tasks:
                    check_solved(task)
        if plan.kind == "reject" and settings.general_file:
            read_prompts(settings.general_file)
        if plan.kind == "distill" and not settings.engine_url:
            Store(home() / "models").find(settings.model)
