"""What a model said, in the ids it said it in.

A model may write a word in other pieces than its tokenizer would cut it into (a small one often does). Read again from
text, that answer and all after it would be other ids than those in the KV cache, and a conversation would be read anew
from there. So the last answers are kept as ids, each with the whole text that led to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

Part = str | int
"""Of a prompt: text that is still to be tokenised, control tokens included, or one id."""

MOST = 32
"""Answers kept, the latest; each may be as long as the context."""


class Spoken:
    """The latest answers of one model."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._parts: OrderedDict[str, list[Part]] = OrderedDict()

    def remember(self, text: str, prompt: Sequence[Part], answer: str, ids: Sequence[int]) -> None:
        """`answer` came as `ids` after `prompt`, whose text is `text`."""
        said = text + answer
        self._parts.pop(said, None)
        self._parts[said] = [*prompt, *ids]
        while len(self._parts) > self._most:
            self._parts.popitem(last=False)

    def recall(self, text: str) -> list[Part]:
        """A prompt of this text, with the ids of what was said in it; the text alone where nothing is known of it."""
        known = max((said for said in self._parts if text.startswith(said)), key=len, default="")
        if not known:
            return [text]
        self._parts.move_to_end(known)
        rest = text[len(known) :]
        return [*self._parts[known], *([rest] if rest else [])]
