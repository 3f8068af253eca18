"""Sorting numbers from 0 to 100: ten by ten, which numbers begin with that ten; so nothing is ever searched twice."""

from __future__ import annotations

import random
import re

from clearseek.tasks.task import Problem, Solution

OPENINGS = ("Sort {} {}", "{1} order of {0}", "Put {} in {} order")


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = re.search(r"in (ascending|descending) order: ([^\n]*)", problem.prompt)
    if asked is None:
        raise ValueError("a question about sorting in other words")
    down = asked[1] == "descending"
    texts = re.findall(r"-?\d+(?:\.\d+)?", asked[2])
    numbers = [float(text) for text in texts]
    if any(number < 0 or number > 109 or number % 1 for number in numbers):
        raise ValueError("sorting is written for whole numbers from 0 to 100")
    wholes = [int(number) for number in numbers]
    tens = range(max(9, *(number // 10 for number in wholes)) + 1)
    rows = []
    for ten in reversed(tens) if down else tens:
        found = sorted((number for number in wholes if number // 10 == ten), reverse=down)
        rows.append(f"{ten}:{' '.join(map(str, found)) or '-'}")
    ordered = sorted(zip(numbers, texts, strict=True), key=lambda pair: pair[0], reverse=down)
    opening = rng.choice(OPENINGS).format(" ".join(map(str, wholes)), asked[1])
    return Solution(f"{opening}\n{' '.join(rows)}", ", ".join(text for _, text in ordered))
