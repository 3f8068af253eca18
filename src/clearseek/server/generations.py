"""Answers that belong to the server and not to a tab: started, listened to, stopped, and always written down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clearseek.conversations.errors import ChatError, DiskFull, NotFound
from clearseek.conversations.prompt import drop_more, turns
from clearseek.conversations.records import Attachment, Message
from clearseek.conversations.store import INTERRUPTED, ChatStore
from clearseek.errors import UserError
from clearseek.inference.budget import OverBudget
from clearseek.inference.engine import Effort, Request, Spent, Thinking
from clearseek.inference.errors import ContextOverflow, EngineError
from clearseek.server.errors import UNEXPECTED, ApiError
from clearseek.server.event_bytes import event_bytes
from clearseek.server.generation import AnswerTooLong, Ending, Generation, OverTelling
from clearseek.server.live import Listener, Live, Telling

if TYPE_CHECKING:
    from clearseek.inference.pool import Pool

log = logging.getLogger("clearseek.server")

SAVE_EVERY = 0.25
"""Seconds between two savings of what is being written; all answers share one transaction."""
SAVE_AGAIN = 5.0
"""Seconds until the next try after saving failed."""
CLOSING = 5.0
"""Seconds that running answers get, at shutdown, to let go of the engine and be written down."""

MAX_LISTENERS = 100
"""Streams that may be open on one generation."""

MAX_ENDED = 64
"""Answers that ended and are still told to whoever read the store before that."""

DELETED = {"message": "This conversation was deleted while the answer was being written.", "code": "deleted"}

ELSEWHERE = {
    "message": "Another ClearSeek that uses the same folder is writing this answer. Look again in a moment.",
    "code": "interrupted",
}


class Generations:
    """Every answer being written now. One task for each reads the engine, whoever listens or leaves."""

    def __init__(self, pool: Pool, chats: ChatStore) -> None:
        self.live = Live()
        self._pool = pool
        self._chats = chats
        self._running: dict[str, Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._saver: asyncio.Task[None] | None = None
        self._unsaved: dict[str, Message] = {}
        """Finished answers that a full disk kept from being saved, by message id; tried again until they are."""
        self._ended: dict[str, Message] = {}
        """The last answers that ended, by generation id, for whoever read the store just before they were saved."""
        self._dirty = asyncio.Event()
        self._closed = False

    @property
    def running(self) -> int:
        return len(self._running)

    # Asking

    async def ask(
        self,
        owner: str,
        conversation_id: str,
        content: str,
        parent_id: str | None,
        files: Sequence[Attachment] = (),
        *,
        model: str | None = None,
        thinking: Thinking = Thinking(),
        drop_oldest: bool = False,
    ) -> tuple[Message, Message]:
        """The question and its answer, which is being generated. `model` None: the conversation's, or the default."""
        await self._ready()
        if model is None:
            model = (await self._chats.read(self._chats.conversation, owner, conversation_id)).model
        name = await self._pool.resolve(model)
        await self._pool.afford(owner)
        user, answer = await self._chats.write(
            self._chats.ask, owner, conversation_id, content, parent_id, files, model=name, effort=_noted(thinking)
        )
        self._launch(owner, answer, thinking, drop_oldest)
        return user, answer

    async def regenerate(
        self,
        owner: str,
        message_id: str,
        *,
        model: str | None = None,
        thinking: Thinking = Thinking(),
        drop_oldest: bool = False,
    ) -> Message:
        """Another answer beside answer `message_id`. `model` None: the one that gave the answer."""
        await self._ready()
        if model is None:
            model = (await self._chats.read(self._chats.message, owner, message_id)).model
        name = await self._pool.resolve(model)
        await self._pool.afford(owner)
        answer = await self._chats.write(
            self._chats.answer_again, owner, message_id, model=name, effort=_noted(thinking)
        )
        self._launch(owner, answer, thinking, drop_oldest)
        return answer

    async def resume(
        self, owner: str, message_id: str, enabled: bool | None = None, effort: Effort | None = None
    ) -> Message:
        """Go on with an answer that ended early; thinking is as it was asked for at first where it is not given."""
        await self._ready()
        before = await self._chats.read(self._chats.message, owner, message_id)
        await self._pool.resolve(before.model)
        await self._pool.afford(owner)
        thinking = Thinking(
            enabled=before.effort is not None if enabled is None else enabled,
            effort=effort or _effort(before.effort),
        )
        answer = await self._chats.write(self._chats.resume, owner, message_id, effort=_noted(thinking))
        self._launch(owner, answer, thinking, drop_oldest=False)
        return answer

    async def stop(self, owner: str, generation_id: str) -> None:
        """End a generation and keep what came. One that is over already stays as it is."""
        generation = self._running.get(generation_id)
        if generation is None or generation.owner != owner:
            await self._chats.read(self._chats.message_of, owner, generation_id)
            return
        self._end(generation, "stopped")

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation, with what it was generating."""
        await self._chats.write(self._chats.delete, owner, conversation_id)
        self._end_in({conversation_id})
        self.live.publish(owner, conversation_id)

    async def delete_many(self, owner: str, conversation_ids: Sequence[str] | None) -> int:
        """Delete these conversations (None: all of the owner's) and say how many there were."""
        gone = await self._chats.write(self._chats.delete_many, owner, conversation_ids)
        self._end_in(gone)
        self.live.publish(owner, None)
        return len(gone)

    def _end_in(self, conversation_ids: set[str]) -> None:
        for generation in list(self._running.values()):
            if generation.conversation_id in conversation_ids:
                self._end(generation, "deleted")

    # Looking

    def fresh(self, message: Message) -> Message:
        """A message from the store with what has come since it was last saved."""
        if message.generation_id in self._running:
            return self._running[message.generation_id].now()
        return self._unsaved.get(message.id) or self._ended.get(message.generation_id or "", message)

    async def listen(self, owner: str, generation_id: str) -> AsyncIterator[bytes]:
        """The generation's events as bytes; raises NotFound or ApiError before the first one. Leaving stops nothing."""
        result = await self._find(owner, generation_id)
        if isinstance(result, Generation):
            return _room(result).listen()
        return _each([event_bytes(data, name, number) for name, data, number in OverTelling(result).news()])

    async def follow(self, owner: str, listener: Listener, ids: Sequence[str]) -> None:
        """Have a listener told of these generations and of no others. One that is not there is told as gone."""
        for id in set(listener.followed) - set(ids):
            listener.unfollow(id)
        for id in dict.fromkeys(ids):
            if id in listener.followed:
                continue
            try:
                result = await self._find(owner, id)
            except NotFound:
                telling: Telling = OverTelling(None)
            else:
                telling = _room(result).tell(listener.wake) if isinstance(result, Generation) else OverTelling(result)
            if id not in listener.followed:  # two of these may run at once
                listener.followed[id] = telling
        listener.wake.set()

    def answering(self, owner: str) -> set[str]:
        """The ids of the conversations in which an answer is being written."""
        return {generation.conversation_id for generation in self._running.values() if generation.owner == owner}

    async def _find(self, owner: str, generation_id: str) -> Generation | Message:
        """The generation while it runs, then the message that it wrote. Raises NotFound."""
        generation = self._running.get(generation_id)
        if generation is not None and generation.owner == owner:
            return generation
        message = self.fresh(await self._chats.read(self._chats.message_of, owner, generation_id))
        if message.generation_id in self._running:  # it was continued since: its new generation tells the same message
            return self._running[message.generation_id]
        if message.status == "generating":
            message = replace(message, status="interrupted", generation_id=None, error=ELSEWHERE)
        return message

    # Running

    async def _ready(self) -> None:
        if self._closed:
            raise ApiError(503, "The server is shutting down. Try again when it is back.")
        if self._unsaved:  # the history must be whole before something is added to it
            await self._save_now()

    def _launch(self, owner: str, answer: Message, thinking: Thinking, drop_oldest: bool) -> None:
        generation = Generation(answer, owner)
        self._running[generation.id] = generation
        task = asyncio.create_task(self._run(generation, answer, thinking, drop_oldest))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._saver is None:
            self._saver = asyncio.create_task(self._save_regularly())
        self.live.publish(owner, answer.conversation_id)

    def _end(self, generation: Generation, why: Ending) -> None:
        if generation.ending is None and generation.over is None:
            generation.ending = why
            if generation.reader is not None:
                generation.reader.cancel()

    async def _run(self, generation: Generation, answer: Message, thinking: Thinking, drop_oldest: bool) -> None:
        """Read the engine in a task of its own, so that cancelling that one never cuts the writing down."""
        digest = asyncio.create_task(self._digest(answer.model))
        reader = asyncio.create_task(self._read(generation, answer, thinking, drop_oldest))
        generation.reader = reader
        if generation.ending is not None:
            reader.cancel()
        await asyncio.wait([reader])
        if not digest.done():
            await asyncio.wait([digest], timeout=1)
        generation.digest = digest.result() if digest.done() else None
        digest.cancel()
        error = None if reader.cancelled() else reader.exception()
        message = _ended(generation, error, await self._pool.spent(generation.id))
        if generation.ending != "deleted":
            message = self._ended[generation.id] = await self._keep(message)
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]
        del self._running[generation.id]
        generation.close(message)
        self.live.publish(generation.owner, generation.conversation_id)

    async def _read(self, generation: Generation, answer: Message, thinking: Thinking, drop_oldest: bool) -> None:
        history = await self._chats.read(self._chats.history, generation.owner, answer.id)
        asked = turns(history[:-1])
        # Turns that were left out stay left out for this model: otherwise every further question would fail anew.
        dropped = max((m.dropped_turns for m in history if m.model == answer.model), default=0)
        drop_oldest = drop_oldest or dropped > 0
        dropped = min(dropped, len(asked) - 1)
        while True:
            generation.dropped_turns = dropped
            request = Request(
                tuple(message for turn in asked[dropped:] for message in turn) + _begun(answer),
                thinking=thinking,
                continue_last=bool(_begun(answer)),
            )
            try:
                events = self._pool.generate(
                    answer.model,
                    request,
                    request_id=generation.id,
                    client=generation.owner,
                    source="page",
                    conversation=generation.conversation_id,
                )
                async with aclosing(events):
                    async for event in events:
                        generation.apply(event)
                        self._dirty.set()
                return
            except ContextOverflow as overflow:
                more = drop_more(asked, dropped, overflow.prompt_tokens, overflow.context)
                if not drop_oldest or more is None or generation.has_new_text:
                    raise
                dropped = more

    async def _digest(self, model: str | None) -> str | None:
        try:
            described = None if model is None else await self._pool.describe(model)
            return None if described is None else described.digest
        except Exception as error:  # an answer without its digest is still an answer
            log.warning("no digest for %s: %s", model, error)
            return None

    # Writing down

    async def _keep(self, message: Message) -> Message:
        """Save a finished answer; if that fails, keep it here and say so in the answer."""
        try:
            await self._chats.write(self._chats.save, [message])
        except ChatError as error:
            log.error("an answer could not be saved: %s", error)
            self._unsaved[message.id] = message
            self._dirty.set()
            return _with_save_error(message, error)
        return message

    async def _save_regularly(self) -> None:
        took = 0.0
        while True:
            await self._dirty.wait()
            # The whole text is written each time: where that takes long (a slow disk, a very long answer) it is done
            # less often, so that it never takes more than a tenth of the time.
            await asyncio.sleep(max(SAVE_EVERY, 10 * took))
            self._dirty.clear()
            began = time.monotonic()
            try:
                await self._save_now()
                took = time.monotonic() - began
            except ChatError as error:
                log.error("what is being written could not be saved: %s", error)
                await asyncio.sleep(SAVE_AGAIN)
                self._dirty.set()

    async def _save_now(self) -> None:
        changed = [generation for generation in self._running.values() if generation.unsaved]
        kept = dict(self._unsaved)
        for generation in changed:
            generation.unsaved = False
        written = [generation.now() for generation in changed] + list(kept.values())
        if not written:
            return
        try:
            await self._chats.write(self._chats.save, written)
        except ChatError:
            for generation in changed:
                generation.unsaved = True
            raise
        for id in kept:
            self._unsaved.pop(id, None)

    async def close(self) -> None:
        """End what is running as interrupted, with what had come, and let every listener go. Idempotent."""
        self._closed = True
        for generation in list(self._running.values()):
            self._end(generation, "interrupted")
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=CLOSING)
        if self._saver is not None:
            self._saver.cancel()
            self._saver = None
        try:
            await self._save_now()
        except ChatError as error:
            log.error("answers were lost at shutdown: %s", error)
        self.live.close()


