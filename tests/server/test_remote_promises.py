"""What a remote engine writes, held to what ClearSeek says of every answer: through the real `openai` client."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from scripted import serving, until

sys.path.append(str(Path(__file__).parent.parent / "inference"))
from remote_dialects import DIALECTS, chunk, say, whole
from remote_late import LATE, Late
from scripted_upstream import Connection, Script, Upstream, sends

from clearseek.hub.store import Store
from clearseek.inference.accounting import Accounting
from clearseek.inference.pool import Pool
from clearseek.inference.repetition import CIRCLING
from clearseek.ledger.prices import Rates
from clearseek.settings import Settings

WAYS: dict[str, int | None] = {"whole": None, "piece": 10_000, "characters": 1}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CITY: Any = {
    "type": "object",
    "properties": {"city": {"type": "string", "not": {"const": "Basel"}}},
    "required": ["city"],
    "dependentRequired": {"city": ["country"]},
}
"""With words that the engine here does not hold to."""
LOOP = "The answer to the question is that nobody knows the answer to it, so we go on. "
FORCED: Any = {"tool_choice": "required", "extra_body": {"thinking": {"type": "disabled"}}}
hung_up: list[int] = []
"""How often a circling engine had said its sentence when it was hung up on."""


def circling(key: str) -> Script:
    async def script(connection: Connection) -> None:
        await connection.head()
        for told in range(100_000):
            try:
                await connection.send(chunk({key: LOOP}).encode())
            except OSError:
                hung_up.append(told)
                raise
        await connection.send(chunk({"content": "never here"}, "stop").encode())

    return script


def weather(arguments: str, name: str = "weather") -> Script:
    call = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}]}
    return sends(say(call, finish="tool_calls").raw)


def says(text: str, finish: str = "stop") -> Script:
    return sends(say({"content": text}, finish=finish).raw)


GOOD = '{"city": "Bern", "country": "Switzerland"}'
OTHERS: dict[str, Script] = {
    "good": says(GOOD),
    "good-whole": sends(whole({"content": GOOD}), type="application/json"),
    "good-many-lines": says('{\n  "city": "Bern",\n  "country": "Switzerland"\n}\n'),
    "words": says("It is Bern."),
    "fenced": says(f"```json\n{GOOD}\n```"),
    "other": says('{"city": 3}'),
    "not": says('{"city": "Basel", "country": "Switzerland"}'),
    "half": says('{"city": "Be', "length"),
    "withheld": says("", "content_filter"),
    "nothing": says(""),
    "weather": weather('{"city": "Bern"}'),
    "weather-wrong": weather('{"town": "Bern"}'),
    "weather-half": sends(
        say(
            {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"ci'}}]},
            finish="length",
        ).raw
    ),
    "other-tool": weather("{}", "time"),
    "two-calls": sends(DIALECTS["calls-no-index-two"].raw),
    "circling": circling("content"),
    "circling-thought": circling("reasoning_content"),
}


@dataclass(frozen=True)
class Running:
    upstream: Upstream
    client: OpenAI
    http: httpx.Client


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("promises")
    with pytest.MonkeyPatch.context() as patch, Upstream() as upstream:
        patch.setenv("CLEARSEEK_HOME", str(home))
        for name, case in LATE.items():
            for way, size in WAYS.items():
                kind = "application/json" if size is None else "text/event-stream"
                upstream.answers[f"{name}-{way}"] = sends(case.raw(size), type=kind)
        upstream.answers |= OTHERS
        names = json.dumps({"data": [{"id": name} for name in upstream.answers]}).encode()
        upstream.lists = sends(names, type="application/json")
        pool = Pool(
            Settings(engine_url=upstream.url), Store(home / "models", ()), Accounting(home / "ledger.jsonl", Rates())
        )
        with (
            serving(pool, home) as url,
            OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client,
            httpx.Client(base_url=url, timeout=60) as http,
        ):
            yield Running(upstream, client, http)


def form(schema: Any) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def ask(running: Running, model: str, *, stream: bool, question: str = "Where?", **more: Any) -> dict[str, Any]:
    """The answer's `thinking`, `content`, names of `calls`, `reason` and `note`, asked for streamed or whole."""
    messages: Any = [{"role": "user", "content": question}]
    if not stream:
        answer: Any = running.client.chat.completions.create(model=model, messages=messages, **more)
        [choice] = answer.choices
        message = choice.message
        return {
            "thinking": message.reasoning_content or "",
            "content": message.content,
            "calls": [call.function.name for call in message.tool_calls or ()],
            "reason": choice.finish_reason,
            "note": answer.clearseek.get("note"),
        }
    told: dict[str, Any] = {"thinking": "", "content": "", "calls": [], "note": None}
    for part in running.client.chat.completions.create(model=model, messages=messages, stream=True, **more):
        one: Any = part
        [piece] = one.choices
        told["thinking"] += getattr(piece.delta, "reasoning_content", None) or ""
        told["content"] += piece.delta.content or ""
        told["calls"] += [call.function.name for call in piece.delta.tool_calls or ()]
        told["reason"] = piece.finish_reason
        if piece.finish_reason:
            told["note"] = one.clearseek.get("note")
    return told


