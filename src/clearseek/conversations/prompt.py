"""From a conversation as it is read to the messages a model gets.

The same conversation always gives the same messages, and one more turn only adds to their end, so that an engine
finds in its cache all it has read before. Earlier thinking is not sent again: it would fill the context.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from clearseek.conversations.records import Message

Turn = tuple[dict[str, Any], ...]
"""A question and, except for the last, its answer: messages as `Request.messages` holds them."""

ROOM_FOR_ANSWER = 1024
"""Tokens kept free when turns are dropped, but never more than a quarter of the context."""
FULL_AGAIN = 0.5
"""How full the context may be after turns were dropped: else the next question would be too long again."""


def turns(history: Sequence[Message]) -> list[Turn]:
    """`history` from the root to the question (or to the answer to be continued), as turns.

    A question whose answer never came joins the next question: templates want question and answer in turn.
    """
    made: list[Turn] = []
    waiting = ""
    for message in history:
        if message.role == "user":
            waiting = f"{waiting}\n\n{question(message)}" if waiting else question(message)
        elif message.content and waiting:
            made.append(({"role": "user", "content": waiting}, {"role": "assistant", "content": message.content}))
            waiting = ""
    if waiting:
        made.append(({"role": "user", "content": waiting},))
    return made


def question(message: Message) -> str:
    """What was asked, after the attachments, each under its name and fenced."""
    parts = [f"{file.name}:\n{fenced(file.text)}" for file in message.attachments]
    if message.content:
        parts.append(message.content)
    return "\n\n".join(parts)


def fenced(text: str) -> str:
    """`text` as a Markdown code block that nothing inside it can close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def drop_more(asked: Sequence[Turn], dropped: int, prompt_tokens: int, context: int) -> int | None:
    """How many of the oldest turns to leave out after `asked[dropped:]` made a prompt of `prompt_tokens`.

    So many that half of the context is free; but the last turn but one goes only where the prompt does not fit with
    it. An estimate from the lengths of texts, always at least one more than `dropped`; None when only the last
    question is left.
    """
    left = asked[dropped:]
    if len(left) <= 1:
        return None
    lengths = [sum(len(message["content"]) for message in turn) + 1 for turn in left]
    per_character = prompt_tokens / sum(lengths)
    fits = context - min(ROOM_FOR_ANSWER, context // 4)
    more, tokens = 0, float(prompt_tokens)
    while more < len(left) - 1 and (more == 0 or tokens > (fits if more == len(left) - 2 else context * FULL_AGAIN)):
        tokens -= lengths[more] * per_character
        more += 1
    return dropped + more
