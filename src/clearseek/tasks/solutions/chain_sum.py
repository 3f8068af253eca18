"""Sums: what is added together, what is taken away together, and one subtraction at the end.

Taken from left to right, every step could go below 0; so, at most one can.
"""

from __future__ import annotations

import random
import re

from clearseek.tasks.solutions.steps import add, subtract
from clearseek.tasks.task import Problem, Solution

OPENINGS = ("Work out {}", "I need {}", "Let me find {}")


def solve(problem: Problem, rng: random.Random) -> Solution:
    expression = problem.prompt.rpartition(":")[2].strip().rstrip("=").strip()
    plus: list[int] = []
    minus: list[int] = []
    for sign, number in re.findall(r"(^|[+-])\s*(-?\d+)", expression):
        value = -int(number) if sign == "-" else int(number)
        (plus if value >= 0 else minus).append(abs(value))
    if not plus and not minus:
        raise ValueError("a sum in other words")
    lines = [rng.choice(OPENINGS).format(expression.replace(" ", ""))]
    for word, numbers in (("plus", plus), ("minus", minus)):
        total = numbers[0] if numbers else 0
        for number in numbers[1:]:
            lines.append(f"{word} {add(total, number)}")
            total += number
    more, less = sum(plus), sum(minus)
    if minus and more >= less:
        lines.append(subtract(more, less))
    elif minus and more:
        lines += [f"{more}<{less}, {subtract(less, more)}", f"{rng.choice(('below zero', 'negative'))}: -{less - more}"]
    elif minus:
        lines.append(f"-{less}")
    return Solution("\n".join(lines), str(more - less))
