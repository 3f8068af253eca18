"""What the chat store gives out: frozen records, and how the page reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["generating", "complete", "stopped", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One question or answer. `usage` counts tokens and `timings` seconds, over all goes of a continued answer.

    `spent` is what the ledger has for it, also over all goes: quantities as JSON by name, and under `entry` the last
    go's entry (`seq`, `hash`), or None while it is not written.
    """

    id: str
    conversation_id: str
    parent_id: str | None
    role: Literal["user", "assistant"]
    content: str
    created_at: float
    status: Status = "complete"
    thinking: str | None = None
    thinking_started_at: float | None = None
    thinking_ended_at: float | None = None
    finish_reason: str | None = None
    effort: str | None = None
    """How hard the answer was asked to think; None: not at all."""
    model: str | None = None
    model_digest: str | None = None
    generation_id: str | None = None
    dropped_turns: int = 0
    usage: dict[str, int] | None = None
    timings: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    spent: dict[str, Any] | None = None
    attachments: tuple[Attachment, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The `Message` of the page's API."""
        return {
            "id": self.id,
            "parent_id": self.parent_id,
            "role": self.role,
            "content": self.content,
            "thinking": self.thinking,
            "thinking_started_at": self.thinking_started_at,
            "thinking_ended_at": self.thinking_ended_at,
            "created_at": self.created_at,
            "status": self.status,
            "finish_reason": self.finish_reason,
            "attachments": [{"name": a.name, "text": a.text, "chars": len(a.text)} for a in self.attachments],
            "model": self.model,
            "model_digest": self.model_digest,
            "generation_id": self.generation_id,
            "dropped_turns": self.dropped_turns,
            "usage": self.usage,
            "timings": self.timings,
            "error": self.error,
            "spent": self.spent,
        }


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of messages, parents before children; `current` is the leaf that is shown."""

    id: str
    title: str
    model: str | None
    created_at: float
    updated_at: float
    current: str | None
    messages: tuple[Message, ...] = ()

    def as_json(self, fresh: Callable[[Message], Message] = lambda message: message) -> dict[str, Any]:
        """`fresh` may know of a message more than was written down."""
        return {
            "id": self.id,
            "title": self.title,
            "model": self.model,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "current": self.current,
            "messages": [fresh(message).as_json() for message in self.messages],
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of the list of conversations. `snippet` shows the place found, the hit between U+E000 and U+E001.

    `message` is the id of the message that it is in; None where it is the title.
    """

    id: str
    title: str
    model: str | None
    created_at: float
    updated_at: float
    snippet: str = ""
    message: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "updated_at": self.updated_at,
            "created_at": self.created_at,
            "model": self.model,
            "snippet": self.snippet,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next` is the cursor of the page after it, None at the end."""

    items: tuple[Summary, ...]
    next: str | None


def path_to(messages: tuple[Message, ...], leaf: str | None) -> tuple[Message, ...]:
    """The messages from the root to `leaf`, as a conversation is read."""
    by_id = {message.id: message for message in messages}
    path: list[Message] = []
    while leaf is not None and leaf in by_id and len(path) < len(messages):
        path.append(by_id[leaf])
        leaf = by_id[leaf].parent_id
    return tuple(reversed(path))
