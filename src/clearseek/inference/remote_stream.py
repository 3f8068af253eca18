"""Reading what a remote engine sends, under deadlines that nothing it sends can defeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import aiohttp

from clearseek.inference.errors import EngineCrashed, EngineUnavailable, UpstreamTimeout
from clearseek.inference.remote_payloads import Payloads


@dataclass(frozen=True)
class Deadlines:
    """Seconds. Comments, pings and whatever else is no part of an answer move none of them."""

    connect: float = 10.0
    lists: float = 20.0
    """For the list of models, from asking to its last byte."""
    first: float = 600.0
    """From asking to the first piece of the answer: a model may have to be loaded, and a long prompt read."""
    idle: float = 120.0
    """From one piece of the answer to the next."""
    after: float = 10.0
    """After the answer is finished, for the count of tokens and the end of the stream."""
    total: float = 3600.0


class Clock:
    """When the engine is given up. For one answer, within one event loop."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._end = self._loop.time() + deadlines.total
        self._now("first")

    def _now(self, which: str) -> None:
        self._which, self._seconds = which, float(getattr(self._deadlines, which))
        self._next = self._loop.time() + self._seconds

    def heard(self) -> None:
        """A piece of the answer came, or was taken by whoever reads it: who reads slowly is not held against it."""
        self._now("idle")

    def finished(self) -> None:
        """All there is to say was said."""
        self._now("after")

    def timeout(self) -> asyncio.Timeout:
        return asyncio.timeout_at(min(self._next, self._end))

    def late(self, url: str) -> UpstreamTimeout:
        """The error where `timeout` ended something."""
        if self._loop.time() >= self._end:
            total = self._deadlines.total
            return UpstreamTimeout(f"The engine at {url} did not finish its answer within {total:g} seconds.")
        what = "did not begin to answer within" if self._which == "first" else "sent nothing of its answer for"
        return UpstreamTimeout(f"The engine at {url} {what} {self._seconds:g} seconds; try again later.")


async def payloads(
    response: aiohttp.ClientResponse, reader: Payloads, clock: Clock, url: str
) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON payloads of an answer until `[DONE]` or its end. Raises UpstreamTimeout, and what `Payloads` raises."""
    while not reader.done:
        try:
            async with clock.timeout():
                chunk = await response.content.readany()
        except TimeoutError:
            raise clock.late(url) from None
        for said in reader.feed(chunk) if chunk else reader.finish():
            yield said
        if not chunk:
            return


async def read_all(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, however many reads it takes; cut after `most` bytes. The caller has a deadline round it."""
    parts: list[bytes] = []
    size = 0
    while size < most and (chunk := await response.content.readany()):
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts)[:most]


def broken(error: aiohttp.ClientError | OSError, url: str, begun: bool) -> EngineUnavailable | EngineCrashed:
    """What a failure of the connection means; `begun`: whether anything of the answer had come."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return EngineUnavailable(f"The engine at {url} cannot be reached: {error.os_error}.")
    if isinstance(error, TimeoutError):
        return EngineUnavailable(f"The engine at {url} cannot be reached: it did not take the connection in time.")
    if begun:
        return EngineCrashed(f"The engine at {url} broke off in the middle of the answer.")
    return EngineCrashed(f"The engine at {url} closed the connection without an answer.")
