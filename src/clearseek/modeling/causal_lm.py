"""What learners, rollouts and exports need of a model, whatever its architecture."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from clearseek.modeling.hf_config import AnyConfig

Cache = Any
"""`KVCache` or `LatentCache`: made by the model itself, and given to no other."""


class CausalLM(nn.Module):
    """A model that predicts the next token: `logits(hidden(ids))`. Letters: B rows, T tokens, D width, V vocabulary."""

    config: AnyConfig
    model: Any
    """Embedding, layers and last norm, under the names that published weights have."""
    lm_head: nn.Linear

    @abstractmethod
    def tie(self) -> None:
        """Make the output matrix the embedding, where the architecture says so; again after weights were replaced."""

    @abstractmethod
    def hidden(
        self,
        ids_BT: Tensor,
        cache: Cache = None,
        positions_BT: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """What the output matrix is applied to, after the last norm: (B, T, D).

        Without positions they are 0, 1, 2, ... or go on where the cache ends. `mask`, True where a token may be seen,
        is broadcastable to (B, 1, T, S); S is T, or with a cache the highest position of this call + 1. Without one,
        a token sees what stands before it in its row: in a cache, all slots up to its own position.
        """

    @abstractmethod
    def logits(self, x_BTD: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""

    @abstractmethod
    def new_cache(self, rows: int, length: int, dtype: torch.dtype | None = None) -> Cache:
        """Room for `length` tokens in each of `rows` rows, in the model's type unless another is named."""
