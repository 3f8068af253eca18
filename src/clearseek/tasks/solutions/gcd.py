"""Greatest common divisor: Euclid's steps, each a multiple of the smaller number taken from the greater."""

from __future__ import annotations

import random
import re

from clearseek.tasks.solutions.steps import subtract, times_digit
from clearseek.tasks.task import Problem, Solution

OPENINGS = ("GCD {} {}", "Euclid {} {}", "Divisors {} {}")


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = problem.prompt.partition(":")[2]
    numbers = [int(number) for number in re.findall(r"\d+", asked)]
    if len(numbers) != 2 or min(numbers) < 1:
        raise ValueError("Euclid's steps are written for two numbers")
    great, small = max(numbers), min(numbers)
    lines = [rng.choice(OPENINGS).format(great, small)]
    while small > 1:
        times, rest = great // small, great
        for part in (times // 10 * 10, times % 10):  # a factor of two figures is taken in two steps
            if part:
                product = f"{_times(small, part)} " if part > 1 else ""
                lines.append(product + _minus(rest, small * part))
                rest -= small * part
        great, small = small, rest
    if small:
        lines.append(rng.choice(("1 is left", "down to 1")))
        return Solution("\n".join(lines), "1")
    lines.append(f"{rng.choice(('no rest, so', 'nothing left, so'))} {great}")
    return Solution("\n".join(lines), str(great))


def _times(small: int, one: int) -> str:
    return times_digit(small, one) if small >= 100 else f"{small}*{one}={small * one}"


def _minus(great: int, taken: int) -> str:
    """In columns while the numbers are large; later there is no room for them."""
    return subtract(great, taken) if great >= 100 else f"{great}-{taken}={great - taken}"
