"""How a model learns, as a recipe says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clearseek.modeling.config import EVERY_LINEAR
from clearseek.modeling.errors import ModelingError

Method = Literal["full", "lora"]

ComputeType = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """How a model learns."""

    method: Method = "full"
    """`full`: every weight (but the embedding, see below). `lora`: low-rank additions to the linear layers."""
    rank: int = 16
    """Rank of the additions, where the method is `lora`."""
    alpha: float = 32.0
    """Their scale is alpha / rank."""
    targets: tuple[str, ...] = EVERY_LINEAR
    """Which linear layers get one: names or patterns."""
    seed: int = 0
    """Decides the additions' first values."""
    train_embedding: bool = False
    """Whether the embedding and the output matrix learn too, where the method is `full`."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's memory of the gradient and of its square."""
    eps: float = 1e-8
    """What AdamW adds to the root of the second."""
    weight_decay: float = 0.0
    """Decoupled decay of matrices; vectors have none."""
    clip: float = 1.0
    """The gradient is scaled down to this norm where it is longer; 0 leaves it."""
    dtype: ComputeType = "auto"
    """What is computed in: `auto` is bfloat16 where the machine has units for it, float32 elsewhere."""
    micro_batch_tokens: int = 1024
    """Tokens computed at once: memory against speed. The sum of the gradients is the same."""

    def __post_init__(self) -> None:
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ModelingError(f"AdamW's betas are at least 0 and below 1; got {self.betas}.")
        if self.micro_batch_tokens < 1 or self.clip < 0 or self.weight_decay < 0 or self.eps <= 0:
            raise ModelingError("Tokens of a micro-batch, clip, weight decay and eps cannot be negative, nor eps zero.")
