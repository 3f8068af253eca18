"""Products: the sign, a product for each digit, their sum."""

from __future__ import annotations

import random
import re

from clearseek.tasks.solutions.steps import times
from clearseek.tasks.task import Problem, Solution

OPENINGS = ("Multiply {}", "I need {}", "Work out {}")


def solve(problem: Problem, rng: random.Random) -> Solution:
    first, second = (int(number) for number in re.findall(r"-?\d+", problem.prompt)[:2])
    lines = [rng.choice(OPENINGS).format(f"{first}*{second}")]
    big, small = abs(first), abs(second)
    if len(str(big)) < len(str(small)):
        big, small = small, big
    product = first * second
    minuses = (first < 0) + (second < 0)
    if minuses:
        lines.append(("one minus: negative", "two minuses: positive")[minuses - 1])
    lines += times(big, small)
    if product < 0:
        lines.append(f"{rng.choice(('with the sign', 'negative'))}: {product}")
    return Solution("\n".join(lines), str(product))
