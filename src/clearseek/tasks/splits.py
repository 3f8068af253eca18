"""Drawing problems: no two alike, none that is to be avoided, and an end where a task has no more."""

from __future__ import annotations

import hashlib
import random

from clearseek.errors import UserError
from clearseek.tasks.task import Problem, Split, Task

INDICES = 1 << 26
_PATIENCE = 200
"""Draws in a row without anything new, beyond as many as were found, after which there is nothing more to find."""


class OutOfProblems(UserError):
    """A task has fewer different problems than were asked for. `found` says how many there were."""

    def __init__(self, sentence: str, found: int) -> None:
        super().__init__(sentence)
        self.found = found


def draw(task: Task, split: Split, n: int, seed: int, avoid: frozenset[str] = frozenset()) -> list[Problem]:
    """`n` different problems, the same for the same arguments, by digest neither alike nor in `avoid`.

    From dev and test, where a task has fewer than `n`, all that are found. From train, raises OutOfProblems then, with
    how many there are. A larger `n` begins with the same problems.
    """
    rng = random.Random(hashlib.sha256(f"{task.name}\x1f{split}\x1f{seed}".encode()).digest())
    sizes = task.card.get("sizes")
    size = sizes[split] if sizes else None
    problems: dict[str, Problem] = {}
    indices = iter(rng.sample(range(size), size)) if size is not None else iter(lambda: rng.randrange(INDICES), -1)
    missed = 0
    while len(problems) < n and (size is not None or missed < _PATIENCE + len(problems)):
        index = next(indices, None)
        if index is None:
            break
        problem = task.make(split, index)
        digest = problem.digest
        if digest in problems or digest in avoid:
            missed += 1
            continue
        missed = 0
        problems[digest] = problem
    if len(problems) < n and split == "train":
        raise OutOfProblems(
            f"{task.name} has only {len(problems)} different problems to train on that are not kept for dev or test, "
            f"and {n} were asked for.",
            len(problems),
        )
    return list(problems.values())
