"""Intervals within a day: minutes, with an hour lent where there are too few, then hours."""

from __future__ import annotations

import random
import re

from clearseek.tasks.solutions.steps import subtract
from clearseek.tasks.task import Problem, Solution


def solve(problem: Problem, rng: random.Random) -> Solution:
    clock = re.findall(r"\b(\d\d):(\d\d)\b(?!:)", problem.prompt)
    if len(clock) != 2:
        raise ValueError("an interval in another form")
    (hour, minute), (to_hour, to_minute) = ((int(h), int(m)) for h, m in clock)
    minutes = to_hour * 60 + to_minute - hour * 60 - minute
    if minutes < 0:
        raise ValueError("an interval that goes back")
    lines = [rng.choice(("From {} to {}", "{} to {}", "Start {}, end {}")).format(*map(":".join, clock))]
    if to_minute < minute:
        lent = to_minute + 60
        lines.append(f"minutes {to_minute}<{minute}, {to_minute}+60={lent}, {subtract(lent, minute)}")
        lines.append(f"hours {to_hour}-1={to_hour - 1}, {subtract(to_hour - 1, hour)}")
    else:
        lines += [f"minutes {subtract(to_minute, minute)}", f"hours {subtract(to_hour, hour)}"]
    return Solution("\n".join(lines), f"{minutes // 60:02d}:{minutes % 60:02d}")
