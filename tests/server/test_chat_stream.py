"""Chat completions on the wire, over a real socket: the contract's letter, and what happens when things go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from scripted import DIGEST, ScriptedPool, serving, until

from clearseek.inference.engine import (
    Delta,
    Event,
    Finished,
    Progress,
    Recast,
    Request,
    TokenLogprob,
    ToolCall,
    Usage,
)
from clearseek.inference.errors import ContextOverflow, EngineCrashed
from clearseek.server.errors import ApiError
from clearseek.server.streaming import StreamAnswer

PROB = (TokenLogprob("x", -0.5, (120,)),)
ASK = {"messages": [{"role": "user", "content": "hi"}]}


def events_of(text: str) -> list[Any]:
    """The payloads of a stream, `[DONE]` as it is; comments are left out."""
    out: list[Any] = []
    for block in text.split("\n\n"):
        if block.startswith("data: "):
            data = block.removeprefix("data: ")
            out.append(data if data == "[DONE]" else orjson.loads(data))
        else:
            assert block == "" or block.startswith(":")
    return out


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions", "/beta/chat/completions"])
def test_a_stream_is_told_to_the_letter(http: httpx.Client, path: str) -> None:
    answer = http.post(path, json={**ASK, "stream": True})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events_of(answer.text)
    assert done == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": None, "reasoning_content": ""},
        {"content": None, "reasoning_content": "Hm"},
        {"content": None, "reasoning_content": " so"},
        {"content": "Hello", "reasoning_content": None},
        {"content": " wörld", "reasoning_content": None},
        {"content": "", "reasoning_content": None},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop"]
    assert all("usage" not in chunk for chunk in chunks[:-1])
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
        "prompt_cache_hit_tokens": 4,
        "prompt_cache_miss_tokens": 6,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert chunks[-1]["clearseek"]["model_digest"] == DIGEST
    common = {(c["id"], c["created"], c["model"], c["system_fingerprint"], c["object"]) for c in chunks}
    assert len(common) == 1
    assert common.pop()[2:] == ("tiny", "clearseek-0.1.0-" + DIGEST[:12], "chat.completion.chunk")


def test_without_thinking_the_first_chunk_opens_the_answer(http: httpx.Client) -> None:
    chunks = events_of(http.post("/chat/completions", json={**ASK, "stream": True, "reasoning_effort": "none"}).text)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "reasoning_content": None}
    assert not any(chunk["choices"][0]["delta"].get("reasoning_content") for chunk in chunks[:-1])


def test_include_usage_puts_null_on_every_chunk_but_the_last(http: httpx.Client) -> None:
    body = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, _ = events_of(http.post("/chat/completions", json=body).text)
    assert [chunk["usage"] is None for chunk in chunks] == [True] * 5 + [False]
    assert len(chunks[-1]["choices"]) == 1


def test_a_whole_answer(http: httpx.Client) -> None:
    answer = http.post("/chat/completions", json={**ASK, "model": "TINY"}).json()
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello wörld", "reasoning_content": "Hm so"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "tiny"
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert answer["clearseek"] == {
        "timings": {"queue": None, "prompt": None, "decode": None, "clock": None},
        "model_digest": DIGEST,
        "receipt_digest": None,
        "spent": None,
    }


def test_logprobs_of_thinking_and_answer_are_kept_apart(http: httpx.Client) -> None:
    body = {**ASK, "logprobs": True, "top_logprobs": 2}
    logprobs = http.post("/chat/completions", json=body).json()["choices"][0]["logprobs"]
    assert [entry["token"] for entry in logprobs["reasoning_content"]] == ["Hm", " so"]
    assert [entry["token"] for entry in logprobs["content"]] == ["Hello", " wörld"]
    assert logprobs["content"][1] == {
        "token": " wörld",
        "logprob": -0.5,
        "bytes": list(" wörld".encode()),
        "top_logprobs": [
            {"token": " wörld", "logprob": -0.5, "bytes": list(" wörld".encode())},
            {"token": "no", "logprob": -9999.0, "bytes": [110, 111]},
        ],
    }
    chunks = events_of(http.post("/chat/completions", json={**body, "stream": True}).text)
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks[1:5]]
    assert [bool(part["content"]) for part in told] == [False, False, True, True]
    assert [bool(part["reasoning_content"]) for part in told] == [True, True, False, False]


@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
def test_a_late_tag_is_told_right_whole_and_streamed(http: httpx.Client, pool: ScriptedPool, thinking: str) -> None:
    def script(request: Request) -> list[Any]:
        on = request.thinking.enabled
        opening = [Delta("thinking", "Easy.")] if on else []
        working = [Delta("answer", "17+25:", 1, PROB), Delta("answer", " -> 42", 1, PROB), Recast(on)]
        return [Progress(9, 0, 9), *opening, *working, Delta("answer", "42", 1, PROB), Finished("stop", Usage(9, 0, 6))]

    pool.script, pool.hold = script, 64
    body = {**ASK, "thinking": {"type": thinking}, "logprobs": True}
    choice = http.post("/chat/completions", json=body).json()["choices"][0]
    assert choice["message"]["content"] == "42"
    thought = "Easy.\n17+25: -> 42" if thinking == "enabled" else None
    assert choice["message"]["reasoning_content"] == thought
    assert len(choice["logprobs"]["content"]) == 1
    *chunks, _ = events_of(http.post("/chat/completions", json={**body, "stream": True}).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta["content"] or "" for delta in deltas) == "42"
    streamed = "".join(delta["reasoning_content"] or "" for delta in deltas)
    assert streamed == (thought or "")


def test_a_circle_is_told_in_words_that_clients_know(http: httpx.Client, pool: ScriptedPool) -> None:
    note = "Stopped: it was repeating itself."
    pool.script = lambda request: [Delta("answer", "x"), Finished("repeating", Usage(1, 0, 1), note=note)]
    whole = http.post("/chat/completions", json=ASK).json()
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["clearseek"]["note"] == note
    *_, last = events_of(http.post("/chat/completions", json={**ASK, "stream": True}).text)[:-1]
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["clearseek"]["note"] == note


def test_tool_calls_are_told_both_ways(http: httpx.Client, pool: ScriptedPool) -> None:
    def script(request: Request) -> list[Any]:
        calls = [ToolCall("call-1", "add", '{"a":1}'), ToolCall("call-2", "add", '{"a":2}')]
        return [Progress(1, 0, 1), *calls, Finished("tool_calls", Usage(1, 0, 9))]

    pool.script = script
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    body = {**ASK, "tools": [tool], "thinking": {"type": "disabled"}}
    whole = http.post("/chat/completions", json=body).json()["choices"][0]
    assert whole["finish_reason"] == "tool_calls"
    assert whole["message"]["tool_calls"][1] == {
        "id": "call-2",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a":2}'},
    }
    *chunks, _ = events_of(http.post("/chat/completions", json={**body, "stream": True}).text)
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "call-1"), (1, "call-2")]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert pool.requests[-1].tools == (tool,)


@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_before_the_first_token_has_its_own_status(
    http: httpx.Client, pool: ScriptedPool, stream: bool
) -> None:
    # inserted text comes first, as it does from an engine that opens the thinking before it reads the prompt
    pool.script = lambda request: [Delta("thinking", "Let me think.\n", 0), Progress(1, 0, 0), ContextOverflow(70, 64)]
    answer = http.post("/chat/completions", json={**ASK, "stream": stream})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (
        "context_length_exceeded",
        "messages",
        "invalid_request_error",
    )
    assert "7 too long" in error["message"]


def test_what_fails_in_the_middle_is_told_in_the_stream_without_done(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = lambda request: [Delta("answer", "Hel"), EngineCrashed("The engine stopped.")]
    answer = http.post("/chat/completions", json={**ASK, "stream": True})
    assert answer.status_code == 200
    *_, last = events_of(answer.text)
    assert last["error"] == {
        "message": "The engine stopped.",
        "type": "overloaded_error",
        "param": None,
        "code": "engine_crashed",
    }


def test_a_crash_is_503_with_retry_after_where_it_can_be(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = lambda request: [Delta("answer", "Hel"), EngineCrashed("The engine stopped.")]
    answer = http.post("/chat/completions", json=ASK)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"


def test_an_unforeseen_failure_is_a_sentence_and_no_traceback(
    http: httpx.Client, pool: ScriptedPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.script = lambda request: [RuntimeError("secret insides")]
    answer = http.post("/chat/completions", json=ASK)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["code"] == "server_error"
    assert "secret insides" in caplog.text


def test_an_unknown_model_is_404_with_the_nearest_name(http: httpx.Client) -> None:
    answer = http.post("/chat/completions", json={**ASK, "model": "tinny", "stream": True})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "`tiny`" in answer.json()["error"]["message"]


def test_keep_alives_fill_the_silence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearseek.server.streaming.GRACE", 0.1)
    monkeypatch.setattr("clearseek.server.streaming.KEEP_ALIVE", 0.1)
    pool = ScriptedPool(lambda request: [0.35, Delta("answer", "x"), 0.35, Finished("stop", Usage())])
    with serving(pool, home) as url:
        text = httpx.post(f"{url}/chat/completions", json={**ASK, "stream": True}).text
    assert text.startswith(": keep-alive\n\n")
    before, after = text.split('"content":"x"')
    assert before.count(": keep-alive") >= 2
    assert after.count(": keep-alive") >= 2
    assert text.endswith("data: [DONE]\n\n")


def test_late_failures_after_keep_alives_are_told_in_the_stream(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearseek.server.streaming.GRACE", 0.05)
    pool = ScriptedPool(lambda request: [0.2, ContextOverflow(70, 64)])
    with serving(pool, home) as url:
        answer = httpx.post(f"{url}/chat/completions", json={**ASK, "stream": True})
    assert answer.status_code == 200
    assert events_of(answer.text)[-1]["error"]["code"] == "context_length_exceeded"


def test_a_client_that_reads_nothing_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearseek.server.streaming.KEEP_ALIVE", 0.2)
    monkeypatch.setattr("clearseek.server.streaming.GRACE", 0.2)
    monkeypatch.setattr("clearseek.server.streaming.STALLED", 0.5)
    pool = ScriptedPool(lambda request: [Delta("answer", "x" * 100_000) for _ in range(1_000)])
    with (
        serving(pool, home) as url,
        httpx.stream("POST", f"{url}/chat/completions", json={**ASK, "stream": True}),
    ):
        until(lambda: pool.abandoned == 1)
        until(lambda: not pool.scheduler.running)


async def test_a_client_that_reads_nothing_costs_nothing_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, not asked about a hundred times a second."""
    waits = 0
    wait = asyncio.wait

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal waits
        waits += 1
        return await wait(*args, **kwargs)

    async def events() -> AsyncGenerator[Event, None]:
        yield Delta("answer", "x")

    async def never(*_: object) -> Any:
        await asyncio.Event().wait()

    class Writer:
        def event(self, event: Event) -> bytes:
            return b"x"

        def error(self, error: ApiError) -> bytes:
            return b""

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await never()

    monkeypatch.setattr("clearseek.server.streaming.asyncio.wait", counted)
    monkeypatch.setattr("clearseek.server.streaming.GRACE", 0.1)
    monkeypatch.setattr("clearseek.server.streaming.KEEP_ALIVE", 0.1)
    monkeypatch.setattr("clearseek.server.streaming.STALLED", 0.5)
    scope: dict[str, Any] = {"state": {}}
    await StreamAnswer(events(), Writer(), lambda seconds: None)(scope, never, send)
    assert scope["state"]["abandoned"]
    assert waits <= 8, "one for each time that a keep-alive would have been due"


