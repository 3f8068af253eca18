"""Answers from an engine, as people get them: a GGUF in the llama.cpp child, or any OpenAI-compatible server. No torch.

Many problems are answered side by side. llama.cpp rounds a matrix product differently when another number of rows is
computed beside a row, so a greedy answer can change where two tokens are nearly as likely; one at a time it cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.evaluation.results import Conditions, Finish
from clearseek.evaluation.runner import Completion, Query
from clearseek.flops import TransformerSizes
from clearseek.hub.files import hash_file
from clearseek.hub.gguf_file import read_header
from clearseek.hub.gguf_sizes import sizes_of
from clearseek.hub.model import Model
from clearseek.inference.engine import Delta, Engine, Finished, Recast, Request, Sampling, Thinking
from clearseek.inference.errors import Busy, ContextOverflow, EngineCrashed, EngineUnavailable, UpstreamTimeout
from clearseek.inference.flops import answer_flops
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.inference.remote import RemoteEngine, RemoteServer
from clearseek.inference.style import budget
from clearseek.inference.thinking import CLOSE, OPEN
from clearseek.ledger.entry import Draft
from clearseek.ledger.meter import Meter, Span
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import unknown

PASSING = (Busy, EngineCrashed, EngineUnavailable, UpstreamTimeout)
"""What may be over in a moment."""
WAITS = (1.0, 5.0, 20.0)
"""Seconds before the first, second and third new try of one answer."""
PROMPT_TOKENS = 1024
"""Room for the question in the context of one slot."""
REMOTE_AT_ONCE = 16


@dataclass(frozen=True)
class LedgerSink:
    """Where an evaluation is booked: what drafts go to, and what the machine costs."""

    sink: Callable[[Draft], object]
    rates: Rates | None = None


def model_of_file(path: Path) -> Model:
    """A GGUF that is not in the store, described as the store would. Raises BadModelFile."""
    header = read_header(path)
    digest = hash_file(path)
    return Model(
        name=path.stem,
        path=path,
        sha256=digest,
        bytes=header.file_bytes,
        quant=header.quantisation,
        architecture=header.architecture,
        parameters=header.parameter_count,
        context=header.context_length or 2048,
        licence=header.licence,
        thinking="native" if OPEN in (header.chat_template or "") else "prompted",
        description=path.name,
        source=str(path),
        original_sha256=digest,
    )


class EngineBackend:
    """A GGUF as it is served here. `at_once` answers are generated side by side; None: as many as fit."""

    def __init__(
        self, model: Model, books: LedgerSink, *, at_once: int | None = None, threads: int | None = None
    ) -> None:
        self.model, self.books, self.at_once, self.threads = model, books, at_once, threads

    def answer(self, asks: Sequence[Query], how: Conditions, took: Callable[[Query, Completion], None]) -> None:
        asyncio.run(self._answer(asks, how, took))

    async def _answer(self, asks: Sequence[Query], how: Conditions, took: Callable[[Query, Completion], None]) -> None:
        context = min(self.model.context, PROMPT_TOKENS + how.max_new)
        engine = await asyncio.to_thread(
            LlamaCppEngine, self.model, context=context, slots=self.at_once, threads=self.threads
        )
        try:
            child = await engine.start()
            meter = Meter(self.books.sink, machine=self.books.rates, child=child.process.pid)
            labels = {"model_sha256": self.model.sha256}
            # a few more than there are slots: the engine starts the next one in the very step that frees a slot
            at_once = engine.plan.slots + (engine.plan.slots // 4 if self.at_once is None else 0)
            async with _booked(meter, how, sizes_of(engine.header), labels) as count:
                # with a quarter of what may be written kept for the answer, whatever the budget says
                closes_at = budget(engine.style, Thinking(budget=how.budget), how.max_new)
                await _all(engine, asks, how, _both(took, count), at_once, closes_at)
        finally:
            await engine.close()


class RemoteBackend:
    """A model of an OpenAI-compatible server."""

    def __init__(self, url: str, key: str | None, model: str, books: LedgerSink, *, at_once: int | None = None) -> None:
        self.url, self.key, self.model, self.books, self.at_once = url, key, model, books, at_once

    def answer(self, asks: Sequence[Query], how: Conditions, took: Callable[[Query, Completion], None]) -> None:
        asyncio.run(self._answer(asks, how, took))

    async def _answer(self, asks: Sequence[Query], how: Conditions, took: Callable[[Query, Completion], None]) -> None:
        server = RemoteServer(self.url, self.key)
        try:
            # what the remote machine costs is not known here, and what this one costs is not the point
            meter = Meter(self.books.sink)
            async with _booked(meter, how, None, {"engine": "remote"}) as count:
                engine = RemoteEngine(server, self.model)
                await _all(engine, asks, how, _both(took, count), self.at_once or REMOTE_AT_ONCE)
        finally:
            await server.close()


def remote_models(url: str, key: str | None) -> list[str]:
    """What the server at `url` offers. Raises EngineUnavailable."""

    async def ask() -> list[str]:
        server = RemoteServer(url, key)
        try:
            return await server.models()
        finally:
            await server.close()

    return asyncio.run(ask())


async def _all(
    engine: Engine,
    asks: Sequence[Query],
    how: Conditions,
    took: Callable[[Query, Completion], None],
    at_once: int,
    closes_at: int | None = None,
) -> None:
    """Answer all, `at_once` side by side; after `closes_at` tokens of thinking the engine closes it.

    After a failure nothing new is asked, but what is under way is waited for: it may be paid for.
    """
    waiting = iter(asks)
    failures: list[Exception] = []

    async def work() -> None:
        for ask in waiting:
            try:
                took(ask, await _patiently(engine, ask, how, closes_at))
            except Exception as error:
                failures.append(error)
            if failures:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(asks))):
            group.create_task(work())
    if failures:
        raise failures[0]


async def _patiently(engine: Engine, ask: Query, how: Conditions, closes_at: int | None) -> Completion:
    for wait in (*WAITS, None):
        try:
            return await _one(engine, ask, how, closes_at)
        except ContextOverflow as error:
            why = f"the prompt has {error.prompt_tokens} tokens, and {error.context} fit"
            return Completion("", "", "length", False, error.prompt_tokens, 0, 0, 0.0, refused=why)
        except PASSING as error:
            if wait is None:
                raise UserError(
                    f"{error} It was tried {len(WAITS) + 1} times. What was answered before is kept: run the same "
                    "command again to go on."
                ) from None
            await asyncio.sleep(min(max(wait, float(getattr(error, "retry_after", 0.0))), 60.0))
    raise AssertionError


async def _one(engine: Engine, ask: Query, how: Conditions, closes_at: int | None) -> Completion:
    texts = {"thinking": "", "answer": ""}
    end: Finished | None = None
    late = False
    started = time.perf_counter()
    async with contextlib.aclosing(engine.generate(request_of(ask, how))) as events:
        async for event in events:
            if isinstance(event, Delta):
                texts[event.kind] += event.text
            elif isinstance(event, Recast):  # read as people get it; but its form is not what was taught
                late = True
                texts = {"thinking": f"{texts['thinking']}\n{texts['answer']}" if event.shown else "", "answer": ""}
            elif isinstance(event, Finished):
                end = event
    assert end is not None
    if end.reason in ("aborted", "budget"):  # it is not whole, and says nothing of the model
        raise EngineCrashed("The engine broke the answer off.")
    usage = end.usage
    if end.reason == "content_filter":
        why = "the engine's filter withheld the answer"
        return Completion(
            "",
            "",
            "stop",
            False,
            usage.prompt_tokens,
            usage.reasoning_tokens,
            usage.completion_tokens,
            time.perf_counter() - started,
            refused=why,
        )
    closed = how.thinking and closes_at is not None and usage.reasoning_tokens >= closes_at
    finish: Finish = "length" if end.reason in ("length", "repeating") else "budget" if closed else "stop"
    thinking, answer = texts["thinking"].strip(), texts["answer"].strip()
    tags = late or any(tag in text for tag in (OPEN, CLOSE) for text in (thinking, answer))
    return Completion(
        thinking,
        answer,
        finish,
        finish == "stop" and bool(answer) and not tags and bool(thinking) == how.thinking,
        usage.prompt_tokens,
        usage.reasoning_tokens,
        usage.completion_tokens,
        time.perf_counter() - started,
    )


def request_of(ask: Query, how: Conditions) -> Request:
    """What is asked. There is a seed even where nothing is drawn: with one, a prompt is read afresh, and so alike."""
    messages: list[dict[str, Any]] = [] if how.system is None else [{"role": "system", "content": how.system}]
    return Request(
        messages=(*messages, {"role": "user", "content": ask.problem.prompt}),
        max_tokens=how.max_new,
        thinking=Thinking(enabled=how.thinking, budget=how.budget),
        sampling=Sampling(temperature=how.temperature, seed=ask.seed & 0x7FFFFFFF),
    )


@contextlib.asynccontextmanager
async def _booked(
    meter: Meter, how: Conditions, sizes: TransformerSizes | None, labels: dict[str, str]
) -> AsyncIterator[Callable[[Query, Completion], None]]:
    """A span `eval` around the answers; what it gives counts each of them."""
    with _span(meter, how, labels) as span:

        def count(ask: Query, answered: Completion) -> None:
            read, written = answered.prompt_tokens, answered.tokens
            span.count(prompt_tokens=read, completion_tokens=written, reasoning_tokens=answered.thinking_tokens)
            if sizes is not None:
                span.count(flops=answer_flops(sizes, prompt=read, cached=0, completion=written))

        if sizes is None:
            span.count(flops=unknown("FLOP", "the architecture of a remote model is not known here"))
        yield count


def _span(meter: Meter, how: Conditions, labels: dict[str, str]) -> AbstractContextManager[Span]:
    suite = {} if how.suite is None else {"suite": how.suite}
    return meter.span("eval", model=how.model, split=how.split, arm=how.arm, source="terminal", **suite, **labels)


def _both(
    one: Callable[[Query, Completion], None], other: Callable[[Query, Completion], None]
) -> Callable[[Query, Completion], None]:
    def each(ask: Query, answered: Completion) -> None:
        one(ask, answered)
        other(ask, answered)

    return each
