"""Greatest common divisor: Euclid's steps, each a multiple of the smaller number taken from the greater."""

from __future__ import annotations

import random
import re

from clearseek.tasks.task import Problem, Solution

OPENINGS = ("GCD of {} and {}", "Euclid with {} and {}", "Common divisor of {} and {}")


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = problem.prompt.partition(":")[2]
    numbers = [int(number) for number in re.findall(r"\d+", asked)]
    if len(numbers) != 2 or min(numbers) < 1:
        raise ValueError("Euclid's steps are written for two numbers")
    great, small = max(numbers), min(numbers)
    lines = [rng.choice(OPENINGS).format(great, small)]
    while small:
        times, rest = divmod(great, small)
        taken = f"{small}*{times}={small * times} " if times > 1 else ""
        lines.append(f"{taken}{great}-{small * times}={rest}")
        great, small = small, rest
        if small == 1:
            lines.append(rng.choice(("1 left, so 1", "down to 1")))
            return Solution("\n".join(lines), "1")
    lines.append(f"{rng.choice(('0 left, so', 'nothing left, so'))} {great}")
    return Solution("\n".join(lines), str(great))
