"""A pool that says what a test wants, when the test wants it: for reloads, stops and crashes at exact places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from clearseek.inference.engine import Delta, Description, Event, Finished, Progress, Queued, Request, Timings, Usage
from clearseek.inference.errors import UnknownModel

DIGEST = "d" * 64
THINKING = ["Let ", "me ", "think."]
ANSWER = ["The ", "answer ", "is ", "**42**", ", ", "naïve ", "日本", "!"]

Script = Callable[[Request], AsyncIterator[Event]]


async def ordinary(request: Request) -> AsyncIterator[Event]:
    yield Queued(1)
    yield Progress(20, 5, 20)
    if request.thinking.enabled:
        for text in THINKING:
            yield Delta("thinking", text)
    for text in ANSWER:
        yield Delta("answer", text)
    thought = len(THINKING) if request.thinking.enabled else 0
    yield Finished("stop", Usage(20, 5, thought + len(ANSWER), thought), Timings(0.1, 0.2, 0.5, "engine"))


class ScriptedPool:
    """The same methods as `Pool`. With `gated`, each event waits for `step`; without, all come at once."""

    def __init__(self, script: Script = ordinary, *, gated: bool = False) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.models_here = ["tiny", "other"]
        self.open = 0
        """Generators that hold a place."""
        self._steps = asyncio.Semaphore(0)
        self.gated = gated

    def step(self, events: int = 1) -> None:
        for _ in range(events):
            self._steps.release()

    def let_go(self) -> None:
        self.gated = False
        self.step(1000)

    async def models(self) -> list[Description]:
        details = {
            "parameters": 1000,
            "description": "says what it is told",
            "licence": "MIT",
            "bytes": 9,
            "quant": "F32",
        }
        return [
            Description(name, "llamacpp", DIGEST, 100, 1, "prompted", False, details=details if name == "tiny" else {})
            for name in self.models_here
        ]

    async def describe(self, name: str) -> Description | None:
        return next((one for one in await self.models() if one.model == name), None)

    async def resolve(self, name: str | None) -> str:
        if name is None:
            return self.models_here[0]
        if name not in self.models_here:
            raise UnknownModel(f"There is no model `{name}`.")
        return name

    books = None

    async def afford(self, client: str) -> None: ...

    async def spent(self, request_id: str) -> None: ...

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
        self.open += 1
        try:
            async for event in self.script(request):
                if self.gated:
                    await self._steps.acquire()
                yield event
        finally:
            self.open -= 1
