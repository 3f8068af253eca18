"""How a model is made to think, or not to: what is written before its thinking and between thinking and answer."""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.inference.engine import Effort, Thinking
from clearseek.inference.thinking import CLOSE, OPEN


@dataclass(frozen=True)
class ThinkingStyle:
    """`opening` is written after the prompt, `closing` after the thinking; a `stop` text ends the thinking."""

    opening: str
    closing: str
    stop: str | None
    shown: str
    """The part of `opening` that the reader sees as the beginning of the thinking."""
    budgets: dict[Effort, int]
    """Tokens of thinking by effort."""
    suppress: str
    """Written after the prompt when thinking is off."""
    answer_limit: int | None
    """Tokens of answer when the caller sets no `max_tokens`; None leaves it to the context."""


NATIVE = ThinkingStyle(
    opening=f"{OPEN}\n",
    closing=f"\n{CLOSE}\n\n",
    stop=CLOSE,
    shown="",
    budgets={"low": 1024, "high": 8192, "max": 24576},
    suppress=f"{OPEN}\n\n{CLOSE}\n\n",
    answer_limit=None,
)

# Words rather than tags: a model that never saw `<think>` answers tags with confusion. With these two sentences
# SmolLM2-135M goes on to reason in the first and commits itself in the second.
PROMPTED = ThinkingStyle(
    opening="Let me think step by step.\n",
    closing="\n\nSo, the answer is:",
    stop=None,
    shown="Let me think step by step.\n",
    budgets={"low": 64, "high": 192, "max": 512},
    suppress="",
    # A small model that has lost the thread goes on until the context is full: minutes of nonsense. It stops here, the
    # finish reason says "length", and the page offers to continue.
    answer_limit=1024,
)


def budget(style: ThinkingStyle, thinking: Thinking, room: int | None) -> int:
    """Tokens of thinking: as asked, but a quarter of the `room` (tokens left) stays for the answer."""
    wanted = thinking.budget if thinking.budget is not None else style.budgets[thinking.effort]
    if room is not None:
        wanted = min(wanted, max(0, room - room // 4))
    return max(0, wanted)
