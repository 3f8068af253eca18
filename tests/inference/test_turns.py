"""What a turn reads anew: its question, and no more of the conversation than its template makes different."""

from __future__ import annotations

from typing import Any

import pytest

from clearseek.hub.store import Store
from clearseek.inference.engine import Delta, Finished, Recast, Request, Thinking
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.settings import default_model

pytestmark = pytest.mark.slow  # the real models
QUESTION = "Tell me one fact about the number {}."
AROUND = 24
"""Tokens of such a question with its turn markers, and of what opens the answer."""


OPENING = 12
"""Tokens of an opened, or an empty, thinking."""


async def turns(engine: LlamaCppEngine, thinking: Thinking, count: int = 5) -> list[tuple[Finished, str]]:
    """The end and the answer of several turns, asked as a client does: answers are sent back without their thinking."""
    messages: list[dict[str, Any]] = []
    heard = []
    for turn in range(count):
        messages.append({"role": "user", "content": QUESTION.format(turn)})
        answer = ""
        async for event in engine.generate(Request(tuple(messages), max_tokens=70, thinking=thinking)):
            if isinstance(event, Recast):
                answer = ""
            elif isinstance(event, Delta) and event.kind == "answer":
                answer += event.text
            elif isinstance(event, Finished):
                heard.append((event, answer))
        messages.append({"role": "assistant", "content": answer})
    return heard


@pytest.mark.parametrize("thinking", [Thinking(enabled=False), Thinking(budget=16)])
async def test_a_model_that_thinks_by_itself_reads_its_last_answer_and_what_is_new(
    model_store: Store, thinking: Thinking
) -> None:
    """Its template, as DeepSeek's and Qwen's, leaves thinking out of a finished turn, an empty one too: what it wrote
    after thinking stands elsewhere then, and is read again. All before that is in the cache."""
    engine = LlamaCppEngine(model_store.find(default_model()), context=2048, slots=1)
    try:
        heard = await turns(engine, thinking)
        before = heard[0]
        for end, answer in heard[1:]:
            fresh = end.usage.prompt_tokens - end.usage.cached_tokens
            last = before[0].usage.completion_tokens - before[0].usage.reasoning_tokens
            assert fresh <= last + AROUND + 8, heard
            assert end.usage.cached_tokens >= before[0].usage.prompt_tokens - OPENING, "all up to the last answer"
            before = end, answer
    finally:
        await engine.close()


@pytest.mark.parametrize("thinking", [Thinking(enabled=False), Thinking(budget=16)])
async def test_a_model_that_is_asked_to_think_reads_no_more_than_it_must(
    model_store: Store, thinking: Thinking
) -> None:
    engine = LlamaCppEngine(model_store.find("smollm2-135m-instruct"), context=2048, slots=1)
    try:
        heard = await turns(engine, thinking)
        before = heard[0][0]
        for end, _ in heard[1:]:
            fresh = end.usage.prompt_tokens - end.usage.cached_tokens
            last = before.usage.completion_tokens - before.usage.reasoning_tokens if thinking.enabled else 0
            assert fresh <= last + AROUND + 8, heard
            before = end
    finally:
        await engine.close()
