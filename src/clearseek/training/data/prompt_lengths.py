"""What a model can read at once, and what is said of problems that are longer than that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clearseek.tasks.task import Problem, Task

Prompts = Callable[[str], Sequence[int]]
"""A problem's text as the ids that the model is asked with."""


def that_fit(
    problems: Sequence[tuple[Task, Problem]], prompt_of: Prompts, max_new: int, positions: int
) -> tuple[list[tuple[Task, Problem, tuple[int, ...]]], list[str]]:
    """Those that leave room for an answer, with their ids, and a sentence where some do not."""
    kept, long = [], []
    for task, problem in problems:
        ids = tuple(prompt_of(problem.prompt))
        if len(ids) + max_new > positions:
            long.append((task, problem, len(ids)))
        else:
            kept.append((task, problem, ids))
    if not long:
        return kept, []
    task, problem, tokens = long[0]
    more = f", and {len(long) - 1} more like it" if len(long) > 1 else ""
    return kept, [f"{too_long(task, problem, tokens, max_new, positions)} It was left out{more}."]


def too_long(task: Task, problem: Problem, tokens: int, max_new: int, positions: int) -> str:
    """One problem, what is wrong with it, and what to do."""
    begin = " ".join(problem.prompt.split())[:60]
    return (
        f'The problem {problem.id} of the task {task.name} ("{begin}") has {tokens} tokens, and with max_new = '
        f"{max_new} that is more than the {positions} which the model can hold: lower `max_new`, shorten the problem, "
        "or take another base."
    )
