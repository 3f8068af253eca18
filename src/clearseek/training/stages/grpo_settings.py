"""What a recipe may say of a stage of reinforcement learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clearseek.errors import UserError
from clearseek.training.losses import Normalise
from clearseek.training.schedule import Decay


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
    (docs/r1-135m.md)."""
    floor: float = 0.1
    """Share of the peak it falls to."""
    divide_by_std: bool = True
    """Advantages are divided by their group's standard deviation (GRPO), or not (Dr. GRPO)."""
    normalise: Normalise = "constant"
    """What the sum over tokens is divided by: `constant` (prompts x samples x `length_constant`), `tokens` (those that
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
    min_groups: int = 3
    """With fewer groups that teach, a step changes nothing."""
    rounds: int = 1
    """Rounds of problems a step may draw at most; another one only while fewer than `enough_groups` teach."""
    enough_groups: int = 8
    """See `rounds`."""
    curriculum: bool = True
    """Ask more often for tasks whose groups taught something lately."""
    rows: int = 128
    """Samples generated at once."""
    kv_gigabytes: float = 2.0
    """Memory for keys and values while generating."""

    def __post_init__(self) -> None:
        where = f"of the stage {self.name}"
        if self.steps < 1 or self.prompts < 1 or self.samples < 2 or self.max_new < 1 or self.rows < 1:
            raise UserError(f"`steps`, `prompts`, `max_new` and `rows` {where} are at least 1, `samples` at least 2.")
        if self.updates < 1 or self.rounds < 1 or self.min_groups < 1 or self.enough_groups < 1:
            raise UserError(f"`updates`, `rounds`, `min_groups` and `enough_groups` {where} are at least 1.")
        if not 0.01 <= self.temperature <= 10.0:
            raise UserError(f"`temperature` {where} lies between 0.01 and 10; at 0 there would be nothing to compare.")
        if not 0.0 <= self.clip_low < 1.0 or self.clip_high < 0.0 or self.kl < 0.0 or self.importance_cap < 0.0:
            raise UserError(
                f"`clip_low` {where} lies between 0 and 1; `clip_high`, `kl`, `importance_cap` are not below 0."
            )
        if self.length_constant <= 0 or self.lr < 0 or self.warmup < 0 or self.kv_gigabytes <= 0:
            raise UserError(f"`length_constant` and `kv_gigabytes` {where} are above 0, `lr` and `warmup` not below.")