def asked(case: Late, thinks: bool = True) -> dict[str, Any]:
    more: dict[str, Any] = {"question": case.question}
    if case.schema is not None:
        more["response_format"] = form(case.schema)
    if not thinks:
        more["extra_body"] = {"thinking": {"type": "disabled"}}
    return more


@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LATE)
def test_thinking_that_nothing_opened_streamed_and_whole(running: Running, name: str, way: str, thinks: bool) -> None:
    case = LATE[name]
    thinking = case.thinking if thinks else ""
    calls = [call[1] for call in case.calls]
    made = ask(running, f"{name}-{way}", stream=False, **asked(case, thinks))
    assert (made["thinking"], made["content"], made["calls"]) == (thinking, case.answer, calls)
    made = ask(running, f"{name}-{way}", stream=True, **asked(case, thinks))
    if way == "characters" and case.last is not None:  # it was sent before anybody knew
        assert made["content"].endswith(case.last)
        assert "think>" not in made["content"]
    else:
        assert (made["thinking"], made["content"], made["calls"]) == (thinking, case.answer, calls)


@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name, case in LATE.items() if case.schema is None])
def test_thinking_that_nothing_opened_on_the_page(running: Running, name: str, way: str, thinks: bool) -> None:
    case = LATE[name]
    id = running.http.post("/api/conversations", json={}).json()["id"]
    sent = {"content": case.question, "parent_id": None, "model": f"{name}-{way}", "thinking": thinks}
    answer = running.http.post(f"/api/conversations/{id}/messages", json=sent).raise_for_status().json()["assistant"]
    heard = running.http.get(f"/api/generations/{answer['generation_id']}/events").text
    until(lambda: running.http.get(f"/api/conversations/{id}").json()["messages"][-1]["status"] != "generating", 30)
    message = running.http.get(f"/api/conversations/{id}").json()["messages"][-1]
    assert (message["thinking"] or "", message["content"]) == (case.thinking if thinks else "", case.answer)
    last = json.loads(heard.strip().rpartition("data: ")[2])["message"]
    assert (last["thinking"], last["content"]) == (message["thinking"], message["content"])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["good", "good-whole", "good-many-lines"])
def test_an_answer_of_the_form_comes(running: Running, model: str, stream: bool) -> None:
    """Also of a form that the engine here does not hold to: this one is sent on as it is."""
    made = ask(running, model, stream=stream, response_format=form(CITY))
    assert json.loads(made["content"])["city"] == "Bern"
    assert running.upstream.bodies[-1]["response_format"]["json_schema"]["schema"] == CITY


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["words", "fenced", "other", "not", "nothing"])
def test_an_answer_of_another_form_is_told(running: Running, model: str, stream: bool) -> None:
    with pytest.raises(openai.APIError) as told:
        ask(running, model, stream=stream, response_format=form(CITY))
    assert told.value.code == "schema_mismatch"
    assert "does not match the JSON Schema" in str(told.value)


