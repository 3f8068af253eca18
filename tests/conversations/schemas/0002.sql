-- The chat history as schema 0002 wrote it: never edited again.
BEGIN;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
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
    error JSON, spent JSON,
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
CREATE VIRTUAL TABLE title_search USING fts5(title, content='conversations', content_rowid='number',
        tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER title_in AFTER INSERT ON conversations BEGIN
        INSERT INTO title_search(rowid, title) VALUES (new.number, new.title);
    END;
CREATE TRIGGER title_out AFTER DELETE ON conversations BEGIN
        INSERT INTO title_search(title_search, rowid, title) VALUES ('delete', old.number, old.title);
    END;
CREATE TRIGGER title_changed AFTER UPDATE OF title ON conversations BEGIN
        INSERT INTO title_search(title_search, rowid, title) VALUES ('delete', old.number, old.title);
        INSERT INTO title_search(rowid, title) VALUES (new.number, new.title);
    END;
CREATE VIRTUAL TABLE message_search USING fts5(content, thinking, content='messages', content_rowid='number',
        tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER message_in AFTER INSERT ON messages WHEN new.status <> 'generating' BEGIN
        INSERT INTO message_search(rowid, content, thinking) VALUES (new.number, new.content, new.thinking);
    END;
CREATE TRIGGER message_out AFTER DELETE ON messages WHEN old.status <> 'generating' BEGIN
        INSERT INTO message_search(message_search, rowid, content, thinking)
            VALUES ('delete', old.number, old.content, old.thinking);
    END;
CREATE TRIGGER message_changed AFTER UPDATE OF content, thinking, status ON messages
    WHEN old.status <> 'generating' OR new.status <> 'generating' BEGIN
        INSERT INTO message_search(message_search, rowid, content, thinking)
            SELECT 'delete', old.number, old.content, old.thinking WHERE old.status <> 'generating';
        INSERT INTO message_search(rowid, content, thinking)
            SELECT new.number, new.content, new.thinking WHERE new.status <> 'generating';
    END;
CREATE VIRTUAL TABLE attachment_search USING fts5(name, text, content='attachments', content_rowid='number',
        tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER attachment_in AFTER INSERT ON attachments BEGIN
        INSERT INTO attachment_search(rowid, name, text) VALUES (new.number, new.name, new.text);
    END;
CREATE TRIGGER attachment_out AFTER DELETE ON attachments BEGIN
        INSERT INTO attachment_search(attachment_search, rowid, name, text)
            VALUES ('delete', old.number, old.name, old.text);
    END;
INSERT INTO alembic_version (version_num) VALUES ('0002');
INSERT INTO conversations (number, id, owner, title, model, current, created_at, updated_at) VALUES (1, '6b11a7da58f54b44bcb08a8e7f60e05b', 'local', 'Why is the sky blue; isn''t it?', 'other', '01521ce3a496446aa7672024d020f65b', 1.7954431816758382321e+09, 1.79544318168842244147e+09);
INSERT INTO conversations (number, id, owner, title, model, current, created_at, updated_at) VALUES (2, 'aa06784da8a546fdbc7c5afa7c17435c', 'key-1', 'Another person''s', NULL, NULL, 1.79544318169114708902e+09, 1.79544318169114708902e+09);
INSERT INTO messages (number, id, conversation_id, parent_id, role, content, thinking, thinking_started_at, thinking_ended_at, created_at, status, finish_reason, effort, model, model_digest, generation_id, dropped_turns, usage, timings, error) VALUES (1, 'c72de9d8adc24c139f040c181aab0a3b', '6b11a7da58f54b44bcb08a8e7f60e05b', NULL, 'user', 'Why is the sky blue; isn''t it?', NULL, NULL, NULL, 1.7954431816788547039e+09, 'complete', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL);
INSERT INTO messages (number, id, conversation_id, parent_id, role, content, thinking, thinking_started_at, thinking_ended_at, created_at, status, finish_reason, effort, model, model_digest, generation_id, dropped_turns, usage, timings, error) VALUES (2, 'a9e5307394074372b4f226743dff62db', '6b11a7da58f54b44bcb08a8e7f60e05b', 'c72de9d8adc24c139f040c181aab0a3b', 'assistant', 'Rayleigh scattering.', 'Hmm, light.', 1700000000.5, 1700000002.25, 1.7954431816788547039e+09, 'complete', 'stop', 'high', 'tiny', 'abababababababababababababababababababababababababababababababab', NULL, 0, '{"prompt_tokens": 9, "cached_tokens": 1, "completion_tokens": 5, "reasoning_tokens": 3}', '{"queue": 0.0, "prompt": 0.5, "decode": 1.5}', NULL);
INSERT INTO messages (number, id, conversation_id, parent_id, role, content, thinking, thinking_started_at, thinking_ended_at, created_at, status, finish_reason, effort, model, model_digest, generation_id, dropped_turns, usage, timings, error) VALUES (3, '01521ce3a496446aa7672024d020f65b', '6b11a7da58f54b44bcb08a8e7f60e05b', 'c72de9d8adc24c139f040c181aab0a3b', 'assistant', 'Half an ans', NULL, NULL, NULL, 1.79544318168842244147e+09, 'generating', NULL, NULL, 'other', NULL, 'e36fd76fcf6346aeb451cefa0068230b', 0, NULL, NULL, NULL);
INSERT INTO attachments (number, message_id, name, text) VALUES (1, 'c72de9d8adc24c139f040c181aab0a3b', 'notes.txt', 'violet
is shorter');
INSERT INTO generations (id, message_id, started_at) VALUES ('e5e676cd4d3c46a6914ea2b7381a5bff', 'a9e5307394074372b4f226743dff62db', 1.7954431816788547039e+09);
INSERT INTO generations (id, message_id, started_at) VALUES ('e36fd76fcf6346aeb451cefa0068230b', '01521ce3a496446aa7672024d020f65b', 1.79544318168842244147e+09);
UPDATE messages SET spent = '{"wall": {"value": 1.5, "unit": "s", "basis": "measured", "how": "by our clock"}, "money": {"value": null, "unit": "USD", "basis": "unknown", "how": "no price is declared"}, "entry": {"seq": 0, "hash": "abababababababababababababababababababababababababababababababab"}}' WHERE content = 'Rayleigh scattering.';
COMMIT;
