"""One answer while it is being written: what has come so far, and whoever listens.

Nothing is queued for a listener. The text is kept once, as a list of pieces, and a listener only remembers how many
of them it has had: a slow one gets bigger pieces, and any number of them costs no memory worth the name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, replace
from typing import Any, Literal

from clearseek.conversations.records import Message
from clearseek.inference.engine import (
    SPENT_TOLD,
    Delta,
    Event,
    Finished,
    Progress,
    Queued,
    Recast,
    Spent,
    Timings,
    Usage,
)
from clearseek.inference.timing import phases
from clearseek.ledger.quantity import Quantity
from clearseek.server.event_bytes import KEEP_ALIVE_COMMENT, event_bytes
from clearseek.server.live import woken

MAX_CHARS = 4_000_000
"""Of one answer with its thinking. No engine of ours comes near; a remote one that never ends is cut here."""

Ending = Literal["stopped", "interrupted", "deleted"]


class AnswerTooLong(Exception):
    """The answer passed MAX_CHARS."""


class Generation:
    def __init__(self, message: Message, owner: str) -> None:
        """`message` as the store opened it: empty, or with the text that is to be continued."""
        assert message.generation_id is not None
        self.id = message.generation_id
        self.owner = owner
        self.dropped_turns = message.dropped_turns
        self.digest: str | None = message.model_digest
        self.ending: Ending | None = None
        """Why it was ended from outside, if it was."""
        self.finished: Finished | None = None
        self.spent: Spent | None = None
        """What it took, once it is over; None where nothing was booked."""
        self.over: Message | None = None
        """The message as it will stay, once that is written down and listeners may know."""
        self.unsaved = False
        self.reader: asyncio.Task[None] | None = None
        """The task that reads from the engine."""
        self._start = message
        self._final: Message | None = None
        self._thinking = [message.thinking] if message.thinking else []
        self._answer = [message.content] if message.content else []
        self._chars = len(message.thinking or "") + len(message.content)
        self._thinking_started_at = message.thinking_started_at
        self._thinking_ended_at = message.thinking_ended_at
        if not message.content and message.thinking_started_at is not None:
            # It was cut while it thought, and thinks on: the pause until now is not thinking.
            self._thinking_started_at = time.time()
            if message.thinking_ended_at is not None:
                self._thinking_started_at -= message.thinking_ended_at - message.thinking_started_at
            self._thinking_ended_at = None
        self._progress: dict[str, Any] | None = None
        self._tokens = {"thinking": 0, "answer": 0}
        self._recasts = 0
        self._read = Progress(0, 0, 0)
        self._clock = {"begun": time.monotonic()}
        self._wakes: set[asyncio.Event] = set()
        # Grows from event to event, whoever they go to, and over restarts of the server too.
        self._event_id = int(time.time() * 1000)

    @property
    def conversation_id(self) -> str:
        return self._start.conversation_id

    @property
    def message_id(self) -> str:
        return self._start.id

    @property
    def has_new_text(self) -> bool:
        return any(self._tokens.values())

    @property
    def listeners(self) -> int:
        return len(self._wakes)

    def apply(self, event: Event) -> None:
        """Take in what the engine said. Raises AnswerTooLong."""
        if self.ending is not None:
            return
        now = time.monotonic()
        match event:
            case Queued(position):
                self._progress = {"state": "queued", "position": position}
            case Progress(total, cached, processed) if "wrote" not in self._clock:
                self._clock.setdefault("read", now)
                self._clock.setdefault("told", now)
                self._read = event
                self._progress = {"state": "reading", "total": total, "cached": cached, "processed": processed}
            case Delta():
                self._clock.setdefault("read", now)
                self._clock.setdefault("wrote", now)
                self._clock["last"] = now
                self._progress = None
                self._take(event)
            case Recast(shown):
                self._recast(shown)
            case Finished():
                self.finished = event
            case _:
                pass
        self.unsaved = True
        self._wake()

    def _take(self, delta: Delta) -> None:
        self._tokens[delta.kind] += delta.tokens
        if delta.kind == "thinking":
            if self._thinking_started_at is None:
                self._thinking_started_at = time.time()
        elif delta.text:
            self._end_thinking()
        if delta.text:
            (self._thinking if delta.kind == "thinking" else self._answer).append(delta.text)
            self._chars += len(delta.text)
            if self._chars > MAX_CHARS:
                raise AnswerTooLong

    def _recast(self, shown: bool) -> None:
        """The answer so far was thinking; with thinking off it is nobody's to see."""
        text = "".join(self._answer).strip()
        if shown and text:
            self._thinking.append(f"\n{text}" if any(self._thinking) else text)
            if self._thinking_started_at is None:  # then it began with the answer
                self._thinking_started_at = time.time() - (time.monotonic() - self._clock["wrote"])
            self._thinking_ended_at = time.time()
        self._answer = []
        self._tokens = {"thinking": sum(self._tokens.values()), "answer": 0}
        self._recasts += 1

    def _end_thinking(self) -> None:
        if self._thinking_started_at is not None and self._thinking_ended_at is None:
            self._thinking_ended_at = time.time()

    def now(self) -> Message:
        """The message as it stands."""
        if self._final is not None:
            return self._final
        return replace(
            self._start,
            content="".join(self._answer),
            thinking="".join(self._thinking) or None,
            thinking_started_at=self._thinking_started_at,
            thinking_ended_at=self._thinking_ended_at,
            dropped_turns=self.dropped_turns,
            model_digest=self.digest,
        )

    def end(self, status: Literal["complete", "stopped", "interrupted", "failed"], **changed: Any) -> Message:
        """The message as it will stay; nothing changes it any more. Not told to listeners before `close`."""
        self._end_thinking()
        usage, timings = self._spent()
        booked = with_earlier(self._start.spent, self.spent)
        self._final = replace(
            self.now(), status=status, generation_id=None, usage=usage, timings=timings, spent=booked, **changed
        )
        return self._final

    def close(self, message: Message) -> None:
        """Tell the listeners the end."""
        self.over = message
        self._wake()

    def _spent(self) -> tuple[dict[str, int] | None, dict[str, float] | None]:
        """Tokens and seconds, with those of earlier goes at this answer.

        Where the engine could not say, because it was stopped or died: the tokens that came, and our own clock.
        """
        clock = self._clock
        if self.finished is not None:
            usage, timings = self.finished.usage, self.finished.timings
        elif "read" not in clock:
            return self._start.usage, self._start.timings
        else:
            thought = self._tokens["thinking"]
            usage = Usage(self._read.total, self._read.cached, thought + self._tokens["answer"], thought)
            # Where the engine does not tell that it reads (a remote one), nobody knows how long it let others go first.
            data = "told" in clock
            began = clock["read"] if data else clock["begun"]
            queue = clock["read"] - clock["begun"] if data else None
            timings = phases(queue, began, clock.get("wrote"), clock.get("last", time.monotonic()))
        # An engine that did not say how long the prompt is (a remote one) does not say what a piece of text counts.
        tokens = {name: value for name, value in asdict(usage).items() if name != "counted"}
        counted = _added(self._start.usage, tokens) if usage.prompt_tokens and usage.counted else None
        return counted, timed(self._start.timings, timings)

    def pace(self) -> dict[str, Any]:
        """Tokens made in this go and the seconds since the first of them; empty for engines that do not count."""
        if not self._read.total or "wrote" not in self._clock:
            return {}
        seconds = self._clock["last"] - self._clock["wrote"]
        return {"tokens": sum(self._tokens.values()), "seconds": round(seconds, 2)}

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    def _next_id(self) -> int:
        self._event_id += 1
        return self._event_id

    def tell(self, wake: asyncio.Event) -> GenerationTelling:
        """A listener's place in this generation; `wake` is set whenever there is something new."""
        return GenerationTelling(self, wake)

    async def listen(self) -> AsyncIterator[bytes]:
        """The events of docs/page-api.md as bytes, from a snapshot of now to the end."""
        wake = asyncio.Event()
        telling = self.tell(wake)
        try:
            while True:
                for name, data, number in telling.news():
                    yield event_bytes(data, name, number)
                if telling.over:
                    return
                # What came while the lines above were being sent has set `wake` again.
                while not await woken(wake):
                    yield KEEP_ALIVE_COMMENT
        finally:
            telling.close()


