"""The process that compiles strangers' schemas: right about the engine in use, bounded, replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clearseek.inference.errors import BadRequest, EngineUnavailable
from clearseek.inference.schema_service import SchemaBroken, SchemaDesk, SchemaJob

pytestmark = pytest.mark.slow  # starts a process
CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]}
ENDLESS = {"type": "object", "patternProperties": {"^(a+)+$": {}}, "properties": {"a" * 60 + "b": {}}}
"""Python's own search for that name would take longer than the universe has."""


@pytest.fixture
async def desk() -> AsyncIterator[SchemaDesk]:
    desk = SchemaDesk()
    yield desk
    await desk.close()


async def grammar(desk: SchemaDesk, schema: Any, name: str | None = None) -> str:
    param = "response_format" if name is None else "tools.0.function.parameters"
    return await desk.grammar([SchemaJob(schema, param, name)])


async def test_what_can_be_held_to_becomes_a_grammar(desk: SchemaDesk) -> None:
    assert (await grammar(desk, CITY)).startswith("%llguidance {}\nstart: %json ")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"x": {"oneOf": [{"type": "string"}, {"maxLength": 3}]}}}, "/properties/x"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "allows nothing"),
        ({"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(600)}}, "too many optional"),
        ({"properties": {"in": {"properties": {f"p{n}": {} for n in range(600)}}}}, "(at /properties/in)"),
        ({"type": "object", "properties": {"a": {}}, "minProperties": 1, "maxProperties": 1}, "min/maxProperties"),
        ({"type": "string", "pattern": "^(?=a)b$"}, "looks ahead"),
    ],
)
async def test_what_the_engine_refuses_is_refused_with_its_reason(
    desk: SchemaDesk, schema: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await grammar(desk, schema)
    assert words in str(refused.value)
    assert refused.value.param == "response_format"


async def test_a_schema_without_end_is_refused_and_the_next_one_is_not(desk: SchemaDesk) -> None:
    with pytest.raises(BadRequest, match="too long"):
        await grammar(desk, ENDLESS)
    assert await grammar(desk, CITY)


async def test_nothing_else_waits_while_a_schema_is_compiled(desk: SchemaDesk) -> None:
    job = asyncio.create_task(grammar(desk, ENDLESS))
    turns = 0
    while not job.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 100  # three seconds of computing, and this loop went on
    with pytest.raises(BadRequest):
        await job


async def test_who_gives_up_leaves_no_answer_to_the_next(desk: SchemaDesk) -> None:
    job = asyncio.create_task(grammar(desk, ENDLESS))
    await asyncio.sleep(0.2)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert "Oslo" in await grammar(desk, CITY)


async def test_a_lost_process_is_replaced(desk: SchemaDesk) -> None:
    await grammar(desk, {"type": "null"})
    assert desk._process is not None
    os.kill(desk._process.pid, signal.SIGKILL)
    await desk._process.wait()
    assert await grammar(desk, CITY)


async def test_several_ask_at_once(desk: SchemaDesk) -> None:
    schemas = [{"const": n} for n in range(20)]
    grammars = await asyncio.gather(*(grammar(desk, schema) for schema in schemas))
    assert [f'"enum": [{n}]' in text for n, text in enumerate(grammars)] == [True] * 20


async def test_the_same_schema_is_compiled_once(desk: SchemaDesk) -> None:
    first = await grammar(desk, CITY)
    await desk._end()
    assert await grammar(desk, CITY) == first
    assert desk._process is None


async def test_closing_does_not_wait_for_a_job(desk: SchemaDesk) -> None:
    await grammar(desk, CITY)
    assert desk._process is not None
    busy = desk._process
    job = asyncio.create_task(grammar(desk, ENDLESS))
    await asyncio.sleep(0)
    await desk.close()
    assert busy.returncode == -signal.SIGTERM  # not by itself, when its time was up
    with pytest.raises(EngineUnavailable):
        await job
    with pytest.raises(EngineUnavailable):
        await grammar(desk, {"type": "null"})


async def test_it_ends_when_it_is_closed(desk: SchemaDesk) -> None:
    await grammar(desk, CITY)
    process = desk._process
    await desk.close()
    assert process is not None
    assert process.returncode is not None


@pytest.mark.parametrize(
    ("schema", "text", "words"),
    [
        (CITY, '{"city": "Oslo"}', None),
        (CITY, '{"city": "Bern"}', "/city"),
        (CITY, "Oslo it is.", "not JSON"),
        (CITY, '{"city": "Oslo"', "not JSON"),
        ({"type": "number"}, "NaN", "no JSON number"),
        ({"type": "number"}, "9" * 5000, "not JSON"),
        ({"type": "string", "format": "date"}, '"2026-02-30"', "date"),
        ({"type": "string", "format": "time"}, '"23:59:59.5+01:00"', None),
        ({"type": "string", "format": "date-time"}, '"2026-02-28T23:59:59Z"', None),
        ({"type": "string", "format": "uuid"}, '"x"', "uuid"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, "5", "valid under each"),
        ({"type": "string", "pattern": "^(a+)+$"}, '"' + "a" * 60 + 'b"', "in time"),
    ],
)
async def test_a_finished_answer_is_held_against_its_schema(
    desk: SchemaDesk, schema: Any, text: str, words: str | None
) -> None:
    if words is None:
        await desk.check(schema, text)
        return
    with pytest.raises(SchemaBroken) as broken:
        await desk.check(schema, text)
    assert words in str(broken.value)


async def test_the_parameters_of_tools_pass_the_same_door(desk: SchemaDesk) -> None:
    definitions = {
        "type": "object",
        "properties": {"c": {"$ref": "#/$defs/C"}},
        "required": ["c"],
        "$defs": {"C": {"enum": ["red", "blue"]}},
    }
    text = await grammar(desk, definitions, "paint")
    assert '"#/$defs/s0d0"' in text
    for nothing in (None, {}, {"type": "object"}, {"type": "object", "properties": {}}):
        assert '"arguments": {"type": "object", "additionalProperties": false}' in await grammar(desk, nothing, "go")
    unnamed = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]}
    assert '"b"' in await grammar(desk, unnamed, "go")  # what is required is not forbidden
    several = await desk.grammar([SchemaJob(definitions, "a", "paint"), SchemaJob(definitions, "b", "draw")])
    assert "s0d0" in several
    assert "s1d0" in several
    pattern = {"type": "object", "properties": {"c": {"pattern": "(?=a)b"}}}
    with pytest.raises(BadRequest, match="`paint` has a `pattern`") as refused:
        await desk.grammar([SchemaJob(definitions, "tools.0", "draw"), SchemaJob(pattern, "tools.1", "paint")])
    assert refused.value.param == "tools.1"
    with pytest.raises(BadRequest, match="no object"):
        await grammar(desk, {"type": "string"}, "paint")
