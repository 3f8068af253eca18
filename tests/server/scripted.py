"""A pool whose engine does what a test says, behind the real queue; and a real server on a real socket around it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from clearseek.conversations.store import ChatStore
from clearseek.hub.store import Store
from clearseek.inference.engine import (
    Delta,
    Description,
    Event,
    Finished,
    Progress,
    Queued,
    Request,
    TokenLogprob,
    Usage,
)
from clearseek.inference.errors import UnknownModel
from clearseek.inference.pool import PoolStats
from clearseek.inference.scheduler import Scheduler
from clearseek.server.app import create_app
from clearseek.server.transport import BoundedHttp, listen
from clearseek.settings import Settings

DIGEST = "ab" * 32
Step = Event | Exception | float
"""Something the engine says, raises, or a pause in seconds."""


def usual(request: Request) -> Sequence[Step]:
    """Two words of thinking, if asked for, and two of answer."""
    thinking: list[Step] = []
    if request.thinking.enabled:
        thinking = [Delta("thinking", "Hm", 1, _probs("Hm")), Delta("thinking", " so", 1, _probs(" so"))]
    said = [Delta("answer", "Hello", 1, _probs("Hello")), Delta("answer", " wörld", 1, _probs(" wörld"))]
    usage = Usage(10, 4, 2 + len(thinking), len(thinking))
    return [Progress(10, 4, 10), *thinking, *said, Finished("stop", usage)]


def _probs(token: str) -> tuple[TokenLogprob, ...]:
    raw = tuple(token.encode())
    return (TokenLogprob(token, -0.5, raw, ((token, -0.5, raw), ("no", float("-inf"), (110, 111)))),)


def endless(request: Request) -> Sequence[Step]:
    return [Progress(1, 0, 1), *[step for _ in range(5_000) for step in (Delta("answer", "x"), 0.01)]]


class ScriptedPool:
    """The pool's interface. `requests` is what arrived, `tokens` how many tokens were made so far."""

    def __init__(
        self, script: Callable[[Request], Sequence[Step]] = usual, *, slots: int = 4, capacity: int = 64
    ) -> None:
        self.script, self.scheduler = script, Scheduler(slots, capacity)
        self.requests: list[Request] = []
        self.clients: list[str] = []
        self.tokens = 0
        self.abandoned = 0
        self.hold = 0

    async def models(self) -> list[Description]:
        return [Description("tiny", "llamacpp", DIGEST, 2048, 4, "prompted", False, self.hold)]

    async def describe(self, name: str) -> Description | None:
        return next((one for one in await self.models() if one.model == name), None)

    async def resolve(self, name: str | None) -> str:
        if name not in (None, "tiny", "TINY"):
            raise UnknownModel(f"There is no model `{name}` here; did you mean `tiny`?")
        return "tiny"

    async def generate(
        self,
        model: str | None,
        request: Request,
        *,
        request_id: str,
        client: str = "local",
        source: str = "api",
        conversation: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        self.clients.append(client)
        place = self.scheduler.admit(client)
        try:
            async for position in place.wait():
                yield Queued(position)
            for step in self.script(request):
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    if isinstance(step, Delta):
                        self.tokens += step.tokens
                    yield step
        except (GeneratorExit, asyncio.CancelledError):
            self.abandoned += 1
            raise
        finally:
            place.leave()

    books = None

    async def afford(self, client: str) -> None: ...

    async def spent(self, request_id: str) -> None: ...

    async def cancel(self, request_id: str) -> None: ...

    def stats(self) -> PoolStats:
        return PoolStats(
            running=len(self.scheduler.running),
            waiting=self.scheduler.waiting,
            capacity=self.scheduler.capacity,
            refused_total=self.scheduler.refused,
            abandoned_total=self.abandoned,
            tokens={"completion": self.tokens},
        )

    async def close(self) -> None: ...


@contextmanager
def serving(pool: Any, folder: Path, **settings: Any) -> Iterator[str]:
    """The address of a real server around a pool, on a free port, in a thread of its own."""
    host = settings.get("host", "127.0.0.1")
    app = create_app(
        Settings(**settings), store=Store(folder / "models"), pool=pool, chats=ChatStore(folder / "chat.sqlite")
    )
    sock = listen(host, 0)
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    assert server.started
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)


def until(true: Callable[[], bool], seconds: float = 60.0) -> float:
    """Waits until something is so; gives the seconds that it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not come to be"
        time.sleep(0.005)
    return time.monotonic() - began
