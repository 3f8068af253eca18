"""Every dialect of remote engines, whole and cut at every place: by the parser alone, and over a real socket."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_dialects import DIALECTS, DONE, Dialect, chunk, event
from scripted_upstream import Upstream, sends

from clearseek.errors import UserError
from clearseek.inference.engine import Delta, Event, Finished, Request, ToolCall, Usage
from clearseek.inference.errors import EngineError
from clearseek.inference.remote import RemoteEngine, RemoteServer
from clearseek.inference.remote_answer import RemoteAnswer
from clearseek.inference.remote_payloads import MAX_EVENT, Payloads

REQUEST = Request(({"role": "user", "content": "hi"},))


def understood(pieces: Iterator[bytes] | list[bytes], request: Request = REQUEST) -> list[Event]:
    """The events of these bytes, as the engine makes them."""
    reader, answer = Payloads(), RemoteAnswer(request)
    out: list[Event] = []
    try:
        for piece in pieces:
            for said in reader.feed(piece):
                out += answer.take(said)
            if reader.done:
                break
        else:
            for said in reader.finish():
                out += answer.take(said)
    except EngineError:
        if answer.reason is None:
            raise
    return out + answer.finish(done=reader.done)


async def asked(upstream: Upstream, model: str = "big", request: Request = REQUEST) -> list[Event]:
    server = RemoteServer(upstream.url, "secret")
    try:
        return [event async for event in RemoteEngine(server, model).generate(request)]
    finally:
        await server.close()


def text(events: list[Event], kind: str) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta) and event.kind == kind)


def check(events: list[Event], dialect: Dialect) -> None:
    assert (text(events, "thinking"), text(events, "answer")) == (dialect.thinking, dialect.answer)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.reason == dialect.reason
    if dialect.usage is None:
        assert not last.usage.counted
    else:
        assert last.usage == Usage(*dialect.usage)
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        (name, said) for _, name, said in dialect.calls
    ]
    for call, (id, _, _) in zip(calls, dialect.calls, strict=True):
        assert call.id == id if id is not None else call.id
    assert len({call.id for call in calls}) == len(calls)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_whole_and_cut_anywhere(name: str) -> None:
    dialect = DIALECTS[name]
    raw = dialect.raw
    check(understood([raw]), dialect)
    check(understood([raw[at : at + 1] for at in range(len(raw))]), dialect)
    for at in range(1, len(raw)):
        check(understood([raw[:at], raw[at:]]), dialect)


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_dialect_over_a_socket(name: str) -> None:
    dialect = DIALECTS[name]
    for size in (None, 1):
        with Upstream(sends(dialect.raw, type=dialect.type, size=size)) as upstream:
            check(await asked(upstream), dialect)


@pytest.mark.parametrize("size", [None, 1])
async def test_a_zipped_stream(size: int | None) -> None:
    raw = gzip.compress(DIALECTS["mistral-parts"].raw)
    with Upstream(sends(raw, size=size, Content_Encoding="gzip")) as upstream:
        check(await asked(upstream), DIALECTS["mistral-parts"])


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (event({"error": {"message": "out of memory"}}), "out of memory"),
        (event({"error": "out of memory"}), "out of memory"),
        (event({"error": {"code": 500, "metadata": {"raw": "out of memory"}}}), "out of memory"),
        (f"event: error\n{event({'object': 'error', 'message': 'out of memory', 'code': 500})}", "out of memory"),
        (event({"object": "error", "message": "out of memory", "code": 500}), "out of memory"),
        (event({"type": "error", "message": "out of memory"}), "out of memory"),
        (event({"detail": "out of memory"}), "out of memory"),
        ("event: error\ndata: out of memory\n\n", "out of memory"),
        ("event: error\ndata: out of\ndata: memory\n\n", "out of memory"),
        (event([{"error": {"message": "out of memory"}}]), "out of memory"),
        (event({"base_resp": {"status_code": 1008, "status_msg": "out of memory"}}), "out of memory"),
        (
            event({"choices": [{"error": {"message": "out of memory"}, "finish_reason": "error", "delta": {}}]}),
            "out of memory",
        ),
        (event({"errors": [{"message": "out of memory"}]}), "out of memory"),
        ("data: {not json\n\n", "not JSON"),
        ("Internal Server Error\n", "Internal Server Error"),
        ("<html><head><title>502 Bad Gateway</title></head><body>x</body></html>", "web page (502 Bad Gateway)"),
        ("", "without finishing"),
        (DONE, "without finishing"),
        (": keep-alive\n\n" * 3, "without finishing"),
        ('data: {"choices": [{"delta"', "without finishing"),
    ],
)
@pytest.mark.parametrize("half", [False, True])
async def test_what_went_wrong_is_told(raw: str, told: str, half: bool) -> None:
    before = chunk({"content": "Half"}) if half else ""
    if half and (raw == DONE or raw.startswith("<")):
        return  # there it is no failure
    for size in (None, 1):
        with Upstream(sends((before + raw).encode(), size=size)) as upstream:
            with pytest.raises(EngineError) as failed:
                await asked(upstream)
            assert told in str(failed.value)
            assert failed.value.status in (500, 503)
            assert "\n" not in str(failed.value)


@pytest.mark.parametrize(("code", "status"), [(429, 429), ("429", 429), (400, 400), (401, 503), (503, 503), ("x", 503)])
def test_an_error_in_the_stream_means_what_its_code_means(code: Any, status: int) -> None:
    with pytest.raises(EngineError) as failed:
        understood([event({"error": {"message": "no", "code": code}}).encode()])
    assert failed.value.status == status


def test_what_never_ends_is_bounded() -> None:
    for start in (b"data: ", b'{"a": "', b"<p>"):
        with pytest.raises(EngineError, match="more than"):
            understood([start, *[b"a" * 65536] * (MAX_EVENT // 65536 + 2)])
    with pytest.raises(EngineError, match="more than"):  # many small lines of one event
        understood([b"data: {\n" * 1000] * (MAX_EVENT // 64))
    reader = Payloads()
    keep_alive = [*[b"\n" * 65536] * 200, *[b": no event\n" * 6000] * 200, b"data: {}\n\n"]
    assert [said for piece in keep_alive for said in reader.feed(piece)] == [{}]


KEYS = ["content", "text", "index", "function", "name", "arguments", "error", "message", "logprobs", "token", "code"]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=6) | st.just("\ud83e"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inside for place in _places(one, (*at, key)))]


FULL = {
    "choices": [
        {
            "index": 0,
            "delta": {
                "content": [{"type": "text", "text": "a"}],
                "reasoning_content": "b",
                "reasoning_details": [{"type": "reasoning.text", "text": "c"}],
                "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{}"}}],
                "function_call": {"name": "add", "arguments": "{}"},
            },
            "logprobs": {"content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [{"token": "a"}]}]},
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 1}},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
    "error": None,
    "base_resp": {"status_code": 0},
    "x_groq": {"usage": {"prompt_tokens": 1}},
}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nothing_that_a_server_sends_is_a_fault_of_ours(data: st.DataObject) -> None:
    """Any value in the place of any other: events whose texts can be sent on, or an error with a sentence."""
    said = copy.deepcopy(FULL)
    place = data.draw(st.sampled_from(_places(FULL)[1:]))
    inner: Any = said
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = data.draw(JUNK)
    try:
        events = understood([f"data: {json.dumps(said)}\n\n".encode(), b"data: [DONE]\n\n"])
    except UserError as error:
        str(error).encode()
        return
    for one in events:
        repr(one).encode()
        if isinstance(one, Delta):
            one.text.encode()
        if isinstance(one, ToolCall):
            (one.id + one.name + one.arguments).encode()
    assert isinstance(events[-1], Finished)


def test_logprobs_of_any_shape() -> None:
    good = {
        "token": "a",
        "logprob": -0.5,
        "bytes": [97],
        "top_logprobs": [{"token": "b", "logprob": float("-inf"), "bytes": None}],
    }
    raw = chunk({"content": "a"}).replace(
        '"finish_reason"', f'"logprobs": {json.dumps({"content": [good, None, 3]})}, "finish_reason"'
    )
    [delta] = [one for one in understood([(raw + chunk({}, "stop")).encode()]) if isinstance(one, Delta)]
    [entry] = delta.logprobs
    assert (entry.token, entry.logprob, entry.bytes) == ("a", -0.5, (97,))
    assert entry.top == (("b", float("-inf"), (98,)),)
