"""What the quantities of a claim have to do with each other. Nearly all of it is multiplication.

A relation says that `constant` times the product of its variables, each to its power, is one. In logarithms it is a
line, so solving, intervals and redundancy need no more than sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """`subject = constant x product(variable ** power)`, in the units of variables.py.

    `text` is how it is said to people; `source` where it is not plain from its words.
    """

    name: str
    subject: str
    constant: float
    powers: Mapping[str, int]
    text: str

    @property
    def exponents(self) -> dict[str, int]:
        """Powers of every variable, the subject's -1 included: the product of all, times the constant, is one."""
        return {**self.powers, self.subject: -1}

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.subject, *self.powers)


RELATIONS = (
    Relation("daily", "wall_time", 24, {"tokens": 1, "tokens_per_day": -1}, "time = tokens / tokens per day"),
    Relation("hours", "gpu_hours", 1, {"count": 1, "wall_time": 1}, "chip-hours = chips x hours"),
    Relation("rent", "usd", 1, {"gpu_hours": 1, "price": 1}, "money = chip-hours x price"),
    Relation("work", "flops", 1, {"flops_per_token": 1, "tokens": 1}, "FLOP = FLOP per token x tokens"),
    Relation("day", "tokens_per_day", 86400, {"tokens_per_second": 1}, "a day has 86,400 s"),
    Relation(
        "speed",
        "tokens_per_second",
        1,
        {"tokens_per_second_per_chip": 1, "count": 1},
        "tokens/s = tokens/s of a chip x chips",
    ),
    Relation("pace", "tokens_per_second", 1, {"batch": 1, "step_time": -1}, "tokens/s = tokens in a step / its time"),
    Relation("steps", "tokens", 1, {"steps": 1, "batch": 1}, "tokens = steps x tokens in a step"),
    Relation(
        "efficiency",
        "mfu",
        1 / 3600,
        {"flops": 1, "gpu_hours": -1, "peak": -1},
        "goodput = FLOP / (chip-hours x 3600 x peak)",
    ),
    Relation(
        "full",
        "mfu_non_causal",
        1,
        {"mfu": 1, "flops_per_token_full": 1, "flops_per_token": -1},
        "MFU non-causal = MFU causal x FLOP per token non-causal / causal",
    ),
    Relation(
        "energy",
        "energy",
        1e-3,
        {"gpu_hours": 1, "power": 1, "pue": 1},
        "energy = chip-hours x power x PUE",
    ),
    Relation("carbon", "co2", 1e-3, {"energy": 1, "intensity": 1}, "CO2 = energy x carbon of a kWh"),
    Relation(
        "sampled",
        "tokens",
        1,
        {"rollouts_samples": 1, "rollouts_tokens_per_sample": 1},
        "tokens = answers x tokens of one",
    ),
)
