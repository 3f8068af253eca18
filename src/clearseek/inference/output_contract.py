"""What a request may promise about the form of its answer: refused before it is begun, or kept and then looked at.

The grammar of the engine here keeps the promise token by token; a remote engine keeps it as it can. A finished answer
is then held against the schema as it was sent, by another program (jsonschema): a mismatch is an error in words, never
an answer that looks well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from clearseek.inference.engine import Request, ToolCall
from clearseek.inference.errors import BadRequest
from clearseek.inference.schema_service import SchemaBroken, SchemaDesk, SchemaJob
from clearseek.inference.tool_calls import forced_functions

FOREIGN_CALLS = (
    "This model calls tools in a form that is not understood here, so that its calls would come as raw text; "
    "leave `tools` out or choose another model."
)
NO_CALLS = (
    "This model was not taught to call tools (its chat template has no place for them); "
    "leave `tools` out or choose another model."
)


async def promised(request: Request, desk: SchemaDesk, *, vocabulary: int, refused_tools: str | None) -> Request:
    """The request with the grammar that holds the engine to it. Raises BadRequest for what cannot be held to.

    `vocabulary` is the model's number of tokens, `refused_tools` the sentence for a model that cannot call any.
    """
    for token, _ in request.sampling.logit_bias:
        if token >= vocabulary:
            message = f"`logit_bias` names the token {token:,}, and this model has {vocabulary:,} tokens, from 0."
            raise BadRequest(message, "logit_bias")
    param = request.json_schema_param
    if request.tools and request.tool_choice != "none":
        if refused_tools is not None:
            raise BadRequest(refused_tools, "tools")
        if request.json_schema is not None:
            raise BadRequest(f"`tools` and `{param}` cannot be combined.", param)
        asked = _of_calls(request)
        grammar = await desk.grammar(asked) if asked else None
        forced = forced_functions(request.tools, request.tool_choice)
        return replace(request, grammar=grammar if forced else None)
    if request.json_schema is None:
        return request
    _whole(request)
    return replace(request, grammar=await desk.grammar([SchemaJob(request.json_schema, param)]))


async def held_to(request: Request, desk: SchemaDesk) -> None:
    """For an engine that has its own ways to keep a promise. Raises BadRequest for what its answer could not be held
    against afterwards."""
    asked: list[SchemaJob] = []
    if request.json_schema is not None:
        _whole(request)
        asked.append(SchemaJob(request.json_schema, request.json_schema_param))
    if request.tools and request.tool_choice != "none":
        asked += _of_calls(request)
    if any(one.schema not in (None, {}, {"type": "object"}) for one in asked):
        await desk.valid(asked)


def _whole(request: Request) -> None:
    if request.continue_last and request.messages[-1].get("content"):
        param = request.json_schema_param
        raise BadRequest(f"`prefix` and `{param}` cannot be combined: the form is that of a whole answer.", param)


def _of_calls(request: Request) -> list[SchemaJob]:
    """The schemas that calls are held to: of the tools that may be forced, or that are `strict`."""
    forced = forced_functions(request.tools, request.tool_choice)
    strict = [(at, tool["function"]) for at, tool in enumerate(request.tools) if tool["function"].get("strict")]
    return [
        SchemaJob(function.get("parameters"), f"tools.{at}.function.parameters", function["name"])
        for at, function in forced or strict
    ]


async def kept(request: Request, desk: SchemaDesk, answer: str, calls: Sequence[ToolCall], *, whole: bool) -> None:
    """Raises SchemaBroken where a finished answer is not what was promised.

    `whole`: the model ended it. What a limit or one of the caller's own stop texts cut short is not held to anything.
    Calls are whole in any case; those of tools that are neither forced nor `strict` promise nothing.
    """
    forced = forced_functions(request.tools, request.tool_choice) if request.tools else []
    if whole and forced and not calls:
        raise SchemaBroken("The answer is no call of a tool, though one was forced. Ask again.")
    if whole and request.json_schema is not None and not calls:
        await desk.check(request.json_schema, answer)
    may = {function["name"] for _, function in forced}
    functions: dict[str, Any] = {tool["function"]["name"]: tool["function"] for tool in request.tools}
    for call in calls:
        if may and call.name not in may:
            raise SchemaBroken(f"The answer calls `{call.name[:64]}`, though another tool was forced. Ask again.")
        function = functions.get(call.name, {})
        if forced or function.get("strict"):
            parameters = function.get("parameters") or {"type": "object"}
            await desk.check(parameters, call.arguments, f"The arguments of the call of `{call.name}`")
