"""Generations: reload is not stop, stop is explicit, nothing is lost, whoever listens."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import orjson
import pytest
from scripted_pool import ANSWER, DIGEST, THINKING, ScriptedPool, ordinary

from clearseek.conversations.errors import Conflict, DiskFull, NotFound
from clearseek.conversations.records import Attachment, Message
from clearseek.conversations.store import ChatStore
from clearseek.inference.engine import (
    Delta,
    Event,
    Finished,
    Progress,
    Recast,
    Request,
    Spent,
    Thinking,
    Timings,
    Usage,
)
from clearseek.inference.errors import ContextOverflow, EngineCrashed, UnknownModel
from clearseek.ledger.quantity import Quantity, declared, measured, unknown
from clearseek.server import generations as generations_module
from clearseek.server.errors import ApiError
from clearseek.server.generation import timed, with_earlier
from clearseek.server.generations import Generations

ME, OTHER = "local", "key-2"
WHOLE, THOUGHT = "".join(ANSWER), "".join(THINKING)


@pytest.fixture
def chats(tmp_path: Path) -> object:
    store = ChatStore(tmp_path / "chat.sqlite")
    yield store
    store.close()


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


@pytest.fixture
async def talks(pool: ScriptedPool, chats: ChatStore) -> AsyncIterator[Generations]:
    made = Generations(pool, chats)  # type: ignore[arg-type]
    yield made
    await made.close()


def parse(event: bytes) -> tuple[str, int, dict]:
    lines = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
    return lines["event"], int(lines["id"]), orjson.loads(lines["data"])


async def hear(
    talks: Generations, generation_id: str, owner: str = ME, pause: float = 0
) -> list[tuple[str, int, dict]]:
    heard = []
    async for event in await talks.listen(owner, generation_id):
        if not event.startswith(b":"):
            heard.append(parse(event))
        if pause:
            await asyncio.sleep(pause)
    return heard


def told(events: list[tuple[str, int, dict]]) -> tuple[str, str]:
    """What a page shows after these events: (thinking, answer), and whether they were well-formed."""
    assert events[0][0] == "snapshot"
    assert events[-1][0] in ("done", "error")
    numbers = [number for _, number, _ in events]
    assert numbers == sorted(set(numbers)), "ids must grow"
    message = events[0][2]["message"]
    thinking, answer = message["thinking"] or "", message["content"]
    for name, _, data in events[1:-1]:
        if name == "snapshot":  # what was told as answer was thinking
            thinking, answer = data["message"]["thinking"] or "", data["message"]["content"]
            continue
        assert name in ("progress", "thinking", "thinking_done", "answer")
        thinking += data["text"] if name == "thinking" else ""
        answer += data["text"] if name == "answer" else ""
    last = events[-1][2]["message"]
    assert (last["thinking"] or "", last["content"]) == (thinking, answer), "the end contradicts what came"
    return thinking, answer


async def begin(talks: Generations, chats: ChatStore, **how: object) -> tuple[str, Message]:
    conversation = chats.create(ME)
    _, answer = await talks.ask(ME, conversation.id, "What is it?", None, **how)  # type: ignore[arg-type]
    return conversation.id, answer


async def until(condition: object, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_an_answer_is_heard_and_kept(talks: Generations, chats: ChatStore) -> None:
    conversation_id, answer = await begin(talks, chats)
    assert answer.status == "generating"
    events = await hear(talks, answer.generation_id)
    assert told(events) == (THOUGHT, WHOLE)
    kept = chats.message(ME, answer.id)
    assert (kept.thinking, kept.content, kept.status, kept.finish_reason) == (THOUGHT, WHOLE, "complete", "stop")
    assert kept.usage == {"prompt_tokens": 20, "cached_tokens": 5, "completion_tokens": 11, "reasoning_tokens": 3}
    assert kept.timings == {"queue": 0.1, "prompt": 0.2, "decode": 0.5, "clock": "engine"}
    assert kept.model == "tiny"
    assert kept.model_digest == DIGEST
    assert kept.thinking_started_at <= kept.thinking_ended_at
    assert kept.generation_id is None
    assert chats.conversation(ME, conversation_id).title == "What is it?"
    assert events[-1][2]["message"] == kept.as_json()


async def test_whoever_read_the_store_before_the_end_is_told_the_end(talks: Generations, chats: ChatStore) -> None:
    _, answer = await begin(talks, chats)
    read_before = chats.message(ME, answer.id)
    assert read_before.status == "generating"
    await hear(talks, answer.generation_id)
    await until(lambda: not talks.running)
    assert talks.fresh(read_before) == chats.message(ME, answer.id)
    assert talks.fresh(read_before).status == "complete"


async def test_reload_in_the_middle_gives_one_contiguous_answer(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    pool.gated = True
    _, answer = await begin(talks, chats)
    first = asyncio.create_task(hear(talks, answer.generation_id))
    pool.step(6)  # queued, reading, thinking, one word of the answer
    await until(lambda: talks.fresh(answer).content == ANSWER[0])
    # The first tab goes away in the middle, as a reload does; nothing stops.
    leaving = await talks.listen(ME, answer.generation_id)
    async with aclosing(leaving):  # type: ignore[type-var]
        await anext(leaving)
    first.cancel()
    await asyncio.wait([first])
    late = asyncio.create_task(hear(talks, answer.generation_id))
    second_device = asyncio.create_task(hear(talks, answer.generation_id))
    for _ in range(5):
        pool.step()
        await asyncio.sleep(0.01)
    pool.let_go()
    heard = await asyncio.gather(late, second_device)
    assert [told(events) for events in heard] == [(THOUGHT, WHOLE)] * 2
    assert heard[0][0][2]["message"]["content"] == ANSWER[0], "the snapshot holds what came before the reload"
    assert len(heard[0]) > 4, "the rest came live"
    assert len(pool.requests) == 1


@pytest.mark.parametrize("shown", [True, False])
async def test_an_answer_that_turns_out_to_be_thinking_is_told_anew(
    talks: Generations, chats: ChatStore, pool: ScriptedPool, shown: bool
) -> None:
    async def late(request: Request) -> AsyncIterator[Event]:
        yield Progress(9, 0, 9)
        if shown:
            yield Delta("thinking", "Easy.")
        yield Delta("answer", "17+25:")
        yield Delta("answer", " -> 42")
        yield Recast(shown)
        yield Delta("answer", "42")
        yield Finished("stop", Usage(9, 0, 6, 5))

    pool.script, pool.gated = late, True
    _, answer = await begin(talks, chats)
    listening = asyncio.create_task(hear(talks, answer.generation_id))
    pool.step(3 + shown)
    await until(lambda: talks.fresh(answer).content.startswith("17+25:"))
    reloaded = asyncio.create_task(hear(talks, answer.generation_id))
    await asyncio.sleep(0.01)
    pool.let_go()
    thought = "Easy.\n17+25: -> 42" if shown else ""
    for events in await asyncio.gather(listening, reloaded):
        assert told(events) == (thought, "42")
    kept = chats.message(ME, answer.id)
    assert (kept.thinking or "", kept.content) == (thought, "42")
    assert (kept.thinking_ended_at is not None) is shown


async def test_stopped_after_a_late_tag_the_working_stays_thinking(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    async def late(request: Request) -> AsyncIterator[Event]:
        yield Delta("answer", "17+25: -> 42")
        yield Recast()
        yield Delta("answer", "42")
        await asyncio.sleep(60)

    pool.script = late
    _, answer = await begin(talks, chats)
    await until(lambda: talks.fresh(answer).content == "42")
    await talks.stop(ME, answer.generation_id)
    await until(lambda: chats.message(ME, answer.id).status == "stopped")
    kept = chats.message(ME, answer.id)
    assert (kept.thinking, kept.content) == ("17+25: -> 42", "42")
    assert kept.thinking_started_at is not None
    assert kept.thinking_started_at <= (kept.thinking_ended_at or 0)


async def test_a_circle_ends_the_answer_and_cannot_be_gone_on_with(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    async def circle(request: Request) -> AsyncIterator[Event]:
        yield Delta("answer", "and so on, " * 4)
        yield Finished("repeating", Usage(9, 0, 12, 0), note="Stopped: it was repeating itself.")

    pool.script = circle
    _, answer = await begin(talks, chats)
    await until(lambda: chats.message(ME, answer.id).status == "complete")
    assert chats.message(ME, answer.id).finish_reason == "repeating"
    with pytest.raises(Conflict):
        await talks.resume(ME, answer.id)


async def test_nobody_listening_changes_nothing(talks: Generations, chats: ChatStore) -> None:
    _, answer = await begin(talks, chats)
    await until(lambda: chats.message(ME, answer.id).status == "complete")
    assert chats.message(ME, answer.id).content == WHOLE


async def test_an_hour_later_the_events_still_answer(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    _, answer = await begin(talks, chats)
    await hear(talks, answer.generation_id)
    events = await hear(talks, answer.generation_id)
    assert [name for name, _, _ in events] == ["snapshot", "done"]
    assert told(events) == (THOUGHT, WHOLE)
    # and after a restart, which has nothing in memory
    again = Generations(pool, chats)  # type: ignore[arg-type]
    assert told(await hear(again, answer.generation_id)) == (THOUGHT, WHOLE)


async def test_a_slow_listener_costs_nothing_and_loses_nothing(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    words = [f"word{n} " for n in range(20_000)]

    async def long(request: Request) -> AsyncIterator[Event]:
        for n, word in enumerate(words):
            if n % 500 == 0:
                await asyncio.sleep(0.001)
            yield Delta("answer", word)
        yield Finished("stop", Usage(1, 0, len(words), 0))

    pool.script = long
    _, answer = await begin(talks, chats)
    fast = asyncio.create_task(hear(talks, answer.generation_id))
    slow = asyncio.create_task(hear(talks, answer.generation_id, pause=0.1))
    heard_fast, heard_slow = await asyncio.gather(fast, slow)
    assert told(heard_slow) == told(heard_fast) == ("", "".join(words))
    assert len(heard_slow) < len(heard_fast) / 2, "the slow one got bigger pieces, not a longer queue"


async def test_stop_is_explicit_and_idempotent(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    pool.gated = True
    _, answer = await begin(talks, chats)
    listening = asyncio.create_task(hear(talks, answer.generation_id))
    pool.step(7)
    await until(lambda: talks.fresh(answer).content == "".join(ANSWER[:2]))
    for _ in range(3):
        await talks.stop(ME, answer.generation_id)
    events = await listening
    assert told(events) == (THOUGHT, "".join(ANSWER[:2]))
    assert events[-1][0] == "done"
    assert pool.open == 0, "the engine's place is free"
    kept = chats.message(ME, answer.id)
    assert (kept.status, kept.finish_reason, kept.generation_id) == ("stopped", "aborted", None)
    assert kept.usage == {"prompt_tokens": 20, "cached_tokens": 5, "completion_tokens": 5, "reasoning_tokens": 3}
    await talks.stop(ME, answer.generation_id)
    assert chats.message(ME, answer.id) == kept


async def test_stop_before_anything_came(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    pool.gated = True
    _, answer = await begin(talks, chats)
    await talks.stop(ME, answer.generation_id)  # its task has not run for one step yet
    assert (await hear(talks, answer.generation_id))[-1][0] == "done"
    kept = chats.message(ME, answer.id)
    assert (kept.status, kept.content, kept.usage) == ("stopped", "", None)
    assert pool.open == 0


async def test_what_was_not_counted_is_not_told(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    """A remote engine says its counts at the end only: of an answer stopped before, nobody knows them."""

    async def remote(request: Request) -> AsyncIterator[Event]:
        yield Delta("answer", "some words at once")
        await asyncio.sleep(30)

    pool.script = remote
    _, answer = await begin(talks, chats)
    await until(lambda: talks.fresh(answer).content)
    await talks.stop(ME, answer.generation_id)
    await hear(talks, answer.generation_id)
    kept = chats.message(ME, answer.id)
    assert kept.usage is None
    assert kept.timings is not None


async def test_an_answer_that_another_server_writes_is_told_so(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    pool.gated = True
    _, answer = await begin(talks, chats)
    elsewhere = ChatStore(chats.path)
    other = Generations(pool, elsewhere)  # type: ignore[arg-type]
    events = await hear(other, answer.generation_id)
    elsewhere.close()
    assert events[-1][0] == "error"
    assert "Another ClearSeek" in events[-1][2]["message"]["error"]["message"]
    pool.let_go()
    assert told(await hear(talks, answer.generation_id)) == (THOUGHT, WHOLE)


async def test_stopped_while_thinking_can_think_on(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    pool.gated = True
    _, answer = await begin(talks, chats)
    pool.step(3)
    await until(lambda: talks.fresh(answer).thinking == THINKING[0])
    await talks.stop(ME, answer.generation_id)
    await hear(talks, answer.generation_id)
    cut = chats.message(ME, answer.id)
    assert cut.thinking_ended_at is not None, "the page can say for how long it thought"
    pool.let_go()
    going_on = await talks.resume(ME, answer.id)
    assert told(await hear(talks, going_on.generation_id)) == (THINKING[0] + THOUGHT, WHOLE)
    request = pool.requests[-1]
    assert request.continue_last
    assert request.thinking.enabled
    assert request.messages[-1] == {"role": "assistant", "content": "", "reasoning_content": THINKING[0]}
    # the tab that had the first generation's id is told the same
    assert told(await hear(talks, answer.generation_id)) == (THINKING[0] + THOUGHT, WHOLE)
    assert chats.message(ME, answer.id).usage["completion_tokens"] == 1 + 11, "both goes are counted"


async def test_continue_goes_on_from_the_text(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    async def cut(request: Request) -> AsyncIterator[Event]:
        yield Delta("answer", "Once upon")
        yield Finished("length", Usage(9, 0, 2, 0))

    pool.script = cut
    _, answer = await begin(talks, chats, thinking=Thinking(False))
    await hear(talks, answer.generation_id)
    pool.script = ordinary
    going_on = await talks.resume(ME, answer.id)
    assert going_on.id == answer.id
    events = await hear(talks, going_on.generation_id)
    assert told(events) == ("", "Once upon" + WHOLE)
    assert pool.requests[-1].messages[-1] == {"role": "assistant", "content": "Once upon"}
    assert not pool.requests[-1].thinking.enabled, "as it was asked for at first"
    with pytest.raises(Conflict, match="complete"):
        await talks.resume(ME, answer.id)


@pytest.mark.parametrize(
    ("error", "code"), [(EngineCrashed("The engine stopped."), "engine_crashed"), (ValueError("?"), "engine_error")]
)
async def test_a_failure_keeps_what_came_and_is_told(
    talks: Generations, chats: ChatStore, pool: ScriptedPool, error: Exception, code: str
) -> None:
    async def dies(request: Request) -> AsyncIterator[Event]:
        yield Progress(10, 0, 10)
        yield Delta("answer", "half an ")
        raise error

    pool.script = dies
    _, answer = await begin(talks, chats)
    events = await hear(talks, answer.generation_id)
    assert told(events) == ("", "half an ")
    assert events[-1][0] == "error"
    kept = chats.message(ME, answer.id)
    assert kept.status == "failed"
    assert kept.error["code"] == code
    assert "ValueError" not in kept.error["message"]
    pool.script = ordinary  # the way on
    going_on = await talks.resume(ME, answer.id)
    assert told(await hear(talks, going_on.generation_id))[1] == "half an " + WHOLE


async def test_an_engine_that_falls_silent_is_a_failure(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    async def silent(request: Request) -> AsyncIterator[Event]:
        yield Delta("answer", "and then")

    pool.script = silent
    _, answer = await begin(talks, chats)
    assert (await hear(talks, answer.generation_id))[-1][0] == "error"
    assert chats.message(ME, answer.id).status == "failed"


async def test_an_endless_answer_is_cut(
    talks: Generations, chats: ChatStore, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearseek.server.generation.MAX_CHARS", 10_000)

    async def endless(request: Request) -> AsyncIterator[Event]:
        while True:
            yield Delta("answer", "more " * 100)
            await asyncio.sleep(0)

    pool.script = endless
    _, answer = await begin(talks, chats)
    await hear(talks, answer.generation_id)
    kept = chats.message(ME, answer.id)
    assert (kept.status, kept.finish_reason) == ("complete", "length")
    assert len(kept.content) < 11_000
    assert pool.open == 0


def holds(tokens: int) -> object:
    """An engine whose context holds that many tokens, one for each word."""

    async def engine(request: Request) -> AsyncIterator[Event]:
        count = sum(len(message["content"].split()) for message in request.messages)
        if count >= tokens:
            raise ContextOverflow(count, tokens)
        async for event in ordinary(request):
            yield event

    return engine


async def test_too_long_a_prompt_is_told_by_how_much(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    pool.script = holds(50)
    conversation = chats.create(ME)
    _, answer = await talks.ask(ME, conversation.id, "word " * 60, None)
    assert (await hear(talks, answer.generation_id))[-1][0] == "error"
    error = chats.message(ME, answer.id).error
    assert (error["code"], error["over"]) == ("context_length_exceeded", 11)
    assert "11 too long" in error["message"]
    # There is nothing to leave out of a single question.
    again = await talks.regenerate(ME, answer.id, drop_oldest=True)
    await hear(talks, again.generation_id)
    assert chats.message(ME, again.id).error["code"] == "context_length_exceeded"


async def test_the_oldest_turns_are_left_out_visibly_and_stay_out(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    pool.script = holds(100)
    conversation = chats.create(ME)
    parent = None
    for n in range(12):
        _, answer = await talks.ask(ME, conversation.id, f"question{n} " * 15, parent, drop_oldest=n > 0)
        await hear(talks, answer.generation_id)
        answer = chats.message(ME, answer.id)
        assert answer.status == "complete", answer.error
        parent = answer.id
        request = pool.requests[-1]
        assert request.messages[0]["role"] == "user"
        assert request.messages[-1]["content"].startswith(f"question{n} ")
        assert len(request.messages) == 2 * (n + 1 - answer.dropped_turns) - 1
    assert answer.dropped_turns > 5
    # Once turns were left out the reader need not ask for it again.
    _, answer = await talks.ask(ME, conversation.id, "and " * 15, parent)
    await hear(talks, answer.generation_id)
    assert chats.message(ME, answer.id).status == "complete"


async def test_prompts_only_grow_at_their_end(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    conversation = chats.create(ME)
    parent = None
    for n in range(4):
        files = [Attachment("a.txt", "some ``` text")] if n == 1 else []
        _, answer = await talks.ask(ME, conversation.id, f"question {n}", parent, files)
        await hear(talks, answer.generation_id)
        parent = answer.id
    for before, after in zip(pool.requests, pool.requests[1:], strict=False):
        assert after.messages[: len(before.messages)] == before.messages
    assert pool.requests[-1].messages[1] == {"role": "assistant", "content": WHOLE}, "earlier thinking is not sent"
    assert pool.requests[1].messages[-1]["content"] == "a.txt:\n````\nsome ``` text\n````\n\nquestion 1"


async def test_regenerating_and_editing_make_branches(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    conversation_id, answer = await begin(talks, chats)
    await hear(talks, answer.generation_id)
    again = await talks.regenerate(ME, answer.id, model="other")
    await hear(talks, again.generation_id)
    assert again.parent_id == answer.parent_id
    assert pool.requests[0].messages == pool.requests[1].messages
    assert chats.message(ME, again.id).model == "other"
    user, edited = await talks.ask(ME, conversation_id, "What is it really?", None)
    await hear(talks, edited.generation_id)
    assert pool.requests[-1].messages == ({"role": "user", "content": "What is it really?"},)
    conversation = chats.conversation(ME, conversation_id)
    assert conversation.current == edited.id
    assert len([m for m in conversation.messages if m.parent_id is None]) == 2
    assert user.parent_id is None


async def test_deleting_while_generating(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    pool.gated = True
    conversation_id, answer = await begin(talks, chats)
    listening = asyncio.create_task(hear(talks, answer.generation_id))
    pool.step(7)
    await until(lambda: talks.fresh(answer).content)
    await talks.delete(ME, conversation_id)
    events = await listening
    assert events[-1][0] == "error"
    assert events[-1][2]["message"]["error"]["code"] == "deleted"
    assert pool.open == 0
    await asyncio.sleep(2 * generations_module.SAVE_EVERY)
    assert chats.page(ME).items == ()
    with pytest.raises(NotFound):
        await talks.listen(ME, answer.generation_id)


async def test_what_is_being_written_is_saved_as_it_comes(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    pool.gated = True
    _, answer = await begin(talks, chats)
    pool.step(7)
    await until(lambda: chats.message(ME, answer.id).content == "".join(ANSWER[:2]), seconds=2)
    assert chats.message(ME, answer.id).status == "generating"


async def test_shutdown_keeps_what_came_as_interrupted(chats: ChatStore, pool: ScriptedPool) -> None:
    talks = Generations(pool, chats)  # type: ignore[arg-type]
    pool.gated = True
    _, answer = await begin(talks, chats)
    listening = asyncio.create_task(hear(talks, answer.generation_id))
    lists = asyncio.create_task(hear_lists(talks))
    pool.step(7)
    await until(lambda: talks.fresh(answer).content == "".join(ANSWER[:2]))
    await talks.close()
    events = await listening
    await lists
    assert events[-1][0] == "error"
    kept = chats.message(ME, answer.id)
    assert (kept.status, kept.content, kept.error["code"]) == ("interrupted", "".join(ANSWER[:2]), "interrupted")
    with pytest.raises(ApiError):
        await talks.ask(ME, kept.conversation_id, "more?", kept.id)


async def hear_lists(talks: Generations) -> list[bytes]:
    return [event async for event in talks.live.listen(ME)]


async def test_a_full_disk_loses_nothing(
    talks: Generations, chats: ChatStore, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations_module, "SAVE_AGAIN", 0.05)
    monkeypatch.setattr(generations_module, "SAVE_EVERY", 0.05)

    async def long(request: Request) -> AsyncIterator[Event]:
        yield Delta("answer", "x" * 200_000)
        yield Finished("stop", Usage(1, 0, 1, 0))

    conversation_id, first = await begin(talks, chats)
    await hear(talks, first.generation_id)
    pool.script = long
    pool.gated = True
    _, answer = await talks.ask(ME, conversation_id, "and now a long one", first.id)
    limit_pages(chats, grow=0)
    pool.let_go()
    events = await hear(talks, answer.generation_id)
    assert len(told(events)[1]) == 200_000
    assert events[-1][2]["message"]["error"]["code"] == "disk_full"
    assert "full" in events[-1][2]["message"]["error"]["message"]
    assert len(talks.fresh(chats.message(ME, answer.id)).content) == 200_000, "the page still shows it"
    with pytest.raises(DiskFull):
        await talks.ask(ME, conversation_id, "one more", answer.id)
    limit_pages(chats, grow=10_000)
    await until(lambda: chats.message(ME, answer.id).status == "complete")
    kept = chats.message(ME, answer.id)
    assert len(kept.content) == 200_000
    assert kept.error is None
    assert chats.message(ME, first.id).content == WHOLE


def limit_pages(chats: ChatStore, grow: int) -> None:
    """A full disk, as SQLite sees it: the file may grow by so many pages and no more."""

    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + grow}")

    with chats._engine.connect() as one, chats._engine.connect() as two:
        for connection in (one, two):
            limit(connection.connection.driver_connection)  # type: ignore[arg-type]


async def test_nobody_touches_anothers_generation(talks: Generations, chats: ChatStore, pool: ScriptedPool) -> None:
    pool.gated = True
    _, answer = await begin(talks, chats)
    pool.step(6)
    with pytest.raises(NotFound):
        await talks.listen(OTHER, answer.generation_id)
    with pytest.raises(NotFound):
        await talks.stop(OTHER, answer.generation_id)
    for method in (talks.regenerate, talks.resume):
        with pytest.raises(NotFound):
            await method(OTHER, answer.id)
    with pytest.raises(NotFound):
        await talks.delete(OTHER, answer.conversation_id)
    assert talks.running == 1
    pool.let_go()
    assert told(await hear(talks, answer.generation_id)) == (THOUGHT, WHOLE)


async def test_an_unknown_model_is_refused_before_anything_is_written(talks: Generations, chats: ChatStore) -> None:
    conversation = chats.create(ME)
    with pytest.raises(UnknownModel):
        await talks.ask(ME, conversation.id, "hello", None, model="gpt-9")
    assert chats.conversation(ME, conversation.id).messages == ()


async def test_asking_under_an_unfinished_answer_is_refused(
    talks: Generations, chats: ChatStore, pool: ScriptedPool
) -> None:
    pool.gated = True
    conversation_id, answer = await begin(talks, chats)
    with pytest.raises(Conflict, match="being written"):
        await talks.ask(ME, conversation_id, "and?", answer.id)
    with pytest.raises(Conflict, match="being written"):
        await talks.resume(ME, answer.id)


async def test_lists_hear_of_every_change_and_only_of_their_owner(talks: Generations, chats: ChatStore) -> None:
    heard: dict[str, list[bytes]] = {ME: [], OTHER: []}

    async def listen(owner: str) -> None:
        async for event in talks.live.listen(owner):
            heard[owner].append(event)

    tasks = [asyncio.create_task(listen(owner)) for owner in heard]
    await until(lambda: all(heard.values()))
    conversation_id, answer = await begin(talks, chats)
    await hear(talks, answer.generation_id)
    await until(lambda: len(heard[ME]) >= 2)
    assert parse_changed(heard[ME][1]) == conversation_id
    assert len(heard[OTHER]) == 1
    for n in range(1000):
        talks.live.publish(ME, f"conversation{n}")  # faster than anyone reads
    # It is told that it missed some, and how many it got is bounded.
    await until(lambda: b'{"conversation":null}' in b"".join(heard[ME]))
    assert len(heard[ME]) < 300
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert talks.live.count(ME) == 0


def parse_changed(event: bytes) -> str:
    name, data = event.decode().strip().split("\n")
    assert name == "event: changed"
    conversation: str = orjson.loads(data.removeprefix("data: "))["conversation"]
    return conversation


def test_what_a_continued_answer_took_is_the_sum_of_its_goes() -> None:
    def went(seconds: float, money: Quantity, seq: int) -> Spent:
        quantities = {"wall": measured(seconds, "s", "clock"), "money": money, "prompt_tokens": measured(9, "token")}
        return Spent(quantities, seq, "ab" * 32)

    first = with_earlier(None, went(1.5, declared(0.25, "USD", "price"), 3))
    assert first is not None
    assert "prompt_tokens" not in first, "tokens are told in `usage`"
    both = with_earlier(first, went(2.5, declared(0.5, "USD", "price"), 7))
    assert both is not None
    assert (both["wall"]["value"], both["money"]["value"], both["wall"]["how"]) == (4.0, 0.75, "clock")
    assert both["entry"] == {"seq": 7, "hash": "ab" * 32}
    third = with_earlier(both, went(1, unknown("USD", "no price"), 8))
    assert third is not None
    assert third["money"]["value"] is None, "one part is unknown, so the whole is"
    assert with_earlier(both, None) == both, "a go that took nothing changes nothing"


def test_the_times_of_several_goes() -> None:
    engine, server = Timings(0.1, 0.2, 0.5, "engine"), Timings(None, 2.0, None, "server")
    first = timed(None, engine)
    assert timed(first, engine) == {"queue": 0.2, "prompt": 0.4, "decode": 1.0, "clock": "engine"}
    whole = {"queue": 0.1, "prompt": 2.2, "decode": 0.5, "clock": "server"}
    assert timed(first, server) == timed(timed(None, server), engine) == whole
    assert timed(timed(None, server), server) == {"queue": None, "prompt": 4.0, "decode": None, "clock": "server"}
    nobody = timed(None, Timings())
    assert set(nobody.values()) == {None}
    assert timed(first, Timings()) == timed(nobody, engine) == nobody
    assert timed({"queue": 0.1, "prompt": 0.2, "decode": 0.5}, engine)["decode"] == 1.0, "of before there was a clock"
