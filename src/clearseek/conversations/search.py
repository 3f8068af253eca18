"""Search over titles, questions, answers, thinking and attachments. What a person types is never FTS syntax."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, text

TERMS = 12
"""Words of a query that count; more are ignored."""
SNIPPET_WORDS = 16
SNIPPET_CHARS = 40
"""To either side of a hit in a script without spaces."""

OPEN, CLOSE = "\ue000", "\ue001"
"""Around the hit in a snippet: private characters, so that no text needs escaping."""
MAX_HITS = 500
"""Messages of one conversation that are told."""
MAX_WORDS = 50
"""Different words that are told of one of them."""
_MARKED = re.compile(f"{OPEN}([^{OPEN}{CLOSE}]+){CLOSE}")

# Scripts that put no spaces between words (Thai to Khmer, kana, Han, Hangul, and the supplementary Han planes): the
# index holds a whole run of them as one word, so they are looked for as plain text instead.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)

# Every index with the conversation and the message that each of its rows belongs to.
_INDEXES = {
    "message_search": "JOIN (SELECT number, id AS message_id, conversation_id FROM messages) AS owner "
    "ON owner.number = message_search.rowid",
    "attachment_search": "JOIN (SELECT attachments.number, message_id, conversation_id FROM attachments "
    "JOIN messages ON messages.id = attachments.message_id) AS owner ON owner.number = attachment_search.rowid",
    "title_search": "JOIN (SELECT number, NULL AS message_id, id AS conversation_id FROM conversations) AS owner "
    "ON owner.number = title_search.rowid",
}
# The same texts without an index.
_TEXTS = """
    SELECT conversation_id, id AS message_id, 'content' AS place, content AS text FROM messages
    UNION ALL SELECT conversation_id, id, 'thinking', thinking FROM messages WHERE thinking IS NOT NULL
    UNION ALL SELECT conversation_id, messages.id, 'attachment', text FROM attachments
        JOIN messages ON messages.id = attachments.message_id
    UNION ALL SELECT id, NULL, 'title', title FROM conversations
