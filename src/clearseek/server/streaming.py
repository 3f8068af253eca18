"""Answers that take a while: told as a stream or as one document, and given up at once when the client goes away.

Both listen for the client's going while they generate. Cancelling the task that reads an engine's events is what stops
the engine, wherever it is: in the queue, reading the prompt or generating.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clearseek.inference.engine import Delta, Event, Finished, ToolCall
from clearseek.server.errors import ApiError, as_api_error
from clearseek.server.event_bytes import KEEP_ALIVE_COMMENT

GRACE = 5.0
"""Seconds for which a stream's headers wait for the first token, so that an error can still have its own status."""
KEEP_ALIVE = 10.0
"""Seconds of silence after which a comment is sent."""
STALLED = 120.0
"""Seconds for which a client may take nothing of what is sent to it before it counts as gone."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx: pass each event on at once
]


class _Gone(Exception):
    """The client hung up, or took nothing of what was sent to it for STALLED seconds."""


class StreamWriter(Protocol):
    """One protocol's way to tell a stream."""

    def event(self, event: Event) -> bytes: ...

    def error(self, error: ApiError) -> bytes: ...


class DocumentWriter(Protocol):
    """One protocol's way to tell a whole answer."""

    def add(self, event: Event) -> None: ...

    def document(self, finished: Finished) -> bytes: ...


class _Answer(Response):
    """What both ways share: reading events in a task of its own, and ending it when the client has gone."""

    def __init__(self, events: AsyncGenerator[Event, None], first_token: Callable[[float], None]) -> None:
        super().__init__()
        self._events, self._first_token = events, first_token
        self._began = time.perf_counter()

    def _is_first_token(self, event: Event) -> bool:
        """Whether an event is the model's first token (inserted text is not); notes how long it took."""
        if not (event.tokens if isinstance(event, Delta) else isinstance(event, ToolCall)):
            return False
        self._first_token(time.perf_counter() - self._began)
        return True


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def _ending(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    """Whatever happens inside, the tasks are over afterwards."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class DocumentAnswer(_Answer):
    """One JSON document, sent when the generation is over."""

    def __init__(
        self, events: AsyncGenerator[Event, None], writer: DocumentWriter, first_token: Callable[[float], None]
    ) -> None:
        super().__init__(events, first_token)
        self._writer = writer
        self._finished: Finished | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what the engine raises, before anything is sent."""
        work = asyncio.create_task(self._gather())
        gone = asyncio.create_task(_until_gone(receive))
        async with _ending(work, gone):
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                scope["state"]["abandoned"] = True
                return
        if work.cancelled() or (self._finished is None and work.exception() is None):
            raise ApiError(503, "The answer was stopped before it was complete.", "aborted")
        work.result()
        assert self._finished is not None
        document = self._writer.document(self._finished)
        headers = {"cache-control": "no-store"}
        await Response(document, 200, headers, "application/json")(scope, receive, send)

    async def _gather(self) -> None:
        begun = False
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                begun = begun or self._is_first_token(event)
                if isinstance(event, Finished):
                    self._finished = event
                else:
                    self._writer.add(event)


class StreamAnswer(_Answer):
    """Server-sent events, one `send` for each event of the engine."""

    def __init__(
        self, events: AsyncGenerator[Event, None], writer: StreamWriter, first_token: Callable[[float], None]
    ) -> None:
        super().__init__(events, first_token)
        self._writer = writer
        self._started = False
        self._sent_at = 0.0
        self._sending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what the engine raises within the grace; later errors are told in the stream, which ends there."""
        self._sent_at = time.monotonic()
        work = asyncio.create_task(self._relay(send))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            async with _ending(work, gone):
                await self._keep_alive(send, work, gone)
            if not work.cancelled() and isinstance(work.exception(), _Gone):
                raise _Gone
        except _Gone:
            scope["state"]["abandoned"] = True
            return
        last = b""
        if work.cancelled():
            error: BaseException | None = ApiError(503, "The answer was stopped before it was complete.", "aborted")
        else:
            error = work.exception()
        if error is not None:
            if not self._started or not isinstance(error, Exception):
                raise error
            last = self._writer.error(as_api_error(error))
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _keep_alive(self, send: Send, work: asyncio.Task[None], gone: asyncio.Task[None]) -> None:
        """Fill silences with comments until `work` is over. Raises _Gone when the client goes first."""
        while not work.done():
            silence = KEEP_ALIVE if self._started else GRACE
            # While something is on its way the line is not silent, and no keep-alive could pass it.
            rest = silence if self._sending else self._sent_at + silence - time.monotonic()
            if rest > 0:
                await asyncio.wait({work, gone}, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
            elif not work.done():
                await self._send(send, KEEP_ALIVE_COMMENT)
            if gone.done() and not work.done():
                raise _Gone

    async def _relay(self, send: Send) -> None:
        tell = self._writer.event
        begun, held = False, b""
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                begun = begun or self._is_first_token(event)
                data = tell(event)
                if not data:
                    continue
                if begun or isinstance(event, Finished):
                    await self._send(send, held + data)
                    held = b""
                else:  # text that was put before the first token comes before the engine has said yes
                    held += data

    async def _send(self, send: Send, data: bytes) -> None:
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        self._sending = True
        try:
            async with asyncio.timeout(STALLED):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise _Gone from None
        finally:
            self._sending = False
            self._sent_at = time.monotonic()
