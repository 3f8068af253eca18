"""Worked solutions without a teacher: for each kind of problem a small program that thinks aloud.

Every step is short enough for a model of a hundred million parameters to imitate and to execute: one copy, or one
fact that can be known by heart. The skeleton of a solution is fixed; only the words between its steps vary.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib import import_module

from clearseek.tasks.task import Problem, Solution

Solve = Callable[[Problem, random.Random], Solution]

GENERATORS = (
    *("chain_sum", "countdown", "fraction_simplification", "gcd", "leg_counting", "letter_counting"),
    *("number_filtering", "number_sorting", "products", "simple_equations", "spell_backward", "time_intervals"),
    "word_sorting",
)
"""The generators whose problems there are worked solutions for."""


def solver_of(generator: str) -> Solve | None:
    """The program for a generator's problems, None where there is none.

    It reads the prompt, and raises ValueError where that is of a kind it was not written for.
    """
    if generator not in GENERATORS:
        return None
    solve: Solve = import_module(f"clearseek.tasks.solutions.{generator}").solve
    return solve
