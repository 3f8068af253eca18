"""The DeepSeek chat API, inwards: a JSON body becomes an `engine.Request`. Pure; answers are in deepseek_answer.py."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clearseek.inference.engine import Request, Sampling
from clearseek.server.errors import ApiError, invalid_parameters
from clearseek.server.protocols.fields import look_over
from clearseek.server.protocols.forms import form_of
from clearseek.server.protocols.thinking_switch import thinking_of

MAX_TOKENS = 10_000_000
MAX_STOPS = 16
MAX_STOP_CHARS = 1000
MAX_BIASES = 300
MAX_UNKNOWN = 20
_TOOL_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)

Tokens = Annotated[int, Field(ge=-1, le=MAX_TOKENS)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
TopK = Annotated[int, Field(ge=-1, le=1_000_000)]
Repetition = Annotated[float, Field(gt=0, le=2)]


class Body(BaseModel):
    """Fields that are named here are checked strictly; what becomes of the others, fields.py says."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


_Model = TypeVar("_Model", bound=Body)


class StreamOptions(Body):
    include_usage: bool | None = None


class SamplingBody(Body):
    """What chat and FIM completions share."""

    model: str | None = None
    max_tokens: Tokens | None = None
    n_predict: Tokens | None = None
    stop: Any = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: TopP | None = None
    repetition_penalty: Repetition | None = None
    repeat_penalty: Repetition | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Any = None
    seed: Seed | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


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
    reasoning: str | None = None
    prefix: bool | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _ToolFunction(Body):
    model_config = ConfigDict(extra="allow")
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(Body):
    type: Literal["function"]
    function: _ToolFunction


class ChatBody(SamplingBody):
    messages: list[_Message] = Field(min_length=1, max_length=10_000)
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: list[_Tool] | None = Field(default=None, max_length=128)
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    # read by thinking_switch.py
    thinking: Any = None
    reasoning_effort: Any = None
    reasoning: Any = None
    think: Any = None
    enable_thinking: Any = None
    thinking_budget: Any = None
    chat_template_kwargs: Any = None
    # read by forms.py
    response_format: Any = None
    guided_json: Any = None
    json_schema: Any = None
    structured_outputs: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked for: the engine's part, and how the answer is to be told."""

    model: str | None
    request: Request
    stream: bool
    include_usage: bool
    ignored: tuple[str, ...] = ()
    """Fields that nobody knows; they are told with the answer."""


