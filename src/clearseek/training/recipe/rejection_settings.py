"""What a recipe may say of a stage of rejection sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from clearseek.toml_tables import BadKey
from clearseek.training.recipe.bounds import above_zero, at_least, between

Pick = Literal["shortest", "diverse", "first"]


@dataclass(frozen=True, slots=True)
class RejectSettings:
    """One stage of rejection sampling."""

    name: str = "reject"
    """Its name, and that of the data it writes."""
    steps: int = 16
    """How many steps; those for `general` come on top. 0: only those."""
    tasks: tuple[str, ...] = ()
    """Which of the run's tasks; empty: all, alike."""
    prompts: int = 32
    """Problems of a step."""
    samples: int = 4
    """Answers to each."""
    keep: int = 1
    """Right answers kept of a problem, at most."""
    pick: Pick = "shortest"
    """Which: the shortest, those that differ most from each other (the shortest first), or those that came first."""
    skip_easy: float = 1.0
    """Problems of which more than this share was answered right are kept only half of the time: 1 keeps all."""
    max_new: int = 192
    """Tokens an answer may have; one that is cut off is not kept."""
    temperature: float = 1.0
    """What is sampled at."""
    general: int = 0
    """Everyday prompts that the base answers, greedily and as its own template asks; 0: none."""
    general_max_new: int = 192
    """Tokens such an answer may have. One that is cut off is kept without an end: only what ends early would be kept
    otherwise, and a small model's early ends are its excuses. One that goes round in circles is not kept."""
    general_thinking: float = 0.5
    """Share of these answers that are written down with a thought before them: that nothing has to be worked out. A
    model that learns to think before it answers has to learn as well when there is nothing to think about."""
    general_file: str = ""
    """A .jsonl file with a `prompt` on each line; empty: those that come with ClearSeek."""
    rows: int = 128
    """Samples generated at once."""
    kv_gigabytes: float = 2.0
    """Memory for keys and values while generating."""

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts", "samples", "keep", "max_new", "general_max_new", "rows")
        at_least(self, 0, "steps", "general")
        between(self, 0.0, 1.0, "skip_easy", "general_thinking")
        between(self, 0.01, 10.0, "temperature")
        above_zero(self, "kv_gigabytes")
        if self.steps == 0 and self.general == 0:
            raise BadKey("steps", f"The stage {self.name} has no `steps` and no `general` prompts: nothing to do.")

    @property
    def planned_steps(self) -> int:
        return self.steps + math.ceil(self.general / self.prompts)
