"""The weights that answer are those of the record: a real engine over a file that is changed, swapped or moved."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from clearseek.hub.model import Model
from clearseek.hub.store import Store
from clearseek.inference import verified_weights
from clearseek.inference.accounting import Accounting
from clearseek.inference.budget import Caps
from clearseek.inference.completion import Completion
from clearseek.inference.engine import Event, Finished, Request, Thinking
from clearseek.inference.errors import BadRequest, EngineCrashed, EngineError, EngineUnavailable
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.inference.pool import Pool
from clearseek.ledger.book import Book
from clearseek.ledger.prices import Rates
from clearseek.settings import Settings
from tests.inference.tiny_llama import write_tiny

pytestmark = pytest.mark.slow  # starts the engine's process
ASK = Request(({"role": "user", "content": "hi"},), max_tokens=3, thinking=Thinking(enabled=False))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Store(tmp_path / "models").import_file(write_tiny(tmp_path / "tiny.gguf"), "tiny")


@pytest.fixture
async def engine(model: Model) -> AsyncIterator[LlamaCppEngine]:
    engine = LlamaCppEngine(model, context=256, slots=1)
    yield engine
    await engine.close()


async def answered(engine: LlamaCppEngine) -> bool:
    return isinstance([event async for event in engine.generate(ASK)][-1], Finished)


def flip(path: Path) -> None:
    """One bit of the last tensor, in place, and the date put back."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


async def test_changed_weights_are_refused_in_words_before_they_answer(engine: LlamaCppEngine, model: Model) -> None:
    flip(model.path)
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="The weights of tiny are not those that were imported"):
            await answered(engine)
    assert engine._process is None
    flip(model.path)
    assert await answered(engine)
    assert (await engine.describe()).digest == model.sha256


async def test_a_file_that_is_moved_away_or_replaced_goes_on_answering(
    engine: LlamaCppEngine, model: Model, tmp_path: Path
) -> None:
    assert await answered(engine)
    model.path.rename(tmp_path / "elsewhere")
    assert await answered(engine)
    write_tiny(model.path, seed=5)
    assert await answered(engine), "what is loaded are still the weights of the record"
    assert engine._process is not None
    engine._process.process.kill()
    await engine._process.process.wait()
    with pytest.raises(EngineUnavailable, match="not those that were imported"):
        await answered(engine)
    model.path.unlink()
    with pytest.raises(EngineUnavailable, match="are gone from"):
        await answered(engine)


async def test_a_file_that_is_written_into_while_it_is_loaded_is_looked_at_again(
    engine: LlamaCppEngine, model: Model
) -> None:
    assert await answered(engine)
    os.utime(model.path)
    assert await answered(engine), "touched, and the same"
    flip(model.path)  # and its date put back
    with pytest.raises(EngineUnavailable, match="not those that were imported"):
        await answered(engine)


