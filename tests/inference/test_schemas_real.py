"""The real engine with the real model, at temperature 1: what is promised comes, or is refused beforehand."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from random_schemas import schema_at

from clearseek.hub.files import hash_file
from clearseek.hub.model import Model
from clearseek.inference.engine import Delta, Event, Finished, Request, Sampling, Thinking, ToolCall
from clearseek.inference.errors import BadRequest
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.inference.schema_service import SchemaBroken

pytestmark = pytest.mark.slow  # the real model
ASKED = Request(({"role": "user", "content": "Give an example."},), thinking=Thinking(enabled=False), max_tokens=90)
TEMPLATE = (
    '{% if tools %}<|im_start|>system\nTools: {{ tools | tojson }} Call: <tool_call>\n{"name": <name>, "arguments": '
    "<args>}\n</tool_call><|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def one(**words: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"v": words}, "required": ["v"], "additionalProperties": False}


HELD: list[dict[str, Any]] = [
    one(oneOf=[{"const": 1}, {"const": 2}]),
    {"oneOf": [{"const": 1}, {"const": 2}]},
    {"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 5, "maximum": 9}]},
    {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 3, "maxItems": 3},
    one(type="number", exclusiveMinimum=0.25, exclusiveMaximum=0.5),
    {"type": "string", "pattern": "^[[:alpha:]]{2}$"},
    {"type": "string", "pattern": r"^\W\D$"},
    {"type": "string", "pattern": r"^a\\b$"},
    {"type": "string", "pattern": "^(?:ab)+$"},
    one(type="string", pattern="^ab|cd$", maxLength=12),
    {"properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False},
    {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 99},
    {"type": "object", "patternProperties": {"^x$": {"const": 1}}, "additionalProperties": False},
    {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"enum": ["é", "ö"]}}},
    one(type="string", format="date"),
    {"const": {"a": [1, {"b": None}]}},
]
REFUSED: list[dict[str, Any]] = [
    {"$ref": "#/$defs/missing"},
    {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
    {"type": "object", "$ref": "#/items/0"},
    {"type": "integer", "minimum": 10, "maximum": 3},
    {"type": "string", "minLength": 3, "maxLength": 2},
    {"type": "array", "minItems": 3, "maxItems": 2},
    {"enum": []},
    {"type": "string", "pattern": r"^\p{L}{3}$"},
    {"type": "string", "pattern": "^(?=a)[ab]{3}$"},
    {"oneOf": [{"type": "integer", "minimum": 3}, {"type": "integer", "maximum": 5}]},
]


@pytest.fixture
async def engine(real_model: Model) -> AsyncIterator[LlamaCppEngine]:
    engine = LlamaCppEngine(real_model, context=1024, slots=2)
    yield engine
    await engine.close()


async def ask(engine: LlamaCppEngine, request: Request) -> list[Event]:
    return [event async for event in engine.generate(request)]


def said(events: list[Event]) -> tuple[str, str]:
    """The answer, and why it ended."""
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta)), events[-1].reason


async def test_what_is_promised_comes(engine: LlamaCppEngine) -> None:
    for schema in HELD:
        for seed in (1, 2, 3):
            request = replace(ASKED, json_schema=schema, sampling=Sampling(temperature=1.0, seed=seed))
            text, reason = said(await ask(engine, request))
            assert reason in ("stop", "length")
            if reason == "stop":
                Draft202012Validator(schema).validate(json.loads(text))
            else:
                assert text.startswith(('{"v": ', '"ab'))  # a text, or the digits of a number, that goes on
    for schema in REFUSED:
        with pytest.raises(BadRequest):
            await ask(engine, replace(ASKED, json_schema=schema))


async def test_schemas_at_random_are_refused_or_kept(engine: LlamaCppEngine) -> None:
    whole = 0
    for seed in range(5000, 5040):
        schema = schema_at(seed)
        request = replace(ASKED, max_tokens=40, json_schema=schema)
        try:
            text, reason = said(await ask(engine, replace(request, sampling=Sampling(temperature=1.0, seed=seed))))
        except BadRequest:
            continue
        if reason == "stop":
            whole += 1
            assert Draft202012Validator(schema).is_valid(json.loads(text)), (schema, text)
    assert whole > 6


async def test_an_answer_that_does_not_match_is_an_error(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the engine had let its grammar go in the middle, which it only logs."""
    request = replace(ASKED, json_schema={"enum": ["yes"]}, sampling=Sampling(temperature=0.0))
    monkeypatch.setattr(engine.schemas, "grammar", no_grammar)
    with pytest.raises(SchemaBroken, match="does not match"):
        await ask(engine, replace(request, max_tokens=900))
    _, reason = said(await ask(engine, replace(request, max_tokens=3)))
    assert reason == "length"
    stopped = replace(request, max_tokens=900, stop=("e", "a", "i"))
    assert said(await ask(engine, stopped))[1] == "stop"  # the caller's own end


