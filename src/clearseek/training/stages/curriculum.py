"""Which task a prompt is drawn from: its share, weighted by how often its groups have taught something lately.

A group teaches when some of its samples are right and some wrong, which is likeliest where the task is solved about
half of the time. Tasks that are always or never solved are still asked now and then, in case that changes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

FLOOR = 0.15
"""A task is drawn at least this share as often as it would be without a curriculum, before all are brought to 1."""
MEMORY = 0.8
"""How much of what was known before a step in which the task was asked is kept."""


def weigh(shares: Sequence[float], names: Sequence[str], taught: Mapping[str, float]) -> list[float]:
    """Weights that add up to 1; `taught` is each task's share of groups that taught lately, 1 where not known."""
    weights = [share * max(FLOOR, taught.get(name, 1.0)) for share, name in zip(shares, names, strict=True)]
    total = sum(weights)
    return [weight / total for weight in weights]


def spread_draws(weights: Sequence[float], count: int, rng: random.Random) -> list[int]:
    """How many of `count` each gets: systematic sampling, so within one of its weight, whatever the luck."""
    counts = [0] * len(weights)
    offset = rng.random()
    edge, index = weights[0] * count, 0
    for number in range(count):
        while number + offset >= edge and index < len(weights) - 1:
            index += 1
            edge += weights[index] * count
        counts[index] += 1
    return counts


def remember(taught: Mapping[str, float], groups: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    """After a step: for each task that was asked, its share of groups that taught is mixed in."""
    results = dict(taught)
    for name, each in groups.items():
        if each:
            share = sum(each) / len(each)
            results[name] = MEMORY * results.get(name, 1.0) + (1.0 - MEMORY) * share
    return results
