"""The pool with a remote engine beside local models: who needs the remote one waits for it, and nobody else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from remote_dialects import COUNTED, DIALECTS, chunk
from scripted_upstream import Connection, Upstream, sends, silent
from tiny_llama import write_tiny

from clearseek.hub.store import Store
from clearseek.inference import pool as pool_module
from clearseek.inference import remote_list
from clearseek.inference.accounting import Accounting
from clearseek.inference.engine import Event, Finished, Request, Thinking, Timings
from clearseek.inference.errors import EngineUnavailable, UnknownModel, UpstreamTimeout
from clearseek.inference.pool import Pool
from clearseek.inference.remote import Deadlines
from clearseek.inference.timing import AT_ONCE, Stopwatch
from clearseek.ledger.book import Book
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import Basis
from clearseek.settings import Settings

REQUEST = Request(({"role": "user", "content": "hi"},), thinking=Thinking(enabled=False))
SOON = 30.0
"""Seconds within which what does not wait for the remote engine is over; its own deadlines are longer."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one model, `tiny`."""
    store = Store(tmp_path / "models", ())
    store.import_file(write_tiny(tmp_path / "tiny.gguf"), name="tiny")
    return store


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    monkeypatch.setattr(pool_module, "REMOTE_PATIENCE", 0.2)
    with Upstream(sends(DIALECTS["plain"].raw)) as upstream:
        yield upstream


@pytest.fixture
async def pool(store: Store, upstream: Upstream) -> AsyncIterator[Pool]:
    pool = make(store, upstream.url)
    yield pool
    await pool.close()


def make(store: Store, url: str, books: Accounting | None = None) -> Pool:
    pool = Pool(Settings(model="tiny", engine_url=url, context=256, slots=1, threads=1), store, books)
    assert pool._remote is not None
    pool._remote.deadlines = Deadlines(lists=600.0)
    return pool


async def told(pool: Pool, model: str | None, request: Request = REQUEST) -> list[Event]:
    async with asyncio.timeout(SOON):
        return [event async for event in pool.generate(model, request, request_id="r")]


async def test_a_list_that_never_comes_holds_nobody_who_does_not_need_it(pool: Pool, upstream: Upstream) -> None:
    upstream.lists = silent
    waits = asyncio.create_task(pool.resolve("big"))
    async with asyncio.timeout(SOON):
        assert await pool.resolve(None) == "tiny"
        assert await pool.resolve("TINY") == "tiny"
        described = await pool.describe("tiny")
        assert described is not None
        assert described.digest
        assert [one.model for one in await pool.models()] == ["tiny"]
        assert (await pool._desk("tiny")).local
    assert not waits.done()
    waits.cancel()


async def test_the_list_is_asked_for_once_however_many_wait(pool: Pool, upstream: Upstream) -> None:
    asyncs = [pool.resolve("big") for _ in range(50)] + [pool.resolve("small") for _ in range(50)]
    assert set(await asyncio.gather(*asyncs)) == {"big", "small"}
    assert [one.model for one in await pool.models()] == ["tiny", "big", "small"]
    assert upstream.listed == 1


async def test_an_old_list_is_believed_while_the_new_one_is_fetched(
    pool: Pool, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_list, "BELIEVED", 0.0)
    assert await pool.resolve("big") == "big"
    upstream.lists = silent
    async with asyncio.timeout(SOON):
        assert await pool.resolve("big") == "big"
        assert [one.model for one in await pool.models()] == ["tiny", "big", "small"]
        assert isinstance((await told(pool, "big"))[-1], Finished)
        described = await pool.describe("big")
        assert described is not None
        assert described.kind == "remote"


async def test_a_model_that_came_since_is_found(
    pool: Pool, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_list, "BELIEVED", 0.0)
    assert await pool.resolve("big") == "big"
    upstream.lists = sends(b'{"data": [{"id": "new"}]}')
    assert await pool.resolve("new") == "new"
    with pytest.raises(UnknownModel, match="did you mean `new`"):
        await pool.resolve("newer")


