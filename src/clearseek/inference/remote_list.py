"""What models a remote engine has, known without asking it each time: nobody waits for it who does not need it."""

from __future__ import annotations

import asyncio
import time

from clearseek.inference.errors import EngineError, EngineUnavailable
from clearseek.inference.remote_server import RemoteServer

BELIEVED = 30.0
"""Seconds for which a list is believed; after that it is fetched anew in the background."""
AGAIN = 5.0
"""Seconds after which an engine that could not tell its list is asked again."""


class RemoteList:
    """One list, fetched by one task at a time. For use within one event loop."""

    def __init__(self, server: RemoteServer) -> None:
        self._server = server
        self._names: list[str] | None = None
        self._failed: EngineError | None = None
        self._next = -1.0
        self._task: asyncio.Task[None] | None = None

    @property
    def known(self) -> list[str]:
        """The last list that came; empty before there was one."""
        return self._names or []

    def look(self) -> asyncio.Task[None] | None:
        """Fetches the list in the background where it is old. Gives the task, if one is under way."""
        if self._task is None and time.monotonic() >= self._next:
            self._task = asyncio.create_task(self._fetch())
        return self._task

    async def first(self, patience: float) -> list[str]:
        """What is known. Only before there was any list it is waited for, `patience` seconds at most."""
        task = self.look()
        if task is not None and self._names is None and self._failed is None:
            await asyncio.wait({task}, timeout=patience)
        return self.known

    async def fresh(self) -> list[str]:
        """The list as it is now, for who cannot do without. Raises EngineUnavailable where there never was any."""
        task = self.look()
        if task is not None:
            await asyncio.wait({task})
        if self._names is None:
            raise EngineUnavailable(str(self._failed or "The server is shutting down."))
        return self._names

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _fetch(self) -> None:
        try:
            self._names, self._failed = await self._server.models(), None
            self._next = time.monotonic() + BELIEVED
        except EngineError as error:
            self._failed = error
            self._next = time.monotonic() + AGAIN
        finally:
            self._task = None
