"""Search over titles, questions, answers, thinking and attachments. What a person types is never FTS syntax."""

from __future__ import annotations

from sqlalchemy import Connection, text

TERMS = 12
"""Words of a query that count; more are ignored."""

OPEN, CLOSE = "\ue000", "\ue001"
"""Around the hit in a snippet: private characters, so that no text needs escaping."""

# Every index with the conversation each of its rows belongs to.
_INDEXES = {
    "message_search": "JOIN messages AS owner ON owner.number = message_search.rowid",
    "attachment_search": "JOIN attachments ON attachments.number = attachment_search.rowid "
    "JOIN messages AS owner ON owner.id = attachments.message_id",
    "title_search": "JOIN (SELECT number, id AS conversation_id FROM conversations) AS owner "
    "ON owner.number = title_search.rowid",
}


def terms_of(query: str) -> list[str]:
    """The query as FTS5 strings, one for each word; the last one matches as a beginning, since it may be unfinished.

    Words without a letter or digit match nothing and are left out.
    """
    words = [word for word in query.replace("\0", " ").split() if any(c.isalnum() for c in word)][:TERMS]
    quoted = ['"' + word.replace('"', '""') + '"' for word in words]
    return [*quoted[:-1], quoted[-1] + " *"] if quoted else []


def matching(terms: list[str]) -> tuple[str, dict[str, str]]:
    """SQL for the ids of the conversations in which every term occurs somewhere, and its parameters."""
    places = " UNION ".join(
        f"SELECT owner.conversation_id FROM {index} {join} WHERE {index} MATCH :term{{n}}"
        for index, join in _INDEXES.items()
    )
    every = " INTERSECT ".join(f"SELECT * FROM ({places})".replace("{n}", str(n)) for n in range(len(terms)))
    return every, {f"term{n}": term for n, term in enumerate(terms)}


def snippets(connection: Connection, conversation_ids: list[str], terms: list[str]) -> dict[str, str]:
    """For each conversation the place that answers the query best: in a message, else an attachment, else the title."""
    found: dict[str, str] = {}
    either = " OR ".join(terms)
    for index, join in _INDEXES.items():
        for conversation_id in conversation_ids:
            if conversation_id in found:
                continue
            place = connection.execute(
                text(
                    f"SELECT snippet({index}, -1, :open, :close, '…', 16) FROM {index} {join} "
                    f"WHERE {index} MATCH :terms AND owner.conversation_id = :id ORDER BY {index}.rank LIMIT 1"
                ),
                {"open": OPEN, "close": CLOSE, "terms": either, "id": conversation_id},
            ).scalar()
            if place:
                found[conversation_id] = place
    return found
