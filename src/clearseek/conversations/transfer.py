"""Conversations as files: Markdown to read, JSON to keep and to bring back."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator

from clearseek.conversations.prompt import fenced
from clearseek.conversations.records import Attachment, Conversation, Message, path_to
from clearseek.conversations.store import INTERRUPTED, MAX_MESSAGES, new_id, title_from

FORMAT: Literal["clearseek-conversation"] = "clearseek-conversation"

Short = Annotated[str, StringConstraints(max_length=200)]
Long = Annotated[str, StringConstraints(max_length=4_000_000)]
Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class ImportedAttachment(BaseModel):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: Long


class ImportedError(BaseModel):
    message: Annotated[str, StringConstraints(max_length=2_000)]
    code: Short
    over: Count | None = None


class ImportedMessage(BaseModel):
    id: Short
    parent_id: Short | None = None
    role: Literal["user", "assistant"]
    content: Long = ""
    thinking: Long | None = None
    thinking_started_at: Time | None = None
    thinking_ended_at: Time | None = None
    created_at: Time | None = None
    status: Literal["generating", "complete", "stopped", "interrupted", "failed"] = "complete"
    finish_reason: (
        Literal["stop", "length", "tool_calls", "content_filter", "aborted", "budget", "repeating"] | None
    ) = None
    effort: Literal["low", "high", "max"] | None = None
    model: Short | None = None
    model_digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    dropped_turns: Annotated[int, Field(ge=0, le=MAX_MESSAGES)] = 0
    usage: Annotated[dict[Short, Count], Field(max_length=8)] | None = None
    timings: Annotated[dict[Short, Seconds | Literal["engine", "server"] | None], Field(max_length=8)] | None = None
    error: ImportedError | None = None
    attachments: Annotated[list[ImportedAttachment], Field(max_length=20)] = []


class ImportedConversation(BaseModel):
    """The JSON of an export, checked: bounded, and really a tree in which questions and answers alternate."""

    format: Literal["clearseek-conversation"]
    version: Literal[1]
    title: Short = ""
    model: Short | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    current: Short | None = None
    messages: Annotated[list[ImportedMessage], Field(max_length=MAX_MESSAGES)]

    @model_validator(mode="after")
    def is_a_tree(self) -> ImportedConversation:
        roles: dict[str, str] = {}
        for message in self.messages:
            if message.id in roles:
                raise ValueError("two messages have the same id")
            above = None if message.parent_id is None else roles.get(message.parent_id)
            if message.parent_id is not None and above is None:
                raise ValueError("a message comes before the one it answers, or that one is missing")
            if above != ("assistant" if message.role == "user" else "user") and (above or message.role != "user"):
                raise ValueError("questions and answers do not alternate")
            if message.role == "user" and message.status != "complete":
                raise ValueError("a question can only be complete")
            roles[message.id] = message.role
        if self.current is not None and self.current not in roles:
            raise ValueError("`current` is not one of the messages")
        return self


def to_export(conversation: Conversation) -> dict[str, Any]:
    """The whole tree, as `from_export` reads it back."""
    messages = []
    for message in conversation.messages:
        whole = asdict(message)
        del whole["conversation_id"], whole["generation_id"]
        messages.append(whole)
    return {
        "format": FORMAT,
        "version": 1,
        "title": conversation.title,
        "model": conversation.model,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "current": conversation.current,
        "messages": messages,
    }


def from_export(body: ImportedConversation) -> Conversation:
    """A conversation with new ids, so that a file may be brought in twice.

    What its answers took (`spent`) is left behind: it is in the ledger of wherever they were made, not in this one.
    """
    now = time.time()
    conversation_id = new_id()
    ids = {message.id: new_id() for message in body.messages}
    messages = tuple(_imported(message, conversation_id, ids, now) for message in body.messages)
    current = body.current or (body.messages[-1].id if body.messages else None)
    first = next((message for message in messages if message.role == "user"), None)
    return Conversation(
        id=conversation_id,
        title=body.title.strip() or (title_from(first.content, first.attachments) if first else ""),
        model=body.model,
        created_at=now if body.created_at is None else body.created_at,
        updated_at=now,
        current=None if current is None else ids[current],
        messages=messages,
    )


def _imported(message: ImportedMessage, conversation_id: str, ids: dict[str, str], now: float) -> Message:
    values = message.model_dump(exclude={"attachments", "error"})
    if message.status == "generating":
        values |= {"status": "interrupted", "finish_reason": "aborted"}
    error = INTERRUPTED if message.status == "generating" else None
    if message.error is not None:
        error = message.error.model_dump(exclude_none=True)
    return Message(
        **values
        | {
            "id": ids[message.id],
            "conversation_id": conversation_id,
            "parent_id": None if message.parent_id is None else ids[message.parent_id],
            "created_at": now if message.created_at is None else message.created_at,
            "error": error,
            "attachments": tuple(Attachment(file.name, file.text) for file in message.attachments),
        }
    )


def as_markdown(conversation: Conversation) -> str:
    """The conversation as it is read (the shown branch), thinking folded away."""
    parts = [f"# {_line(conversation.title) or 'Untitled chat'}"]
    for message in path_to(conversation.messages, conversation.current):
        when = datetime.fromtimestamp(message.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        who = "You" if message.role == "user" else _line(message.model or "Assistant")
        parts.append(f"## {who} ({when})")
        if message.thinking:
            parts.append(f"<details><summary>Thinking</summary>\n\n{fenced(message.thinking)}\n\n</details>")
        parts += [f"{_line(file.name)}:\n\n{fenced(file.text)}" for file in message.attachments]
        if message.content:
            parts.append(message.content)
        if message.role == "assistant" and message.status != "complete":
            parts.append(f"*({message.status})*")
    return "\n\n".join(parts) + "\n"


def file_name(conversation: Conversation) -> str:
    """The title as a name that every system and every HTTP header takes, without a suffix."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", conversation.title).strip("-").lower()[:60].strip("-")
    return plain or "chat"


def _line(text: str) -> str:
    return " ".join(text.split())
