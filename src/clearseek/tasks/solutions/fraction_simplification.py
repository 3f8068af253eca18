"""Fractions: the small primes one after the other, both numbers divided as often as both can be."""

from __future__ import annotations

import math
import random
import re

from clearseek.tasks.solutions.steps import divide_digits
from clearseek.tasks.task import Problem, Solution


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = re.search(r"fraction (\d+)/(\d+)", problem.prompt)
    if asked is None:
        raise ValueError("a fraction in another form")
    upper, lower = int(asked[1]), int(asked[2])
    lines = [f"{rng.choice(('Simplify', 'Reduce'))} {upper}/{lower}"]
    while upper % 10 == lower % 10 == 0:
        upper, lower = _divided(upper, lower, 10, "end in 0", lines)
    while upper % 2 == lower % 2 == 0:
        upper, lower = _divided(upper, lower, 2, "even", lines)
    while upper % 5 == lower % 5 == 0:
        upper, lower = _divided(upper, lower, 5, "end in 5", lines)
    for prime in (3, 7, 11, 13, 17, 19):  # from 11 on only where it helps: few fractions need to be tried
        while upper >= prime and (prime < 11 or math.gcd(upper, lower) % prime == 0):
            tried = [divide_digits(upper, prime)]
            if upper % prime == 0:
                tried.append(divide_digits(lower, prime))
            if upper % prime or lower % prime:
                lines.append(f"{' '.join(tried)} no")
                break
            lines.append(" ".join(tried))
            upper, lower = upper // prime, lower // prime
    return Solution("\n".join(lines), f"{upper}/{lower}")


def _divided(upper: int, lower: int, by: int, why: str, lines: list[str]) -> tuple[int, int]:
    lines.append(f"{why} {divide_digits(upper, by)} {divide_digits(lower, by)}")
    return upper // by, lower // by
