"""Countdown with three numbers: each in turn is kept for the end, which says what the other two would have to make.

The order is fixed: the numbers as they stand; needs by taking from the target, adding, dividing; the others added,
taken, multiplied. A search in a fixed order can be learned; one in random order taught a small model to run in circles.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from clearseek.tasks.task import Problem, Solution

BIG = 150
"""A product from this on is left out: nothing that is needed is as large."""

MOST = 168
"""Characters of thinking."""


def solve(problem: Problem, rng: random.Random) -> Solution:
    numbers, target = _asked(problem.prompt)
    text = " ".join(map(str, numbers))
    lines = [rng.choice(("Make {} from {}", "{} out of {}", "I need {} with {}")).format(target, text)]
    for place, last in enumerate(numbers):
        others = [number for other, number in enumerate(numbers) if other != place]
        needs = dict(_needs(target, last))
        row = f"{last}: need {' '.join(map(str, needs))};"
        for made, expression in _made(*others):
            if made < BIG or made in needs:
                row += f" {expression}={made}"
            if made in needs:
                lines += [f"{row} yes", f"{needs[made].format(made)}={target}"]
                return Solution("\n".join(lines), _plain(needs[made].format(_bracketed(expression))))
        lines.append(f"{row} no")
    for place, last in enumerate(numbers):  # the rarest kind, one in a hundred: something over a number
        others = [number for other, number in enumerate(numbers) if other != place]
        for made, expression in _made(*others):
            if made == target * last:
                thinking = "\n".join([*lines, f"{expression}={made} {made}/{last}={target}"])
                if len(thinking) > MOST:
                    raise ValueError("a search too long to be imitated")
                return Solution(thinking, f"{_bracketed(expression)}/{last}")
    raise ValueError("no solution of the common kinds")


def _asked(prompt: str) -> tuple[list[int], int]:
    match = re.search(r"numbers:? (\d+(?:, \d+)+)", prompt)
    aim = re.search(r"(?:equals|Calculate|make|get to|reach|equal to) (\d+)", prompt)
    if match is None or aim is None:
        raise ValueError("a countdown in other words")
    numbers = [int(number) for number in match[1].split(", ")]
    if len(numbers) != 3:
        raise ValueError("a countdown of three numbers is searched")
    return numbers, int(aim[1])


def _needs(target: int, last: int) -> Iterator[tuple[int, str]]:
    """What the other two must make, and how the answer then reads."""
    if target > last:
        yield target - last, f"{{}}+{last}"
    yield target + last, f"{{}}-{last}"
    if target % last == 0 and last > 1:
        yield target // last, f"{{}}*{last}"
    if last > target:
        yield last - target, f"{last}-{{}}"


def _made(one: int, two: int) -> Iterator[tuple[int, str]]:
    more, less = max(one, two), min(one, two)
    yield more + less, f"{more}+{less}"
    yield more - less, f"{more}-{less}"
    yield more * less, f"{more}*{less}"
    if more % less == 0 and less > 1:
        yield more // less, f"{more}/{less}"


def _bracketed(expression: str) -> str:
    return expression if "*" in expression else f"({expression})"


def _plain(answer: str) -> str:
    """Without brackets that change nothing: around what comes first in a sum."""
    return re.sub(r"^\(([^()]*)\)(?=[+-])", r"\1", answer)
