"""What is too long for the model, or too few to learn from, said before anything is spent."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

from clearseek.errors import UserError
from clearseek.tasks.splits import OutOfProblems, draw
from clearseek.tasks.task import Problem, Task
from clearseek.training.data.examples import load_source
from clearseek.training.data.problems import draw_up_to
from clearseek.training.data.prompt_lengths import too_long
from clearseek.training.data.sources import FROM_TASKS, IDENTITY
from clearseek.training.data.traces import Trace
from clearseek.training.data.user_files import is_file
from clearseek.training.recipe.schema import Recipe, StagePlan
from clearseek.training.run.context import EVAL_SEED, RunContext
from clearseek.training.stages.base import StageContext
from clearseek.training.stages.sft import length_of, limit_of, short_enough

LOOKED_AT = 8
"""Problems of a task that are measured for a stage; what is longer later on is left out by name."""
FEW = 100
"""Fewer problems to train on than this are worth a word."""


def check_lengths(recipe: Recipe, context: RunContext) -> list[str]:
    """What is to be said. Raises UserError where a stage or an evaluation can ask nothing of a task, because the model
    holds no more, or a supervised stage can learn nothing of it."""
    stage_context, positions = context.stage_context, context.stage_context.learner.model.config.max_positions
    samples = {task.name: draw_up_to(task, LOOKED_AT, 0, stage_context.avoid) for task in stage_context.tasks}
    for plan in recipe.stages:
        wanted = getattr(plan.settings, "tasks", ())
        tasks = [task for task in stage_context.tasks if not wanted or task.name in wanted]
        if plan.kind in ("grpo", "reject") and plan.settings.steps:
            for task in tasks:
                _ask(
                    task, samples[task.name], stage_context, plan.settings.max_new, positions, f"The stage {plan.name}"
                )
        if plan.kind == "sft" and any(source in FROM_TASKS for source in plan.settings.sources):
            for task in tasks:
                _show(plan, task, samples[task.name], stage_context)
    messages = [few for task in stage_context.tasks if (few := _few(task, stage_context.avoid)) is not None]
    evaluate = recipe.evaluate
    for split, count in (("dev", evaluate.dev), ("test", evaluate.test)):
        for task in stage_context.tasks if count else ():
            problems = draw(task, split, count, EVAL_SEED)  # type: ignore[arg-type]
            messages += _ask(task, problems, stage_context, evaluate.max_new, positions, f"The evaluation on {split}")
    return messages


def check_files(recipe: Recipe, context: RunContext) -> list[str]:
    """Which examples of the files that supervised stages read are too long, as a stage says when it opens: for a dry
    run, which opens none. Raises UserError as `open_stage` does."""
    stage_context, messages = context.stage_context, []
    for plan in recipe.stages:
        for name in plan.settings.sources if plan.kind == "sft" else ():
            if is_file(name) or name == IDENTITY:
                traces = load_source(name, stage_context.folder)
                messages += short_enough(name, traces, plan.settings, stage_context)[1]
    return messages


def _ask(
    task: Task, problems: Sequence[Problem], stage_context: StageContext, max_new: int, positions: int, who: str
) -> list[str]:
    """A sentence where some of the problems cannot be asked."""
    lengths = [len(stage_context.chat.prompt(problem.prompt)) for problem in problems]
    long = [place for place, length in enumerate(lengths) if length + max_new > positions]
    if not long:
        return []
    shortest = min(range(len(lengths)), key=lengths.__getitem__)
    if len(long) == len(problems):
        what = too_long(task, problems[shortest], lengths[shortest], max_new, positions)
        raise UserError(f"{who} can ask nothing of the task {task.name}. {what}")
    what = too_long(task, problems[long[0]], lengths[long[0]], max_new, positions)
    return [f"{who} counts {len(long)} of {len(problems)} problems of {task.name} as wrong, unasked. {what}"]


def _show(plan: StagePlan, task: Task, problems: Sequence[Problem], stage_context: StageContext) -> None:
    """Raises UserError for worked solutions that are all longer than the stage takes."""
    limit = limit_of(plan.settings, stage_context)
    solve: Callable[..., Any] | None = task.solve
    lengths = []
    for problem in problems if solve is not None else ():
        assert solve is not None
        with contextlib.suppress(ValueError):  # a problem of a kind its program was not written for
            solution = solve(problem, random.Random(0))
            lengths.append(length_of(Trace(problem.prompt, solution.thinking, solution.answer), stage_context))
    if lengths and min(lengths) > limit:
        raise UserError(
            f"The worked solutions of the task {task.name} have {min(lengths)} tokens and more, and the stage "
            f"{plan.name} takes examples of at most {limit}: raise `max_tokens` as far as the model holds, or write "
            "shorter ones."
        )


def _few(task: Task, avoid: frozenset[str]) -> str | None:
    try:
        draw(task, "train", FEW, 0, avoid)
    except OutOfProblems as short:
        return (
            f"The task {task.name} has only {short.found} different problems to train on: the model may learn them by "
            "heart, and what it is tested on may be much like them."
        )
    return None
