"""What a request promises is refused before it is begun, or looked at when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from clearseek.inference.engine import Request, Sampling, ToolCall
from clearseek.inference.errors import BadRequest
from clearseek.inference.output_contract import FOREIGN_CALLS, kept, promised
from clearseek.inference.schema_service import SchemaBroken, SchemaDesk

pytestmark = pytest.mark.slow  # starts a process
ASKED = Request(({"role": "user", "content": "q"},))
NUMBER = {"type": "integer"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS, **more}}


@pytest.fixture
async def desk() -> AsyncIterator[SchemaDesk]:
    desk = SchemaDesk()
    yield desk
    await desk.close()


async def promise(desk: SchemaDesk, request: Request, refused_tools: str | None = None) -> Request:
    return await promised(request, desk, vocabulary=100, refused_tools=refused_tools)


async def test_nothing_asked_is_nothing_promised(desk: SchemaDesk) -> None:
    assert await promise(desk, ASKED) == ASKED
    assert desk._process is None


async def test_a_schema_and_a_forced_tool_get_a_grammar(desk: SchemaDesk) -> None:
    assert (await promise(desk, replace(ASKED, json_schema=NUMBER))).grammar
    assert (await promise(desk, replace(ASKED, tools=(tool(),), tool_choice="required"))).grammar
    assert (await promise(desk, replace(ASKED, tools=(tool(),)))).grammar is None
    assert (await promise(desk, replace(ASKED, tools=(tool(strict=True),)))).grammar is None


@pytest.mark.parametrize(
    ("changes", "words", "param"),
    [
        ({"json_schema": {"type": "strin"}}, "strin", "response_format"),
        ({"json_schema": {"type": "strin"}, "json_schema_param": "guided_json"}, "strin", "guided_json"),
        ({"json_schema": {"not": True}}, "`not`", "response_format"),
        ({"json_schema": NUMBER, "tools": (tool(),)}, "cannot be combined", "response_format"),
        ({"tools": (tool(parameters={"type": "x"}),), "tool_choice": "required"}, "no object", None),
        ({"tools": (tool(parameters={"not": {}}, strict=True),)}, "`not`", "tools.0.function.parameters"),
        ({"sampling": Sampling(logit_bias=((100, 1.0),))}, "token 100", "logit_bias"),
    ],
)
async def test_what_cannot_be_held_to_is_refused(
    desk: SchemaDesk, changes: dict[str, Any], words: str, param: str | None
) -> None:
    with pytest.raises(BadRequest) as refused:
        await promise(desk, replace(ASKED, **changes))
    assert words in str(refused.value)
    assert param is None or refused.value.param == param


async def test_an_answer_that_is_begun_has_no_form(desk: SchemaDesk) -> None:
    begun = (*ASKED.messages, {"role": "assistant", "content": '{"a'})
    with pytest.raises(BadRequest, match="whole answer"):
        await promise(desk, replace(ASKED, messages=begun, continue_last=True, json_schema=NUMBER))
    thinking = (*ASKED.messages, {"role": "assistant", "content": "", "reasoning_content": "hm"})
    assert (await promise(desk, replace(ASKED, messages=thinking, continue_last=True, json_schema=NUMBER))).grammar


async def test_a_model_that_calls_in_another_form_refuses_tools(desk: SchemaDesk) -> None:
    with pytest.raises(BadRequest, match="raw text"):
        await promise(desk, replace(ASKED, tools=(tool(),)), FOREIGN_CALLS)
    await promise(desk, replace(ASKED, tools=(tool(),), tool_choice="none"), FOREIGN_CALLS)


async def test_a_broken_promise_is_told(desk: SchemaDesk) -> None:
    asked = replace(ASKED, json_schema=NUMBER)
    await kept(asked, desk, "5", [], whole=True)
    await kept(asked, desk, "5 and", [], whole=False)  # cut by a limit, or by the caller's own stop text
    with pytest.raises(SchemaBroken, match="not JSON"):
        await kept(asked, desk, "five", [], whole=True)
    await kept(ASKED, desk, "five", [], whole=True)
    forced = replace(ASKED, tools=(tool(),), tool_choice="required")
    with pytest.raises(SchemaBroken, match="no call"):
        await kept(forced, desk, "Sunny.", [], whole=True)
    wrong = ToolCall("1", "weather", '{"town": "Oslo"}')
    with pytest.raises(SchemaBroken, match="`weather` does not match"):
        await kept(forced, desk, "", [wrong], whole=True)
    with pytest.raises(SchemaBroken, match="city"):
        await kept(replace(ASKED, tools=(tool(strict=True),)), desk, "", [wrong], whole=True)
    await kept(replace(ASKED, tools=(tool(),)), desk, "", [wrong], whole=True)  # not forced, not strict
