"""Stop strings: which samples' text has come to contain one.

Decoding every row after every token would cost more than it gives. A string can only be completed by a token that holds
its last character, or by one whose text is not known alone (part of a character); only then is the tail decoded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

TAIL_TOKENS = 64
"""Tokens decoded beyond one for each byte of the longest stop string: some tokens have no text."""


class StopStrings:
    """`decode` turns ids into text; `vocab_size` ids are looked at once, at the start."""

    def __init__(self, strings: Sequence[str], decode: Callable[[Sequence[int]], str], vocab_size: int) -> None:
        self.strings, self.decode = tuple(strings), decode
        self.reach = max(len(text.encode()) for text in strings) + TAIL_TOKENS
        self.can_end_V = _enders(frozenset(text[-1] for text in strings) | {"\ufffd"}, decode, vocab_size)

    def maybe(self, ids_N: Tensor) -> Tensor:
        """Rows (N,) whose newest token might complete a stop string."""
        if self.can_end_V.device != ids_N.device:
            self.can_end_V = self.can_end_V.to(ids_N.device)
        return self.can_end_V[ids_N]

    def completed(self, ids: Sequence[int]) -> bool:
        """Whether the text of these ids holds a stop string at its end or before."""
        text = self.decode(ids[-self.reach :])
        return any(string in text for string in self.strings)


@functools.lru_cache(maxsize=4)
def _enders(lasts: frozenset[str], decode: Callable[[Sequence[int]], str], vocab_size: int) -> Tensor:
    """Which tokens' text holds one of these characters, (V,) bool; kept, because every rollout of a run asks again."""
    texts = (decode([token]) for token in range(vocab_size))
    return torch.tensor([any(character in text for character in lasts) for text in texts])
