"""The real program with the real model: every way to ask for a form is held to, and a hostile schema stops nobody."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from real_server import clearseek_serve
from scripted import until

pytestmark = pytest.mark.slow
USER = {"role": "user", "content": "Say hi."}
YES = {"type": "object", "properties": {"greeting": {"enum": ["hi"]}}, "required": ["greeting"]}
YES["additionalProperties"] = False
HEAVY = {"type": "object", "patternProperties": {"^(a+)+$": {}}, "properties": {"a" * 60 + "b": {}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_store: Any) -> Iterator[tuple[str, psutil.Process]]:
    home = tmp_path_factory.mktemp("promises")
    (home / "models").symlink_to(model_store.root.resolve(), target_is_directory=True)
    with clearseek_serve(home, "--context", "1024", "--slots", "2") as (url, process):
        yield url, process


def ask(url: str, **fields: Any) -> httpx.Response:
    body = {"messages": [USER], "thinking": {"type": "disabled"}, "max_tokens": 60, "temperature": 0, **fields}
    return httpx.post(f"{url}/chat/completions", json=body, timeout=120)


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": YES}}},
        {"response_format": {"type": "json_object", "schema": YES}},
        {"response_format": {"type": "json_schema", "schema": YES}},
        {"guided_json": YES},
        {"structured_outputs": {"json": YES}},
        {"json_schema": YES},
    ],
)
def test_a_form_is_held_to_however_it_is_asked_for(server: tuple[str, psutil.Process], fields: dict[str, Any]) -> None:
    answer = ask(server[0], **fields).json()
    assert answer["choices"][0]["message"]["content"] == '{"greeting": "hi"}'
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "off",
    [
        {"enable_thinking": False},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"think": False},
        {"reasoning": {"enabled": False}},
        {"reasoning_effort": "none"},
    ],
)
def test_thinking_is_off_however_it_is_switched_off(server: tuple[str, psutil.Process], off: dict[str, Any]) -> None:
    answer = ask(server[0], thinking=None, **off).json()
    assert answer["choices"][0]["message"]["reasoning_content"] is None
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_what_cannot_be_held_to_is_refused_before_a_token(server: tuple[str, psutil.Process]) -> None:
    for schema in ({"enum": []}, {"$ref": "#/no"}, {"type": "integer", "minimum": 2, "maximum": 1}, {"not": {}}):
        answer = ask(server[0], response_format={"type": "json_schema", "json_schema": {"schema": schema}})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "response_format"
    assert ask(server[0], guided_json={"not": {}}).json()["error"]["param"] == "guided_json"
    stream = ask(server[0], guided_json={"enum": []}, stream=True)
    assert stream.status_code == 400
    assert ask(server[0], grammar='root ::= "yes"').status_code == 400
    assert ask(server[0], logit_bias={"99999999": 1}).json()["error"]["param"] == "logit_bias"


def test_one_request_with_a_huge_schema_is_refused_at_once(server: tuple[str, psutil.Process]) -> None:
    leaves = [{"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(20)}}] * 20
    before = cpu(server[1])
    answer = ask(server[0], guided_json={"anyOf": [{"anyOf": leaves}] * 40})
    assert answer.status_code == 400
    assert "more than 20,000 values" in answer.json()["error"]["message"]
    assert cpu(server[1]) - before < 3  # it took 27 seconds of computing once


def test_others_are_answered_while_a_schema_is_compiled(server: tuple[str, psutil.Process]) -> None:
    url, _ = server
    refused: list[int] = []
    thread = threading.Thread(target=lambda: refused.append(ask(url, guided_json=HEAVY).status_code))
    thread.start()
    healthy = 0
    while thread.is_alive():
        assert httpx.get(f"{url}/health", timeout=60).status_code == 200
        healthy += 1
    thread.join()
    assert refused == [400]
    assert healthy > 3
    assert ask(url, guided_json=YES).status_code == 200


def test_streams_keep_the_promise_too(server: tuple[str, psutil.Process]) -> None:
    text = ask(server[0], guided_json=YES, stream=True).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == '{"greeting": "hi"}'
    assert text.endswith("data: [DONE]\n\n")


def test_the_helper_ends_with_the_server(tmp_path_factory: pytest.TempPathFactory, model_store: Any) -> None:
    home = tmp_path_factory.mktemp("helper")
    (home / "models").symlink_to(model_store.root.resolve(), target_is_directory=True)
    with clearseek_serve(home, "--context", "512", "--slots", "1") as (url, process):
        assert ask(url, guided_json=YES).status_code == 200
        helpers = [one for one in process.children() if "clearseek.inference.schema_child" in one.cmdline()]
        assert len(helpers) == 1
    until(lambda: not helpers[0].is_running(), 20)


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
