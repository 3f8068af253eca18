"""What a recipe may say of a stage of reinforcement learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clearseek.toml_tables import BadKey
from clearseek.training.recipe.bounds import above_zero, at_least, between
from clearseek.training.recipe.schedule import Decay

Normalise = Literal["constant", "tokens", "sequence"]


@dataclass(frozen=True, slots=True)
class GrpoSettings:
    """One stage of reinforcement learning."""

    name: str = "grpo"
    """Its name in the run; what it draws depends on it, so two stages of one run need two names."""
    steps: int = 100
    """How many steps."""
    tasks: tuple[str, ...] = ()
    """Which of the run's tasks; empty: all."""
    prompts: int = 16
    """Problems of a step."""
    samples: int = 8
    """Samples of each problem: the group it is compared with."""
    max_new: int = 160
    """Tokens a sample may have before it is cut off."""
    temperature: float = 1.0
    """What is sampled from is what is trained: log-probabilities are taken at the same temperature."""
    lr: float = 0.0
    """Peak learning rate. 0: 1e-5 in full, 5e-5 with LoRA."""
    warmup: int = 4
    """Steps in which the rate rises."""
    decay: Decay = "linear"
    """How it falls after that: `linear`, `cosine`, or `constant`, which gained nothing where `linear` gained 7 points
    (docs/lab/r1-135m.md)."""
    floor: float = 0.1
    """Share of the peak it falls to."""
    divide_by_std: bool = True
    """Advantages are divided by their group's standard deviation (GRPO), or not (Dr. GRPO)."""
    normalise: Normalise = "constant"
    """What the sum over tokens is divided by: `constant` (samples drawn x `length_constant`), `tokens` (those that
    are trained on), `sequence` (each sample by its own length)."""
    length_constant: float = 60.0
    """Tokens that a sample is taken to have by the constant normaliser."""
    clip_low: float = 0.2
    """How far a token's probability may fall, as a share, before it counts no more. Matters with several updates."""
    clip_high: float = 0.28
    """How far it may rise."""
    updates: int = 1
    """Optimizer steps for each batch of samples. 1: strictly on-policy."""
    kl: float = 0.0
    """Weight of the distance to the weights at the stage's start (k3); 0 leaves it out, and costs nothing."""
    importance_cap: float = 2.0
    """Where the correction for the sampler's rounding is cut; 0 leaves the correction out."""
    reward: Literal["verifier", "random"] = "verifier"
    """`random` is a control arm: a coin instead of the verifier."""
    format_reward: float = 0.1
    """What the right form earns beside the accuracy's 1."""
    length_reward: float = 0.0
    """Weight of the punishment for length, which grows over the last `length_margin` tokens before `max_new`."""
    length_margin: int = 32
    """See `length_reward`."""
    overlong: Literal["wrong", "mask"] = "wrong"
    """Samples that were cut off count as what they are, without an answer (`wrong`), or are not trained on (`mask`)."""
    min_groups: int = 0
    """With fewer groups that teach, a step changes nothing. 0: 3, or half of `prompts` where that is less."""
    rounds: int = 1
    """Rounds of problems a step may draw at most; another one only while fewer than `enough_groups` teach."""
    enough_groups: int = 8
    """See `rounds`."""
    patience: int = 0
    """Looks at dev without a gain that can be told from chance after which the stage ends, and leaves its time to what
    comes after; so do five steps in a row that taught nothing. 0: all its steps are done."""
    curriculum: bool = True
    """Ask more often for tasks whose groups taught something lately."""
    rows: int = 128
    """Samples generated at once."""
    kv_gigabytes: float = 2.0
    """Memory for keys and values while generating."""

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "prompts", "max_new", "rows", "updates", "rounds", "enough_groups")
        at_least(self, 2, "samples", why=": alone, a sample has nothing that it could be compared with")
        at_least(
            self, 0, "clip_high", "kl", "importance_cap", "lr", "warmup", "min_groups", "patience", "length_margin"
        )
        between(self, 0.01, 10.0, "temperature", why="; at 0 all samples of a group would be the same")
        between(self, 0.0, 1.0, "clip_low", "floor")
        above_zero(self, "length_constant", "kv_gigabytes")
        most = self.prompts * self.rounds
        if not self.min_groups:  # written down as it comes out, like everything that is derived
            object.__setattr__(self, "min_groups", min(3, (most + 1) // 2))
        if self.min_groups > most:
            raise BadKey(
                "min_groups",
                f"`min_groups` of the stage {self.name} is {self.min_groups}, and a step draws {most} problems at "
                "most: no step could ever change anything.",
            )
