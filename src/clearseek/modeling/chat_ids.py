"""A conversation as ids, with a mask of what the assistant wrote: what supervised training learns from.

Rendering is `hub/chat_template.py`, as in serving. The ids are those that serving would have seen: the prompt is
encoded up to where the assistant begins to write, and what it wrote is encoded for itself, because a model that
generates never merges its first token with the prompt's last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearseek.hub.chat_template import ChatTemplate, Piece
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.tokenizer import Tokenizer

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatIds:
    """`mask[i]` is True where the assistant wrote `ids[i]`, the token that ends its turn included."""

    ids: tuple[int, ...]
    mask: tuple[bool, ...]


def prompt_ids(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message], *, enable_thinking: bool | None = None
) -> list[int]:
    """Ids after which the assistant writes. Raises BadTemplate as `ChatTemplate.render` does."""
    return tokenizer.encode_pieces(template.render(messages, enable_thinking=enable_thinking))


def chat_ids(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message], *, enable_thinking: bool | None = None
) -> ChatIds:
    """A conversation that ends with an answer, and which of its ids are the assistant's.

    The last answer is always the assistant's: its `reasoning_content` inside `<think>`, its `content`, and the token
    that ends a turn. An earlier answer is, where the template shows it as it was written; where the template leaves
    something out (R1's drops the thinking of earlier turns), the ids stand there as the model will see them, unmasked.
    Raises ModelingError where the last message is no answer; BadTemplate where the template refuses.
    """
    if not messages or messages[-1].get("role") != "assistant" or not messages[-1].get("content"):
        raise ModelingError("A conversation to learn from ends with an answer of the assistant that has content.")

    def written(count: int) -> tuple[int, tuple[Piece, ...]]:
        """Where answer number `count - 1` begins in the text, and the rendering up to its end."""
        prompt = template.render(messages[: count - 1], enable_thinking=enable_thinking)
        whole = template.render(messages[:count], continue_last=True, enable_thinking=enable_thinking)
        return len(_text(prompt)), whole

    start, pieces = written(len(messages))
    text = _text(pieces)
    spans = [(start, len(text))]
    for number, message in reversed([*enumerate(messages[:-1])]):
        if message.get("role") == "assistant" and message.get("content"):
            begin, earlier = written(number + 1)
            end = len(_text(earlier))
            if end <= spans[0][0] and text.startswith(_text(earlier)):
                spans.insert(0, (begin, end))
    ids: list[int] = []
    mask: list[bool] = []
    at = 0
    for begin, end in spans:
        for stop, learned in ((begin, False), (end, True)):
            results = [
                token
                for piece in _cut(pieces, at, stop)
                for token in tokenizer.encode(piece.text, control=piece.trusted)
            ]
            # the token that ended the answer before was the assistant's too
            closing = not learned and bool(ids) and bool(results) and results[0] in tokenizer.end_ids
            ids += results
            mask += [learned or (closing and place == 0) for place in range(len(results))]
            at = stop
    ending = _ending(tokenizer, template, messages, text, enable_thinking)
    ids, mask = [*ids, *ending], [*mask, *(True for _ in ending)]
    lead = [] if tuple(ids[: len(tokenizer.start_ids)]) == tokenizer.start_ids else list(tokenizer.start_ids)
    return ChatIds((*lead, *ids), (*(False for _ in lead), *mask))


def _ending(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message], text: str, thinking: bool | None
) -> list[int]:
    """What ends the last answer: what the template writes behind it, up to an end token; else the model's own."""
    whole = _text(template.render(messages, add_generation_prompt=False, enable_thinking=thinking))
    behind = tokenizer.encode(whole[len(text) :], control=True) if whole.startswith(text) else []
    for place, token in enumerate(behind):
        if token in tokenizer.end_ids:
            return behind[: place + 1]
    return [] if tokenizer.eos_id is None else [tokenizer.eos_id]


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _cut(pieces: Sequence[Piece], start: int, stop: int) -> list[Piece]:
    """The pieces of the text between two places."""
    result, at = [], 0
    for piece in pieces:
        text = piece.text[max(0, start - at) : max(0, stop - at)]
        if text:
            result.append(Piece(text, piece.trusted))
        at += len(piece.text)
    return result
