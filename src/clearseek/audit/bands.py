"""The verdict's words, and the bands of goodput that they stand for.

Goodput is the claim's FLOP over what its chip-hours could have done at the named dense peak. It is lower than the MFU
of a running step, because hours also hold restarts, evaluation and waiting. Published runs of 2020 to 2025 that give
their hours lie between about 20 and 50%; none is known above 55% over many weeks on more than a thousand chips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Band:
    """A goodput of at least `low` and below `high`."""

    status: str
    low: float
    high: float
    words: str


BANDS = (
    Band("inconsistent", 0.0, 0.05, "the numbers do not belong to one run"),
    Band("incomplete", 0.05, 0.20, "the hours cover work that is not disclosed, or a term is missing"),
    Band("plausible", 0.20, 0.55, "what well-run training reaches"),
    Band("extraordinary", 0.55, 0.75, "better than any run that is documented"),
    Band("impossible", 0.75, float("inf"), "more than such chips do over a whole run"),
)
STATUSES = {
    **{band.status: band.words for band in BANDS},
    "consistent": "its numbers agree with each other, and none of them bounds the work done",
    "underdetermined": "nothing in it can be held against anything",
    "scope-mismatch": "it speaks of something else than what it is held against",
}
NO = ("impossible", "inconsistent")
"""Verdicts with which the command leaves with exit code 3."""


def band_of(goodput: float) -> Band:
    """The band that a goodput (a fraction) lies in."""
    return next(band for band in BANDS if band.low <= goodput < band.high)


def shares(goodputs: NDArray[np.float64]) -> dict[str, float]:
    """The share of draws in each band."""
    edges = np.array([band.low for band in BANDS] + [np.inf])
    counts, _ = np.histogram(goodputs, bins=edges)
    return {band.status: float(count) / len(goodputs) for band, count in zip(BANDS, counts, strict=True)}
