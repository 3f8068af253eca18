"""Sums as tasks, and an answerer that is right when it is told to be: evaluations without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clearseek.evaluation.results import Conditions, Membership
from clearseek.evaluation.runner import Completion, Query, QuerySet
from clearseek.tasks.task import Problem, Score, Split, Task

HOW = Conditions(model="m", digest="d" * 64, by="torch", suite="r1", split="test", n=10, seed=3, max_new=40)


def sums(name: str) -> Task:
    def make(split: Split, index: int) -> Problem:
        return Problem(name, split, index, f"{name}: {index} + {index + 1}?", str(2 * index + 1))

    def check(problem: Problem, answer: str) -> Score:
        right = answer == problem.answer
        return Score(float(right), "right" if right else "wrong", 0.5)

    return Task(name, make, check, {"generator": "sums"})


def asked(n: int = 10, **members: Membership) -> QuerySet:
    tasks = [(sums(name), kind) for name, kind in (members or {"easy": "trained", "odd": "unseen"}).items()]
    return QuerySet(tuple(tasks), {task.name: [task.make("test", index) for index in range(n)] for task, _ in tasks})


class Says:
    """`right(ask)` decides; `stop` answers are given before it is interrupted. `seen` are the asks it was given."""

    def __init__(self, right: Callable[[Query], bool], stop: int | None = None) -> None:
        self.right, self.stop = right, stop
        self.seen: list[Query] = []

    def answer(self, asks: Sequence[Query], how: Conditions, took: Callable[[Query, Completion], None]) -> None:
        for ask in reversed(asks):  # whatever the order
            if self.stop is not None and len(self.seen) >= self.stop:
                raise KeyboardInterrupt
            self.seen.append(ask)
            said = ask.problem.answer if self.right(ask) else "nothing"
            took(ask, Completion("hm", said, "stop", True, 7, 2, 5, 0.1))
