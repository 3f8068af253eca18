"""The ways a remote engine can hurt: silence at any moment, lists in pieces, refusals of every shape."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from typing import Any

import pytest
from remote_dialects import DONE, chunk, whole
from scripted_upstream import Connection, Script, Upstream, sends, silent

from clearseek.errors import UserError
from clearseek.inference import remote_refusal
from clearseek.inference.engine import Delta, Event, Finished, Request, Sampling, Thinking
from clearseek.inference.errors import (
    BadRequest,
    Busy,
    EngineCrashed,
    EngineError,
    EngineUnavailable,
    UnknownModel,
    UpstreamTimeout,
)
from clearseek.inference.remote import Deadlines, RemoteEngine, RemoteServer

REQUEST = Request(({"role": "user", "content": "hi"},))
OK = (chunk({"content": "ok"}) + chunk({}, "stop") + DONE).encode()
LONG = 600.0
"""Deadlines that a test does not want to meet; each test has a timeout of its own far below."""


async def ask(upstream: Upstream, request: Request = REQUEST, **deadlines: float) -> list[Event]:
    all_of_them = dict.fromkeys(("connect", "lists", "first", "idle", "after", "total"), LONG) | deadlines
    server = RemoteServer(upstream.url, "sk-secret-key", Deadlines(**all_of_them))
    try:
        async with asyncio.timeout(60):
            return [event async for event in RemoteEngine(server, "big").generate(request)]
    finally:
        await server.close()


def answer(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta) and event.kind == "answer")


def then_silent(raw: bytes, **head: Any) -> Script:
    async def script(connection: Connection) -> None:
        await connection.head(**head)
        await connection.send(raw)
        await silent(connection)

    return script


async def half_a_head(connection: Connection) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-")
    await silent(connection)


SAID = chunk({"content": "a"}).encode()
ROUND = {"status": 307, "Location": "/v1/chat/completions"}


# Silence


@pytest.mark.parametrize(
    ("script", "which"),
    [
        (silent, "first"),
        (silent, "total"),
        (half_a_head, "first"),
        (then_silent(b""), "first"),
        (then_silent(b": keep-alive\n\n" * 50), "first"),
        (then_silent(b'event: ping\ndata: {"type": "ping"}\n\n' * 50), "first"),
        (then_silent(b'{"choices": ['), "first"),
        (then_silent(SAID), "idle"),
        (then_silent(SAID + b": keep-alive\n\n" * 50), "idle"),
        (then_silent(SAID + b'data: {"type": "ping"}\n\n' * 50), "idle"),
        (then_silent(SAID + SAID[:-20]), "idle"),
        (then_silent(SAID), "total"),
        (then_silent(b'{"error": {"mess', status=400, type="application/json"), "first"),
    ],
)
async def test_silence_ends_at_a_deadline_wherever_it_comes(script: Script, which: str) -> None:
    with Upstream(script) as upstream:
        with pytest.raises(UpstreamTimeout) as late:
            await ask(upstream, **{which: 0.3})
        assert "0.3 seconds" in str(late.value)


async def test_comments_for_ever_do_not_put_the_first_deadline_off() -> None:
    async def comments(connection: Connection) -> None:
        await connection.head()
        while True:
            await connection.send(b": OPENROUTER PROCESSING\n\n")
            await asyncio.sleep(0.01)

    with Upstream(comments) as upstream, pytest.raises(UpstreamTimeout, match="did not begin to answer within"):
        await ask(upstream, first=0.3)


async def test_an_answer_that_is_finished_is_kept_however_the_stream_ends() -> None:
    finished = (chunk({"content": "ok"}) + chunk({}, "stop")).encode()

    async def breaks_off(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999\r\n\r\n")
        await connection.send(finished)

    for script in (then_silent(finished), breaks_off, sends(finished)):
        with Upstream(script) as upstream:
            events = await ask(upstream, after=0.2)
        assert answer(events) == "ok"
        assert isinstance(events[-1], Finished)


async def test_who_reads_slowly_is_not_told_that_the_engine_was_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    real, later = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + later)
    said = b"".join(chunk({"content": f"{n} "}).encode() for n in range(5000))
    with Upstream(sends(said + chunk({}, "stop").encode())) as upstream:
        server = RemoteServer(upstream.url, deadlines=Deadlines(idle=60.0))
        got, answer = 0, ""
        async for one in RemoteEngine(server, "big").generate(REQUEST):
            got += 1
            answer += one.text if isinstance(one, Delta) else ""
            if got in (2, 3000):
                later += 100.0  # the reader was away for that long
        await server.close()
    assert answer == "".join(f"{n} " for n in range(5000))


async def test_a_connection_that_breaks_says_when() -> None:
    async def hangs_up(connection: Connection) -> None: ...

    async def in_the_middle(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(SAID), SAID))

    with Upstream(hangs_up) as upstream, pytest.raises(EngineCrashed, match="without an answer"):
        await ask(upstream)
    with Upstream(in_the_middle) as upstream, pytest.raises(EngineCrashed, match="in the middle"):
        await ask(upstream)


# Lists


async def listed(script: Script, **deadlines: float) -> list[str]:
    with Upstream() as upstream:
        upstream.lists = script
        server = RemoteServer(upstream.url, "sk-secret-key", Deadlines(**deadlines))
        try:
            async with asyncio.timeout(60):
                return await server.models()
        finally:
            await server.close()


@pytest.mark.parametrize("size", [None, 1000])
async def test_a_long_list_comes_in_as_many_reads_as_it_likes(size: int | None) -> None:
    names = [f"provider/model-{n}" for n in range(2000)]
    raw = json.dumps({"object": "list", "data": [{"id": name, "pricing": {"prompt": "0.1" * 9}} for name in names]})
    assert await listed(sends(raw.encode(), type="application/json", size=size)) == names


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ({"models": [{"name": "a:latest"}, {"model": "b"}]}, ["a:latest", "b"]),
        ({"object": "list", "data": None}, []),
        ({"data": [{"id": "a"}, {"id": "a"}, {"id": None}, None, 7, {"id": "b\n\x1b[2J"}]}, ["a", "b [2J"]),
        ({"data": [{"id": "a"}], "models": [{"name": "x"}]}, ["a"]),
    ],
)
async def test_lists_of_other_forms(said: Any, names: list[str]) -> None:
    assert await listed(sends(json.dumps(said).encode(), type="application/json")) == names


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (silent, "in time"),
        (half_a_head, "in time"),
        (then_silent(b'{"data": [{"id": "a"}, '), "in time"),
        (sends(b'{"data": [{"id": "a"}, '), "no OpenAI-compatible server"),
        (sends(b"<html>hello</html>", type="text/html"), "no OpenAI-compatible server"),
        (sends(b'{"error": {"message": "no key"}}'), "no key"),
        (sends(b'{"error": {"message": "bad key sk-secret-key"}}', status=401), "bad key …"),
        (sends(b"<html><title>502 Bad Gateway</title></html>", status=502), "502 Bad Gateway"),
        (sends(b"404 page not found", status=404), "end in /v1"),
    ],
)
async def test_what_is_wrong_with_a_list_is_told(script: Script, told: str) -> None:
    with pytest.raises(EngineUnavailable) as failed:
        await listed(script, lists=0.5 if told == "in time" else 60.0)
    assert told in str(failed.value)


# Refusals

REFUSALS: list[tuple[Any, str]] = [
    ({"error": {"message": "because"}}, "because"),
    ({"error": "because"}, "because"),
    ({"object": "error", "message": "because", "type": "BadRequestError", "code": 400}, "because"),
    ({"detail": "because"}, "because"),
    ({"detail": [{"type": "x", "loc": ["body", "tools"], "msg": "because"}]}, "body.tools: because"),
    ({"object": "error", "message": {"detail": [{"loc": ["body", "tools"], "msg": "because"}]}}, "body.tools: because"),
    ([{"error": {"code": 400, "message": "because"}}], "because"),
    ({"success": False, "errors": [{"code": 7, "message": "because"}]}, "because"),
    ({"error": {"message": "Provider returned error", "metadata": {"raw": "because"}}}, "because"),
    ({"error": {"message": "because", "param": "tools"}}, "tools: because"),
    ({"message": "because"}, "because"),
    ({"Message": "because"}, "because"),
    ("because", "because"),
    (b"because\r\nof\x1b[31m this", "because of [31m this"),
    (b"<html>\n<head><title>400 because</title></head><body>long</body></html>", "400 because"),
    (b"", "no reason"),
    (b"{}", "no reason"),
    (b"[1, null]", "no reason"),
    (b"\xff\xfe", "\ufffd"),
    ({"error": {"message": "x" * 5000}}, "x…"),
    ({"error": {"message": "your key sk-secret-key"}}, "your key …"),
]


@pytest.mark.parametrize(("body", "told"), REFUSALS)
async def test_a_refusal_of_any_shape_tells_its_reason(body: Any, told: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    for size in (None, 1):
        with Upstream(sends(raw, status=409, size=size)) as upstream, pytest.raises(BadRequest) as refused:
            await ask(upstream)
        assert told in str(refused.value)
        assert len(str(refused.value)) < 500
        assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (401, {"error": {"message": "bad key"}}, EngineUnavailable, "CLEARSEEK_ENGINE_KEY"),
        (402, {"error": {"message": "Insufficient Balance"}}, EngineUnavailable, "Insufficient Balance"),
        (403, {"error": {"message": "flagged"}}, EngineUnavailable, "flagged"),
        (404, {"error": {"message": "model 'big' not found"}}, UnknownModel, "model 'big' not found"),
        (404, b"404 page not found", EngineUnavailable, "end in /v1"),
        (408, b"", UpstreamTimeout, "408"),
        (413, b"too large", BadRequest, "too large"),
        (429, {"message": "slow down"}, Busy, "slow down"),
        (502, b"<html><h1>Bad Gateway</h1></html>", EngineUnavailable, "Bad Gateway"),
        (504, b"", UpstreamTimeout, "504"),
        (529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}, EngineUnavailable, "Overloaded"),
        (300, b"pick one", EngineUnavailable, "pick one"),
    ],
)
async def test_what_a_status_means(status: int, body: Any, kind: type[UserError], told: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with Upstream(sends(raw, status=status)) as upstream, pytest.raises(kind) as refused:
        await ask(upstream)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "6.2"}, 7),
        ({"Retry_After": "7s"}, 7),
        ({"Retry_After": "0"}, 1),
        ({"Retry_After": "99999999"}, remote_refusal.MAX_WAIT),
        ({"retry_after_ms": "6500"}, 7),
        ({"Retry_After": "soon"}, 5),
        ({"Retry_After": "-7"}, 5),
        ({}, 5),
    ],
)
async def test_how_long_to_wait(headers: dict[str, str], seconds: int) -> None:
    with Upstream(sends(b"{}", status=429, **headers)) as upstream, pytest.raises(Busy) as busy:
        await ask(upstream)
    assert busy.value.retry_after == seconds


def test_a_date_to_wait_for() -> None:
    wait = remote_refusal.seconds_to_wait({"Retry-After": email.utils.formatdate(time.time() + 1800, usegmt=True)})
    assert wait is not None
    assert 1500 < wait <= 1801
    assert remote_refusal.seconds_to_wait({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 1


def refuses(body: Any, when: str, status: int) -> Script:
    """Refuses as long as the request has this field (or `field=value`)."""

    async def script(connection: Connection) -> None:
        name, _, value = when.partition("=")
        here = name in connection.body and (not value or json.dumps(connection.body[name]) == value)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        await (sends(raw, status=status) if here else sends(OK))(connection)

    return script


EXTRA = "Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("body", "when", "status"),
    [
        ({"error": {"message": "Unrecognized request argument supplied: thinking"}}, "thinking", 400),
        ({"object": "error", "message": f"[{{'loc': ('body', 'thinking'), 'msg': '{EXTRA}'}}]"}, "thinking", 400),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "thinking"], "msg": EXTRA}]}, "thinking", 422),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "chat_template_kwargs"], "msg": EXTRA}]}},
         "chat_template_kwargs", 422),
        ({"error": {"message": "Unsupported parameter.", "param": "thinking"}}, "thinking", 400),
        ({"error": {"message": "Invalid value: 'high'.", "param": "reasoning_effort"}}, "reasoning_effort", 400),
        ({"error": {"message": "\"llama3\" does not support thinking"}}, "reasoning_effort", 400),
        ({"detail": [{"loc": ["body", "stream_options"], "msg": EXTRA}]}, "stream_options", 422),
        ({"message": "got an unexpected keyword argument 'chat_template_kwargs'"}, "chat_template_kwargs", 500),
        (b"", "thinking", 400),
        ({"error": {"message": "max_tokens is not known; use 'max_completion_tokens'."}}, "max_tokens", 400),
        ({"error": {"code": "unsupported_parameter", "param": "max_tokens",
                    "message": "Unsupported parameter: use 'max_completion_tokens'."}}, "max_tokens", 400),
        ({"error": {"message": "Streaming is not supported with tools."}}, "stream=true", 400),
    ],
)  # fmt: skip
async def test_what_a_server_does_not_know_is_left_out(body: Any, when: str, status: int) -> None:
    request = Request(REQUEST.messages, max_tokens=50, thinking=Thinking(effort="high"), sampling=Sampling(0.5))
    with Upstream(refuses(body, when, status)) as upstream:
        assert answer(await ask(upstream, request)) == "ok"
        last = upstream.bodies[-1]
    assert last["temperature"] == 0.5
    assert 50 in (last.get("max_tokens"), last.get("max_completion_tokens"))
    assert len(upstream.bodies) <= 3


async def test_what_was_asked_for_is_never_left_out() -> None:
    refusal = {"error": {"message": "Unsupported value: 'temperature' does not support 0.5.", "param": "temperature"}}
    with Upstream(refuses(refusal, "temperature", 400)) as upstream:
        with pytest.raises(BadRequest, match="does not support"):
            await ask(upstream, Request(REQUEST.messages, sampling=Sampling(0.5)))
        assert len(upstream.bodies) == 1


async def test_a_server_that_refuses_whatever_is_sent_is_not_asked_for_ever() -> None:
    for said in (
        "thinking is wrong",
        "use max_completion_tokens",
        "streaming is not supported",
        "thinking, stream_options",
    ):
        with Upstream(sends(json.dumps({"error": said}).encode(), status=400)) as upstream:
            with pytest.raises(BadRequest, match=said):
                await ask(upstream, Request(REQUEST.messages, max_tokens=5))
            assert len(upstream.bodies) <= 5


async def test_a_server_that_does_not_stream_is_asked_for_the_whole() -> None:
    async def script(connection: Connection) -> None:
        if connection.body["stream"]:
            await sends(b'{"error": "streaming is unsupported here"}', status=400)(connection)
        else:
            await sends(whole({"content": "ok"}), type="application/json")(connection)

    with Upstream(script) as upstream:
        assert answer(await ask(upstream)) == "ok"
        assert "stream_options" not in upstream.bodies[-1]


async def test_redirects_mind_the_port_that_is_not_said() -> None:
    assert RemoteServer("http://a.example/v1").origin == RemoteServer("http://a.example:80/v1").origin
    for target in (
        "https://127.0.0.1/v1",
        "//elsewhere/x?key=secret",
        "file:///etc/passwd",
        "http://[::1",
        "http://a:b/",
    ):
        with Upstream(sends(b"", status=307, Location=target)) as upstream:
            with pytest.raises(EngineError, match="redirects to another server") as refused:
                await ask(upstream)
            assert "secret" not in str(refused.value)
