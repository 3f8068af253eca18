"""Worked solutions, looked at: tokens of prompt and trace for each task, and examples.

    python bench/solutions.py MODEL.gguf [--suite r1] [--n 300] [--examples 3] [--tasks gcd,countdown]

A trace is what the model is to write: the thinking, its closing tag, the answer and the end of the turn.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from clearseek.tasks.load import load_suite
from clearseek.tasks.splits import draw
from clearseek.tasks.task import Problem, Solution, Task
from clearseek.training.data.chat_format import ChatFormat, chat_format_of


def at(numbers: Sequence[int], share: float) -> int:
    """The number below or at which this share of them lies."""
    return sorted(numbers)[min(len(numbers) - 1, int(share * len(numbers)))]


def solved(task: Task, n: int, seed: int) -> list[tuple[Problem, Solution]]:
    found = []
    for problem in draw(task, "train", n, seed):
        assert task.solve is not None
        found.append((problem, task.solve(problem, random.Random(f"{seed}/{problem.id}"))))
    return found


def line(task: Task, chat: ChatFormat, found: Sequence[tuple[Problem, Solution]]) -> str:
    prompts = [len(chat.prompt(problem.prompt)) for problem, _ in found]
    traces = [len(chat.completion(solution.thinking, solution.answer)) for _, solution in found]
    right = sum(task.check(problem, solution.answer).accuracy == 1.0 for problem, solution in found)
    columns = [f"{at(lengths, share):5d}" for lengths in (prompts, traces) for share in (0.5, 0.9, 1.0)]
    return f"{task.name:24s}{''.join(columns[:3])}   {''.join(columns[3:])}   {right:4d}/{len(found)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--suite", default="r1")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=3)
    parser.add_argument("--tasks", default="", help="names, separated by commas; all where nothing is said")
    told = parser.parse_args()
    chat = chat_format_of(told.model)
    names = [name for name in told.tasks.split(",") if name]
    tasks = [task for task in load_suite(told.suite).trained if task.solve and (not names or task.name in names)]
    rows = []
    for task in tasks:
        found = solved(task, told.n, told.seed)
        rows.append(line(task, chat, found))
        for problem, solution in found[: told.examples]:
            print(f"--- {problem.id}\n{problem.prompt}\n<think>\n{solution.thinking}\n</think>\n\n{solution.answer}\n")
    print(f"{'':24s}{'prompt: 50% 90% most':>15s}{'trace: 50% 90% most':>24s}   right")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