def test_models(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == "tiny"
    assert listed["data"][0]["clearseek"]["model_digest"] == DIGEST
    assert http.get("/models/TINY").json() == listed["data"][0]
    assert http.get("/models/tinny").status_code == 404


def test_fill_in_the_middle(http: httpx.Client, pool: ScriptedPool) -> None:
    body = {"prompt": "def f(", "suffix": "return 1", "max_tokens": 9}
    answer = http.post("/beta/completions", json=body).json()
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [{"index": 0, "text": "Hello wörld", "logprobs": None, "finish_reason": "stop"}]
    request = pool.requests[-1]
    assert (request.completion_prompt, request.completion_suffix) == ("def f(", "return 1")
    assert not request.thinking.enabled
    echoed = http.post("/beta/completions", json={"prompt": ["ab"], "echo": True, "logprobs": 1, "stream": True})
    *chunks, done = events_of(echoed.text)
    assert done == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "abHello wörld"
    assert chunks[2]["choices"][0]["logprobs"]["text_offset"] == [7]
    assert chunks[-1]["usage"]["total_tokens"] == 12
    assert http.post("/beta/completions", json={"prompt": ["a", "b"]}).status_code == 422


def test_health_and_metrics(http: httpx.Client) -> None:
    assert http.get("/health").json()["status"] == "ok"
    http.post("/chat/completions", json=ASK)
    http.post("/nothing/here", json={})
    text = http.get("/metrics").text
    assert 'clearseek_requests_total{method="POST",route="/chat/completions",status="200"} 1.0' in text
    assert 'route="none",status="404"' in text
    assert 'clearseek_tokens_total{kind="completion"} 4.0' in text
    assert "clearseek_first_token_seconds_count 1.0" in text
    for name in ("running", "waiting", "capacity", "refused_total", "abandoned_total", "engine_restarts_total"):
        assert f"\nclearseek_{name} " in text
