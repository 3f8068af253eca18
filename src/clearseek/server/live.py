"""Event streams for the page: the bytes of an event, and the stream that says which conversations changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that nothing between here and the tab hangs up."""
KEEP_ALIVE_COMMENT = b": keep-alive\n\n"
MAX_PENDING = 200
"""Changed conversations remembered for one slow listener; beyond that it is told that anything may have changed."""


def sse(name: str, data: Any, id: int | None = None) -> bytes:
    head = b"" if id is None else b"id: %d\n" % id
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode(), orjson.dumps(data))


async def woken(wake: asyncio.Event) -> bool:
    """Wait for `wake` and clear it; False after KEEP_ALIVE seconds of nothing."""
    try:
        async with asyncio.timeout(KEEP_ALIVE):
            await wake.wait()
    except TimeoutError:
        return False
    wake.clear()
    return True


class _Listener:
    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.pending: dict[str, None] = {}
        self.lost = False


class Live:
    """Tells every open page of an owner which conversations were created, renamed, answered or deleted."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[_Listener]] = {}
        self._closed = False

    def publish(self, owner: str, conversation_id: str) -> None:
        for listener in self._listeners.get(owner, ()):
            if len(listener.pending) >= MAX_PENDING:
                listener.pending.clear()
                listener.lost = True
            listener.pending[conversation_id] = None
            listener.wake.set()

    def count(self, owner: str) -> int:
        return len(self._listeners.get(owner, ()))

    async def listen(self, owner: str) -> AsyncIterator[bytes]:
        """Events as bytes until the server closes. One comment comes at once, so that headers are sent."""
        listener = _Listener()
        self._listeners.setdefault(owner, set()).add(listener)
        try:
            yield KEEP_ALIVE_COMMENT
            while not self._closed:
                if not await woken(listener.wake):
                    yield KEEP_ALIVE_COMMENT
                    continue
                changed, lost = list(listener.pending), listener.lost
                listener.pending.clear()
                listener.lost = False
                if lost:
                    yield sse("changed", {"conversation": None})
                for conversation_id in changed:
                    yield sse("changed", {"conversation": conversation_id})
        finally:
            self._listeners[owner].discard(listener)
            if not self._listeners[owner]:
                del self._listeners[owner]

    def close(self) -> None:
        self._closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.wake.set()
