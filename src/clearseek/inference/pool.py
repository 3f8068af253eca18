"""Every engine the server has, by model name, each behind its bounded queue."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from clearseek.hub.errors import HubError
from clearseek.hub.errors import UnknownModel as NotInstalled
from clearseek.hub.gguf_sizes import sizes_of
from clearseek.hub.model import Model
from clearseek.hub.store import Store
from clearseek.hub.weights import known_digest
from clearseek.inference.accounting import Accounting
from clearseek.inference.answer import Answer
from clearseek.inference.engine import (
    Delta,
    Description,
    Engine,
    Event,
    Finished,
    Queued,
    Request,
    Source,
    Spent,
    ToolCall,
)
from clearseek.inference.errors import EngineUnavailable, UnknownModel
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.inference.machine import available_memory
from clearseek.inference.machine_share import Metered
from clearseek.inference.proration import Shares
from clearseek.inference.remote import RemoteEngine
from clearseek.inference.remote_list import RemoteList
from clearseek.inference.remote_server import RemoteServer
from clearseek.inference.scheduler import Scheduler
from clearseek.inference.style import style_of
from clearseek.inference.timing import Stopwatch
from clearseek.settings import Settings

REMOTE_SLOTS = 64
"""A remote engine batches by itself; this only bounds what we hold open."""
REMOTE_PATIENCE = 2.0
"""Seconds for which a list of all models waits for the remote engine's first one."""


@dataclass(frozen=True)
class PoolStats:
    """For `/health` and `/metrics`. Counters only grow."""

    running: int = 0
    waiting: int = 0
    capacity: int = 0
    refused_total: int = 0
    abandoned_total: int = 0
    """Requests whose client went away before the end."""
    engine_restarts_total: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    """`prompt`, `cached`, `completion`, `reasoning`: tokens so far, all requests together."""


@dataclass
class _Desk:
    """One engine and the queue before it."""

    engine: Engine
    scheduler: Scheduler
    local: bool
    metered: Metered
    used: float = field(default_factory=time.monotonic)


