"""Keys and values of tokens already seen.

One rule makes it simple: **the token at position p of a row lies in slot p of that row, and sees slots 0 to p.** So
rows may be at different positions; a row is emptied by starting again at position 0; and padding to the right of a
prompt does no harm, because the slots it wrote are written again before any token can see them.

Letters: L layers, B rows, G key-value heads, S slots, T new tokens, K values of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clearseek.modeling.errors import ModelingError


class KVCache:
    """Room for `length` tokens in each of `rows` rows, all of it taken at once.

    `filled` is where the next tokens go when a model is called without positions; whoever gives positions keeps the
    count.
    """

    def __init__(
        self,
        layers: int,
        rows: int,
        kv_heads: int,
        length: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        if rows < 1 or length < 1:
            raise ModelingError(f"A cache of {rows} rows and {length} tokens holds nothing.")
        shape = (layers, rows, kv_heads, length, head_dim)
        # zeros, not empty: a masked slot still takes part in `0 x value`, and 0 x NaN is NaN
        self.k_LBGSK = torch.zeros(shape, dtype=dtype, device=device)
        self.v_LBGSK = torch.zeros(shape, dtype=dtype, device=device)
        self.filled = 0

    @property
    def rows(self) -> int:
        return self.k_LBGSK.shape[1]

    @property
    def length(self) -> int:
        return self.k_LBGSK.shape[3]

    @property
    def bytes(self) -> int:
        return 2 * self.k_LBGSK.numel() * self.k_LBGSK.element_size()

    def next_positions(self, rows: int, tokens: int, device: torch.device) -> Tensor:
        """Positions of the next `tokens` tokens of every row, (B, T); raises ModelingError where they do not fit."""
        first, self.filled = self.filled, self.filled + tokens
        if self.filled > self.length:
            self.filled = first
            raise ModelingError(f"The cache holds {self.length} tokens a row, and {first + tokens} are asked of it.")
        return torch.arange(first, first + tokens, device=device).expand(rows, tokens)

    def store(
        self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor, positions_BT: Tensor, reach: int
    ) -> tuple[Tensor, Tensor]:
        """Put new keys and values into their slots and give all of the first `reach` slots, (B, G, reach, K) each."""
        k_BGSK, v_BGSK = self.k_LBGSK[layer], self.v_LBGSK[layer]
        index_BGTK = positions_BT[:, None, :, None].expand_as(k_BGTK)
        k_BGSK.scatter_(2, index_BGTK, k_BGTK.to(k_BGSK.dtype))
        v_BGSK.scatter_(2, index_BGTK, v_BGTK.to(v_BGSK.dtype))
        return k_BGSK[:, :, :reach], v_BGSK[:, :, :reach]
