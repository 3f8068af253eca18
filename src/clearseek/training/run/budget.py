"""Whether there is time and money for one more step: pure arithmetic over what was measured so far.

A run ends with an evaluation and an export, so what those take is kept aside. A step is begun only if it is likely to
end before the rest of the budget is needed for them.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from clearseek.errors import UsageError
from clearseek.ledger.prices import HOW_TO_DECLARE, Rates, energy_of, money

RECENT = 8
"""Steps that a forecast looks back on."""


@dataclass(frozen=True)
class Limits:
    """What a run may take: seconds by the clock, whatever it was that ran out first said in `why`."""

    seconds: float | None = None
    why: str = ""


def limits_of(minutes: float | None, usd: float | None, rates: Rates, cores: int) -> Limits:
    """The budget as seconds. Money becomes time at the highest price declared, all cores busy.

    Raises UsageError for a budget of money where no price is declared: there is no default one.
    """
    results: list[Limits] = []
    if minutes is not None:
        results.append(Limits(minutes * 60, f"the budget of {minutes:g} minutes"))
    if usd is not None:
        each = usd_per_second(rates, cores)
        if each is None:
            raise UsageError(f"A budget of money needs a price of this machine: {HOW_TO_DECLARE}.")
        if each > 0:
            results.append(Limits(usd / each, f"the budget of ${usd:g}"))
    return min(results, key=lambda limit: limit.seconds or 0.0, default=Limits())


def usd_per_second(rates: Rates, cores: int) -> float | None:
    """What a second of this machine costs at full load, by what was declared (the upper end); None: not declared."""
    cost = money(rates, wall_s=1.0, energy=energy_of(rates, wall_s=1.0, cpu_s=float(cores), cores=cores))
    return cost.bounds[1] if cost.known else None


@dataclass
class Pace:
    """How long the last steps of a stage took, and so how long the next one may."""

    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def next(self, guess: float = 0.0) -> float:
        """Seconds the next step is likely to stay under: the longest of the recent ones; before any, the guess."""
        return max(self.seconds) if self.seconds else guess

    def mean(self, guess: float = 0.0) -> float:
        """Seconds a step takes; the median, so that one interruption does not tell the end of the run."""
        return statistics.median(self.seconds) if self.seconds else guess


def reserve(evaluation: float, export: float) -> float:
    """Seconds kept aside for the end of the run."""
    return evaluation + export


def fits(limits: Limits, spent: float, step: float, kept: float) -> bool:
    """Whether a step of `step` seconds may begin after `spent` seconds, with `kept` for the end."""
    return limits.seconds is None or spent + step + kept <= limits.seconds


def scale_to_fit(steps: Sequence[float], fixed: float, seconds: float) -> float | None:
    """By what to multiply every stage's steps, so that a plan of `steps` seconds a stage and `fixed` ones besides fits
    into `seconds`; None where not even the fixed part does."""
    left = seconds - fixed
    total = sum(steps)
    if left <= 0 or total <= 0:
        return None
    return left / total
