"""Conversations, messages, attachments, generations and the search index.

A released schema is never edited: a change is a new file with `down_revision = "0001"`, and a dump of this one is
kept in `tests/conversations/schemas/`. There is no way down: older programs refuse a newer file in words.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE conversations (
    number INTEGER NOT NULL PRIMARY KEY,
    id VARCHAR NOT NULL UNIQUE,
    owner VARCHAR NOT NULL,
    title VARCHAR DEFAULT '' NOT NULL,
    model VARCHAR,
    current VARCHAR,
    created_at FLOAT NOT NULL,
    updated_at FLOAT NOT NULL
);
CREATE INDEX conversations_by_owner ON conversations (owner, updated_at, number);
CREATE TABLE messages (
    number INTEGER NOT NULL PRIMARY KEY,
    id VARCHAR NOT NULL UNIQUE,
    conversation_id VARCHAR NOT NULL,
    parent_id VARCHAR,
    role VARCHAR NOT NULL CONSTRAINT messages_role CHECK (role IN ('user', 'assistant')),
    content TEXT DEFAULT '' NOT NULL,
    thinking TEXT,
    thinking_started_at FLOAT,
    thinking_ended_at FLOAT,
    created_at FLOAT NOT NULL,
    status VARCHAR NOT NULL CONSTRAINT messages_status
        CHECK (status IN ('generating', 'complete', 'stopped', 'interrupted', 'failed')),
    finish_reason VARCHAR,
    effort VARCHAR,
    model VARCHAR,
    model_digest VARCHAR,
    generation_id VARCHAR,
    dropped_turns INTEGER DEFAULT '0' NOT NULL,
    usage JSON,
    timings JSON,
    error JSON,
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    FOREIGN KEY (parent_id) REFERENCES messages (id) ON DELETE CASCADE
);
CREATE INDEX messages_by_conversation ON messages (conversation_id, number);
CREATE INDEX messages_by_parent ON messages (parent_id);
CREATE TABLE attachments (
    number INTEGER NOT NULL PRIMARY KEY,
    message_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    text TEXT NOT NULL,
    FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE
);
CREATE INDEX attachments_by_message ON attachments (message_id, number);
CREATE TABLE generations (
    id VARCHAR NOT NULL PRIMARY KEY,
    message_id VARCHAR NOT NULL,
    started_at FLOAT NOT NULL,
    FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE
);
CREATE INDEX generations_by_message ON generations (message_id);
"""

# The index holds no copy of the text (content=...): triggers keep it in step. An answer that is still being written
# is left out, so that saving it four times a second does not index it four times a second.
SEARCH = [
    """
    CREATE VIRTUAL TABLE title_search USING fts5(title, content='conversations', content_rowid='number',
        tokenize='porter unicode61 remove_diacritics 2')
    """,
    """
    CREATE TRIGGER title_in AFTER INSERT ON conversations BEGIN
        INSERT INTO title_search(rowid, title) VALUES (new.number, new.title);
    END
    """,
    """
    CREATE TRIGGER title_out AFTER DELETE ON conversations BEGIN
        INSERT INTO title_search(title_search, rowid, title) VALUES ('delete', old.number, old.title);
    END
    """,
    """
    CREATE TRIGGER title_changed AFTER UPDATE OF title ON conversations BEGIN
        INSERT INTO title_search(title_search, rowid, title) VALUES ('delete', old.number, old.title);
        INSERT INTO title_search(rowid, title) VALUES (new.number, new.title);
    END
    """,
    """
    CREATE VIRTUAL TABLE message_search USING fts5(content, thinking, content='messages', content_rowid='number',
        tokenize='porter unicode61 remove_diacritics 2')
    """,
    """
    CREATE TRIGGER message_in AFTER INSERT ON messages WHEN new.status <> 'generating' BEGIN
        INSERT INTO message_search(rowid, content, thinking) VALUES (new.number, new.content, new.thinking);
    END
    """,
    """
    CREATE TRIGGER message_out AFTER DELETE ON messages WHEN old.status <> 'generating' BEGIN
        INSERT INTO message_search(message_search, rowid, content, thinking)
            VALUES ('delete', old.number, old.content, old.thinking);
    END
    """,
    """
    CREATE TRIGGER message_changed AFTER UPDATE OF content, thinking, status ON messages
    WHEN old.status <> 'generating' OR new.status <> 'generating' BEGIN
        INSERT INTO message_search(message_search, rowid, content, thinking)
            SELECT 'delete', old.number, old.content, old.thinking WHERE old.status <> 'generating';
        INSERT INTO message_search(rowid, content, thinking)
            SELECT new.number, new.content, new.thinking WHERE new.status <> 'generating';
    END
    """,
    """
    CREATE VIRTUAL TABLE attachment_search USING fts5(name, text, content='attachments', content_rowid='number',
        tokenize='porter unicode61 remove_diacritics 2')
    """,
    """
    CREATE TRIGGER attachment_in AFTER INSERT ON attachments BEGIN
        INSERT INTO attachment_search(rowid, name, text) VALUES (new.number, new.name, new.text);
    END
    """,
    """
    CREATE TRIGGER attachment_out AFTER DELETE ON attachments BEGIN
        INSERT INTO attachment_search(attachment_search, rowid, name, text)
            VALUES ('delete', old.number, old.name, old.text);
    END
    """,
]


def upgrade() -> None:
    for statement in TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    for statement in SEARCH:
        op.execute(statement)
