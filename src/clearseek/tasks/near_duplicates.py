"""Near-duplicates: how much of what a model is tested on it has nearly seen.

Generated problems of one kind share their template, so that most words of two prompts are the same. The report says
so instead of hiding it: besides prompts that are near (word shingles, numbers as they are), it counts test prompts
whose numbers alone are new (the same text with every number masked), and those that are a train prompt with its
numbers or words in another order.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clearseek.tasks.task import Problem

SHINGLE = 3
NEAR = 0.9
_BANDS, _ROWS = 12, 6  # 72 hashes: two prompts at 0.9 meet in some band with probability 0.9998
_PRIME = (1 << 31) - 1
_TOKEN = re.compile(r"\w+|[^\w\s]")
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")


@dataclass(frozen=True)
class NearReport:
    """Of `tested` prompts, by how many were seen in train: exactly, nearly, in another order, or but for numbers."""

    trained: int
    tested: int
    exact: int
    near: int
    reordered: int
    same_but_for_numbers: int
    examples: tuple[tuple[str, str, float], ...]
    """Up to five `(tested prompt, trained prompt, likeness)` of the near ones."""

    def as_data(self) -> dict[str, object]:
        share = {
            f"{key}_share": round(getattr(self, key) / self.tested, 4) if self.tested else 0.0
            for key in ("exact", "near", "reordered", "same_but_for_numbers")
        }
        counts = {key: getattr(self, key) for key in ("trained", "tested", "exact", "near", "reordered")}
        method = (
            f"Jaccard of {SHINGLE}-token shingles at least {NEAR}, candidates by MinHash ({_BANDS} bands of {_ROWS})"
        )
        return {
            **counts,
            "same_but_for_numbers": self.same_but_for_numbers,
            **share,
            "method": method,
            "examples": [{"tested": a, "trained": b, "likeness": round(c, 4)} for a, b, c in self.examples],
        }


def scan(trained: Sequence[Problem], tested: Sequence[Problem]) -> NearReport:
    """How the tested prompts lie to the trained ones. Seconds for tens of thousands."""
    digests = {problem.digest for problem in trained}
    masked = {_masked(problem.prompt) for problem in trained}
    shuffled = {_unordered(problem.prompt) for problem in trained}
    shingles = [_shingles(problem.prompt) for problem in trained]
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for number, one in enumerate(shingles):
        for key in _bands(one):
            if len(buckets[key]) < 64:  # a template's own bucket would hold everything
                buckets[key].append(number)
    exact = near = reordered = same = 0
    examples: list[tuple[str, str, float]] = []
    for problem in tested:
        if problem.digest in digests:
            exact += 1
            continue
        same += _masked(problem.prompt) in masked
        reordered += _unordered(problem.prompt) in shuffled
        mine = _shingles(problem.prompt)
        candidates = {number for key in _bands(mine) for number in buckets.get(key, ())}
        best = max(((_likeness(mine, shingles[number]), number) for number in candidates), default=(0.0, -1))
        if best[0] >= NEAR:
            near += 1
            if len(examples) < 5:
                examples.append((problem.prompt, trained[best[1]].prompt, best[0]))
    return NearReport(len(trained), len(tested), exact, near, reordered, same, tuple(examples))


def _masked(prompt: str) -> str:
    return " ".join(_NUMBER.sub("#", prompt).casefold().split())


def _unordered(prompt: str) -> str:
    return "\x1f".join(sorted(_TOKEN.findall(prompt.casefold())))


def _shingles(prompt: str) -> frozenset[int]:
    tokens = _TOKEN.findall(prompt.casefold())
    runs = [tokens[at : at + SHINGLE] for at in range(max(1, len(tokens) - SHINGLE + 1))]
    return frozenset(zlib.crc32("\x1f".join(run).encode()) for run in runs)


def _likeness(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)


_rng = np.random.default_rng(20260101)
_A = _rng.integers(1, _PRIME, (_BANDS * _ROWS, 1), dtype=np.uint64)
_B = _rng.integers(0, _PRIME, (_BANDS * _ROWS, 1), dtype=np.uint64)


def _bands(shingles: frozenset[int]) -> Iterable[tuple[int, bytes]]:
    """MinHash with affine permutations, in bands (Broder 1997; Leskovec, Rajaraman and Ullman, chapter 3)."""
    values = np.fromiter(shingles, dtype=np.uint64, count=len(shingles))[None] % _PRIME
    least = ((_A * values + _B) % _PRIME).min(axis=1).reshape(_BANDS, _ROWS)
    return ((band, least[band].tobytes()) for band in range(_BANDS))
