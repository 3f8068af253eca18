"""The texts in a remote engine's deltas: strings, parts, lists of parts; characters that come in two halves. Pure."""

from __future__ import annotations

from typing import Any

THOUGHTS = ("thinking", "reasoning", "reasoning_content", "reasoning.text", "reasoning.summary")
"""Types of parts that are thinking."""
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details", "thinking_blocks")
"""Where servers put their thinking. Some send the same under two names: the first that says something counts."""
_INSIDE = ("text", "thinking", "reasoning", "summary", "content", "refusal", "output_text")


def text_of(payload: Any, depth: int = 0) -> str:
    """All the text in a string, a part or a list of parts."""
    if isinstance(payload, str):
        return payload
    if depth > 6:
        return ""
    if isinstance(payload, list):
        return "".join(text_of(one, depth + 1) for one in payload)
    if isinstance(payload, dict):
        return next((text for key in _INSIDE if (text := text_of(payload.get(key), depth + 1))), "")
    return ""


def thinking_of(delta: dict[str, Any]) -> str:
    """The thinking that a delta tells outside of its content."""
    return next((text for name in _REASONING if (text := text_of(delta.get(name)))), "")


def parts_of(content: Any) -> list[tuple[bool, str]]:
    """Content as `(whether it is thinking for certain, text)`, in order, without what is empty."""
    parts = content if isinstance(content, list) else [content]
    parts_of = [(isinstance(part, dict) and part.get("type") in THOUGHTS, text_of(part)) for part in parts]
    return [(thinks, text) for thinks, text in parts_of if text]


def clean(text: str) -> str:
    """Halves of characters put together; a half alone becomes U+FFFD, because no UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Halves:
    """Holds back the first half of a character (a surrogate) until the other one comes with the next piece."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return clean(text[: len(text) - len(self._half)])

    def finish(self) -> str:
        half, self._half = self._half, ""
        return clean(half)