def _noted(thinking: Thinking) -> str | None:
    """How the store notes it: the effort, None where thinking is off."""
    return thinking.effort if thinking.enabled else None


def _effort(noted: str | None) -> Effort:
    match noted:
        case "low" | "max":
            return noted
        case _:
            return "high"


def _begun(answer: Message) -> tuple[dict[str, Any], ...]:
    """What there is of an answer that is to be continued, as the last message of a request."""
    if not answer.content and not answer.thinking:
        return ()
    message: dict[str, Any] = {"role": "assistant", "content": answer.content}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    return (message,)


def _ended(generation: Generation, error: BaseException | None, spent: Spent | None) -> Message:
    """How a generation is told: what ended it first is what counts."""
    generation.spent = spent
    if generation.ending == "stopped":
        return generation.end("stopped", finish_reason="aborted")
    if generation.ending is not None:
        why = DELETED if generation.ending == "deleted" else INTERRUPTED
        return generation.end("interrupted", finish_reason="aborted", error=why)
    if isinstance(error, AnswerTooLong):
        return generation.end("complete", finish_reason="length")
    if error is None and generation.finished is not None:
        if generation.finished.over is not None:
            fields = {"message": generation.finished.over, "code": OverBudget.kind}
            return generation.end("interrupted", finish_reason=generation.finished.reason, error=fields)
        return generation.end("complete", finish_reason=generation.finished.reason)
    return generation.end("failed", error=_told(error))


def _told(error: BaseException | None) -> dict[str, Any]:
    if isinstance(error, ContextOverflow):
        return {"message": str(error), "code": error.kind, "over": error.over}
    if isinstance(error, EngineError):
        return {"message": str(error), "code": error.kind}
    if isinstance(error, UserError):
        return {"message": str(error), "code": getattr(error, "code", EngineError.kind)}
    if error is None:
        return {"message": "The engine ended the answer without saying why. Try again.", "code": EngineError.kind}
    log.error("an answer failed", exc_info=error)
    return {"message": UNEXPECTED, "code": EngineError.kind}


def _with_save_error(message: Message, error: ChatError) -> Message:
    code = DiskFull.code if isinstance(error, DiskFull) else error.code
    sentence = f"This answer is not saved yet; it is kept here and tried again every few seconds. {error}"
    return replace(message, error={"message": sentence, "code": code})


def _room(generation: Generation) -> Generation:
    if generation.listeners >= MAX_LISTENERS:
        raise ApiError(429, "Too many pages are listening to this answer at once. Close some of them.")
    return generation


async def _each(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event
