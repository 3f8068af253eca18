"""How sure one may be of a measured accuracy: pure functions, seeded, without torch.

Letters in shapes: P problems, K samples of each, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearseek.seeds import seed_of

LEVEL = 0.95
RESAMPLES = 10_000
_AT_ONCE = 1 << 22
"""Draws held in memory at once by a bootstrap."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the two ends of its interval (95% unless said otherwise)."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Interval:
        return cls(float(json["value"]), float(json["low"]), float(json["high"]))


def wilson(right: int, n: int, level: float = LEVEL) -> Interval:
    """The share `right / n` with Wilson's score interval (Wilson 1927, JASA 22:209; Brown, Cai, DasGupta 2001).

    Unlike the textbook interval p +- z sqrt(p (1 - p) / n) it stays within 0 and 1, and is no point at 0 and at n.
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"{right} of {n} is no share")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that at least one of `k` samples is right, from `n` samples of which `right` were.

    Unbiased: 1 - C(n - right, k) / C(n, k) (Chen et al. 2021, arXiv:2107.03374, section 2.1).
    """
    if not 1 <= k <= n or not 0 <= right <= n:
        raise ValueError(f"pass@{k} cannot be told from {right} right ones of {n}")
    if n - right < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - right + 1, n + 1))


def bootstrap_mean(groups: Sequence[Sequence[float]], seed: int, resamples: int = RESAMPLES) -> Interval:
    """The mean over groups of their means, with a stratified percentile bootstrap over the values of each group.

    `groups[g]` are the values of one task, one a problem. Problems are drawn again within their own task, because the
    tasks are the suite's and not a sample of anything. A group whose values are all alike adds no width: see
    `combined`.
    """
    if not groups or not all(len(group) for group in groups):
        raise ValueError("a mean needs at least one value in every group")
    value = sum(_mean(group) for group in groups) / len(groups)
    means_R = np.zeros(resamples)
    for number, group in enumerate(groups):
        means_R += _resampled_means(group, (seed, number), resamples)
    return _percentiles(value, means_R / len(groups))


def combined(parts: Sequence[Interval]) -> Interval:
    """The mean of independent shares with an interval from theirs: each end's distances add up as squares.

    MOVER (Zou and Donner 2008, Statistics in Medicine 27:1693). With Wilson's intervals it is no point where everything
    was right or everything wrong, as a bootstrap is.
    """
    value = _mean([part.value for part in parts])
    down = math.sqrt(math.fsum((part.value - part.low) ** 2 for part in parts)) / len(parts)
    up = math.sqrt(math.fsum((part.high - part.value) ** 2 for part in parts)) / len(parts)
    return Interval(value, value - down, value + up)


def paired_bootstrap(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], seed: int, resamples: int = RESAMPLES
) -> Interval:
    """The mean over groups of `after - before`, problem by problem, resampled as in `bootstrap_mean`.

    Pairs stay together, so what is hard for both does not widen the interval (Efron and Tibshirani 1993, chapter 8).
    """
    if len(before) != len(after) or any(len(one) != len(two) for one, two in zip(before, after, strict=True)):
        raise ValueError("pairs need as many values before as after")
    groups = [[b - a for a, b in zip(one, two, strict=True)] for one, two in zip(before, after, strict=True)]
    return bootstrap_mean(groups, seed, resamples)


def mcnemar(lost: int, won: int) -> float:
    """Two-sided exact p of McNemar's test: `lost` problems were right only before, `won` only after.

    Under no difference each of them is a fair coin (McNemar 1947, Psychometrika 12:153): twice the smaller tail of
    Binomial(lost + won, 1/2), at most 1.
    """
    n, smaller = lost + won, min(lost, won)
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(smaller + 1))
    return min(1.0, float(2 * Fraction(tail, 2**n)))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _resampled_means(values: Sequence[float], seed: tuple[int, int], resamples: int) -> NDArray[np.float64]:
    """(R,) means of resamples with replacement.

    From the raw 64 bits of PCG64, which numpy promises to keep; the streams of its distributions it does not.
    """
    values_P = np.asarray(values, dtype=np.float64)
    count = len(values_P)
    if (values_P == values_P[0]).all():
        return np.full(resamples, values_P[0])
    bits = np.random.PCG64(seed_of(*seed))
    means = []
    step = max(1, _AT_ONCE // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        raw = bits.random_raw(rows * count)
        places = ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53 * count).astype(np.int64)
        means.append(values_P[places].reshape(rows, count).mean(axis=1))
    return np.concatenate(means)


def _percentiles(value: float, drawn_R: NDArray[np.float64], level: float = LEVEL) -> Interval:
    low, high = np.quantile(drawn_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, min(value, float(low)), max(value, float(high)))