"""

Where = Literal["content", "thinking", "attachment"]
WHERES: tuple[Where, ...] = ("content", "thinking", "attachment")
"""A message is told once, for the first of these that holds the words."""
_COLUMNS: dict[str, tuple[tuple[int, Where], ...]] = {
    "message_search": ((0, "content"), (1, "thinking")),
    "attachment_search": ((0, "attachment"), (1, "attachment")),
}


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that answers a query: the part of it that does, and the words there, as they are written."""

    message: str
    where: Where
    words: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"message": self.message, "where": self.where, "words": list(self.words)}


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a query: as an FTS5 string, and whether it must be looked for without the index."""

    word: str
    match: str
    unspaced: bool

    @property
    def like(self) -> str:
        return "%" + re.sub(r"([\\%_])", r"\\\1", self.word) + "%"


def terms_of(query: str) -> list[Term]:
    """The words of a query; the last one matches as a beginning, since it may be unfinished.

    Words without a letter or digit match nothing and are left out.
    """
    words = [word for word in query.replace("\0", " ").split() if any(c.isalnum() for c in word)][:TERMS]
    quoted = ['"' + word.replace('"', '""') + '"' for word in words]
    if quoted:
        quoted[-1] += " *"
    return [Term(word, match, bool(_UNSPACED.search(word))) for word, match in zip(words, quoted, strict=True)]


def matching(terms: Sequence[Term]) -> tuple[str, dict[str, str]]:
    """SQL for the ids of the conversations in which every term occurs somewhere, and its parameters."""
    places = []
    for n, term in enumerate(terms):
        if term.unspaced:
            places.append(f"SELECT conversation_id FROM ({_TEXTS}) WHERE text LIKE :term{n} ESCAPE '\\'")
        else:
            either = " UNION ".join(
                f"SELECT owner.conversation_id FROM {index} {join} WHERE {index} MATCH :term{n}"
                for index, join in _INDEXES.items()
            )
            places.append(f"SELECT * FROM ({either})")
    parameters = {f"term{n}": term.like if term.unspaced else term.match for n, term in enumerate(terms)}
    return " INTERSECT ".join(places), parameters


def places(
    connection: Connection, conversation_ids: Sequence[str], terms: Sequence[Term]
) -> dict[str, tuple[str, str | None]]:
    """For each conversation the place that answers the query best: in a message, else an attachment, else the title.

    As a snippet, and the id of the message (None for the title).
    """
    indexed = " OR ".join(term.match for term in terms if not term.unspaced)
    unspaced = next((term for term in terms if term.unspaced), None)
    results: dict[str, tuple[str, str | None]] = {}
    for id in conversation_ids:
        place = _indexed_place(connection, id, indexed) if indexed else None
        if place is None and unspaced is not None:
            place = _unspaced_place(connection, id, unspaced)
        results[id] = place or ("", None)
    return results


def _indexed_place(connection: Connection, conversation_id: str, match: str) -> tuple[str, str | None] | None:
    for index, join in _INDEXES.items():
        place = connection.execute(
            text(
                f"SELECT snippet({index}, -1, :open, :close, '…', {SNIPPET_WORDS}), owner.message_id "
                f"FROM {index} {join} WHERE {index} MATCH :match AND owner.conversation_id = :id "
                f"ORDER BY {index}.rank LIMIT 1"
            ),
            {"open": OPEN, "close": CLOSE, "match": match, "id": conversation_id},
        ).first()
        if place is not None:
            return place[0], place[1]
    return None


def _unspaced_place(connection: Connection, conversation_id: str, term: Term) -> tuple[str, str | None] | None:
    row = connection.execute(
        text(
            f"SELECT text, message_id FROM ({_TEXTS}) "
            "WHERE conversation_id = :id AND text LIKE :like ESCAPE '\\' LIMIT 1"
        ),
        {"id": conversation_id, "like": term.like},
    ).first()
    if row is None:
        return None
    whole: str = row[0]
    at = whole.lower().find(term.word.lower())
    if at < 0:
        return None
    end = at + len(term.word)
    start, stop = max(0, at - SNIPPET_CHARS), min(len(whole), end + SNIPPET_CHARS)
    before, after = "…" if start else "", "…" if stop < len(whole) else ""
    return f"{before}{whole[start:at]}{OPEN}{whole[at:end]}{CLOSE}{whole[end:stop]}{after}", row[1]


def hits(connection: Connection, conversation_id: str, terms: Sequence[Term]) -> list[Hit]:
    """The messages of a conversation in which the most of the terms occur, in order; at most MAX_HITS."""
    results: dict[str, dict[Where, dict[str, None]]] = {}
    """By message: the words at each place."""
    counts: Counter[str] = Counter()
    for term in terms:
        here = _unspaced_words(connection, conversation_id, term) if term.unspaced else None
        here = _indexed_words(connection, conversation_id, term) if here is None else here
        for message, where, words in here:
            results.setdefault(message, {}).setdefault(where, {}).update(dict.fromkeys(words))
        counts.update({message for message, _, _ in here})
    most = max(counts.values(), default=0)
    best = [message for message, count in counts.items() if count == most]
    rows = connection.execute(
        text("SELECT id FROM messages WHERE conversation_id = :id ORDER BY number"), {"id": conversation_id}
    )
    ordered = [row[0] for row in rows if row[0] in set(best)][:MAX_HITS]
    hits = []
    for message in ordered:
        where = next(place for place in WHERES if place in results[message])
        hits.append(Hit(message, where, tuple(results[message][where])[:MAX_WORDS]))
    return hits


def _indexed_words(connection: Connection, conversation_id: str, term: Term) -> list[tuple[str, Where, list[str]]]:
    indexed_words = []
    for index, columns in _COLUMNS.items():
        marked = ", ".join(f"highlight({index}, {number}, :open, :close)" for number, _ in columns)
        rows = connection.execute(
            text(
                f"SELECT owner.message_id, {marked} FROM {index} {_INDEXES[index]} "
                f"WHERE {index} MATCH :match AND owner.conversation_id = :id"
            ),
            {"open": OPEN, "close": CLOSE, "match": term.match, "id": conversation_id},
        )
        for message, *texts in rows:
            for (_, where), whole in zip(columns, texts, strict=True):
                words = _MARKED.findall(whole or "")
                if words:
                    indexed_words.append((message, where, words))
    return indexed_words


def _unspaced_words(connection: Connection, conversation_id: str, term: Term) -> list[tuple[str, Where, list[str]]]:
    rows = connection.execute(
        text(
            f"SELECT message_id, place FROM ({_TEXTS}) WHERE conversation_id = :id AND message_id IS NOT NULL "
            "AND text LIKE :like ESCAPE '\\'"
        ),
        {"id": conversation_id, "like": term.like},
    )
    return [(row[0], row[1], [term.word]) for row in rows]
