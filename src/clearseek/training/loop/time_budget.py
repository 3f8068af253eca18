"""What a run has spent and what it still needs, by its budget, its probe and what its own steps took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from clearseek.training.recipe.schema import EvaluatePlan
from clearseek.training.run.budget import Limits, Pace, fits, reserve
from clearseek.training.run.forecast import RunForecast


@dataclass
class TimeBudget:
    """`started` is the clock at this attempt's start, `earlier` the seconds of those before it."""

    plan: EvaluatePlan
    limits: Limits
    started: float
    earlier: float
    pace: Pace = field(default_factory=Pace)
    forecast: RunForecast | None = None
    evaluations: dict[str, float] = field(default_factory=dict)
    """Seconds that the last evaluation of each kind took."""

    def session_seconds(self) -> float:
        return time.perf_counter() - self.started

    def spent(self) -> float:
        return self.earlier + self.session_seconds()

    def evaluated(self, split: str, unseen: bool, seconds: float) -> None:
        self.evaluations[_kind(split, unseen)] = seconds

    def evaluation(self, split: str, unseen: bool) -> float:
        """Seconds that one is likely to take."""
        if (kind := _kind(split, unseen)) in self.evaluations:
            return self.evaluations[kind]
        return self.forecast.evaluation_seconds(split, unseen) if self.forecast is not None else 0.0

    def kept(self) -> float:
        """Seconds that the end of the run takes."""
        last = self.evaluation("test", self.plan.unseen) if self.plan.test else 0.0
        last *= 2.0 if self.plan.served else 1.0
        return reserve(last, self.forecast.export_seconds if self.forecast is not None else 0.0)

    def room_for(self, seconds: float, *, kept: bool = True) -> bool:
        """Whether so much may begin; with `kept`, beside what the end takes."""
        return fits(self.limits, self.spent(), seconds, self.kept() if kept else 0.0)

    def step(self, stage: str) -> float:
        """Seconds that the next step of a stage is likely to stay under."""
        return self.pace.next(self.first_step(stage))

    def first_step(self, stage: str) -> float:
        """Seconds of its first step, by the probe."""
        return self.forecast.step_seconds(stage) if self.forecast is not None else 0.0


def _kind(split: str, unseen: bool) -> str:
    return f"{split}{'+' if unseen else ''}"
