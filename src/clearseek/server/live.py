"""Event streams for the page: the bytes of an event, and the one stream that tells a browser all it wants to know."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from clearseek.server.event_bytes import KEEP_ALIVE_COMMENT, event_bytes

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that nothing between here and the tab hangs up."""
MAX_PENDING = 200
"""Changed conversations remembered for one slow listener; beyond that it is told that anything may have changed."""


async def woken(wake: asyncio.Event) -> bool:
    """Wait for `wake` and clear it; False after KEEP_ALIVE seconds of nothing."""
    try:
        async with asyncio.timeout(KEEP_ALIVE):
            await wake.wait()
    except TimeoutError:
        return False
    wake.clear()
    return True


class Telling(Protocol):
    """One listener's place in something that happens: `news` is what it has not been told yet."""

    over: bool

    def news(self) -> Iterator[tuple[str, Any, int]]: ...

    def close(self) -> None: ...


class Listener:
    """One open page, or one browser with any number of them."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.pending: dict[str, None] = {}
        self.lost = False
        self.followed: dict[str, Telling] = {}
        """By generation. What is over is forgotten."""

    def change(self, conversation_id: str | None) -> None:
        """Note a changed conversation; None: any may have changed."""
        if conversation_id is None or len(self.pending) >= MAX_PENDING:
            self.pending.clear()
            self.lost = True
        if conversation_id is not None:
            self.pending[conversation_id] = None
        self.wake.set()

    def events(self) -> Iterator[bytes]:
        """What is to be told now."""
        changed, lost = list(self.pending), self.lost
        self.pending.clear()
        self.lost = False
        if lost:
            yield event_bytes({"conversation": None}, "changed")
        for conversation_id in changed:
            yield event_bytes({"conversation": conversation_id}, "changed")
        for generation_id, telling in list(self.followed.items()):
            for name, data, number in telling.news():
                yield event_bytes(
                    {"generation": generation_id, "event": name, "id": number, "data": data}, "generation"
                )
            if telling.over and self.followed.get(generation_id) is telling:
                self.unfollow(generation_id)

    def unfollow(self, generation_id: str) -> None:
        self.followed.pop(generation_id).close()


class Live:
    """Tells every open page of an owner which conversations changed, and what is written in those that it follows.

    All of it on one stream: a browser opens six connections to one server at most, whatever number of pages it shows.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, dict[str, Listener]] = {}
        self._closed = False

    def publish(self, owner: str, conversation_id: str | None) -> None:
        """Tell that a conversation was created, renamed, answered or deleted; None: many were."""
        for listener in self._listeners.get(owner, {}).values():
            listener.change(conversation_id)

    def count(self, owner: str) -> int:
        return len(self._listeners.get(owner, {}))

    def listener(self, owner: str, name: str) -> Listener | None:
        return self._listeners.get(owner, {}).get(name)

    async def listen(self, owner: str, name: str | None = None) -> AsyncIterator[bytes]:
        """Events as bytes until the server closes. One comment comes at once, so that headers are sent.

        `name` is how the listener will be called in `listener`; one that is given twice is the last one's.
        """
        listener, name = Listener(), name or secrets.token_hex(16)
        mine = self._listeners.setdefault(owner, {})
        mine[name] = listener
        try:
            yield KEEP_ALIVE_COMMENT
            while not self._closed:
                if not await woken(listener.wake):
                    yield KEEP_ALIVE_COMMENT
                for event in listener.events():
                    yield event
        finally:
            for generation_id in list(listener.followed):
                listener.unfollow(generation_id)
            if mine.get(name) is listener:
                del mine[name]
            if not mine and self._listeners.get(owner) is mine:
                del self._listeners[owner]

    def close(self) -> None:
        self._closed = True
        for listeners in self._listeners.values():
            for listener in listeners.values():
                listener.wake.set()
