"""Equations: the other term to the other side, then a division by multiples."""

from __future__ import annotations

import random
import re

from clearseek.tasks.solutions.steps import add, divide, divide_digits, subtract
from clearseek.tasks.task import Problem, Solution

MOVES = ("so", "then")


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = re.search(r"([-+*a-z0-9 ]+) = (-?\d+)", problem.prompt.partition(":")[2])
    if asked is None:
        raise ValueError("an equation of another kind")
    left, right = asked[1].replace(" ", ""), int(asked[2])
    factor, other, name = 0, 0, ""
    for sign, text in re.findall(r"([+-]?)([0-9a-z*]+)", left):
        value = -1 if sign == "-" else 1
        for part in text.split("*"):
            if part.isdigit():
                value *= int(part)
            else:
                name = part
        if text[-1].isalpha():
            factor += value
        else:
            other += value
    if not factor or not name or (right - other) % factor or (right - other) // factor < 0:
        raise ValueError("an equation of another kind")
    lines = [f"{left}={right}"]
    size, value = abs(factor), (right - other) // factor
    side = f"{size}*{name}" if size > 1 else name
    if other or factor < 0:
        lines.append(f"{side}={_move(right, other, factor < 0)}")
    rest = size * value
    if size > 1:
        lines.append(f"{rest}/{size}" if size > 10 else divide_digits(rest, size))
        lines += divide(rest, size) if size > 10 else []
    tens, ones = value - value % 10, value % 10
    whole = f"{tens}+{ones}={value}" if size > 10 and tens and ones else str(value)
    lines.append(f"{rng.choice(MOVES)} {name}={whole}")
    return Solution("\n".join(lines), str(value))


def _move(right: int, other: int, turned: bool) -> str:
    """What the term with the unknown is, without its sign: `right - other`, or `other - right` where it is negative."""
    first, second = (other, -right) if turned else (right, -other)
    if first >= 0 and second >= 0:
        return add(first, second)
    more, less = max(first, second), -min(first, second)
    return subtract(more, less)
