"""Sorting numbers from 0 to 100: ten by ten, the ones of the numbers with that ten, as they stand, then in order.

All numbers are written with two figures first, so that every one begins with its ten. Finding and ordering are two
steps: in one, a small model forgot the second number of a ten, or left two as they stood.
"""

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
        group = [number for number in wholes if number // 10 == ten]
        ones = " ".join(str(number % 10) for number in group)
        ranked = " ".join(map(str, sorted(group, reverse=down)))
        rows.append(f"{ten}:{ones}={ranked}" if group else f"{ten}:-")
    ordered = sorted(zip(numbers, texts, strict=True), key=lambda pair: pair[0], reverse=down)
    opening = rng.choice(OPENINGS).format(" ".join(f"{number:02d}" for number in wholes), asked[1])
    return Solution(f"{opening}\n{' '.join(rows)}", ", ".join(text for _, text in ordered))
