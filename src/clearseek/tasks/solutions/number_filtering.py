"""Filtering: what each sign means, then every number beside the limit, dropped, or kept with all that were kept before.

So the answer is a copy of one line. With rows that only said `keep`, a small model judged all of them rightly and then
copied a dropped number in half of the problems.
"""

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
        if stays:
            kept.append(text)
        rows.append(f"{text}{sign}{limit} {f'{KEPT}: {chr(32).join(kept)}' if stays else DROPPED}")
    mark, other = (">", "<") if larger else ("<", ">")
    named, rest = (KEPT, DROPPED) if keeps else (DROPPED, KEPT)
    # which sign means what follows from two words together, which a small model learns late: it is said once, then read
    asks = rng.choice((f"{asked[1]} {mark}{limit}", f"{asked[1]} {asked[2]} than {limit}"))
    first = f"{asks}: {mark} {named}, {other} {rest}"
    return Solution("\n".join([first, *rows]), str(kept))
