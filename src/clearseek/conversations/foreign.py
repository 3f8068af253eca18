"""Exports of other programs, told apart: a file that cannot be brought in yet should at least be named."""

from __future__ import annotations

from typing import Any

WANTED = (
    'ClearSeek brings in one chat at a time, as its own export writes it: `{"format": "clearseek-conversation", '
    '"version": 1, "messages": [...]}` (GET /api/conversations/ID/export?format=json).'
)


def recognise_text(body: bytes) -> str | None:
    """What a body that is no JSON seems to be, in a few words; None where nothing is known of it."""
    text = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        return "The file is empty"
    if text[:1] == b"<":
        return "This is HTML or XML, not JSON"
    lines = text.splitlines()
    if text[:1] == b"{" and len(lines) > 1 and lines[0].rstrip()[-1:] == b"}" and lines[1].lstrip()[:1] == b"{":
        return "This is JSONL, one JSON value to a line"
    if text[:1] == b"#" or b"\n## " in text:
        return "This is Markdown, not JSON"
    return None


def recognise(data: Any) -> str | None:
    """What a JSON value that is no export of ours seems to be, in a few words; None for ours, or one of its kind."""
    many = isinstance(data, list)
    first = data[0] if many and data else data
    if many and not data:
        return "This is an empty list"
    if not isinstance(first, dict):
        return "This is no chat: a JSON object is wanted"
    if first.get("format") == "clearseek-conversation":
        return f"This is a list of {len(data)} chats" if many else None
    for name, keys in _MARKS:
        if all(_has(first, key) for key in keys):
            return f"This looks like {name}"
    if many and "role" in first and ("content" in first or "parts" in first):
        return "This is a list of messages, as chat APIs take it, and no chat"
    if many:
        return "This is a list, and one chat is wanted"
    return None if "messages" in first and "format" in first else "This is no export of ClearSeek's"


# The first that fits; a dot leads into an object.
_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("an export of ChatGPT's (conversations.json)", ("mapping",)),
    ("an export of Open WebUI's", ("chat.history",)),
    ("an export of Open WebUI's", ("chat.messages",)),
    ("an export of Claude's", ("chat_messages",)),
    ("an export of LibreChat's", ("conversationId", "messages")),
    ("a chat of LM Studio's", ("messages", "lastUsedModel")),
    ("a chat of LM Studio's", ("messages", "systemPrompt")),
    ("an export of llama.cpp's page", ("conv", "messages")),
    ("a request of a chat API (`model` and `messages`)", ("model", "messages.role")),
    ("an answer of a chat API", ("choices",)),
    ("a line of training data (ShareGPT's form)", ("conversations",)),
    ("messages without a chat round them", ("messages.role",)),
)


def _has(value: Any, key: str) -> bool:
    for part in key.split("."):
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True
