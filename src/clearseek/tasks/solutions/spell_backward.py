"""Spelling backward: the letters numbered, and read from the last number down to the first."""

from __future__ import annotations

import random

from clearseek.tasks.task import Problem, Solution

OPENINGS = ("Letters of {}:", "Spell {}:", "Number {}:")


def solve(problem: Problem, rng: random.Random) -> Solution:
    word = problem.prompt.rpartition(":")[2].strip()
    if not word.isalpha():
        raise ValueError("not one word")
    forward = " ".join(f"{letter}{number}" for number, letter in enumerate(word, 1))
    backward = " ".join(f"{number}{word[number - 1]}" for number in range(len(word), 0, -1))
    # after a space, as in the question: at the beginning of a line the same word would be other tokens
    lines = [
        f"{rng.choice(OPENINGS).format(word)} {forward}",
        f"{rng.choice(('backward', 'from the end'))}: {backward}",
    ]
    return Solution("\n".join(lines), word[::-1])
