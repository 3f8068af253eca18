"""What tasks cost and how large they are: `python bench/tasks.py verifiers`, `... spaces`, `... near`.

verifiers  milliseconds for one honest answer
spaces     how many different problems a task of suite r1 has, by how often problems drawn at random meet
near       how the problems kept for testing lie to those that are trained on
"""

from __future__ import annotations

import sys
import time

from clearseek.tasks.load import load_suite
from clearseek.tasks.near_duplicates import scan
from clearseek.tasks.splits import OutOfProblems, draw
from clearseek.tasks.verifiers import verifier

HONEST = (
    ("integer", "12", "12", {}),
    ("exact", "drow", "drow", {}),
    ("numeric", "0.5", "0.50", {}),
    ("choice", "B", "(b)", {"choices": ["A", "B"]}),
    ("list", "['37', '41']", "['37','41']", {}),
    ("countdown", "", "(3*7) - 5", {"numbers": [3, 5, 7], "target": 16}),
    ("math", r"\frac{\sqrt{3}}{2}", r"\frac{%d\sqrt{3}}{2}", {}),
    ("natural_answer", "9", "That makes **9**.", {"form": "number", "prompt": "What is 4 + 5?"}),
    ("code", "9", "print(9)  # %d", {}),
    ("code", "9", "print(9)  # %d", {"interpreter": "cpython"}),
)


def verifiers() -> None:
    for name, reference, answer, options in HONEST:
        check = verifier(name, options.get("interpreter", "monty"))
        times = {"math": 100, "code": 40}.get(name, 5000)
        check(reference, answer.replace("%d", "1"), options)  # a child is started at the first
        started = time.perf_counter()
        for number in range(times):
            check(reference, answer.replace("%d", str(number)), options)
        print(f"{name:14} {options.get('interpreter', ''):8} {1e3 * (time.perf_counter() - started) / times:9.4f} ms")


def spaces(n: int = 4000) -> None:
    suite = load_suite("r1")
    for task in (*suite.trained, *suite.unseen):
        started = time.perf_counter()
        met = n - len({task.make("train", index).digest for index in range(n)})
        each = 1e3 * (time.perf_counter() - started) / n
        size = f"about {n * n / 2 / met:,.0f}" if met > 20 else f"over {n * n / 2 / 30:,.0f}"
        print(f"{task.name:24} {size:>18} problems, {each:.2f} ms each to make")


def near(train: int = 1000, test: int = 200) -> None:
    print(f"{'':24} exact  near  reordered  same but for numbers   (of {test}, against {train} to train on)")
    for task in load_suite("r1").trained:
        kept = [problem for split in ("dev", "test") for problem in draw(task, split, test, 0)]  # type: ignore[arg-type]
        avoid = frozenset(problem.digest for problem in kept)
        try:
            seen = draw(task, "train", train, 1, avoid)
        except OutOfProblems as short:
            seen = draw(task, "train", short.found, 1, avoid)
        report = scan(seen, kept[len(kept) // 2 :])
        print(f"{task.name:24} {report.exact:5} {report.near:5} {report.reordered:10} {report.same_but_for_numbers:21}")


if __name__ == "__main__":
    {"verifiers": verifiers, "spaces": spaces, "near": near}[sys.argv[1]]()
