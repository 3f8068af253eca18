"""What a run will take: memory, disk, time and money, as intervals, and whether that fits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clearseek.errors import UserError
from clearseek.training.run.budget import scale_to_fit

LEAST_SCALE = 0.001
"""The least that `--scale` takes."""

SPREAD = (0.6, 1.7)
"""What the forecast is multiplied with for its ends: lengths and groups that teach change as a model learns."""


@dataclass(frozen=True)
class StageForecast:
    """Seconds of one step and how many there are; `steps` 0: known only when the stage begins."""

    name: str
    kind: str
    steps: int
    step_seconds: float
    dialled: bool = True
    """Whether `--scale` changes how many steps there are; not where a stage's data says it."""

    @property
    def seconds(self) -> float:
        return self.steps * self.step_seconds


@dataclass(frozen=True)
class RunForecast:
    """The forecast. Rates are tokens a second, memory and disk bytes, `usd_each` dollars a second (None: no price)."""

    generate_rate: float
    train_rate: float
    prompt_tokens: float
    answer_tokens: float
    parameters: int
    learned: int
    memory_needed: float
    memory_there: float
    disk_needed: float
    disk_there: float
    stages: tuple[StageForecast, ...]
    tests_seconds: Mapping[str, float]
    evaluations_total: float
    export_seconds: float
    usd_each: float | None
    limit_seconds: float | None
    limit_why: str
    threads: int
    dtype: str
    peak_gflops: float
    """GFLOP/s of a bare matrix product here: what shares of the peak are shares of."""
    scaled_by: float = 1.0
    """What `--scale` said already: the steps above are multiplied with it."""

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages) + self.evaluations_total + self.export_seconds

    def step_seconds(self, name: str) -> float:
        return next((stage.step_seconds for stage in self.stages if stage.name == name), 0.0)

    def evaluation_seconds(self, split: str, unseen: bool) -> float:
        return self.tests_seconds.get(f"{split}{'+' if unseen else ''}", 0.0)

    @property
    def scale(self) -> float | None:
        """The one dial: the `--scale` with which the recipe fits its budget; None where it fits as it is, 0.0 where no
        scale makes it fit."""
        if self.limit_seconds is None or self.seconds <= self.limit_seconds:
            return None
        fixed = self.evaluations_total + self.export_seconds
        fixed += sum(stage.seconds for stage in self.stages if not stage.dialled)
        result = scale_to_fit([stage.seconds for stage in self.stages if stage.dialled], fixed, self.limit_seconds)
        scale = self.scaled_by * (result or 0.0)
        return scale if scale >= LEAST_SCALE else 0.0

    def refuse(self) -> None:
        """Raises UserError for what cannot work: too little memory or disk, a budget that holds no step."""
        if self.memory_needed > self.memory_there:
            raise UserError(
                f"About {self.memory_needed / 1e9:.1f} GB of memory are needed and {self.memory_there / 1e9:.1f} GB "
                "are there: lower `micro_batch_tokens` under [lora], or the stages' `kv_gigabytes` and `rows`."
            )
        if self.disk_needed > self.disk_there:
            raise UserError(
                f"Checkpoints and model need about {self.disk_needed / 1e9:.1f} GB of disk and "
                f"{self.disk_there / 1e9:.1f} GB are free: lower `keep` under [checkpoints]."
            )
        first = next((stage for stage in self.stages if stage.step_seconds), None)
        if self.limit_seconds is not None and first is not None:
            least = first.step_seconds + self.tests_seconds.get("test+", 0.0) + self.export_seconds
            if least > self.limit_seconds:
                raise UserError(
                    f"{self.limit_why[:1].upper()}{self.limit_why[1:]} is too small for one step: a step takes about "
                    f"{first.step_seconds:.1f} s, and the evaluation and export at the end "
                    f"{least - first.step_seconds:.0f} s; `test = 0` under [evaluate] leaves the evaluation out."
                )

    def words(self) -> list[str]:
        """For people."""
        low, high = (self.seconds * part / 60 for part in SPREAD)
        lines = [
            f"Probe: {self.generate_rate:.0f} tokens/s generated, {self.train_rate:.0f} trained ({self.dtype}, "
            f"{self.threads} threads); {self.learned / 1e6:.2f}M of {self.parameters / 1e6:.1f}M weights learn.",
            *(
                f"  {stage.name} ({stage.kind}): {stage.steps} steps of about {stage.step_seconds:.1f} s"
                if stage.steps
                else f"  {stage.name} ({stage.kind}): as many steps as its data has, each {stage.step_seconds:.1f} s"
                for stage in self.stages
            ),
            f"  evaluations {self.evaluations_total / 60:.1f} min, export {self.export_seconds / 60:.1f} min",
            f"Forecast: {self.seconds / 60:.0f} min ({low:.0f} to {high:.0f}), memory "
            f"{self.memory_needed / 1e9:.1f} of {self.memory_there / 1e9:.1f} GB, "
            f"disk {self.disk_needed / 1e9:.2f} GB, "
            + (
                f"${self.seconds * self.usd_each:.3f}"
                if self.usd_each is not None
                else "money unknown: no price of this machine is declared"
            )
            + ".",
        ]
        if self.scale is not None:
            turn = f"`--scale {_down(self.scale):g}` makes it fit" if self.scale > 0 else "fewer evaluations make room"
            lines.append(
                f"That is more than {self.limit_why}: {turn}; as it is, the run ends, in order, when it is used up."
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"forecast_seconds": self.seconds, "scale": self.scale}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RunForecast:
        values = {field.name: fields[field.name] for field in dataclasses.fields(cls) if field.name in fields}
        values["stages"] = tuple(StageForecast(**stage) for stage in fields["stages"])
        return cls(**values)


def _down(number: float) -> float:
    """Two significant digits, rounded down: what is said to fit has to fit."""
    digits = 1 - math.floor(math.log10(number))
    step = float(10**digits)
    return math.floor(number * step + 1e-6) / step
