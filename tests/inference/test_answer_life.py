"""What becomes of the model's text on its way up: late tags, circles, counts. The engine, with a scripted child."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from clearseek.hub.model import Model
from clearseek.inference import llamacpp
from clearseek.inference.completion import Completion, Stopped
from clearseek.inference.engine import (
    Delta,
    Event,
    Finished,
    Progress,
    Recast,
    Request,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from clearseek.inference.holdback import settled
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.server.protocols.deepseek_answer import ChatDocument, Stamp

SUM = "17+25: 7+5=12 1+2+1=4 -> 42\n</think>\n\n42"
OFF = Thinking(enabled=False)
ROUND = "You can also use the ls command with the -p option to list only some of the files.\n\n"
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "%s"}}</tool_call>'


class Child(Completion):
    """Says its next line, token by token, as llama.cpp does: to a stop text, or to the limit."""

    said: list[str]
    bodies: list[dict[str, Any]]

    def __init__(self, *rest: Any) -> None:
        super().__init__(None, 4096)  # type: ignore[arg-type]

    async def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [0] * len(text)

    async def wrote_exactly(self) -> bool:
        return False

    async def run(
        self, body: dict[str, Any], path: str = "/completion"
    ) -> AsyncGenerator[Delta | Progress | Stopped, None]:
        self.bodies.append(body)
        self._seen, self._texts = 0, []
        line = self.said.pop(0) if self.said else ""
        kind = "eos"
        for stop in body.get("stop") or ():
            if stop in line:
                line, kind = line[: line.index(stop)], "word"
        self._read = Progress(10, 4, 10)
        yield self._read
        tokens = re.findall(r"\s*\w+|\s*[^\w\s]|\s+", line)
        for token in tokens[: body.get("n_predict")]:
            self._seen += 1
            self._texts.append(token)
            probs = (TokenLogprob(token, -1.0, tuple(token.encode())),) if "_top" in body else ()
            yield Delta("answer", token, 1, probs)
        if len(tokens) > body.get("n_predict", 10**9):
            kind = "limit"
        said = {"tokens_predicted": min(len(tokens), body.get("n_predict", 10**9)), "tokens_evaluated": 10}
        yield self._stopped({**said, "stop_type": kind, "timings": {"cache_n": 4}})


@pytest.fixture
def engine(real_model: Model, monkeypatch: pytest.MonkeyPatch) -> LlamaCppEngine:
    monkeypatch.setattr(llamacpp, "Completion", Child)
    engine = LlamaCppEngine(replace(real_model, thinking="native"), context=4096, slots=1)

    async def start() -> Any:
        return None

    monkeypatch.setattr(engine, "start", start)
    return engine


def ask(question: str = "What is 17 + 25?", **changes: Any) -> Request:
    return replace(Request(({"role": "user", "content": question},)), **changes)


async def heard(engine: LlamaCppEngine, *said: str, request: Request) -> list[Event]:
    Child.said, Child.bodies = list(said), []
    return [event async for event in engine.generate(request)]


def read(events: list[Event]) -> tuple[str, str, Finished]:
    """(thinking, answer, end), as the API tells it whole."""
    thinking, answer = "", ""
    for event in events:
        if isinstance(event, Recast):
            thinking, answer = (f"{thinking}\n{answer}" if thinking else answer) if event.shown else thinking, ""
        elif isinstance(event, Delta) and event.kind == "thinking":
            thinking += event.text
        elif isinstance(event, Delta):
            answer += event.text
    assert isinstance(events[-1], Finished)
    return thinking, answer, events[-1]


def tokens(text: str) -> int:
    return len(re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text))


async def test_working_that_is_closed_in_the_answer_is_thinking(engine: LlamaCppEngine) -> None:
    thinking, answer, end = read(await heard(engine, "I can say this at once.\n</think>", SUM, request=ask()))
    assert thinking == "I can say this at once.\n17+25: 7+5=12 1+2+1=4 -> 42"
    assert answer == "42"
    assert end.reason == "stop"
    thought = tokens("I can say this at once.\n")
    assert end.usage.completion_tokens == thought + tokens(SUM)
    assert end.usage.reasoning_tokens == end.usage.completion_tokens - 1, "all but the 42"


async def test_off_means_that_nobody_sees_it_and_that_it_is_counted(engine: LlamaCppEngine) -> None:
    events = await heard(engine, SUM, request=ask(thinking=OFF))
    thinking, answer, end = read(events)
    assert (thinking, answer) == ("", "42")
    assert not any(isinstance(event, Delta) and event.kind == "thinking" and event.text for event in events)
    assert end.usage.completion_tokens == tokens(SUM)
    assert end.usage.reasoning_tokens == tokens(SUM) - 1


async def test_a_stream_holds_the_first_line_back(engine: LlamaCppEngine) -> None:
    for thinking in (Thinking(), OFF):
        Child.said, Child.bodies = (["Easy.\n</think>"] if thinking.enabled else []) + [SUM], []
        events = [event async for event in settled(engine.generate(ask(thinking=thinking)), engine.style.hold)]
        assert not any(isinstance(event, Recast) for event in events)
        assert read(events)[1] == "42"
        assert ("17+25" in read(events)[0]) is thinking.enabled
        counted = sum(event.tokens for event in events if isinstance(event, Delta))
        assert thinking.enabled or counted == read(events)[2].usage.completion_tokens


async def test_beyond_the_hold_a_stream_goes_on_as_a_new_paragraph(engine: LlamaCppEngine) -> None:
    long = "one two three four.\nfive six.\n</think>\n\n42"
    Child.said, Child.bodies = [long], []
    events = [event async for event in settled(engine.generate(ask(thinking=OFF)), 64)]
    assert read(events)[1] == "one two three four.\nfive six.\n\n42"
    Child.said = ["Paris is the capital."]
    events = [event async for event in settled(engine.generate(ask(thinking=OFF)), 64)]
    assert read(events)[1] == "Paris is the capital."
    # a long first line is let go at the bound, token by token from there on
    Child.said = ["word " * 100]
    events = [event async for event in settled(engine.generate(ask(thinking=OFF)), 20)]
    assert read(events)[1].split() == ["word"] * 100


async def test_log_probabilities_go_with_their_text(engine: LlamaCppEngine) -> None:
    for thinking, entries in ((Thinking(), "reasoning_content"), (OFF, None)):
        said = (["Easy.\n</think>"] if thinking.enabled else []) + [SUM]
        events = await heard(engine, *said, request=ask(thinking=thinking, logprobs=0))
        document = ChatDocument(Stamp("x", 0, "m", None, "0"), logprobs=True)
        for event in events:
            if not isinstance(event, Finished):
                document.add(event)
        assert [one["token"].strip() for one in document._answer_logprobs] == ["42"]
        kept = "".join(one["token"] for one in document._thinking_logprobs)
        assert ("-> 42" in kept) is (entries is not None)


@pytest.mark.parametrize(
    "said",
    ["42\n</think>", "42</think>", "</think>\n\n42", "<think>\n\n</think>\n\n42", "x\n</THINK>\n\ny\n</think>\n\n42"],
)
async def test_no_form_of_a_late_tag_reaches_the_reader(engine: LlamaCppEngine, said: str) -> None:
    for thinking in (Thinking(), OFF):
        first = ["Easy.\n</think>"] if thinking.enabled else []
        assert read(await heard(engine, *first, said, request=ask(thinking=thinking)))[1] == "42"


async def test_what_is_asked_about_is_answered(engine: LlamaCppEngine) -> None:
    said = "It is written so:\n</think>\n\nand ends the thinking."
    assert read(await heard(engine, said, request=ask("What does </think> mean?", thinking=OFF)))[1] == said
    form = '{"said": "42</think>so"}'
    assert read(await heard(engine, form, request=ask(thinking=OFF, json_schema={"type": "object"})))[1] == form


async def test_a_model_that_knows_no_tags_and_does_not_think_says_what_it_says(engine: LlamaCppEngine) -> None:
    engine.model = replace(engine.model, thinking="prompted")
    assert read(await heard(engine, SUM, request=ask(thinking=OFF)))[1] == SUM


async def test_an_answer_that_was_begun_is_gone_on_with(engine: LlamaCppEngine) -> None:
    messages = ({"role": "user", "content": "17 + 25?"}, {"role": "assistant", "content": "So it is"})
    request = Request(messages, thinking=OFF, continue_last=True)
    assert read(await heard(engine, " 12, and 30.\n</think>\n\n42", request=request))[1] == "42"


async def test_thinking_that_is_opened_again_is_thinking(engine: LlamaCppEngine) -> None:
    said = "42\n\n<think>\nIs it?\n</think>\n\nYes, 42."
    thinking, answer, end = read(await heard(engine, "Easy.\n</think>", said, request=ask()))
    assert (thinking, answer) == ("Easy.Is it?", "42\n\nYes, 42.")
    assert 0 < end.usage.reasoning_tokens < end.usage.completion_tokens
    assert read(await heard(engine, said, request=ask(thinking=OFF)))[:2] == ("", "42\n\nYes, 42.")


async def test_calls_before_a_late_tag_are_none(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_refused_tools", None)
    said = f"Perhaps so: {CALL % 'Oslo'}\n</think>\n\n{CALL % 'Rome'}"
    events = await heard(engine, "Hm.\n</think>", said, request=ask(tools=(TOOL,)))
    assert [call.arguments for call in events if isinstance(call, ToolCall)] == ['{"city": "Rome"}']
    assert read(events)[2].reason == "tool_calls"


async def test_an_answer_that_goes_round_in_a_circle_is_ended_and_says_so(engine: LlamaCppEngine) -> None:
    events = await heard(engine, "To list files:\n\n" + ROUND * 30, request=ask("How do I list files?", thinking=OFF))
    _, answer, end = read(events)
    assert (end.reason, end.note) == ("repeating", "Stopped: it was repeating itself.")
    assert 4 <= answer.count("ls command") <= 6
    assert end.usage.completion_tokens == sum(event.tokens for event in events if isinstance(event, Delta))
    assert (end.usage.prompt_tokens, end.usage.cached_tokens) == (10, 4)
    assert read(await heard(engine, ROUND * 3, request=ask(thinking=OFF)))[2].reason == "stop"


async def test_thinking_that_goes_round_in_a_circle_is_closed_and_answered(engine: LlamaCppEngine) -> None:
    thinking, answer, end = read(await heard(engine, ROUND * 30, "Use ls.", request=ask("How do I list files?")))
    assert 4 <= thinking.count("ls command") <= 6
    assert answer == "Use ls."
    assert end.reason == "stop"
    assert end.note is not None
    assert "thinking was repeating itself" in end.note
    assert end.usage.completion_tokens == end.usage.reasoning_tokens + tokens("Use ls.")


async def test_crashes_count_only_in_a_row(engine: LlamaCppEngine) -> None:
    """Whoever reads leaves with the end: what comes after it in the generator is not run in time."""
    engine._crashes = 2
    Child.said, Child.bodies = ["Yes."], []
    async with contextlib.aclosing(engine.generate(ask(thinking=OFF))) as events:
        async for event in events:
            if isinstance(event, Finished):
                break
    assert engine._crashes == 0
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("begins", "first_at"),
    [("The capital is Paris.", 1), ("42 is the answer to it", 6), (" \nÉtat", 3), ("(1) One", 6)],
)
async def test_words_are_told_at_once_and_what_may_be_working_waits(begins: str, first_at: int) -> None:
    """`first_at`: after how many pieces the reader sees the first one, of a hold of six."""
    fed = 0

    async def events() -> AsyncGenerator[Event, None]:
        nonlocal fed
        for char in begins + " and so on, and so on":
            fed += 1
            yield Delta("answer", char)
        yield Finished("stop", Usage())

    async for event in settled(events(), 6, words=0):
        if isinstance(event, Delta) and event.text.strip():
            break
    assert fed == first_at
