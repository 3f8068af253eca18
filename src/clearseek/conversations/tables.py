"""The tables as they are now. How older files become these is in `migrations/`; the search tables are made there."""

from __future__ import annotations

from sqlalchemy import JSON, CheckConstraint, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

# `number` is SQLite's row id under a name, so that VACUUM keeps it and the search index can point at it;
# `id` is what the world sees.

conversations = Table(
    "conversations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("title", String, nullable=False, server_default=""),
    Column("model", String),
    Column("current", String),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("conversations_by_owner", "owner", "updated_at", "number"),
)

messages = Table(
    "messages",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("conversation_id", String, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", String, ForeignKey("messages.id", ondelete="CASCADE")),
    Column("role", String, nullable=False),
    Column("content", Text, nullable=False, server_default=""),
    Column("thinking", Text),
    Column("thinking_started_at", Float),
    Column("thinking_ended_at", Float),
    Column("created_at", Float, nullable=False),
    Column("status", String, nullable=False),
    Column("finish_reason", String),
    Column("effort", String),
    Column("model", String),
    Column("model_digest", String),
    Column("generation_id", String),
    Column("dropped_turns", Integer, nullable=False, server_default="0"),
    Column("usage", JSON(none_as_null=True)),
    Column("timings", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("spent", JSON(none_as_null=True)),
    CheckConstraint("role IN ('user', 'assistant')", name="messages_role"),
    CheckConstraint("status IN ('generating', 'complete', 'stopped', 'interrupted', 'failed')", name="messages_status"),
    Index("messages_by_conversation", "conversation_id", "number"),
    Index("messages_by_parent", "parent_id"),
)

attachments = Table(
    "attachments",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("message_id", String, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("name", String, nullable=False),
    Column("text", Text, nullable=False),
    Index("attachments_by_message", "message_id", "number"),
)

# Which message a generation wrote to: a tab that slept through the end still has only the generation's id.
generations = Table(
    "generations",
    metadata,
    Column("id", String, primary_key=True),
    Column("message_id", String, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("started_at", Float, nullable=False),
    Index("generations_by_message", "message_id"),
)
