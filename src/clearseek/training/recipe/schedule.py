"""The learning rate of a step."""

from __future__ import annotations

import math
from typing import Literal

Decay = Literal["linear", "cosine", "constant"]


def learning_rate(step: int, steps: int, peak: float, *, warmup: int, decay: Decay, floor: float = 0.0) -> float:
    """Rises in a straight line over the first `warmup` steps (the first one learns already), then falls to
    `floor x peak` at the end of the last step. Steps count from 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if decay == "constant" or steps <= warmup:
        return peak
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    left = 1.0 - done if decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return peak * (floor + (1.0 - floor) * left)
