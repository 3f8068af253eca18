"""Search over titles, questions, answers, thinking and attachments. What a person types is never FTS syntax."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

TERMS = 12
"""Words of a query that count; more are ignored."""
SNIPPET_WORDS = 16
SNIPPET_CHARS = 40
"""To either side of a hit in a script without spaces."""

OPEN, CLOSE = "\ue000", "\ue001"
"""Around the hit in a snippet: private characters, so that no text needs escaping."""

# Scripts that put no spaces between words (Thai to Khmer, kana, Han, Hangul, and the supplementary Han planes): the
# index holds a whole run of them as one word, so they are looked for as plain text instead.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)

# Every index with the conversation each of its rows belongs to.
_INDEXES = {
    "message_search": "JOIN messages AS owner ON owner.number = message_search.rowid",
    "attachment_search": "JOIN attachments ON attachments.number = attachment_search.rowid "
    "JOIN messages AS owner ON owner.id = attachments.message_id",
    "title_search": "JOIN (SELECT number, id AS conversation_id FROM conversations) AS owner "
    "ON owner.number = title_search.rowid",
}
# The same texts without an index.
_TEXTS = """
    SELECT conversation_id, content AS text FROM messages
    UNION ALL SELECT conversation_id, thinking FROM messages WHERE thinking IS NOT NULL
    UNION ALL SELECT conversation_id, text FROM attachments JOIN messages ON messages.id = attachments.message_id
    UNION ALL SELECT id, title FROM conversations
"""


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


def snippets(connection: Connection, conversation_ids: Sequence[str], terms: Sequence[Term]) -> dict[str, str]:
    """For each conversation the place that answers the query best: in a message, else an attachment, else the title."""
    indexed = " OR ".join(term.match for term in terms if not term.unspaced)
    unspaced = next((term for term in terms if term.unspaced), None)
    found: dict[str, str] = {}
    for id in conversation_ids:
        place = _indexed_place(connection, id, indexed) if indexed else None
        if place is None and unspaced is not None:
            place = _unspaced_place(connection, id, unspaced)
        found[id] = place or ""
    return found


def _indexed_place(connection: Connection, conversation_id: str, match: str) -> str | None:
    for index, join in _INDEXES.items():
        place: str | None = connection.execute(
            text(
                f"SELECT snippet({index}, -1, :open, :close, '…', {SNIPPET_WORDS}) FROM {index} {join} "
                f"WHERE {index} MATCH :match AND owner.conversation_id = :id ORDER BY {index}.rank LIMIT 1"
            ),
            {"open": OPEN, "close": CLOSE, "match": match, "id": conversation_id},
        ).scalar()
        if place is not None:
            return place
    return None


def _unspaced_place(connection: Connection, conversation_id: str, term: Term) -> str | None:
    whole: str | None = connection.execute(
        text(f"SELECT text FROM ({_TEXTS}) WHERE conversation_id = :id AND text LIKE :like ESCAPE '\\' LIMIT 1"),
        {"id": conversation_id, "like": term.like},
    ).scalar()
    at = -1 if whole is None else whole.lower().find(term.word.lower())
    if whole is None or at < 0:
        return None
    end = at + len(term.word)
    start, stop = max(0, at - SNIPPET_CHARS), min(len(whole), end + SNIPPET_CHARS)
    before, after = "…" if start else "", "…" if stop < len(whole) else ""
    return f"{before}{whole[start:at]}{OPEN}{whole[at:end]}{CLOSE}{whole[end:stop]}{after}"