async def test_an_engine_that_is_away_is_told_to_who_asks_for_it_and_not_asked_each_time(
    pool: Pool, upstream: Upstream
) -> None:
    upstream.lists = sends(b"<title>502 Bad Gateway</title>", status=502)
    for _ in range(5):
        with pytest.raises(EngineUnavailable, match="502 Bad Gateway"):
            await pool.resolve("big")
        assert await pool.resolve(None) == "tiny"
        assert [one.model for one in await pool.models()] == ["tiny"]
    assert upstream.listed == 1


async def test_what_is_installed_comes_before_what_is_elsewhere(pool: Pool, upstream: Upstream) -> None:
    """Or the same name would mean another model before the list came than after."""
    upstream.lists = sends(b'{"data": [{"id": "Tiny"}, {"id": "big"}]}')
    assert await pool.resolve("big") == "big"
    assert await pool.resolve("Tiny") == "tiny"
    assert [one.model for one in await pool.models()] == ["tiny", "big"]


async def test_without_a_model_of_ones_own_the_first_remote_one_answers(tmp_path: Path, upstream: Upstream) -> None:
    pool = make(Store(tmp_path / "none", ()), upstream.url)
    assert await pool.resolve(None) == "big"
    assert [one.model for one in await pool.models()] == ["big", "small"]
    await pool.close()
    upstream.lists = sends(b"", status=500)
    pool = make(Store(tmp_path / "none", ()), upstream.url)
    for asked in (pool.models, lambda: pool.resolve(None)):
        with pytest.raises(EngineUnavailable):
            await asked()
    await pool.close()