async def no_grammar(asked: Any) -> str:
    return ""


async def test_the_samplers_that_were_dropped_are_held_to(engine: LlamaCppEngine) -> None:
    warm = replace(ASKED, max_tokens=12)
    greedy, _ = said(await ask(engine, replace(warm, sampling=Sampling(temperature=0.0))))
    for one_only in (Sampling(temperature=2.0, seed=1, top_k=1), Sampling(temperature=2.0, seed=1, min_p=1.0)):
        assert said(await ask(engine, replace(warm, sampling=one_only)))[0] == greedy
    first = Sampling(temperature=0.0)
    events = await ask(engine, replace(warm, sampling=first, logprobs=1))
    token = next(entry.token for event in events if isinstance(event, Delta) for entry in event.logprobs)
    process = await engine.start()
    async with process.session.post("/tokenize", json={"content": token}) as response:
        [number] = (await response.json())["tokens"]
    banned = Sampling(temperature=0.0, logit_bias=((number, -100.0),))
    assert not said(await ask(engine, replace(warm, sampling=banned)))[0].startswith(token)
    again = Sampling(temperature=0.0, repetition_penalty=2.0)
    looping = replace(ASKED, messages=({"role": "user", "content": "Say ha ha ha ha ha ha ha."},), max_tokens=20)
    assert said(await ask(engine, replace(looping, sampling=again))) != said(await ask(engine, looping))


@pytest.mark.parametrize(
    ("parameters", "fits"),
    [
        (
            {
                "type": "object",
                "properties": {"c": {"$ref": "#/$defs/C"}},
                "required": ["c"],
                "additionalProperties": False,
                "$defs": {"C": {"type": "string", "enum": ["red", "blue"]}},
            },
            True,
        ),
        (
            {
                "type": "object",
                "properties": {"c": {"$ref": "#/definitions/C"}},
                "required": ["c"],
                "definitions": {"C": {"enum": ["red"]}},
            },
            True,
        ),
        (one(oneOf=[{"const": 1}, {"const": 2}]), True),
        (one(type="integer", minimum=1, maximum=9, multipleOf=7), True),
        (None, True),
        (one(type="string", pattern="^(?=a)[ab]{3}$"), False),
    ],
)
async def test_forced_calls(real_model: Model, tmp_path: Path, parameters: dict[str, Any] | None, fits: bool) -> None:
    path = await templated(real_model, tmp_path / "tools.gguf")
    model = replace(real_model, path=path, bytes=path.stat().st_size, sha256=hash_file(path))
    engine = LlamaCppEngine(model, context=1024, slots=1)
    tool = {"type": "function", "function": {"name": "paint", "parameters": parameters}}
    request = replace(ASKED, tools=(tool,), tool_choice="required", sampling=Sampling(temperature=1.0, seed=1))
    try:
        if not fits:
            with pytest.raises(BadRequest, match="`paint`") as refused:
                await ask(engine, request)
            assert refused.value.param == "tools.0.function.parameters"
            return
        events = await ask(engine, replace(request, logprobs=0))
        [call] = [event for event in events if isinstance(event, ToolCall)]
        Draft202012Validator(parameters or {"maxProperties": 0}).validate(json.loads(call.arguments))
        assert said(events) == ("", "tool_calls")
        assert any(event.logprobs for event in events if isinstance(event, Delta))
    finally:
        await engine.close()


async def templated(model: Model, path: Path) -> Path:
    """The same weights with a template that has a place for tools."""
    script = [
        "-m",
        "gguf.scripts.gguf_new_metadata",
        "--force",
        "--chat-template",
        TEMPLATE,
        str(model.path),
        str(path),
    ]
    quiet = asyncio.subprocess.DEVNULL
    made = await asyncio.create_subprocess_exec(sys.executable, *script, stdout=quiet, stderr=quiet)
    assert await made.wait() == 0
    return path