def parse_json(body: bytes) -> Any:
    """The JSON of a body. Raises ApiError (400) in a sentence that says where it breaks."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"The body is not valid JSON: {error.msg} (line {error.lineno}).") from None


def parse_chat(document: Any) -> Call:
    """A chat completion from the JSON of its body. Raises ApiError: 422 for a wrong field, 400 for fields at odds."""
    body = validated(ChatBody, document)
    ignored = look_over(document, frozenset(ChatBody.model_fields)) + _unknown_in_messages(document["messages"])
    messages = tuple(_message(index, message) for index, message in enumerate(body.messages))
    thinking = thinking_of(document)
    tools = tuple({"type": "function", "function": _tool(index, tool)} for index, tool in enumerate(body.tools or ()))
    schema, param = form_of(document)
    request = Request(
        messages=messages,
        max_tokens=limit(document, "max_tokens", "max_completion_tokens", "n_predict"),
        thinking=thinking,
        sampling=sampling(body),
        stop=stops(body.stop),
        logprobs=_logprobs(body),
        json_schema=schema,
        json_schema_param=param,
        tools=tools,
        tool_choice=_tool_choice(body.tool_choice, tools, thinking.enabled),
        one_call=body.parallel_tool_calls is False,
        continue_last=_continues(body.messages),
    )
    return Call(body.model, request, bool(body.stream), wants_usage(body.stream, body.stream_options), ignored)


def validated(model: type[_Model], document: Any) -> _Model:
    """The body as its model. Raises ApiError: 400 where it is no object, 422 for the first wrong field."""
    if not isinstance(document, dict):
        raise ApiError(400, "The body must be a JSON object.")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid_parameters(error.errors(include_url=False, include_input=False)) from None


def limit(document: dict[str, Any], *names: str) -> int | None:
    """The most tokens, by whichever of these fields says so; -1 is no limit. Raises ApiError where they differ."""
    messages = [(name, document[name]) for name in names if document.get(name) is not None]
    for name, value in messages:
        if value == 0:
            raise ApiError(422, f"`{name}` is wrong: at least 1, or -1 for no limit.", param=name)
        if value != messages[0][1]:
            raise ApiError(400, f"`{messages[0][0]}` and `{name}` contradict each other; send one of them.", param=name)
    return messages[0][1] if messages and messages[0][1] != -1 else None


def wants_usage(stream: bool | None, options: StreamOptions | None) -> bool:
    if options is None:
        return False
    if not stream:
        raise ApiError(400, "`stream_options` is only for streams: set `stream` to true too.", param="stream_options")
    return bool(options.include_usage)


def sampling(body: SamplingBody) -> Sampling:
    """The sampling fields. Raises ApiError where two of them contradict each other."""
    penalties = [value for value in (body.repetition_penalty, body.repeat_penalty) if value is not None]
    if len(set(penalties)) > 1:
        message = "`repetition_penalty` and `repeat_penalty` contradict each other; send one of them."
        raise ApiError(400, message, param="repeat_penalty")
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        # engines take 32 bits, and the largest of them means "draw one" to llama.cpp
        seed=None if body.seed is None else body.seed % (2**32 - 1),
        frequency_penalty=body.frequency_penalty or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        top_k=None if body.top_k is None else max(0, body.top_k),  # -1: all, to vLLM
        min_p=body.min_p,
        repetition_penalty=penalties[0] if penalties else None,
        logit_bias=_logit_bias(body.logit_bias),
    )


def _logit_bias(value: Any) -> tuple[tuple[int, float], ...]:
    """OpenAI's object of token ids, or llama.cpp's list of pairs."""
    pairs = [] if value is None else list(value.items()) if isinstance(value, dict) else value
    wrong = ApiError(
        422,
        "`logit_bias` is wrong: an object of at most "
        f"{MAX_BIASES} token ids, each with a number from -100 to 100 that is added to its logit.",
        param="logit_bias",
    )
    if not isinstance(pairs, list) or len(pairs) > MAX_BIASES:
        raise wrong
    out = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise wrong
        token, bias = pair
        if isinstance(token, str) and token.isascii() and token.isdigit() and len(token) < 10:
            token = int(token)
        if type(token) is not int or not 0 <= token < 2**31 or isinstance(bias, bool):
            raise wrong
        if not isinstance(bias, (int, float)) or not -100 <= bias <= 100:
            raise wrong
        out.append((token, float(bias)))
    return tuple(out)


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


_MESSAGE_WORDS = frozenset(_Message.model_fields)
_MESSAGE_NOTES = """
refusal annotations reasoning_details thinking_blocks provider_specific_fields cache_control id created_at timestamp
metadata status index
"""
_ECHOED = frozenset(_MESSAGE_NOTES.split())
"""What clients send back of an answer, or note beside a message; the model is not shown it."""
_NOT_TEXT = {
    "images": "the model reads text only",
    "videos": "the model reads text only",
    "audio": "the model reads text only",
    "function_call": "write it as one of `tool_calls`",
}


def _unknown_in_messages(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    """Fields of messages that nobody knows. Raises ApiError for those that ask for what is not done."""
    unknown: dict[str, None] = {}
    for index, message in enumerate(messages):
        for name, value in message.items():
            if name in _MESSAGE_WORDS or name in _ECHOED or value in (None, [], ""):
                continue
            if name in _NOT_TEXT:
                where = f"messages.{index}.{name}"
                raise ApiError(400, f"`{where}` is not done here: {_NOT_TEXT[name]}.", param=where)
            if len(unknown) < MAX_UNKNOWN:
                unknown[f"messages.{name[:100]}"] = None
    return tuple(unknown)


def _message(index: int, message: _Message) -> dict[str, Any]:
    where = f"messages.{index}"
    role = "system" if message.role == "developer" else message.role
    fields: dict[str, Any] = {"role": role, "content": _text(message.content, f"{where}.content")}
    if message.content is None and role != "assistant":
        raise ApiError(422, f"`{where}.content` is wrong: a {role} message needs text.", param=f"{where}.content")
    if message.name is not None:
        fields["name"] = message.name
    if role == "assistant":
        thought = message.reasoning if message.reasoning_content is None else message.reasoning_content
        if thought is not None:
            fields["reasoning_content"] = thought
        if message.tool_calls:
            fields["tool_calls"] = [call.model_dump() for call in message.tool_calls]
    if role == "tool":
        if not message.tool_call_id:
            raise ApiError(
                422, f"`{where}.tool_call_id` is missing: say which call this answers.", param=f"{where}.tool_call_id"
            )
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _text(content: Any, where: str) -> str:
    """The text of a message; the texts of its parts, each on a line of its own."""
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
    return "\n".join(texts)


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