async def test_a_model_that_is_slow_to_open_holds_no_other(
    pool: Pool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.import_file(write_tiny(tmp_path / "slow.gguf", 1), name="slow")
    real, go = pool_module.LlamaCppEngine, threading.Event()

    def opened(model: Any, **how: Any) -> Any:
        if model.name == "slow":
            assert go.wait(SOON * 2)
        return real(model, **how)

    monkeypatch.setattr(pool_module, "LlamaCppEngine", opened)
    slow = [asyncio.create_task(pool._desk("slow")) for _ in range(3)]
    try:
        async with asyncio.timeout(SOON):
            assert (await pool._desk("tiny")).local
            await pool.resolve("big")
            assert not (await pool._desk("big")).local
        assert not any(one.done() for one in slow)
    finally:
        go.set()
    first, *others = await asyncio.gather(*slow)
    assert all(one is first for one in others), "it was opened once"
    monkeypatch.undo()


@pytest.mark.slow
async def test_a_local_answer_comes_while_the_remote_engine_says_nothing(pool: Pool, upstream: Upstream) -> None:
    upstream.lists = silent
    last = (await told(pool, None, Request(REQUEST.messages, max_tokens=5, thinking=Thinking(enabled=False))))[-1]
    assert isinstance(last, Finished)
    assert last.timings.clock == "engine"
    assert last.timings.prompt


# Times


def wall(events: list[Event]) -> float:
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.spent is not None
    quantity = last.spent.quantities["wall"]
    assert quantity.basis is Basis.MEASURED
    assert quantity.value is not None
    return quantity.value


@pytest.fixture
async def booked(store: Store, upstream: Upstream, tmp_path: Path) -> AsyncIterator[Pool]:
    pool = make(store, upstream.url, Accounting(tmp_path / "ledger.jsonl", Rates()))
    yield pool
    await pool.close()


def in_two_goes(pause: float) -> Any:
    async def script(connection: Connection) -> None:
        await connection.head()
        await asyncio.sleep(pause)
        await connection.send(chunk({"content": "It is "}).encode())
        await asyncio.sleep(pause)
        await connection.send((chunk({"content": "Bern."}) + chunk({}, "stop")).encode())

    return script


async def test_a_remote_answer_is_timed_by_our_own_clock(booked: Pool, upstream: Upstream) -> None:
    for pause in (AT_ONCE * 2, AT_ONCE * 10, AT_ONCE * 60):  # a busy machine may read what came apart at once
        upstream.answers["big"] = in_two_goes(pause)
        events = await told(booked, "big")
        last = events[-1]
        assert isinstance(last, Finished)
        times = last.timings
        if times.decode is not None:
            break
    assert times.clock == "server"
    assert times.prompt is not None
    assert times.decode is not None
    assert times.prompt >= pause * 0.9
    assert times.decode >= pause * 0.9
    assert 0 <= times.prompt + times.decode - wall(events) < 1.0, "they tell the same time"


@pytest.mark.parametrize("name", ["json", "timings-of-its-own"])
async def test_what_came_all_at_once_has_no_time_of_writing(booked: Pool, upstream: Upstream, name: str) -> None:
    upstream.answers["big"] = sends(DIALECTS[name].raw, type=DIALECTS[name].type)
    events = await told(booked, "big")
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.timings.clock == "server"
    assert last.timings.prompt
    assert last.timings.decode is None or last.timings.decode >= AT_ONCE
    assert last.timings.prompt < SOON, "the clock of another machine is not believed"


@pytest.mark.parametrize(
    ("timings", "believed"),
    [
        (Timings(prompt=1.0, decode=3.0, clock="engine"), True),
        (Timings(prompt=0.0, decode=4.0, clock="engine"), True),
        (Timings(), False),
        (Timings(prompt=0.0, decode=0.0, clock="engine"), False),
        (Timings(prompt=1.0, decode=9.0, clock="engine"), False),
        (Timings(prompt=-1.0, decode=0.5, clock="engine"), False),
        (Timings(prompt=float("nan"), decode=1.0, clock="engine"), False),
        (Timings(prompt=1.0, decode=3.0), False),
    ],
)
def test_times_that_cannot_be_are_not_believed(
    timings: Timings, believed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("clearseek.inference.timing.time.monotonic", lambda: now)
    watch = Stopwatch(0.5)
    now = 101.5
    watch.wrote()
    now = 103.0
    watch.wrote()
    now = 105.0
    checked = watch.checked(timings)
    assert checked.queue == 0.5
    if believed:
        assert (checked.prompt, checked.decode, checked.clock) == (timings.prompt, timings.decode, "engine")
    else:
        assert (checked.prompt, checked.decode, checked.clock) == (1.5, 3.5, "server")
        assert checked.total == 5.5


async def test_the_ledger_does_not_call_pieces_counted(booked: Pool, upstream: Upstream, tmp_path: Path) -> None:
    upstream.answers["big"] = sends(DIALECTS["reasoning"].raw)
    upstream.answers["small"] = sends(DIALECTS["usage-deepseek"].raw)
    for model in ("big", "small"):
        await told(booked, model)
    upstream.answers["small"] = sends((chunk({"reasoning": "Hm."}) + chunk({}, "stop", usage=COUNTED)).encode())
    await told(booked, "small")
    upstream.answers["small"] = silent
    assert booked._remote is not None
    booked._remote.deadlines = Deadlines(first=0.2)
    with pytest.raises(UpstreamTimeout):
        await told(booked, "small")
    await booked.close()
    uncounted, counted, together, failed = [entry.quantities for entry in Book(tmp_path / "ledger.jsonl").read()]
    assert uncounted["completion_tokens"].basis is Basis.MODELLED
    assert "pieces" in uncounted["completion_tokens"].how
    assert not uncounted["prompt_tokens"].known
    assert not uncounted["cached_tokens"].known
    assert counted["completion_tokens"].basis is Basis.MEASURED
    assert (counted["prompt_tokens"].value, counted["cached_tokens"].value) == (9, 4)
    assert counted["reasoning_tokens"].value == 3
    assert together["completion_tokens"].value == 7
    assert not together["reasoning_tokens"].known, "thinking came, and was not counted apart"
    assert not failed["prompt_tokens"].known
    assert failed["wall"].value is not None
    assert failed["wall"].value >= 0.18
    assert json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[-1])


async def test_whether_a_model_calls_tools_is_not_guessed(pool: Pool) -> None:
    """Its template says, which is read when it is loaded; a remote engine does not tell."""
    assert {one.model: one.tools for one in await pool.models()} == {"tiny": None, "big": None, "small": None}
    await pool._desk("tiny")
    described = await pool.describe("tiny")
    assert described is not None
    assert described.tools is not None
