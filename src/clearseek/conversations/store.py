"""The chat store: conversations as trees of messages, in one SQLite file.

Every method is synchronous, takes the owner who asks, and treats what belongs to someone else as not there. In
asyncio, call them through `read` and `write`: one thread each, so that the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, text, update

from clearseek.conversations import search
from clearseek.conversations.database import open_database, telling, writing
from clearseek.conversations.errors import ChatError, Conflict, NotFound
from clearseek.conversations.records import Attachment, Conversation, Message, Page, Summary
from clearseek.conversations.tables import attachments, conversations, generations, messages

P = ParamSpec("P")
T = TypeVar("T")

MAX_MESSAGES = 5_000
"""In one conversation, all branches together."""

INTERRUPTED = {
    "message": "ClearSeek was stopped in the middle of this answer. What had come is here; Continue goes on from it.",
    "code": "interrupted",
}


class ChatStore:
    """The chat history at `path`. Raises ChatError, in a sentence, from every method that meets trouble."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = open_database(path)
        self._writer = writing(self._engine)
        self._reading = ThreadPoolExecutor(1, "chats-read")
        self._writing = ThreadPoolExecutor(1, "chats-write")
        # Whoever holds this lock is the server whose answers are being written here. A second server on the same
        # folder must not take the first one's running answers for the remains of a crash.
        self._lock = FileLock(f"{path}.lock", timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            return
        except OSError:
            pass  # a file system without locks: then a second server is not guarded against, and that is all
        self._recover()

    def close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        self._engine.dispose()
        self._lock.release()

    async def read(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """After every write that was handed in before, however slow the disk is: whoever reloads the page sees what
        they did last."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writing, lambda: None)  # writes are done in order
        return await loop.run_in_executor(self._reading, lambda: method(*args, **kwargs))

    async def write(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, lambda: method(*args, **kwargs))

    # Conversations

    def create(self, owner: str, title: str = "", model: str | None = None) -> Conversation:
        now = time.time()
        with telling(self.path), self._writer.begin() as db:
            fresh = Conversation(new_id(), title, model, now, now, None)
            _insert_conversation(db, owner, fresh)
            return fresh

    def conversation(self, owner: str, id: str) -> Conversation:
        with telling(self.path), self._engine.begin() as db:
            return _conversation(db, owner, id)

    def page(self, owner: str, query: str = "", limit: int = 50, before: str | None = None) -> Page:
        """Newest first. `before` is the `next` of the page before; a word that is none raises ChatError."""
        wanted = select(conversations).where(conversations.c.owner == owner)
        parameters: dict[str, Any] = {}
        terms = search.terms_of(query)
        if query.strip():
            if not terms:
                return Page((), None)
            ids, parameters = search.matching(terms)
            wanted = wanted.where(text(f"conversations.id IN ({ids})"))
        if before is not None:
            updated_at, number = _read_cursor(before)
            wanted = wanted.where(
                (conversations.c.updated_at < updated_at)
                | ((conversations.c.updated_at == updated_at) & (conversations.c.number < number))
            )
        wanted = wanted.order_by(conversations.c.updated_at.desc(), conversations.c.number.desc()).limit(limit + 1)
        with telling(self.path), self._engine.begin() as db:
            rows = db.execute(wanted, parameters).mappings().all()
            shown = rows[:limit]
            places = search.places(db, [row["id"] for row in shown], terms) if terms else {}
        items = tuple(
            Summary(
                row["id"],
                row["title"],
                row["model"],
                row["created_at"],
                row["updated_at"],
                *places.get(row["id"], ("", None)),
            )
            for row in shown
        )
        return Page(items, f"{shown[-1]['updated_at']!r}_{shown[-1]['number']}" if len(rows) > limit else None)

    def find(self, owner: str, id: str, query: str) -> list[search.Hit]:
        """The messages of a conversation that answer a query best, in the order in which they were written."""
        terms = search.terms_of(query)
        with telling(self.path), self._engine.begin() as db:
            _own(db, owner, id)
            return search.hits(db, id, terms) if terms else []

    def titles(self, owner: str, ids: Sequence[str]) -> dict[str, str]:
        """The titles of those of these conversations that there are."""
        wanted = select(conversations.c.id, conversations.c.title)
        wanted = wanted.where(conversations.c.owner == owner, conversations.c.id.in_(ids))
        with telling(self.path), self._engine.begin() as db:
            return {row.id: row.title for row in db.execute(wanted)}

    def rename(self, owner: str, id: str, title: str) -> None:
        with telling(self.path), self._writer.begin() as db:
            _own(db, owner, id)
            db.execute(update(conversations).where(conversations.c.id == id).values(title=title))

    def show(self, owner: str, id: str, message_id: str) -> None:
        """Make the branch of a message the one that is shown, down to its newest leaf."""
        with telling(self.path), self._writer.begin() as db:
            _own(db, owner, id)
            if _message_row(db, owner, message_id)["conversation_id"] != id:
                raise NotFound("There is no such message in this conversation.")
            leaf = message_id
            while child := db.scalar(select(func.max(messages.c.number)).where(messages.c.parent_id == leaf)):
                leaf = db.execute(select(messages.c.id).where(messages.c.number == child)).scalar_one()
            db.execute(update(conversations).where(conversations.c.id == id).values(current=leaf))

    def delete(self, owner: str, id: str) -> None:
        with telling(self.path), self._writer.begin() as db:
            _own(db, owner, id)
            db.execute(delete(conversations).where(conversations.c.id == id))

    def delete_many(self, owner: str, ids: Sequence[str] | None) -> set[str]:
        """Delete those of these conversations that there are (None: all of the owner's), and give their ids."""
        mine = select(conversations.c.id).where(conversations.c.owner == owner)
        if ids is not None:
            mine = mine.where(conversations.c.id.in_(ids))
        with telling(self.path), self._writer.begin() as db:
            results = set(db.scalars(mine))
            db.execute(delete(conversations).where(conversations.c.id.in_(mine.scalar_subquery())))
            return results

    def add(self, owner: str, conversation: Conversation) -> Conversation:
        """A whole conversation with its messages, parents before children (an import). Ids must be new."""
        with telling(self.path), self._writer.begin() as db:
            _insert_conversation(db, owner, conversation)
            return _conversation(db, owner, conversation.id)

    # Messages

    def message(self, owner: str, id: str) -> Message:
        with telling(self.path), self._engine.begin() as db:
            row = _message_row(db, owner, id)
            return _messages(db, [row])[0]

    def message_of(self, owner: str, generation_id: str) -> Message:
        """The message that a generation wrote to, for as long as it exists."""
        with telling(self.path), self._engine.begin() as db:
            id = db.scalar(select(generations.c.message_id).where(generations.c.id == generation_id))
            if id is None:
                raise NotFound("There is no such generation.")
            try:
                row = _message_row(db, owner, id)
            except NotFound:
                raise NotFound("There is no such generation.") from None
            return _messages(db, [row])[0]

    def context_tokens(self, owner: str, id: str) -> int | None:
        """How many tokens a question after answer `id` begins with: its prompt and text, without its thinking.

        None where nobody counted them: no usage, or the sum of several goes at one answer.
        """
        with telling(self.path), self._engine.begin() as db:
            row = _message_row(db, owner, id)
            goes = db.scalar(select(func.count()).where(generations.c.message_id == id))
        usage = row["usage"]
        if row["role"] != "assistant" or not usage or goes != 1:
            return None
        return int(usage["prompt_tokens"] + usage["completion_tokens"] - usage["reasoning_tokens"])

    def history(self, owner: str, id: str) -> tuple[Message, ...]:
        """The messages from the root of the conversation to message `id`, both included."""
        with telling(self.path), self._engine.begin() as db:
            _message_row(db, owner, id)
            rows = db.execute(_PATH, {"id": id}).mappings().all()
            return tuple(_messages(db, rows))

    # Asking. Each makes its message and its generation in one transaction: a question is never without its answer.

    def ask(
        self,
        owner: str,
        conversation_id: str,
        content: str,
        parent_id: str | None,
        files: Sequence[Attachment] = (),
        *,
        model: str,
        effort: str | None,
    ) -> tuple[Message, Message]:
        """A new question under `parent_id` (None: at the root) and the empty answer to it, which is then current."""
        with telling(self.path), self._writer.begin() as db:
            conversation = _own(db, owner, conversation_id)
            if parent_id is not None:
                parent = _message_row(db, owner, parent_id)
                if parent["conversation_id"] != conversation_id or parent["role"] != "assistant":
                    raise NotFound("There is no such answer in this conversation to go on from.")
                if parent["status"] == "generating":
                    raise Conflict("The answer before is still being written. Wait for its end, or stop it.")
            now = time.time()
            user = Message(
                new_id(), conversation_id, parent_id, "user", content, created_at=now, attachments=tuple(files)
            )
            answer = _empty_answer(conversation_id, user.id, model, effort, now)
            _make_room(db, conversation_id, 2)
            _insert_message(db, user)
            _insert_message(db, answer)
            title = conversation["title"] or title_from(content, files)
            _touch(db, conversation_id, now, title=title, model=model, current=answer.id)
            return user, answer

    def answer_again(self, owner: str, id: str, *, model: str, effort: str | None) -> Message:
        """Another answer to the question that answer `id` was given to; it is then current."""
        with telling(self.path), self._writer.begin() as db:
            sibling = _message_row(db, owner, id)
            if sibling["role"] != "assistant":
                raise ChatError("Only an answer can be regenerated. To change a question, post a new one.")
            now = time.time()
            answer = _empty_answer(sibling["conversation_id"], sibling["parent_id"], model, effort, now)
            _make_room(db, answer.conversation_id, 1)
            _insert_message(db, answer)
            _touch(db, answer.conversation_id, now, model=model, current=answer.id)
            return answer

    def resume(self, owner: str, id: str, *, effort: str | None) -> Message:
        """Open an answer that ended early, so that a new generation goes on with it."""
        with telling(self.path), self._writer.begin() as db:
            row = _message_row(db, owner, id)
            if row["role"] != "assistant":
                raise ChatError("Only an answer can be continued.")
            if row["status"] == "generating":
                raise Conflict("This answer is being written already.")
            if row["status"] == "complete" and row["finish_reason"] not in ("length", "aborted"):
                raise Conflict("This answer is complete; there is nothing to continue.")
            now, generation_id = time.time(), new_id()
            changed: dict[str, Any] = {
                "status": "generating",
                "generation_id": generation_id,
                "finish_reason": None,
                "error": None,
            }
            db.execute(update(messages).where(messages.c.id == id).values(effort=effort, **changed))
            _note_generation(db, generation_id, id, now)
            _touch(db, row["conversation_id"], now)
            return _messages(db, [_message_row(db, owner, id)])[0]

    # Writing down what comes

    def save(self, written: Iterable[Message]) -> None:
        """All about these answers but their place in the tree, in one transaction. A deleted one is passed over."""
        rows = [_changeable(message) for message in written]
        with telling(self.path), self._writer.begin() as db:
            db.execute(_SAVE, rows)
            over = {message["conversation_id"] for message in rows if message["status"] != "generating"}
            for conversation_id in over:
                _touch(db, conversation_id, time.time())

    def _recover(self) -> None:
        """What was being written when the last server died reads "interrupted", with what had come."""
        ended = {"status": "interrupted", "finish_reason": "aborted", "generation_id": None, "error": INTERRUPTED}
        with telling(self.path), self._writer.begin() as db:
            db.execute(update(messages).where(messages.c.status == "generating").values(**ended))


def new_id() -> str:
    return uuid.uuid4().hex


def title_from(content: str, files: Sequence[Attachment] = ()) -> str:
    """The first words of a question, at most 60 characters."""
    line = " ".join(content[:400].split()) or (files[0].name if files else "")
    if len(line) <= 60:
        return line
    return (line[:60].rsplit(" ", 1)[0] if " " in line[:60] else line[:60]) + "…"


_HEAD = [column for column in conversations.c if column.name not in ("number", "owner")]

_PATH = text(
    """
    WITH RECURSIVE path(id, depth) AS (
        SELECT :id, 0
        UNION ALL
        SELECT messages.parent_id, depth + 1 FROM path JOIN messages USING (id)
            WHERE messages.parent_id IS NOT NULL AND depth < 5000
    )
    SELECT messages.* FROM path JOIN messages USING (id) ORDER BY depth DESC
    """
).columns(*messages.c)

_SAVED = (
    "content",
    "thinking",
    "thinking_started_at",
    "thinking_ended_at",
    "status",
    "finish_reason",
    "model_digest",
    "generation_id",
    "dropped_turns",
    "usage",
    "timings",
    "error",
    "spent",
)
_SAVE = update(messages).where(messages.c.id == bindparam("message_id")).values({n: bindparam(n) for n in _SAVED})


def _changeable(message: Message) -> dict[str, Any]:
    values = {name: getattr(message, name) for name in _SAVED}
    return {"message_id": message.id, "conversation_id": message.conversation_id, **values}


def _read_cursor(cursor: str) -> tuple[float, int]:
    try:
        updated_at, number = cursor.split("_")
        return float(updated_at), int(number)
    except ValueError:
        raise ChatError("The cursor `before` is not one that a list gave.") from None


def _own(db: Connection, owner: str, id: str) -> RowMapping:
    row = db.execute(select(conversations).filter_by(id=id, owner=owner)).mappings().first()
    if row is None:
        raise NotFound("There is no such conversation; it may have been deleted.")
    return row


def _message_row(db: Connection, owner: str, id: str) -> RowMapping:
    wanted = (
        select(messages)
        .join(conversations, conversations.c.id == messages.c.conversation_id)
        .where(messages.c.id == id, conversations.c.owner == owner)
    )
    row = db.execute(wanted).mappings().first()
    if row is None:
        raise NotFound("There is no such message; it may have been deleted.")
    return row


def _conversation(db: Connection, owner: str, id: str) -> Conversation:
    head = _own(db, owner, id)
    rows = db.execute(select(messages).where(messages.c.conversation_id == id).order_by(messages.c.number)).mappings()
    return Conversation(
        id=id,
        title=head["title"],
        model=head["model"],
        created_at=head["created_at"],
        updated_at=head["updated_at"],
        current=head["current"],
        messages=tuple(_messages(db, rows.all())),
    )


def _messages(db: Connection, rows: Sequence[RowMapping]) -> list[Message]:
    files: dict[str, list[Attachment]] = {}
    asked = [row["id"] for row in rows if row["role"] == "user"]
    if asked:
        wanted = select(attachments).where(attachments.c.message_id.in_(asked)).order_by(attachments.c.number)
        for file in db.execute(wanted).mappings():
            files.setdefault(file["message_id"], []).append(Attachment(file["name"], file["text"]))
    return [
        Message(
            **{name: value for name, value in row.items() if name != "number"},
            attachments=tuple(files.get(row["id"], ())),
        )
        for row in rows
    ]


def _empty_answer(conversation_id: str, parent_id: str, model: str, effort: str | None, now: float) -> Message:
    return Message(
        new_id(),
        conversation_id,
        parent_id,
        "assistant",
        "",
        created_at=now,
        status="generating",
        model=model,
        effort=effort,
        generation_id=new_id(),
    )


def _insert_conversation(db: Connection, owner: str, conversation: Conversation) -> None:
    head = {column.name: getattr(conversation, column.name) for column in _HEAD}
    db.execute(insert(conversations).values(owner=owner, **head))
    for message in conversation.messages:
        _insert_message(db, message)


def _insert_message(db: Connection, message: Message) -> None:
    """With its attachments, and its generation if it is being generated."""
    columns = [column.name for column in messages.c if column.name != "number"]
    db.execute(insert(messages).values({name: getattr(message, name) for name in columns}))
    if message.attachments:
        files = [{"message_id": message.id, "name": file.name, "text": file.text} for file in message.attachments]
        db.execute(insert(attachments), files)
    if message.generation_id is not None:
        _note_generation(db, message.generation_id, message.id, message.created_at)


def _note_generation(db: Connection, generation_id: str, message_id: str, now: float) -> None:
    db.execute(insert(generations).values(id=generation_id, message_id=message_id, started_at=now))


def _make_room(db: Connection, conversation_id: str, more: int) -> None:
    count = db.scalar(select(func.count()).where(messages.c.conversation_id == conversation_id)) or 0
    if count + more > MAX_MESSAGES:
        raise Conflict(f"A conversation holds at most {MAX_MESSAGES:,} messages. Start a new chat.")


def _touch(db: Connection, conversation_id: str, now: float, **values: Any) -> None:
    db.execute(update(conversations).where(conversations.c.id == conversation_id).values(updated_at=now, **values))