@pytest.mark.parametrize("stream", [True, False])
def test_json_mode_is_an_object(running: Running, stream: bool) -> None:
    ask(running, "good", stream=stream, response_format={"type": "json_object"})
    assert running.upstream.bodies[-1]["response_format"] == {"type": "json_object"}
    with pytest.raises(openai.APIError, match="not JSON"):
        ask(running, "words", stream=stream, response_format={"type": "json_object"})


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_not_whole_is_held_to_nothing(running: Running, stream: bool) -> None:
    assert ask(running, "half", stream=stream, response_format=form(CITY))["reason"] == "length"
    assert ask(running, "withheld", stream=stream, response_format=form(CITY))["reason"] == "content_filter"
    assert ask(running, "words", stream=stream, response_format=form(CITY), stop=["!"])["reason"] == "stop"
    assert ask(running, "weather-half", stream=stream, tools=[WEATHER], **FORCED)["reason"] == "length"


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "strin"}, "not valid"),
        ({"type": "object", "properties": []}, "not valid"),
        ({"$ref": "#/$defs/gone"}, "not in it"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "nothing is fetched"),
        ({"type": "string", "pattern": "("}, "not valid"),
        ({"enum": list(range(30_000))}, "20,000 values"),
    ],
)
def test_what_nothing_can_be_held_against_is_never_sent(running: Running, schema: Any, told: str) -> None:
    sent = len(running.upstream.bodies)
    with pytest.raises(openai.BadRequestError, match=told) as refused:
        ask(running, "good", stream=False, response_format=form(schema))
    assert refused.value.param == "response_format"
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}}
    with pytest.raises(openai.BadRequestError, match=told) as refused:
        ask(running, "good", stream=False, tools=[tool])
    assert refused.value.param == "tools.0.function.parameters"
    assert len(running.upstream.bodies) == sent


def test_a_schema_that_refers_to_itself_without_end_is_told(running: Running) -> None:
    with pytest.raises(openai.APIError, match="without end"):
        ask(running, "good", stream=False, response_format=form({"$ref": "#"}))


def test_an_answer_that_is_begun_has_no_form(running: Running) -> None:
    begun: Any = [{"role": "user", "content": "q"}, {"role": "assistant", "content": '{"c', "prefix": True}]
    with pytest.raises(openai.BadRequestError, match="whole answer"):
        running.client.chat.completions.create(model="good", messages=begun, response_format=form(CITY))


@pytest.mark.parametrize("stream", [True, False])
def test_calls_are_held_to_their_tool(running: Running, stream: bool) -> None:
    assert ask(running, "weather", stream=stream, tools=[WEATHER])["calls"] == ["weather"]
    assert ask(running, "weather", stream=stream, tools=[WEATHER], response_format=form(CITY))["calls"] == ["weather"]
    assert ask(running, "words", stream=stream, tools=[WEATHER])["content"] == "It is Bern."
    assert ask(running, "other-tool", stream=stream, tools=[WEATHER])["calls"] == ["time"]
    with pytest.raises(openai.APIError, match="`weather` does not match"):
        ask(running, "weather-wrong", stream=stream, tools=[WEATHER])
    with pytest.raises(openai.APIError, match="no call of a tool"):
        ask(running, "words", stream=stream, tools=[WEATHER], **FORCED)
    with pytest.raises(openai.APIError, match="another tool was forced"):
        ask(running, "other-tool", stream=stream, tools=[WEATHER], **FORCED)


@pytest.mark.parametrize("stream", [True, False])
def test_one_call_is_one_call(running: Running, stream: bool) -> None:
    assert ask(running, "two-calls", stream=stream, tools=[WEATHER])["calls"] == ["add", "add"]
    assert ask(running, "two-calls", stream=stream, tools=[WEATHER], parallel_tool_calls=False)["calls"] == ["add"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("model", "note"), [("circling", CIRCLING), ("circling-thought", "thinking was repeating")])
def test_a_circle_is_ended_and_the_engine_hung_up_on(running: Running, model: str, note: str, stream: bool) -> None:
    hung_up.clear()
    made = ask(running, model, stream=stream)
    assert made["reason"] == "length"
    assert note in made["note"]
    assert LOOP.strip() in made["content"] + made["thinking"]
    assert len(made["content"] + made["thinking"]) < 20 * len(LOOP)
    until(lambda: bool(hung_up), 30)
