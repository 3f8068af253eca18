"""Filtering: what each sign means, then every number beside the limit, kept or not."""

from __future__ import annotations

import random
import re

from clearseek.tasks.task import Problem, Solution

KEPT, DROPPED = ("keep", "drop")


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = re.search(r"(Keep|Remove) all numbers (larger|smaller) than (\S+) in this list: \[(.*?)\]", problem.prompt)
    if asked is None:
        raise ValueError("a question about filtering in other words")
    keeps, larger, limit = asked[1] == "Keep", asked[2] == "larger", asked[3]
    kept, rows = [], []
    for text in re.findall(r"-?\d+(?:\.\d+)?", asked[4]):
        number, edge = float(text), float(limit)
        sign = "=" if number == edge else ">" if number > edge else "<"
        meant = number > edge if larger else number < edge
        stays = meant if keeps else not meant
        rows.append(f"{text}{sign}{limit} {KEPT if stays else DROPPED}")
        if stays:
            kept.append(text)
    mark, other = (">", "<") if larger else ("<", ">")
    named, rest = (KEPT, DROPPED) if keeps else (DROPPED, KEPT)
    # which sign means what follows from two words together, which a small model learns late: it is said once, then read
    asks = rng.choice((f"{asked[1]} {mark}{limit}", f"{asked[1]} {asked[2]} than {limit}"))
    first = f"{asks}: {mark} {named}, {other} {rest}"
    return Solution("\n".join([first, *rows]), str(kept))
