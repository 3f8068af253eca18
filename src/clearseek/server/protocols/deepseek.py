"""The DeepSeek chat API, inwards: a JSON body becomes an `engine.Request`. Pure; answers are in deepseek_answer.py."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clearseek.inference.engine import Effort, Request, Sampling, Thinking
from clearseek.server.errors import ApiError, invalid_parameters

MAX_TOKENS = 10_000_000
MAX_STOPS = 16
MAX_STOP_CHARS = 1000
_EFFORTS: dict[str, Effort] = {
    "minimal": "low",
    "low": "low",
    "medium": "high",
    "high": "high",
    "xhigh": "high",
    "max": "max",
    "ultra": "max",
}
_TOOL_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)

Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class Body(BaseModel):
    """Fields that are not named here are let through unread: clients send many. Those named are checked strictly."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class StreamOptions(Body):
    include_usage: bool | None = None


class _Function(Body):
    name: str
    arguments: str = ""


class _ToolCall(Body):
    id: str
    type: Literal["function"] = "function"
    function: _Function


class _Message(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    name: str | None = None
    reasoning_content: str | None = None
    prefix: bool | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _ThinkingSwitch(Body):
    type: Literal["enabled", "disabled"] = "enabled"
    budget_tokens: Tokens | None = None


class _Schema(Body):
    schema_: dict[str, Any] = Field(alias="schema")


class _ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _ToolFunction(Body):
    model_config = ConfigDict(extra="allow")
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(Body):
    type: Literal["function"]
    function: _ToolFunction


class ChatBody(Body):
    model: str | None = None
    messages: list[_Message] = Field(min_length=1, max_length=10_000)
    thinking: _ThinkingSwitch | None = None
    reasoning_effort: str | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    response_format: _ResponseFormat | None = None
    stop: Any = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: list[_Tool] | None = Field(default=None, max_length=128)
    tool_choice: Any = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked for: the engine's part, and how the answer is to be told."""

    model: str | None
    request: Request
    stream: bool
    include_usage: bool


def parse_json(body: bytes) -> Any:
    """The JSON of a body. Raises ApiError (400) in a sentence that says where it breaks."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"The body is not valid JSON: {error.msg} (line {error.lineno}).") from None


def parse_chat(document: Any) -> Call:
    """A chat completion from the JSON of its body. Raises ApiError: 422 for a wrong field, 400 for fields at odds."""
    body = _validate(ChatBody, document)
    messages = tuple(_message(index, message) for index, message in enumerate(body.messages))
    thinking = _thinking(body)
    tools = tuple({"type": "function", "function": _tool(index, tool)} for index, tool in enumerate(body.tools or ()))
    request = Request(
        messages=messages,
        max_tokens=body.max_tokens or body.max_completion_tokens,
        thinking=thinking,
        sampling=sampling(body),
        stop=stops(body.stop),
        logprobs=_logprobs(body),
        json_schema=_json_schema(body.response_format),
        tools=tools,
        tool_choice=_tool_choice(body.tool_choice, tools, thinking.enabled),
        continue_last=_continues(body.messages),
    )
    return Call(body.model, request, bool(body.stream), wants_usage(body.stream, body.stream_options))


def _validate(model: type[ChatBody], document: Any) -> ChatBody:
    if not isinstance(document, dict):
        raise ApiError(400, "The body must be a JSON object.")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid_parameters(error.errors(include_url=False, include_input=False)) from None


def wants_usage(stream: bool | None, options: StreamOptions | None) -> bool:
    if options is None:
        return False
    if not stream:
        raise ApiError(400, "`stream_options` is only for streams: set `stream` to true too.", param="stream_options")
    return bool(options.include_usage)


def sampling(body: Any) -> Sampling:
    """The sampling fields, which chat and FIM completions share."""
    # engines take 32 bits, and the largest of them means "draw one" to llama.cpp
    seed = None if body.seed is None else body.seed % (2**32 - 1)
    return Sampling(body.temperature, body.top_p, seed, body.frequency_penalty or 0.0, body.presence_penalty or 0.0)


def stops(value: Any) -> tuple[str, ...]:
    """`stop` as a tuple: nothing, one string, or at most 16."""
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ApiError(422, "`stop` is wrong: it is a string or a list of strings.", param="stop")
    if len(texts) > MAX_STOPS:
        raise ApiError(422, f"`stop` is wrong: {len(texts)} strings, and {MAX_STOPS} is the most.", param="stop")
    if not all(0 < len(text) <= MAX_STOP_CHARS for text in texts):
        raise ApiError(
            422, f"`stop` is wrong: each string has between 1 and {MAX_STOP_CHARS:,} characters.", param="stop"
        )
    return tuple(texts)


def _thinking(body: ChatBody) -> Thinking:
    switch = body.thinking or _ThinkingSwitch()
    named = body.reasoning_effort
    if named is not None and named != "none" and named not in _EFFORTS:
        raise ApiError(
            422,
            f"`reasoning_effort` is wrong: one of low, high, max or none, not {named[:40]!r}.",
            "",
            "reasoning_effort",
        )
    enabled = switch.type == "enabled" and named != "none"
    return Thinking(enabled, _EFFORTS.get(named or "high", "high"), switch.budget_tokens if enabled else None)


def _message(index: int, message: _Message) -> dict[str, Any]:
    where = f"messages.{index}"
    role = "system" if message.role == "developer" else message.role
    told: dict[str, Any] = {"role": role, "content": _text(message.content, f"{where}.content")}
    if message.content is None and role != "assistant":
        raise ApiError(422, f"`{where}.content` is wrong: a {role} message needs text.", param=f"{where}.content")
    if message.name is not None:
        told["name"] = message.name
    if role == "assistant":
        if message.reasoning_content is not None:
            told["reasoning_content"] = message.reasoning_content
        if message.tool_calls:
            told["tool_calls"] = [call.model_dump() for call in message.tool_calls]
    if role == "tool":
        if not message.tool_call_id:
            raise ApiError(
                422, f"`{where}.tool_call_id` is missing: say which call this answers.", param=f"{where}.tool_call_id"
            )
        told["tool_call_id"] = message.tool_call_id
    return told


def _text(content: Any, where: str) -> str:
    """The text of a message; the texts of its parts joined."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ApiError(422, f"`{where}` is wrong: it is a string or a list of parts.", param=where)
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("image_url", "file", "input_audio"):
            raise ApiError(
                400, f"The model reads text only: leave the `{kind}` part out of `{where}`.", param=f"{where}.{index}"
            )
        if kind != "text" or not isinstance(part.get("text"), str):
            raise ApiError(
                422, f"`{where}.{index}` is wrong: a part is {{type: text, text: ...}}.", param=f"{where}.{index}"
            )
        texts.append(part["text"])
    return "".join(texts)


def _continues(messages: list[_Message]) -> bool:
    """Whether the last message is to be continued (prefix completion)."""
    for index, message in enumerate(messages):
        if message.prefix and (message.role != "assistant" or index != len(messages) - 1):
            raise ApiError(
                400,
                "`prefix` belongs to the last message, and that must be an assistant's.",
                param=f"messages.{index}.prefix",
            )
    return bool(messages[-1].prefix)


def _logprobs(body: ChatBody) -> int | None:
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "`top_logprobs` needs `logprobs` set to true.", param="top_logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None


def _json_schema(wanted: _ResponseFormat | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None:
        raise ApiError(422, "`response_format.json_schema` is missing.", param="response_format.json_schema")
    return wanted.json_schema.schema_


def _tool(index: int, tool: _Tool) -> dict[str, Any]:
    if not _TOOL_NAME.fullmatch(tool.function.name):
        where = f"tools.{index}.function.name"
        raise ApiError(422, f"`{where}` is wrong: 1 to 64 letters, digits, underscores or dashes, please.", param=where)
    return tool.function.model_dump(exclude_none=True)


def _tool_choice(choice: Any, tools: tuple[dict[str, Any], ...], thinking: bool) -> Any:
    if choice is None or choice in ("auto", "none"):
        return choice or ("auto" if tools else "none")
    named = None
    if isinstance(choice, dict) and choice.get("type") == "function" and isinstance(choice.get("function"), dict):
        named = choice["function"].get("name")
    if choice != "required" and not isinstance(named, str):
        raise ApiError(
            422, "`tool_choice` is wrong: none, auto, required, or a function by its name.", param="tool_choice"
        )
    if thinking:
        raise ApiError(
            400,
            'A tool cannot be forced while the model thinks: set `thinking` to {"type": "disabled"}, '
            "or `tool_choice` to auto.",
            param="tool_choice",
        )
    if not tools or (named is not None and named not in [tool["function"]["name"] for tool in tools]):
        raise ApiError(400, "`tool_choice` forces a tool that is not in `tools`.", param="tool_choice")
    return "required" if named is None else {"type": "function", "function": {"name": named}}
