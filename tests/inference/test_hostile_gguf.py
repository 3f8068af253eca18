"""A GGUF is hostile input: whatever its bytes, it kills at most the child, and the parent says why in a sentence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clearseek.errors import UserError
from clearseek.hub.files import hash_file
from clearseek.hub.model import Model
from clearseek.inference.engine import Finished, Request, Thinking
from clearseek.inference.llamacpp import LlamaCppEngine
from tests.inference.tiny_llama import write_tiny

REQUEST = Request(({"role": "user", "content": "hi"},), max_tokens=2, thinking=Thinking(enabled=False))


def as_model(real: Model, path: Path) -> Model:
    return replace(
        real, name="tiny", path=path, sha256=hash_file(path), bytes=path.stat().st_size, parameters=100_000, context=512
    )


async def answer(model: Model) -> str:
    """ "answered", or the sentence; anything else is a failure of ours."""
    try:
        engine = LlamaCppEngine(model, context=256, slots=1)
    except UserError as error:
        return str(error)
    try:
        events = [event async for event in engine.generate(REQUEST)]
        assert isinstance(events[-1], Finished)
        return "answered"
    except UserError as error:
        return str(error)
    finally:
        await engine.close()


async def test_the_whole_file_answers(real_model: Model, tmp_path: Path) -> None:
    assert await answer(as_model(real_model, write_tiny(tmp_path / "tiny.gguf"))) == "answered"


@pytest.mark.slow
async def test_mutated_files_kill_at_most_the_child(real_model: Model, tmp_path: Path) -> None:
    whole = write_tiny(tmp_path / "tiny.gguf").read_bytes()
    random = np.random.default_rng(1)
    header = whole.find(b"token_embd")
    outcomes = []
    for round_ in range(24):
        data = bytearray(whole)
        for _ in range(int(random.integers(1, 6))):
            # Half of the mutations where the numbers of the architecture are, half anywhere in the header.
            top = 700 if round_ % 2 else header + 800
            data[int(random.integers(4, top))] = int(random.integers(0, 256))
        if round_ % 8 == 7:
            data = data[: int(random.integers(100, len(data)))]
        path = tmp_path / f"mutant-{round_}.gguf"
        await asyncio.to_thread(path.write_bytes, data)
        said = await asyncio.wait_for(answer(as_model(real_model, path)), 60)
        assert "\n" not in said
        outcomes.append(said)
    assert any(said != "answered" for said in outcomes)
