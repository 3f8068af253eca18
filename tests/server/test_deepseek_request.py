"""JSON bodies to engine requests: every field of the contract, and what is said about a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from clearseek.inference.engine import Sampling, Thinking
from clearseek.server.errors import ApiError
from clearseek.server.protocols.deepseek import Call, parse_chat

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
OFF = {"thinking": {"type": "disabled"}}


def parsed(messages: Any = (USER,), **fields: Any) -> Call:
    return parse_chat({"messages": list(messages) if isinstance(messages, tuple) else messages, **fields})


def refused(status: int, messages: Any = (USER,), **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parsed(messages, **fields)
    assert caught.value.status == status
    assert caught.value.message.endswith((".", ")"))
    return caught.value


def test_defaults() -> None:
    call = parsed()
    assert (call.model, call.stream, call.include_usage) == (None, False, False)
    request = call.request
    assert request.messages == (USER,)
    assert request.thinking == Thinking(True, "high", None)
    assert request.sampling == Sampling()
    assert (request.max_tokens, request.stop, request.logprobs, request.json_schema) == (None, (), None, None)
    assert (request.tools, request.tool_choice, request.continue_last) == ((), "none", False)


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"thinking": {"type": "enabled"}}, Thinking(True, "high")),
        ({"thinking": {"type": "disabled"}}, Thinking(False, "high")),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "max"}, Thinking(False, "max")),
        ({"thinking": {"type": "enabled", "budget_tokens": 99}}, Thinking(True, "high", 99)),
        ({"reasoning_effort": "none"}, Thinking(False, "high")),
        ({"reasoning_effort": "minimal"}, Thinking(True, "low")),
        ({"reasoning_effort": "low"}, Thinking(True, "low")),
        ({"reasoning_effort": "medium"}, Thinking(True, "high")),
        ({"reasoning_effort": "high"}, Thinking(True, "high")),
        ({"reasoning_effort": "xhigh"}, Thinking(True, "high")),
        ({"reasoning_effort": "max"}, Thinking(True, "max")),
        ({"reasoning_effort": "ultra"}, Thinking(True, "max")),
        ({"thinking": None, "reasoning_effort": None}, Thinking(True, "high")),
    ],
)
def test_thinking(fields: dict[str, Any], thinking: Thinking) -> None:
    assert parsed(**fields).request.thinking == thinking


def test_sampling_and_limits() -> None:
    call = parsed(
        temperature=0, top_p=0.5, seed=-1, frequency_penalty=1, presence_penalty=-2, max_tokens=5, stop="END", n=1
    )
    assert call.request.sampling == Sampling(0, 0.5, 2**32 - 2, 1, -2)
    assert call.request.max_tokens == 5
    assert call.request.stop == ("END",)
    assert parsed(max_completion_tokens=7).request.max_tokens == 7
    assert parsed(seed=2**32 - 1).request.sampling.seed == 0
    assert parsed(stop=["a", "b"]).request.stop == ("a", "b")
    assert parsed(logprobs=True).request.logprobs == 0
    assert parsed(logprobs=True, top_logprobs=20).request.logprobs == 20


def test_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert parsed(response_format={"type": "text"}).request.json_schema is None
    assert parsed(response_format={"type": "json_object"}).request.json_schema == {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    assert parsed(response_format=wanted).request.json_schema == schema
    assert refused(422, response_format={"type": "json_schema"}).param == "response_format.json_schema"
    refused(422, response_format={"type": "xml"})


def test_messages_are_flattened() -> None:
    call_ = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [{**call_, "index": 0}]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]
    assert parsed(messages).request.messages == (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "name": "ann", "content": "a\nb"},
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [call_]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    )


def test_prefix_completion() -> None:
    last = {"role": "assistant", "content": "He", "reasoning_content": "hm", "prefix": True}
    request = parsed([USER, last]).request
    assert request.continue_last
    assert request.messages[-1] == {"role": "assistant", "content": "He", "reasoning_content": "hm"}
    refused(400, [last, USER])
    refused(400, [{**USER, "prefix": True}])


def test_tools() -> None:
    assert parsed(tools=[TOOL]).request.tools == (TOOL,)
    assert parsed(tools=[TOOL]).request.tool_choice == "auto"
    assert parsed(tools=[TOOL], tool_choice="none").request.tool_choice == "none"
    named = {"type": "function", "function": {"name": "add"}}
    assert parsed(tools=[TOOL], tool_choice=named, **OFF).request.tool_choice == named
    assert parsed(tools=[TOOL], tool_choice="required", **OFF).request.tool_choice == "required"
    # a forced tool while thinking, and thinking is the default
    assert "thinks" in refused(400, tools=[TOOL], tool_choice="required").message
    assert "thinks" in refused(400, tools=[TOOL], tool_choice=named).message
    refused(400, tool_choice="required", **OFF)
    refused(400, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "sub"}}, **OFF)
    refused(422, tools=[TOOL], tool_choice="sometimes", **OFF)
    refused(422, tools=[TOOL] * 129)
    refused(422, tools=[{"type": "function", "function": {"name": "a b"}}])
    assert len(parsed(tools=[TOOL] * 128).request.tools) == 128


def test_streams() -> None:
    assert parsed(stream=True, stream_options={"include_usage": True}).include_usage
    assert not parsed(stream=True, stream_options=None).include_usage
    assert refused(400, stream_options={"include_usage": True}).param == "stream_options"
    refused(400, stream=False, stream_options={})


def test_fields_that_ask_nothing_are_let_through() -> None:
    parsed(user="x", user_id="y", store=True, metadata={"a": 1}, parallel_tool_calls=True, service_tier="auto")


@pytest.mark.parametrize(
    ("status", "fields", "param"),
    [
        (422, {"messages": []}, "messages"),
        (422, {"messages": "hi"}, "messages"),
        (422, {"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        (422, {"messages": [{"role": "user"}]}, "messages.0.content"),
        (422, {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (422, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0"),
        (400, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0"),
        (400, {"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages.0.content.0"),
        (422, {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        (422, {"temperature": "0.5"}, "temperature"),
        (422, {"temperature": 2.1}, "temperature"),
        (422, {"max_tokens": 0}, "max_tokens"),
        (422, {"max_tokens": 1.5}, "max_tokens"),
        (422, {"max_tokens": True}, "max_tokens"),
        (422, {"n": 2}, "n"),
        (422, {"stream": "yes"}, "stream"),
        (422, {"stop": 5}, "stop"),
        (422, {"stop": [""]}, "stop"),
        (422, {"stop": ["x"] * 17}, "stop"),
        (422, {"reasoning_effort": "enormous"}, "reasoning_effort"),
        (422, {"thinking": {"type": "maybe"}}, "thinking.type"),
        (422, {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        (400, {"top_logprobs": 2}, "top_logprobs"),
    ],
)
def test_wrong_fields_are_named(status: int, fields: dict[str, Any], param: str) -> None:
    error = refused(status, **{"messages": [USER], **fields})
    assert error.param == param
    assert param in error.message or param.rsplit(".", 1)[0] in error.message
    assert error.code