async def test_a_file_that_is_swapped_between_hashing_and_loading_is_hashed_again(
    engine: LlamaCppEngine, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_tiny(tmp_path / "other.gguf", seed=5)
    real_start = verified_weights.LlamaProcess.start

    async def start(*args: Any) -> Any:
        os.replace(other, model.path)
        return await real_start(*args)

    hashed = []
    real_digest = verified_weights.digest_of

    def digest_of(path: Path, **how: Any) -> Any:
        hashed.append(path)
        if len(hashed) == 1:  # of what stood there before it was swapped
            return model.sha256, verified_weights.FileIdentity(0, 0, 0, 0, 0)
        return real_digest(path, **how)

    monkeypatch.setattr(verified_weights.LlamaProcess, "start", start)
    monkeypatch.setattr(verified_weights, "digest_of", digest_of)
    with pytest.raises(EngineUnavailable, match="not those that were imported"):
        await answered(engine)
    assert len(hashed) == 2


async def test_weights_that_cannot_be_hashed_do_not_answer(
    engine: LlamaCppEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path, **how: Any) -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(verified_weights, "digest_of", gone)
    with pytest.raises(EngineUnavailable, match="The weights of tiny cannot be read: no such file"):
        await answered(engine)
    assert engine._process is None


async def heard(pool: Pool, name: str = "tiny") -> list[Event]:
    async with aclosing(pool.generate(name, ASK, request_id="a")) as events:
        return [event async for event in events]


async def test_the_books_never_name_weights_that_did_not_answer(model: Model, tmp_path: Path) -> None:
    flip(model.path)
    books = Accounting(tmp_path / "ledger.jsonl", Rates())
    pool = Pool(Settings(model="tiny", context=256, slots=1), Store(tmp_path / "models"), books)
    try:
        with pytest.raises(EngineUnavailable, match="not those"):
            await heard(pool)
        assert (await pool.models())[0].digest != model.sha256, "the list tells what lies there, once it is known"
        flip(model.path)
        assert isinstance((await heard(pool))[-1], Finished)
        shutil.move(model.path, tmp_path / "away.gguf")
        assert isinstance((await heard(pool))[-1], Finished), "it is loaded"
        assert isinstance((await heard(pool, "TINY "))[-1], Finished)
    finally:
        await pool.close()
    booked = [
        (entry.kind, entry.labels.get("status"), entry.labels.get("model_sha256")) for entry in Book(books.path).read()
    ]
    assert booked[0] == ("load", "failed", None)
    assert booked[1:] == [("load", "complete", model.sha256), *[("answer", "complete", model.sha256)] * 3]
    pool = Pool(Settings(model="tiny", context=256, slots=1), Store(tmp_path / "models"))
    with pytest.raises(EngineUnavailable, match="The weights of tiny are missing"):
        await heard(pool)
    await pool.close()


async def test_an_engine_is_not_closed_under_a_request_that_is_being_admitted(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a budget, so that admitting it waits for the ledger; meanwhile another model needs the memory."""
    store = Store(tmp_path / "models")
    store.import_file(write_tiny(tmp_path / "other.gguf", seed=3), "other")
    monkeypatch.setattr("clearseek.inference.pool.available_memory", lambda: 0)
    books = Accounting(tmp_path / "ledger.jsonl", Rates(), Caps(tokens=10_000))
    pool = Pool(Settings(context=256, slots=1), store, books)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def refresh() -> None:
        reached.set()
        await go_on.wait()

    try:
        assert isinstance((await heard(pool))[-1], Finished)
        with monkeypatch.context() as patch:
            patch.setattr(books, "refresh", refresh)
            first = asyncio.create_task(heard(pool))
            await reached.wait()
        assert isinstance((await heard(pool, "other"))[-1], Finished)
        go_on.set()
        assert isinstance((await first)[-1], Finished)
        assert isinstance((await heard(pool, "other"))[-1], Finished)
        await pool.warm("tiny")
        assert not pool._desks["tiny"].scheduler.running
    finally:
        await pool.close()


async def test_a_child_that_hangs_is_ended_and_told(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearseek.inference.llamacpp_process.HUNG_SECONDS", 0.4)
    assert await answered(engine)
    assert engine._process is not None
    os.kill(engine._process.process.pid, signal.SIGSTOP)  # as one that waits for itself for ever
    with pytest.raises(EngineCrashed, match="did nothing for 0 seconds and was ended"):
        await answered(engine)
    monkeypatch.setattr("clearseek.inference.llamacpp_process.HUNG_SECONDS", 120.0)
    assert await answered(engine)


async def test_what_the_child_says_of_an_error_is_told_as_one(engine: LlamaCppEngine) -> None:
    completion = Completion(await engine.start(), 256)
    with pytest.raises(BadRequest, match="The engine refused the request"):
        await completion._look_up("/tokenize", {"content": {"no": "text"}}, "tokens")
    with pytest.raises(EngineError):
        await completion._look_up("/nowhere", {}, "tokens")