class GenerationTelling:
    """What one listener has had of a generation: so many pieces of thinking and answer, and the last progress."""

    def __init__(self, generation: Generation, wake: asyncio.Event) -> None:
        self.over = False
        self._of, self._wake = generation, wake
        self._recasts = -1
        self._thinking = self._answer = 0
        self._thought = False
        self._progress: dict[str, Any] | None = None
        generation._wakes.add(wake)

    def news(self) -> Iterator[tuple[str, Any, int]]:
        """Name, data and number of each event since the last call: first a snapshot (another one where what was
        told as answer turns out to be thinking), at the end `done` or `error`."""
        of = self._of
        if self._recasts != of._recasts:  # at first, and when what was told as answer was none
            self._recasts = of._recasts
            self._thinking, self._answer = len(of._thinking), len(of._answer)
            self._thought = of._thinking_ended_at is not None
            yield "snapshot", {"message": of.now().as_json()}, of._next_id()
        # Looked at before the text, which is then whole if the answer is over.
        over = of.over
        if of._progress is not None and of._progress != self._progress:
            self._progress = of._progress
            yield "progress", self._progress, of._next_id()
        if len(of._thinking) > self._thinking:
            more, self._thinking = "".join(of._thinking[self._thinking :]), len(of._thinking)
            yield "thinking", {"text": more} | of.pace(), of._next_id()
        if of._thinking_ended_at is not None and not self._thought:
            self._thought = True
            times = {"started_at": of._thinking_started_at, "ended_at": of._thinking_ended_at}
            yield "thinking_done", times, of._next_id()
        if len(of._answer) > self._answer:
            more, self._answer = "".join(of._answer[self._answer :]), len(of._answer)
            yield "answer", {"text": more} | of.pace(), of._next_id()
        if over is not None:
            self.over = True
            yield how_it_ended(over), {"message": over.as_json()}, of._next_id()

    def close(self) -> None:
        self._of._wakes.discard(self._wake)


