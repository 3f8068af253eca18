"""Before anything is spent: does a task's verifier accept the task's own answers?"""

from __future__ import annotations

import random
from typing import Any

from clearseek.errors import UserError
from clearseek.tasks.splits import draw
from clearseek.tasks.task import Problem, Task


def check_references(task: Task, n: int = 20) -> int:
    """How many reference answers were checked: `n`, or all there are; 0 for a task that has none.

    Raises UserError with the first problem whose own answer, or whose worked solution's, is rejected, and why.
    """
    checked = 0
    for problem in _some(task, n):
        if problem.answer == "" and task.card.get("verifier") == "generator":
            continue  # several answers are right, and its generator names none
        score = task.check(problem, problem.answer)
        if score.accuracy < 1.0:
            raise UserError(_sentence(task, problem, problem.answer, "reference answer", score.why))
        if score.second is not None and score.second < 1.0:
            raise UserError(_sentence(task, problem, problem.answer, "reference answer", "its second verifier says no"))
        checked += 1
        if task.solve is not None:
            try:
                solution = task.solve(problem, random.Random(0))
            except ValueError:
                continue  # a problem its solver was not written for
            score = task.check(problem, solution.answer)
            if score.accuracy < 1.0:
                raise UserError(_sentence(task, problem, solution.answer, "worked solution's answer", score.why))
    return checked


def _some(task: Task, n: int) -> list[Problem]:
    from clearseek.tasks.splits import OutOfProblems

    try:
        return draw(task, "train", n, 0)
    except OutOfProblems as short:
        if not short.found:
            raise
        return draw(task, "train", short.found, 0)


def _sentence(task: Task, problem: Problem, answer: str, what: str, why: str) -> str:
    return (
        f"The verifier of {task.name} rejects the {what} {_short(answer)} ({why}) of its own problem {problem.id}: "
        f"{_short(problem.prompt, 400)}"
    )


def _short(text: Any, longest: int = 120) -> str:
    text = str(text)
    return repr(text if len(text) <= longest else text[: longest - 1] + "…")