class Pool:
    """Engines by model name, made when first asked for. For use within one event loop.

    With `books`, every answer is booked there, and held to its budget.
    """

    def __init__(self, settings: Settings, store: Store, books: Accounting | None = None) -> None:
        self._settings, self._store = settings, store
        self.books = books
        self._desks: dict[str, _Desk] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._tasks: dict[str, asyncio.Task[object]] = {}
        self._abandoned = 0
        self._restarts_of_closed = 0
        self._tokens = {"prompt": 0, "cached": 0, "completion": 0, "reasoning": 0}
        self._remote: RemoteServer | None = None
        self._remote_list: RemoteList | None = None
        if settings.engine_url is not None:
            key = settings.engine_key
            self._remote = RemoteServer(settings.engine_url, key.get_secret_value() if key else None)
            self._remote_list = RemoteList(self._remote)

    async def models(self) -> list[Description]:
        """What can answer now, the default model first. A remote model of the same name as one here is left out.

        Raises EngineUnavailable where there is only a remote engine and it cannot be asked.
        """
        described = [await self._describe(model) for model in self._store.list()]
        if self._remote_list is not None:
            here = {one.model.lower() for one in described}
            for name in await (self._remote_list.first(REMOTE_PATIENCE) if here else self._remote_list.fresh()):
                entry = self._store.entry(name.lower())
                if name.lower() not in here and (entry is None or entry.name not in here):
                    described.append(await self._remote_engine(name).describe())
        default = self._settings.model.lower()
        return sorted(described, key=lambda one: one.model.lower() != default)

    async def describe(self, name: str) -> Description | None:
        """One model by its canonical name, without waiting for a remote engine; None for one that is gone."""
        try:
            return await self._describe(self._store.find(name))
        except NotInstalled:
            known = self._remote_list is not None and name in self._remote_list.known
            return await self._remote_engine(name).describe() if known else None

    async def resolve(self, name: str | None) -> str:
        """The canonical name (None: the default model, or the remote engine's first where that is not installed).

        What is installed here comes first, and never waits for a remote engine. Raises UnknownModel, with the nearest
        name, and EngineUnavailable where it may be the remote engine's and that cannot be asked.
        """
        wanted = name or self._settings.model
        if self._remote_list is not None:
            self._remote_list.look()
        try:
            return self._store.find(wanted).name
        except NotInstalled as error:
            not_here = str(error)
        except HubError as error:  # the weights are gone or cut short: whoever has them loaded can still answer
            entry = self._store.entry(wanted)
            loaded = next((n for n in (wanted.strip().lower(), entry.name if entry else "") if n in self._desks), None)
            if loaded is None:
                raise EngineUnavailable(str(error)) from None
            return loaded
        remote: list[str] = []
        if self._remote_list is not None:
            known = self._remote_list.known
            remote = known if wanted in known else await self._remote_list.fresh()
        if wanted in remote:
            return wanted
        if name is None and remote:
            return remote[0]
        near = difflib.get_close_matches(wanted, remote, n=1)
        raise UnknownModel(f"There is no model `{wanted}` here; did you mean `{near[0]}`?" if near else not_here)

    async def generate(
        self,
        model: str | None,
        request: Request,
        *,
        request_id: str,
        client: str = "local",
        source: Source = "api",
        conversation: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Queue, then generate. Refuses at once (Busy, OverBudget) from the first `anext`; closing the generator, or
        cancelling the task that reads it, frees its place. `client` is who asks, for fairness between clients and for
        the books, as are `source` and `conversation`."""
        desk = await self._desk(await self.resolve(model))
        # Before anything is waited for: an engine that nobody stands before may be closed to make room.
        place = desk.scheduler.admit(client)
        answer = None
        finished, error = False, None
        try:
            task = asyncio.current_task()
            if task is not None:
                self._tasks[request_id] = task
            if self.books is not None:
                answer = await self.books.open(desk.metered, request, request_id, client, source, conversation)
            async for position in place.wait():
                yield Queued(position)
            desk.used = time.monotonic()
            made = await self._events(desk, request, request_id, answer, place.leave)
            watch = Stopwatch(place.waited)
            async with contextlib.aclosing(made) as events:
                async for event in events:
                    if type(event) is Delta:
                        watch.wrote()
                        yield event
                        continue
                    if isinstance(event, ToolCall):
                        watch.wrote()
                    elif isinstance(event, Finished):
                        finished = True
                        self._count(event)
                        event = replace(event, timings=watch.checked(event.timings))
                    yield event
        except BaseException as failure:
            error = failure
            if not finished and isinstance(failure, (GeneratorExit, asyncio.CancelledError)):
                self._abandoned += 1
            raise
        finally:
            place.leave()
            self._tasks.pop(request_id, None)
            if answer is not None and self.books is not None:
                self.books.leave(answer, error)

    async def _events(
        self, desk: _Desk, request: Request, request_id: str, answer: Answer | None, done: Callable[[], None]
    ) -> AsyncGenerator[Event, None]:
        """What the engine says; booked, where there are books."""
        if answer is None or self.books is None:
            return desk.engine.generate(request, request_id=request_id)
        if isinstance(desk.engine, LlamaCppEngine):
            await desk.engine.start()  # loading it is not this answer's work
        return self.books.watch(answer, desk.engine.generate(answer.request, request_id=request_id), done)

    async def afford(self, client: str) -> None:
        """Raises OverBudget where nothing is left for this client today."""
        if self.books is not None:
            await self.books.afford(client)

    async def spent(self, request_id: str) -> Spent | None:
        """What an answer took that is over, however it ended; None where nothing was booked."""
        return None if self.books is None else await self.books.spent(request_id)

    async def cancel(self, request_id: str) -> None:
        """Cancels the task that reads a generation, wherever it is; an unknown id is ignored."""
        task = self._tasks.get(request_id)
        if task is not None:
            task.cancel()

    def stats(self) -> PoolStats:
        schedulers = [desk.scheduler for desk in self._desks.values()]
        restarts = sum(desk.engine.restarts for desk in self._desks.values() if isinstance(desk.engine, LlamaCppEngine))
        return PoolStats(
            running=sum(len(scheduler.running) for scheduler in schedulers),
            waiting=sum(scheduler.waiting for scheduler in schedulers),
            capacity=self._settings.queue,
            refused_total=sum(scheduler.refused for scheduler in schedulers),
            abandoned_total=self._abandoned,
            engine_restarts_total=self._restarts_of_closed + restarts,
            tokens=dict(self._tokens),
        )

    async def warm(self, model: str | None = None) -> None:
        """Starts the engine before anyone asks, so that the first answer does not wait for it."""
        desk = await self._desk(await self.resolve(model))
        if isinstance(desk.engine, LlamaCppEngine):
            await desk.engine.start()

    async def close(self) -> None:
        """Ends every child process and connection."""
        for desk in self._desks.values():
            await desk.engine.close()
        if self._remote_list is not None:
            await self._remote_list.close()
        if self._remote is not None:
            await self._remote.close()
        if self.books is not None:
            await self.books.close()

    def _count(self, event: Finished) -> None:
        usage = event.usage
        if not usage.counted:
            return
        self._tokens["prompt"] += usage.prompt_tokens
        self._tokens["cached"] += usage.cached_tokens
        self._tokens["completion"] += usage.completion_tokens
        self._tokens["reasoning"] += usage.reasoning_tokens

    def _remote_engine(self, name: str) -> RemoteEngine:
        assert self._remote is not None
        return RemoteEngine(self._remote, name)

    async def _describe(self, model: Model) -> Description:
        desk = self._desks.get(model.name)
        details = {
            "description": model.description,
            "licence": model.licence,
            "parameters": model.parameters,
            "bytes": model.bytes,
            "quant": model.quant,
            "source": model.source,
        }
        if desk is not None:
            return replace(await desk.engine.describe(), details=details)
        context = min(model.context, self._settings.context or model.context)
        return Description(
            model=model.name,
            kind="llamacpp",
            digest=known_digest(model.path) or model.sha256,
            context=context,
            slots=self._settings.slots,
            thinking=model.thinking,
            tools=None,  # its template says, which is read when it is loaded
            hold=style_of(model.thinking, model.parameters).hold,
            details=details,
        )

    async def _desk(self, name: str) -> _Desk:
        async with self._opening.setdefault(name, asyncio.Lock()):
            desk = self._desks.get(name)
            if desk is None:
                desk = await self._open(name)
                self._desks[name] = desk
            return desk

    async def _open(self, name: str) -> _Desk:
        settings = self._settings
        try:
            model = self._store.find(name)
        except NotInstalled:
            if self._remote_list is None or name not in self._remote_list.known:
                raise
            remote = self._remote_engine(name)
            return _Desk(remote, Scheduler(REMOTE_SLOTS, settings.queue), local=False, metered=Metered(name, None))
        await self._make_room(model)
        # Reading the header of a large vocabulary takes tenths of a second: not on the event loop.
        engine = await asyncio.to_thread(
            LlamaCppEngine, model, context=settings.context, slots=settings.slots, threads=settings.threads
        )
        # A few more than there are slots go to the engine, which starts the next one in the very step that frees a
        # slot; from here it would come one step late, every time.
        slots = engine.plan.slots + engine.plan.slots // 4
        metered = Metered(model.name, model.sha256, sizes_of(engine.header), Shares(engine.cpu_seconds))
        if self.books is not None:
            engine.loading = self.books.meter(metered, engine.cpu_seconds, model.bytes)
        return _Desk(engine, Scheduler(slots, settings.queue), local=True, metered=metered)

    async def _make_room(self, model: Model) -> None:
        """Closes local engines that nobody uses, the longest unused first, while the new one would not fit."""
        idle = [
            (desk.used, name)
            for name, desk in self._desks.items()
            if desk.local and not desk.scheduler.running and not desk.scheduler.waiting
        ]
        for _, name in sorted(idle):
            if model.bytes * 2 < available_memory():
                return
            desk = self._desks.pop(name)
            if self.books is not None:
                self.books.forget(desk.metered)
            self._restarts_of_closed += desk.engine.restarts if isinstance(desk.engine, LlamaCppEngine) else 0
            await desk.engine.close()