class OverTelling:
    """A generation long over, as a tab is told that asks about it; without a message, one that is not there."""

    over = True

    def __init__(self, message: Message | None) -> None:
        self._message = message

    def news(self) -> Iterator[tuple[str, Any, int]]:
        now = int(time.time() * 1000)
        if self._message is None:
            yield "gone", {}, now
            return
        yield "snapshot", {"message": self._message.as_json()}, now
        yield how_it_ended(self._message), {"message": self._message.as_json()}, now + 1

    def close(self) -> None: ...


def how_it_ended(message: Message) -> str:
    """The name of a generation's last event: `error` for one that did not end as anybody wished."""
    return "done" if message.status in ("complete", "stopped") else "error"


def with_earlier(before: dict[str, Any] | None, spent: Spent | None) -> dict[str, Any] | None:
    """As JSON, with what earlier goes at this answer took added; the entry is the last go's."""
    if spent is None:
        return before
    as_json = spent.as_json()
    for name in SPENT_TOLD:
        if before is not None and before.get(name) is not None and name in as_json:
            as_json[name] = (Quantity.from_json(before[name]) + spent.quantities[name]).as_json()
    return as_json


def timed(before: dict[str, Any] | None, timings: Timings) -> dict[str, Any]:
    """Seconds of all goes; unknown as soon as one go is. By the engine's clock only if all of them are.

    A phase that was not told apart is within another of the same go, so that the phases add up to the whole time.
    """
    fields = asdict(timings)
    if before is None:
        return fields
    if any(go.get("prompt") is None and go.get("decode") is None for go in (before, fields)):
        return asdict(Timings())
    for name in ("queue", "prompt", "decode"):
        known = [go[name] for go in (before, fields) if go.get(name) is not None]
        fields[name] = sum(known) if known else None
    if before.get("clock") == "server":
        fields["clock"] = "server"
    return fields


def _added(before: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    return {name: (before or {}).get(name, 0) + value for name, value in more.items()}
