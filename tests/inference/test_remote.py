"""A remote engine in its dialects, and the ways it can hurt: silence, comments for ever, redirects, garbage."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from clearseek.errors import UsageError, UserError
from clearseek.inference.engine import Delta, Event, Finished, Request, Sampling, Thinking, ToolCall
from clearseek.inference.errors import BadRequest, Busy, EngineCrashed, EngineUnavailable, UpstreamTimeout
from clearseek.inference.remote import Deadlines, RemoteEngine, RemoteServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REQUEST = Request(({"role": "user", "content": "hi"},))


class Upstream:
    """A real HTTP server on loopback whose answer a test sets."""

    def __init__(self) -> None:
        self.handler: Handler | None = None
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/models"):
            return web.json_response({"object": "list", "data": [{"id": "big"}, {"id": "small"}]})
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        assert self.handler is not None
        return await self.handler(request)

    def streams(self, *payloads: dict[str, Any] | str, pause: float = 0.0) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for payload in payloads:
                text = payload if isinstance(payload, str) else f"data: {json.dumps(payload)}\n\n"
                await response.write(text.encode())
                await asyncio.sleep(pause)
            return response

        self.handler = handler


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    server = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def ask(upstream: Upstream, request: Request = REQUEST, **deadlines: float) -> list[Event]:
    server = RemoteServer(upstream.url + "/v1", "secret", Deadlines(**deadlines) if deadlines else Deadlines())
    try:
        return [event async for event in RemoteEngine(server, "big").generate(request)]
    finally:
        await server.close()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def text(events: list[Event], kind: str) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta) and event.kind == kind)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_under_either_name_and_usage_on_the_last_chunk(upstream: Upstream, field: str) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 5}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 2}}  # type: ignore[dict-item]
    upstream.streams(
        ": keep-alive\n\n",
        chunk({"role": "assistant", field: ""}),
        chunk({field: "hm "}),
        chunk({field: "yes"}),
        chunk({"content": "so "}),
        chunk({"content": "<think> it is"}, "stop", usage=usage),
        "data: [DONE]\n\n",
    )
    events = await ask(upstream)
    assert text(events, "thinking") == "hm yes"
    assert text(events, "answer") == "so <think> it is"
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.usage.cached_tokens, last.usage.reasoning_tokens) == ("stop", 5, 2)
    assert upstream.headers[0]["Authorization"] == "Bearer secret"


async def test_inline_tags_are_split_and_usage_in_a_chunk_of_its_own(upstream: Upstream) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    upstream.streams(
        chunk({"content": "<thi"}),
        chunk({"content": "nk>\nhm</think>\n\nyes"}, "length"),
        {"choices": [], "usage": usage},
        "data: [DONE]\r\n\r\n",
    )
    events = await ask(upstream)
    assert (text(events, "thinking"), text(events, "answer")) == ("hm", "yes")
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.usage.prompt_tokens, last.usage.cached_tokens) == ("length", 3, 1)


async def test_tool_calls_in_pieces(upstream: Upstream) -> None:
    upstream.streams(
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "weather", "arguments": '{"ci'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'ty": 1}'}}]}, "tool_calls"),
        "data: [DONE]\n\n",
    )
    events = await ask(upstream)
    assert ToolCall("a", "weather", '{"city": 1}') in events


async def test_comments_alone_do_not_keep_it_alive(upstream: Upstream) -> None:
    upstream.streams(chunk({"content": "a"}), *[": keep-alive\n\n"] * 200, pause=0.05)
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout, match="sent nothing"):
        await ask(upstream, idle=0.4, total=60)
    assert time.monotonic() - began < 3


async def test_payloads_for_ever_end_at_the_total_deadline(upstream: Upstream) -> None:
    upstream.streams(*[chunk({"content": "a"})] * 400, pause=0.02)
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout, match="did not finish"):
        await ask(upstream, idle=10, total=0.5)
    assert time.monotonic() - began < 3


async def test_redirects_stay_where_we_were_pointed(upstream: Upstream) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://169.254.169.254/latest/meta-data"})

    upstream.handler = elsewhere
    with pytest.raises(EngineUnavailable, match="redirects to another server"):
        await ask(upstream)

    async def circle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": request.path})

    upstream.handler = circle
    with pytest.raises(EngineUnavailable, match="circle"):
        await ask(upstream)
    assert len(upstream.bodies) == 5

    async def near(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/chat/completions":
            return web.Response(status=308, headers={"Location": "/v2/chat/completions"})
        body = f"data: {json.dumps(chunk({'content': 'ok'}, 'stop'))}\n\ndata: [DONE]\n\n"
        return web.Response(text=body, content_type="text/event-stream")

    upstream.handler = near
    assert text(await ask(upstream), "answer") == "ok"


@pytest.mark.parametrize(
    ("status", "kind"), [(400, BadRequest), (401, EngineUnavailable), (429, Busy), (500, EngineUnavailable)]
)
async def test_what_a_status_means(upstream: Upstream, status: int, kind: type[UserError]) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "because"}}, status=status, headers={"Retry-After": "7"})

    upstream.handler = refuse
    with pytest.raises(kind) as told:
        await ask(upstream)
    assert "\n" not in str(told.value)
    if isinstance(told.value, Busy):
        assert told.value.retry_after == 7


async def test_a_server_that_refuses_our_extensions_is_asked_without_them(upstream: Upstream) -> None:
    ok = f"data: {json.dumps(chunk({'content': 'ok'}, 'stop'))}\n\ndata: [DONE]\n\n"

    async def strict(request: web.Request) -> web.StreamResponse:
        if "thinking" in upstream.bodies[-1]:
            return web.json_response({"error": {"message": "Unrecognized request argument: thinking"}}, status=400)
        return web.Response(text=ok, content_type="text/event-stream")

    upstream.handler = strict
    assert text(await ask(upstream, Request(REQUEST.messages, thinking=Thinking(enabled=False))), "answer") == "ok"
    assert upstream.bodies[0]["thinking"] == {"type": "disabled"}


async def test_a_stream_that_breaks_off_or_lies_is_told(upstream: Upstream) -> None:
    upstream.streams(chunk({"content": "half"}))
    with pytest.raises(EngineCrashed, match="without finishing"):
        await ask(upstream)
    upstream.streams("data: {not json\n\n")
    with pytest.raises(UserError, match="not JSON"):
        await ask(upstream)
    upstream.streams(chunk({"content": "half"}), {"error": {"message": "out of memory"}})
    with pytest.raises(UserError, match="out of memory"):
        await ask(upstream)


async def test_nobody_there_and_not_a_url() -> None:
    server = RemoteServer("http://127.0.0.1:9/v1")
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        await server.models()
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        [event async for event in RemoteEngine(server, "x").generate(REQUEST)]
    await server.close()
    with pytest.raises(UsageError, match="not a URL"):
        RemoteServer("localhost:8000")


async def test_models_are_listed(upstream: Upstream) -> None:
    server = RemoteServer(upstream.url + "/v1/")
    assert await server.models() == ["big", "small"]
    await server.close()


async def test_what_was_asked_for_is_passed_on(upstream: Upstream) -> None:
    upstream.streams(chunk({"content": "hi"}), chunk({}, "stop"), "data: [DONE]\n\n")
    tool = {"type": "function", "function": {"name": "f"}}
    sampling = Sampling(top_k=5, min_p=0.1, repetition_penalty=1.2, logit_bias=((7, -100.0),))
    await ask(upstream, replace(REQUEST, sampling=sampling, thinking=Thinking(budget=9), tools=(tool,), one_call=True))
    [body] = upstream.bodies
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (5, 0.1, 1.2)
    assert body["logit_bias"] == {"7": -100.0}
    assert body["parallel_tool_calls"] is False
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 9}
    await ask(upstream)
    assert not {"top_k", "min_p", "repetition_penalty", "logit_bias", "parallel_tool_calls"} & upstream.bodies[1].keys()
