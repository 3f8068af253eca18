"""What a recipe may say of a supervised stage."""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.toml_tables import BadKey
from clearseek.training.data.sources import SOLUTIONS
from clearseek.training.recipe.bounds import above_zero, at_least, between
from clearseek.training.recipe.schedule import Decay


@dataclass(frozen=True, slots=True)
class SftSettings:
    """One supervised stage."""

    name: str = "sft"
    """Its name in the run; what it draws depends on it, so two stages of one run need two names."""
    steps: int = 0
    """How many steps. 0: as many as `epochs` takes."""
    epochs: float = 1.0
    """How often its files are gone through, where `steps` is 0; worked solutions never end, and need `steps`."""
    examples: int = 16
    """Examples of a step."""
    sources: tuple[str, ...] = (SOLUTIONS,)
    """Where examples are from: `solutions` (of the run's tasks), `glances` (the same, with a thought that only names
    the answer), `identity` (who the model is), or the name of a data file that an earlier stage wrote, or the path of a
    .jsonl file."""
    shares: tuple[float, ...] = ()
    """How much of each, in the order of `sources`; empty: alike."""
    thinking_off: float = 0.1
    """Share of the examples with thinking that are shown without: prompt with thinking off, and the answer alone."""
    lr: float = 0.0
    """Peak learning rate. 0: 3e-4 in full, 1e-3 with LoRA."""
    warmup: int = 8
    """Steps in which the rate rises."""
    decay: Decay = "linear"
    """How it falls after that: `linear`, `cosine`, `constant`."""
    floor: float = 0.0
    """Share of the peak it falls to."""
    patience: int = 0
    """Looks at dev without a gain that can be told from chance after which the stage ends, and leaves its time to what
    comes after. 0: all its steps are done."""
    max_tokens: int = 512
    """Examples with more tokens, prompt included, are left out."""

    def __post_init__(self) -> None:
        at_least(self, 0, "steps", "warmup", "lr", "patience")
        at_least(self, 1, "examples")
        at_least(self, 8, "max_tokens")
        above_zero(self, "epochs")
        between(self, 0.0, 1.0, "thinking_off", "floor")
        if not self.sources:
            raise BadKey("sources", f"The stage {self.name} needs `sources` to learn from.")
        if self.shares and len(self.shares) != len(self.sources):
            raise BadKey("shares", f"`shares` of the stage {self.name} needs a share for each of its sources, or none.")
        if any(share < 0 for share in self.shares) or (self.shares and sum(self.shares) <= 0):
            raise BadKey("shares", f"The shares of the stage {self.name} are not negative, and one is above 0.")
