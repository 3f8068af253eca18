"""Problems to train on."""

from __future__ import annotations

from clearseek.tasks.splits import OutOfProblems, draw
from clearseek.tasks.task import Problem, Task


def draw_up_to(task: Task, count: int, seed: int, avoid: frozenset[str]) -> list[Problem]:
    """Problems of the train split, no two alike: `count`, or all there are where that is fewer. Raises OutOfProblems
    where there is none."""
    try:
        return draw(task, "train", count, seed, avoid)
    except OutOfProblems as error:
        if error.found < 1:
            raise
        return draw(task, "train", error.found, seed, avoid)
