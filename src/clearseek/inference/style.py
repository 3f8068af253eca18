"""How a model is made to think, or not to: what is written before its thinking and between thinking and answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

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
    sampling: Mapping[str, Any]
    """llama.cpp's sampler, where the caller says nothing of temperature and top-p."""
    answering: Mapping[str, Any] = field(default_factory=dict)
    """The same, for the answer alone."""
    hold: int = 0
    """Tokens at the beginning of an answer that a stream holds back at most, where it may still be thinking."""


SMALL = 1_000_000_000
"""Parameters below which a model knows some plain facts, loses the thread of anything longer, and goes round in
circles."""
BREAKERS = {"dry_sequence_breakers": ["\ufdd0"]}
"""DRY's usual breakers, line ends and colons, would hide exactly the loops that small models fall into; llama.cpp wants
at least one, so it gets a character that no text holds."""
STEADY = {"temperature": 0.2, "top_p": 0.9, "top_k": 40}
"""Small chat models: nearly greedy, as their makers advise."""

NATIVE = ThinkingStyle(
    opening=f"{OPEN}\n",
    closing=f"\n{CLOSE}\n\n",
    stop=CLOSE,
    shown="",
    budgets={"low": 1024, "high": 8192, "max": 24576},
    suppress=f"{OPEN}\n\n{CLOSE}\n\n",
    answer_limit=None,
    sampling={"temperature": 0.6, "top_p": 0.95},
)

# A small model that was taught to think works in short steps, many of them copies: nothing may forbid it to say a thing
# again. Its answers are another matter; only what repeats two dozen tokens is a loop there, and no list that was asked
# for.
SMALL_NATIVE = replace(
    NATIVE,
    budgets={"low": 256, "high": 512, "max": 1024},
    answer_limit=1024,
    # Of 47 late tags of the default model all came after the first line, and after 19 to 49 tokens.
    hold=64,
    sampling=STEADY,
    answering={"dry_multiplier": 0.8, "dry_allowed_length": 24, "dry_penalty_last_n": 512, **BREAKERS},
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
    # DRY breaks loops without forbidding digits, which a plain repetition penalty does (it made 3 + 4 come out as 8)
    sampling={**STEADY, "dry_multiplier": 0.8, "dry_allowed_length": 4, "dry_penalty_last_n": 256, **BREAKERS},
)


def style_of(thinking: str, parameters: int | None) -> ThinkingStyle:
    """The style of a model that thinks natively or is prompted to, with so many parameters (None: not known)."""
    if thinking != "native":
        return PROMPTED
    return SMALL_NATIVE if parameters is not None and parameters < SMALL else NATIVE


def budget(style: ThinkingStyle, thinking: Thinking, room: int | None) -> int:
    """Tokens of thinking: as asked, but a quarter of the `room` (tokens left) stays for the answer."""
    wanted = thinking.budget if thinking.budget is not None else style.budgets[thinking.effort]
    if room is not None:
        wanted = min(wanted, max(0, room - room // 4))
    return max(0, wanted)
