"""The model that ships, asked plainly worded sums, which is where it works on in its answer: no tag reaches anybody."""

from __future__ import annotations

import asyncio

import pytest

from clearseek.hub.store import Store
from clearseek.inference.engine import Delta, Finished, Recast, Request, Thinking
from clearseek.inference.holdback import settled
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.settings import default_model

pytestmark = pytest.mark.slow  # the real model
QUESTIONS = (
    "What is 17 + 25?",
    "How much is 31 plus 45?",
    "What's 12 plus 30?",
    "Calculate 19 + 64.",
    "23*4",
    "What is 100 minus 37?",
    "15 + 27 = ?",
    "How many r's are in strawberry?",
)


async def answer(engine: LlamaCppEngine, question: str, thinking: bool, streamed: bool) -> tuple[str, str, Finished]:
    """(thinking, answer, end), as a client reads it."""
    request = Request(({"role": "user", "content": question},), thinking=Thinking(enabled=thinking), max_tokens=300)
    made = engine.generate(request)
    said, end = {"thinking": "", "answer": ""}, None
    async for event in settled(made, engine.style.hold) if streamed else made:
        if isinstance(event, Recast):
            assert not streamed
            said = {"thinking": said["thinking"] + said["answer"] if event.shown else "", "answer": ""}
        elif isinstance(event, Delta):
            said[event.kind] += event.text
        elif isinstance(event, Finished):
            end = event
    assert end is not None
    return said["thinking"], said["answer"], end


async def test_no_tag_is_in_any_answer(model_store: Store) -> None:
    engine = LlamaCppEngine(model_store.find(default_model()), context=1024, slots=4)
    cases = [(q, thinking, streamed) for q in QUESTIONS for thinking in (True, False) for streamed in (True, False)]
    try:
        heard = await asyncio.gather(*(answer(engine, *case) for case in cases))
    finally:
        await engine.close()
    for (question, on, _), (thinking, said, end) in zip(cases, heard, strict=True):
        assert "think>" not in said, question
        assert said.strip(), question
        assert on or not thinking, "off means off"
        assert end.usage.reasoning_tokens <= end.usage.completion_tokens
