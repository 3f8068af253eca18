"""The real `openai` client against the real program with the real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from real_server import clearseek_serve

from clearseek.settings import default_model

pytestmark = pytest.mark.slow
MODEL = "smollm2-135m-instruct"
OFF = {"thinking": {"type": "disabled"}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, model_store: Any) -> Iterator[OpenAI]:
    """One server for all of these; `real_home` is for one test only."""
    home = tmp_path_factory.mktemp("openai")
    (home / "models").symlink_to(model_store.root.resolve(), target_is_directory=True)
    with (
        clearseek_serve(home, "--context", "1024") as (url, _),
        OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=120) as client,
    ):
        yield client


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_models(client: OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {default_model(), MODEL}
    assert client.models.retrieve("SmolLM2-135M-Instruct").id == MODEL


def test_a_streamed_chat_with_reasoning_content(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=user("What is 2 + 3?"),
        stream=True,
        stream_options={"include_usage": True},
        reasoning_effort="low",
        max_tokens=120,
        seed=1,
    )
    thinking, answer, order, reason, usage = "", "", [], None, None
    for chunk in stream:
        assert chunk.model == MODEL
        [choice] = chunk.choices
        reasoning = choice.delta.model_extra["reasoning_content"] if choice.delta.model_extra else None
        if reasoning:
            thinking += reasoning
            order.append("thinking")
        if choice.delta.content:
            answer += choice.delta.content
            order.append("answer")
        reason, usage = choice.finish_reason or reason, chunk.usage or usage
    assert thinking.strip()
    assert answer.strip()
    assert order == sorted(order, reverse=True), "thinking came after the answer had begun"
    assert "<think>" not in thinking + answer
    assert reason in ("stop", "length")
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert 0 < (usage.completion_tokens_details.reasoning_tokens or 0) < usage.completion_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_off_means_off(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=user("What is 2+3?"), max_tokens=40, extra_body=OFF, temperature=0
    )
    assert "5" in (answer.choices[0].message.content or "")
    assert answer.choices[0].message.model_extra == {"reasoning_content": None}
    assert answer.usage
    assert answer.usage.completion_tokens_details
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_json_schema_output(client: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    for extra in (OFF, {"reasoning_effort": "low"}):
        answer = client.chat.completions.create(
            model=MODEL,
            messages=user("Name a city and how many people live there, as JSON."),
            response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema}},
            max_tokens=400,
            seed=3,
            extra_body=extra,
        )
        value = json.loads(answer.choices[0].message.content or "")
        assert set(value) == {"city", "people"}
        assert isinstance(value["people"], int)


def test_json_mode(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=user("Answer in JSON: a fruit and its colour."),
        response_format={"type": "json_object"},
        max_tokens=150,
        seed=1,
        extra_body=OFF,
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
    else:
        assert (answer.choices[0].message.content or "").lstrip().startswith("{")


def test_stop_strings_are_left_out(client: OpenAI) -> None:
    def ask(**fields: Any) -> Any:
        return client.chat.completions.create(
            model=MODEL,
            messages=user("Count from 1 to 9, separated by commas."),
            temperature=0,
            max_tokens=60,
            extra_body=OFF,
            **fields,
        ).choices[0]

    whole = ask()
    assert "5" in whole.message.content
    cut = ask(stop=["5"])
    assert cut.finish_reason == "stop"
    assert "5" not in cut.message.content
    assert whole.message.content.startswith(cut.message.content)


def test_the_same_seed_gives_the_same_text(client: OpenAI) -> None:
    def ask(seed: int) -> tuple[str, str]:
        message = (
            client.chat.completions.create(
                model=MODEL, messages=user("Tell me a story."), seed=seed, temperature=1.2, max_tokens=60
            )
            .choices[0]
            .message
        )
        return message.model_extra["reasoning_content"] if message.model_extra else "", message.content or ""

    assert ask(7) == ask(7)
    assert ask(7) != ask(8)


def test_a_second_turn_is_mostly_cached(client: OpenAI) -> None:
    messages = user("Name three animals that live in the sea. Then say something about each of them.")
    first = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=60, extra_body=OFF)
    messages += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "And on land?"},
    ]
    second = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=10, extra_body=OFF)
    assert first.usage
    assert second.usage
    assert second.usage.prompt_tokens_details
    hits = second.usage.prompt_tokens_details.cached_tokens or 0
    assert hits >= first.usage.prompt_tokens
    extra = second.usage.model_extra or {}
    assert extra["prompt_cache_hit_tokens"] == hits
    assert extra["prompt_cache_hit_tokens"] + extra["prompt_cache_miss_tokens"] == second.usage.prompt_tokens


def test_logprobs(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=user("Say hello."),
        logprobs=True,
        top_logprobs=3,
        temperature=0,
        max_tokens=12,
        extra_body=OFF,
    )
    [choice] = answer.choices
    assert choice.logprobs
    assert choice.logprobs.content
    assert (
        "".join(entry.token for entry in choice.logprobs.content)
        .strip()
        .startswith((choice.message.content or "").strip()[:5])
    )
    for entry in choice.logprobs.content:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].logprob == max(top.logprob for top in entry.top_logprobs)


def test_prefix_completion(client: OpenAI) -> None:
    messages = [
        *user("What is the capital of France?"),
        {"role": "assistant", "content": "The capital of France is", "prefix": True},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=5, temperature=0, extra_body=OFF)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert "capital" not in (answer.choices[0].message.content or "")


def test_plain_completion_and_no_fill_in_the_middle(client: OpenAI) -> None:
    beta = client.with_options(base_url=f"{str(client.base_url).rstrip('/')}/beta")
    answer = beta.completions.create(model=MODEL, prompt="1, 2, 3, 4, 5, 6,", max_tokens=2, temperature=0)
    assert "7" in answer.choices[0].text
    with pytest.raises(openai.BadRequestError, match="suffix"):
        beta.completions.create(model=MODEL, prompt="def f(", suffix="return 1", max_tokens=3)


def test_errors_are_the_clients_own_kinds(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="smollm2-135m-instruct"):
        client.chat.completions.create(model="smollm2-135m-instuct", messages=user("hi"))
    with pytest.raises(openai.UnprocessableEntityError, match="temperature"):
        client.chat.completions.create(model=MODEL, messages=user("hi"), temperature=3)
    with pytest.raises(openai.BadRequestError, match="too long") as caught:
        client.chat.completions.create(model=MODEL, messages=user("word " * 2_000), stream=True)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL,
            messages=user("hi"),
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}},
        )
    assert caught.value.status_code == 400
