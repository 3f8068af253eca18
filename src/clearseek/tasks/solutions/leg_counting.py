"""Legs: animal by animal, with a running total."""

from __future__ import annotations

import random
import re

from clearseek.tasks.solutions.steps import add
from clearseek.tasks.task import Problem, Solution

KINDS = {
    0: "snake, sea slug, jellyfish, flatworm, leech",
    2: "chicken, bird, human, duck",
    4: "dog, cat, cow, horse, lion, elephant, giraffe, tiger, deer, sheep",
    5: "starfish",
    6: "insect, ant, butterfly, beetle, bee, wasp, grasshopper, cricket, cockroach, praying mantis, firefly",
    8: "spider, scorpion",
    10: "crab, lobster, shrimp",
    14: "woodlouse",
}
LEGS = {name: legs for legs, names in KINDS.items() for name in names.split(", ")}
OPENINGS = ("Legs:", "Count the legs:", "One by one:")


def solve(problem: Problem, rng: random.Random) -> Solution:
    animals = re.findall(r"(\d+) ([a-z][a-z ]*)(?=[,?])", problem.prompt)
    if not animals:
        raise ValueError("a question about legs in other words")
    lines = [rng.choice(OPENINGS)]
    still = rng.choice(("still", "stays"))
    total = 0
    for place, (count, name) in enumerate(animals):
        each = LEGS.get(name, LEGS.get(name.removesuffix("s")))
        if each is None:
            raise ValueError("an animal whose legs are not known")
        legs = int(count) * each
        line = f"{count} {name} {count}*{each}={legs}"
        if place and legs and total:
            line += f", {add(total, legs)}"
        elif place and not legs:
            line += f", {still} {total}"
        total += legs
        lines.append(line)
    return Solution("\n".join(lines), str(total))
