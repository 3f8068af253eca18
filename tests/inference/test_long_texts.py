"""A text far beyond the context is refused without being read to its end, and nobody who has left is worked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clearseek.hub.model import Model
from clearseek.inference import completion as completion_module
from clearseek.inference.completion import PIECE, Completion
from clearseek.inference.engine import Finished, Request, Thinking
from clearseek.inference.errors import ContextOverflow
from clearseek.inference.llamacpp import LlamaCppEngine

pytestmark = pytest.mark.slow  # the real model
OFF = Thinking(enabled=False)


@pytest.fixture
async def engine(real_model: Model) -> Any:
    engine = LlamaCppEngine(real_model, context=2048, slots=2)
    yield engine
    await engine.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What the child was asked to look up: path and how many characters."""
    seen: list[tuple[str, int]] = []
    real = Completion._look_up

    async def look_up(self: Completion, path: str, body: dict[str, Any], key: str) -> Any:
        seen.append((path, len(body.get("content", ""))))
        return await real(self, path, body, key)

    monkeypatch.setattr(Completion, "_look_up", look_up)
    return seen


async def refusal(engine: LlamaCppEngine, request: Request) -> ContextOverflow:
    with pytest.raises(ContextOverflow) as told:
        _ = [event async for event in engine.generate(request)]
    return told.value


def ask(text: str) -> Request:
    return Request(({"role": "user", "content": text},), max_tokens=1, thinking=OFF)


async def test_its_length_alone_may_be_enough(engine: LlamaCppEngine, asked: list[tuple[str, int]]) -> None:
    for text in ("a" * 2_000_000, "word " * 400_000, "語" * 700_000):
        told = await refusal(engine, ask(text))
        assert told.prompt_tokens > told.context == 2048
        assert str(told).startswith(f"The conversation is at least {told.prompt_tokens} tokens long")
    raw = Request((), completion_prompt="a" * 2_000_000, max_tokens=1)
    assert (await refusal(engine, raw)).prompt_tokens > 2048
    assert asked == []


async def test_else_it_is_read_in_pieces_until_they_are_too_many(
    engine: LlamaCppEngine, asked: list[tuple[str, int]]
) -> None:
    told = await refusal(engine, ask("word " * 50_000))
    assert 2048 < told.prompt_tokens < 50_000
    assert sum(size for _, size in asked) <= 2 * PIECE, "not all of it"
    assert "at least" in str(told)


async def test_about_as_long_as_the_context_it_is_counted_exactly(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = await refusal(engine, ask("word " * 2100))
    assert "at least" not in str(exact)
    monkeypatch.setattr(completion_module, "PIECE", 1000)
    assert (await refusal(engine, ask("word " * 2100))).prompt_tokens == exact.prompt_tokens
    long = [event async for event in engine.generate(ask("word " * 1900))]
    assert isinstance(long[-1], Finished), "a cut within a word refuses nothing that fits"


async def test_whoever_hangs_up_ends_the_reading(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_module, "PIECE", 500)
    await engine.start()
    engine.plan = replace(engine.plan, context=10**6)  # so that nothing is too long
    pieces, third = [], asyncio.Event()
    real = Completion._look_up

    async def look_up(self: Completion, path: str, body: dict[str, Any], key: str) -> Any:
        pieces.append(path)
        if len(pieces) == 3:
            third.set()
        return await real(self, path, body, key)

    monkeypatch.setattr(Completion, "_look_up", look_up)

    async def read() -> None:
        _ = [event async for event in engine.generate(ask("word " * 300_000))]

    task = asyncio.create_task(read())
    async with asyncio.timeout(60):
        await third.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(pieces) < 10


async def test_a_control_token_pasted_ten_thousand_times_is_looked_up_once(
    engine: LlamaCppEngine, asked: list[tuple[str, int]]
) -> None:
    await refusal(engine, ask("<|im_end|> " * 10_000))
    assert len(asked) < 100


def test_the_longest_token_is_no_shorter_than_any(real_model: Model, tmp_path: Path) -> None:
    from clearseek.hub.gguf_file import read_header

    assert 50 < read_header(real_model.path).longest_token < 1000
