"""The problems of a stage that writes data: none comes twice as long as its task has others."""

from __future__ import annotations

from collections.abc import Callable

from clearseek.tasks.splits import OutOfProblems, draw
from clearseek.tasks.task import Problem, Task


class ProblemStream:
    """Each task's problems as one sequence, the same for the same seed, of which every step takes the next ones.

    `seed_of` gives a task's seed by its name. Nothing is remembered that a checkpoint would have to hold.
    """

    def __init__(self, seed_of: Callable[[str], int], avoid: frozenset[str]) -> None:
        self._seed_of, self._avoid = seed_of, avoid
        self._found: dict[str, list[Problem]] = {}
        self._all: dict[str, bool] = {}
        """Whether a task has no more than were found."""

    def take(self, task: Task, start: int, count: int) -> list[Problem]:
        """`count` problems from place `start` on; where a task has no more, from its first again, each once at most.

        Raises OutOfProblems for a task without any.
        """
        known = self._found.get(task.name, [])
        if start + count > len(known) and not self._all.get(task.name, False):
            known = self._draw(task, max(start + count, 2 * len(known)))
        return [known[place % len(known)] for place in range(start, start + min(count, len(known)))]

    def _draw(self, task: Task, count: int) -> list[Problem]:
        """A larger count begins with the same problems."""
        seed = self._seed_of(task.name)
        try:
            result = draw(task, "train", count, seed, self._avoid)
        except OutOfProblems as short:
            if not short.found:
                raise
            result = draw(task, "train", short.found, seed, self._avoid)
            self._all[task.name] = True
        self._found[task.name] = result
        return result
