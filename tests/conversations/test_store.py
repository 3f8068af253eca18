"""The chat store: trees, owners, and a file that others may not read."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clearseek.conversations import store as store_module
from clearseek.conversations.errors import ChatError, Conflict, NotFound, StoreBroken
from clearseek.conversations.records import Attachment, Message, path_to
from clearseek.conversations.store import ChatStore, title_from


@pytest.fixture
def chats(tmp_path: Path) -> Iterator[ChatStore]:
    made = ChatStore(tmp_path / "chat.sqlite")
    yield made
    made.close()


async def test_a_read_sees_every_write_that_was_handed_in_before_it(chats: ChatStore) -> None:
    """However slow the disk: a page that is reloaded right after a branch was chosen shows that branch."""
    id = chats.create("me").id
    gate = threading.Event()

    def slow() -> None:
        gate.wait(30)
        chats.rename("me", id, "new")

    writing = asyncio.create_task(chats.write(slow))
    await asyncio.sleep(0)
    reading = asyncio.create_task(chats.read(chats.conversation, "me", id))
    await asyncio.sleep(0.1)
    assert not reading.done()
    gate.set()
    assert (await reading).title == "new"
    await writing


async def test_a_reader_that_goes_away_takes_no_write_with_it(chats: ChatStore) -> None:
    id = chats.create("me").id
    gate = threading.Event()
    first = asyncio.create_task(chats.write(gate.wait, 30))
    second = asyncio.create_task(chats.write(chats.rename, "me", id, "new"))
    await asyncio.sleep(0)
    reading = asyncio.create_task(chats.read(chats.conversation, "me", id))
    await asyncio.sleep(0.05)
    reading.cancel()
    gate.set()
    await asyncio.gather(first, second)
    assert chats.conversation("me", id).title == "new"


def ended(chats: ChatStore, answer: Message, content: str = "An answer.", **how: object) -> Message:
    done = replace(answer, content=content, status="complete", finish_reason="stop", generation_id=None, **how)
    chats.save([done])
    return done


def test_a_conversation_is_a_tree_and_current_its_shown_leaf(chats: ChatStore) -> None:
    id = chats.create("me").id
    q1, a1 = chats.ask("me", id, "one?", None, model="m", effort=None)
    ended(chats, a1)
    a1b = chats.answer_again("me", a1.id, model="m", effort="low")
    ended(chats, a1b)
    _, a2 = chats.ask("me", id, "two?", a1b.id, model="m", effort=None)
    ended(chats, a2)
    q1b, a3 = chats.ask("me", id, "one, really?", None, model="m", effort=None)
    ended(chats, a3)
    tree = chats.conversation("me", id)
    assert tree.current == a3.id
    assert [m.id for m in path_to(tree.messages, tree.current)] == [q1b.id, a3.id]
    assert [m.id for m in chats.history("me", a2.id)] == [q1.id, a1b.id, chats.history("me", a2.id)[2].id, a2.id]
    chats.show("me", id, q1.id)
    assert chats.conversation("me", id).current == a2.id, "down to the newest leaf"
    chats.show("me", id, a1.id)
    assert chats.conversation("me", id).current == a1.id
    seen: set[str | None] = {None}
    for message in tree.messages:
        assert message.parent_id in seen, "parents come before children"
        seen.add(message.id)


def test_what_a_message_holds_comes_back_as_it_was(chats: ChatStore) -> None:
    id = chats.create("me").id
    files = [Attachment("a.txt", "x\0y"), Attachment("b.txt", "")]
    question, answer = chats.ask("me", id, "naïve 日本 \U0001f600 \0?", None, files, model="m", effort="max")
    done = ended(
        chats,
        answer,
        "answer",
        thinking="thoughts",
        thinking_started_at=1.5,
        thinking_ended_at=2.25,
        model_digest="ab" * 32,
        usage={"prompt_tokens": 3},
        timings={"decode": 0.5},
        error={"message": "x", "code": "y", "over": 3},
        dropped_turns=2,
    )
    assert chats.message("me", question.id) == question
    assert chats.message("me", answer.id) == done
    assert chats.message_of("me", answer.generation_id or "") == done


def test_everything_belongs_to_someone(chats: ChatStore) -> None:
    id = chats.create("me").id
    _, answer = chats.ask("me", id, "secret?", None, model="m", effort=None)
    theirs = chats.create("they").id
    attempts = [
        lambda: chats.conversation("they", id),
        lambda: chats.rename("they", id, "mine"),
        lambda: chats.delete("they", id),
        lambda: chats.show("they", id, answer.id),
        lambda: chats.show("they", theirs, answer.id),
        lambda: chats.message("they", answer.id),
        lambda: chats.message_of("they", answer.generation_id or ""),
        lambda: chats.history("they", answer.id),
        lambda: chats.ask("they", id, "x", None, model="m", effort=None),
        lambda: chats.ask("they", theirs, "x", answer.id, model="m", effort=None),
        lambda: chats.answer_again("they", answer.id, model="m", effort=None),
        lambda: chats.resume("they", answer.id, effort=None),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()
    assert [line.id for line in chats.page("they").items] == [theirs]
    assert chats.page("they", "secret").items == ()
    assert len(chats.conversation("me", id).messages) == 2


def test_what_may_not_be(chats: ChatStore, monkeypatch: pytest.MonkeyPatch) -> None:
    id = chats.create("me").id
    question, answer = chats.ask("me", id, "one?", None, model="m", effort=None)
    with pytest.raises(Conflict, match="being written"):
        chats.ask("me", id, "two?", answer.id, model="m", effort=None)
    with pytest.raises(NotFound):
        chats.ask("me", id, "two?", question.id, model="m", effort=None)
    with pytest.raises(ChatError, match="Only an answer"):
        chats.answer_again("me", question.id, model="m", effort=None)
    ended(chats, answer)
    with pytest.raises(Conflict, match="complete"):
        chats.resume("me", answer.id, effort=None)
    monkeypatch.setattr(store_module, "MAX_MESSAGES", 3)
    with pytest.raises(Conflict, match="at most 3 messages"):
        chats.ask("me", id, "two?", answer.id, model="m", effort=None)
    assert len(chats.conversation("me", id).messages) == 2, "a refused question leaves nothing behind"


def test_saving_a_deleted_answer_brings_nothing_back(chats: ChatStore) -> None:
    id = chats.create("me").id
    _, answer = chats.ask("me", id, "one?", None, model="m", effort=None)
    chats.delete("me", id)
    ended(chats, answer)
    assert chats.page("me").items == ()
    with pytest.raises(NotFound):
        chats.message("me", answer.id)


def test_pages_of_a_list_are_whole_and_in_order(chats: ChatStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module.time, "time", lambda: 1000.0)  # all at the same moment: the hardest to page
    ids = [chats.create("me", f"chat {n}").id for n in range(7)]
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = chats.page("me", limit=2, before=cursor)
        seen += [line.id for line in page.items]
        cursor = page.next
    assert cursor is None
    assert seen == ids[::-1]


def test_titles() -> None:
    assert title_from("  Why\n is it?  ") == "Why is it?"
    assert title_from("word " * 100) == ("word " * 12).strip() + "…"
    assert title_from("x" * 500) == "x" * 60 + "…"
    assert title_from("", [Attachment("notes.txt", "")]) == "notes.txt"
    assert title_from("") == ""


def test_a_title_once_given_stays(chats: ChatStore) -> None:
    id = chats.create("me", "Mine").id
    chats.ask("me", id, "one?", None, model="m", effort=None)
    assert chats.conversation("me", id).title == "Mine"


def test_only_the_owner_of_the_machine_may_read_the_file(chats: ChatStore) -> None:
    chats.create("me", "secret")
    for file in chats.path.parent.glob("chat.sqlite*"):
        if not file.name.endswith(".lock"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_the_remains_of_a_crash_read_interrupted(tmp_path: Path) -> None:
    first = ChatStore(tmp_path / "chat.sqlite")
    id = first.create("me").id
    _, answer = first.ask("me", id, "one?", None, model="m", effort="low")
    first.save([replace(answer, content="half an ans", thinking="hm")])
    # A second server on the same folder must not take this for the remains of a crash.
    second = ChatStore(tmp_path / "chat.sqlite")
    assert second.message("me", answer.id).status == "generating"
    second.close()
    first.close()
    third = ChatStore(tmp_path / "chat.sqlite")
    left = third.message("me", answer.id)
    assert (left.status, left.content, left.thinking) == ("interrupted", "half an ans", "hm")
    assert left.generation_id is None
    assert left.error is not None
    assert left.error["code"] == "interrupted"
    assert third.page("me", "half").items, "what had come can be found"
    third.close()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreBroken, match="cannot be opened"):
        ChatStore(tmp_path / "file" / "chat.sqlite")
    with pytest.raises(StoreBroken, match="cannot be opened"):
        ChatStore(tmp_path)
