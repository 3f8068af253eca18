"""What a run shows while it runs, and at its end: one view of its numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clearseek.ledger.prices import Rates
from clearseek.training.recipe.schema import Recipe
from clearseek.training.run.budget import Limits, Pace, usd_per_second
from clearseek.training.run.forecast import RunForecast

MAX_WARNINGS = 200


@dataclass
class StageView:
    """One stage as it is watched: `rows` are its lines of metrics.jsonl."""

    name: str
    kind: str
    steps: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def curve(self, name: str) -> list[tuple[float, float]]:
        """(steps done in the run, value) wherever the number was told."""
        return [(row["done"], row["numbers"][name]) for row in self.rows if name in row["numbers"]]

    def last(self, name: str) -> float | None:
        curve = self.curve(name)
        return curve[-1][1] if curve else None


@dataclass(frozen=True)
class Conclusions:
    """`worse`: the model is worse than what it began from, on test by more than chance, or by its loss."""

    sentences: tuple[str, ...]
    worse: bool = False


@dataclass
class View:
    """Everything that is shown, from the recipe and the lines of metrics.jsonl."""

    recipe: Recipe
    limits: Limits
    stages: list[StageView] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    done: int = 0
    seconds: float = 0.0
    usd: float | None = None
    seconds_left: float | None = None
    run_seconds_left: float | None = None
    """Until the end of the run, the budget's end at the latest; later stages by the probe."""
    peak_gflops: float | None = None

    conclusions: Conclusions = field(default_factory=lambda: Conclusions(()))
    """What the run says of itself at its end."""

    def __post_init__(self) -> None:
        if not self.stages:
            self.stages = [StageView(plan.name, plan.kind, _steps(plan.settings)) for plan in self.recipe.stages]
        self.now = 0

    def read(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The lines of the attempts before."""
        for row in rows:
            self.add(dict(row))

    def add(self, row: dict[str, Any]) -> None:
        if row.get("kind") == "eval":
            self.evaluations.append(row)
        elif row.get("kind") == "step":
            stage = next((one for one in self.stages if one.name == row["stage"]), None)
            if stage is not None:
                stage.rows.append(row)
                self.now = self.stages.index(stage)
        if row.get("kind") in ("eval", "step", "remark"):
            self.warnings = [*self.warnings, *((row["done"], text) for text in row.get("warnings", ()))][-MAX_WARNINGS:]

    def open_stage(self, name: str, kind: str, steps: int) -> None:
        for index, stage in enumerate(self.stages):
            if stage.name == name:
                stage.steps, self.now = steps, index

    def end_early(self, name: str, steps: int) -> None:
        """A stage has ended before its last step: no more of them are to come."""
        for stage in self.stages:
            if stage.name == name:
                stage.steps = steps

    def at(self, done: int, seconds: float, pace: Pace, rates: Rates, forecast: RunForecast | None = None) -> None:
        """Where the run is: steps done, seconds spent, and so how long the rest of this stage may take."""
        self.done, self.seconds = done, seconds
        self.peak_gflops = forecast.peak_gflops if forecast is not None else None
        each = usd_per_second(rates, os.cpu_count() or 1)
        self.usd = None if each is None else each * seconds
        stage = self.stages[self.now]
        left = stage.steps - len(stage.rows)
        self.seconds_left = left * pace.mean() if pace.seconds else None
        self.run_seconds_left = None
        if self.seconds_left is not None and forecast is not None:
            later = sum(stage.steps * forecast.step_seconds(stage.name) for stage in self.stages[self.now + 1 :])
            end = forecast.evaluation_seconds("test", True) + forecast.export_seconds
            whole = self.seconds_left + later + end
            room = whole if self.limits.seconds is None else max(0.0, self.limits.seconds - seconds)
            self.run_seconds_left = min(whole, room)

    def rows_of(self, name: str) -> list[dict[str, Any]]:
        """The lines of a stage's steps."""
        return next(stage.rows for stage in self.stages if stage.name == name)

    def planned(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def tests(self) -> dict[str, Any]:
        """Name -> mean with its interval, of the evaluations on test."""
        return {row["name"]: row["mean"] for row in self.evaluations if row["split"] == "test"}

    def dev(self) -> list[tuple[float, float, float, float]]:
        """(done, mean, low, high) on dev."""
        return [
            (row["done"], row["mean"]["value"], row["mean"]["low"], row["mean"]["high"])
            for row in self.evaluations
            if row["split"] == "dev"
        ]

    def line(self) -> str:
        """Where the run is, in one line."""
        stage = self.stages[self.now]
        last = stage.rows[-1]["numbers"] if stage.rows else {}
        lines = [f"{stage.name} {len(stage.rows)}/{stage.steps}"]
        for name in ("loss", "reward", "accuracy", "groups_that_teach", "truncated", "length", "entropy", "lr"):
            if name in last:
                lines.append(f"{name.replace('_', ' ')} {last[name]:.3g}")
        rate = self.rates()
        lines += [f"{words} {value:.0f} tok/s" for words, value in rate.items()]
        dev = self.dev()
        if dev:
            lines.append(f"dev {dev[-1][1]:.3f}")
        lines.append(self.spent_words())
        return " | ".join(lines)

    def spent_words(self, *, left: bool = True) -> str:
        """Time and money; with `left`, what is still to come of them."""
        message = f"{self.seconds / 60:.1f} min"
        if self.limits.seconds is not None:
            message += f" of {self.limits.seconds / 60:.0f}"
        if self.usd is not None:
            message += f", ${self.usd:.4f}"
        if left and self.seconds_left is not None:
            message += f", stage ends in {self.seconds_left / 60:.0f} min"
        if left and self.run_seconds_left is not None:
            message += f", run in {self.run_seconds_left / 60:.0f}"
        return message

    def rates(self) -> dict[str, float]:
        """Tokens a second by phase, in the last step."""
        stage = self.stages[self.now]
        if not stage.rows:
            return {}
        numbers, seconds = stage.rows[-1]["numbers"], stage.rows[-1]["time"]
        results = {}
        for words, tokens, clock in (
            ("rollout", "tokens_generated", "seconds_rollout"),
            ("update", "tokens_trained", "seconds_update"),
        ):
            if numbers.get(tokens) and seconds.get(clock):
                results[words] = numbers[tokens] / seconds[clock]
        return results


def _steps(settings: Any) -> int:
    steps = getattr(settings, "planned_steps", getattr(settings, "steps", 0))
    return steps if isinstance(steps, int) else 0
