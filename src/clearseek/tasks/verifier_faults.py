"""Verifiers that went wrong themselves, told by name: an answer that nobody could score is no wrong answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Scored = tuple[str, str, str]
"""Of one answer: the task, the fault of its verifier ("" where there was none), and why it scored what it did."""


def faults_of(answers: Iterable[Scored]) -> dict[str, str]:
    """A sentence for each kind of fault, by a name of it: how many of a task's answers, and what was last said."""
    every: Counter[str] = Counter()
    result: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], str] = {}
    for task, fault, why in answers:
        every[task] += 1
        if fault:
            result[task, fault] += 1
            last[task, fault] = why
    return {
        f"fault/{task}/{fault}": _sentence(task, fault, count, every[task], last[task, fault])
        for (task, fault), count in result.items()
    }


def _sentence(task: str, fault: str, count: int, every: int, why: str) -> str:
    more = "" if why == fault else f" (last: {why[:200]})"
    return (
        f"{count} of {every} answers of the task {task} could not be scored: {fault}{more}. They count as wrong; mend "
        "the scorer, or the model learns from what it breaks on."
    )
