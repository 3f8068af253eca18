"""No field is dropped without a word: held to, harmless by name, refused, or told with the answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from scripted import ScriptedPool

from clearseek.inference.engine import Sampling, Thinking
from clearseek.inference.schema_service import SchemaBroken
from clearseek.server.errors import ApiError
from clearseek.server.protocols import fields as fields_
from clearseek.server.protocols.deepseek import Call, parse_chat
from clearseek.server.protocols.deepseek_fim import parse_text
from clearseek.server.protocols.fields import HARMLESS, REFUSED

USER = {"role": "user", "content": "hi"}
YES = {"enum": ["yes"]}
OFF = Thinking(False, "high")


def parsed(**fields: Any) -> Call:
    return parse_chat({"messages": [USER], **fields})


def refused(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parsed(**fields)
    assert caught.value.message.endswith((".", "?"))
    return caught.value


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"enable_thinking": False}, OFF),
        ({"enable_thinking": True}, Thinking()),
        ({"chat_template_kwargs": {"enable_thinking": False}}, OFF),
        ({"chat_template_kwargs": {"thinking": False}}, OFF),
        ({"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}, Thinking()),
        ({"chat_template_kwargs": {}}, Thinking()),
        ({"think": False}, OFF),
        ({"think": True}, Thinking()),
        ({"think": "low"}, Thinking(True, "low")),
        ({"think": "none"}, OFF),
        ({"reasoning": {"enabled": False}}, OFF),
        ({"reasoning": {"enabled": True}}, Thinking()),
        ({"reasoning": {"effort": "low"}}, Thinking(True, "low")),
        ({"reasoning": {"effort": "none"}}, OFF),
        ({"reasoning": {"max_tokens": 77}}, Thinking(True, "high", 77)),
        ({"reasoning": {"exclude": False}}, Thinking()),
        ({"thinking_budget": 50}, Thinking(True, "high", 50)),
        ({"enable_thinking": False, "thinking": {"type": "disabled"}, "think": False}, OFF),
        ({"enable_thinking": None, "think": None, "reasoning": None, "chat_template_kwargs": None}, Thinking()),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "low"}, Thinking(False, "low")),
    ],
)
def test_the_switch_of_thinking_in_every_form(fields: dict[str, Any], thinking: Thinking) -> None:
    assert parsed(**fields).request.thinking == thinking
    assert parsed(**fields).ignored == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"enable_thinking": False, "thinking": {"type": "enabled"}}, "enable_thinking"),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "none"}, "reasoning_effort"),
        ({"think": False, "chat_template_kwargs": {"enable_thinking": True}}, "chat_template_kwargs.enable_thinking"),
        ({"reasoning_effort": "low", "think": "max"}, "think"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"thinking": {"budget_tokens": 5}, "thinking_budget": 6}, "thinking_budget"),
        ({"reasoning": {"exclude": True}}, "reasoning.exclude"),
        ({"reasoning": {"enabld": False}}, "reasoning.enabld"),
        ({"thinking": {"type": "enabled", "budget": 5}}, "thinking.budget"),
        ({"chat_template_kwargs": {"persona": "pirate"}}, "chat_template_kwargs.persona"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"repetition_penalty": 1.1, "repeat_penalty": 1.2}, "repeat_penalty"),
        ({"guided_json": YES, "response_format": {"type": "json_object"}}, "guided_json"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)
    assert (error.status, error.param) == (400, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"enable_thinking": "no"},
        {"enable_thinking": 0},
        {"think": 1},
        {"think": "hard"},
        {"reasoning": True},
        {"reasoning": {"max_tokens": 0}},
        {"reasoning": {"max_tokens": True}},
        {"chat_template_kwargs": []},
        {"thinking": False},
        {"thinking": {"budget_tokens": "5"}},
        {"top_k": -2},
        {"top_k": 1.5},
        {"min_p": 1.5},
        {"repetition_penalty": 0},
        {"logit_bias": "x"},
        {"logit_bias": {"a": 1}},
        {"logit_bias": {"5": "1"}},
        {"logit_bias": {"5": 101}},
        {"logit_bias": {"-5": 1}},
        {"logit_bias": {"5": True}},
        {"logit_bias": {"٣": 1}},
        {"logit_bias": [[5]]},
        {"logit_bias": {str(n): 1 for n in range(301)}},
        {"max_tokens": -2},
        {"max_completion_tokens": 0},
        {"parallel_tool_calls": "no"},
        {"guided_json": "{"},
        {"guided_json": [1]},
        {"response_format": "json"},
        {"response_format": {}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"response_format": {"type": "json_schema", "json_schema": "x"}},
        {"structured_outputs": "x"},
    ],
)
def test_wrong_values_are_told(fields: dict[str, Any]) -> None:
    error = refused(**fields)
    assert error.status == 422
    assert error.param is not None
    assert error.param.split(".")[0] in fields


@pytest.mark.parametrize(
    ("fields", "schema", "param"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": YES}}}, YES, "response_format"),
        ({"response_format": {"type": "json_schema", "schema": YES}}, YES, "response_format"),
        ({"response_format": {"type": "json_object", "schema": YES}}, YES, "response_format"),
        ({"response_format": {"type": "json_object", "json_schema": {"schema": YES}}}, YES, "response_format"),
        ({"response_format": {"type": "json_object"}}, {"type": "object"}, "response_format"),
        ({"response_format": {"type": "text"}}, None, "response_format"),
        ({"guided_json": YES}, YES, "guided_json"),
        ({"guided_json": '{"enum": ["yes"]}'}, YES, "guided_json"),
        ({"json_schema": YES}, YES, "json_schema"),
        ({"structured_outputs": {"json": YES}}, YES, "structured_outputs"),
        ({"structured_outputs": {"json_object": True}}, {"type": "object"}, "structured_outputs"),
        ({"guided_json": YES, "response_format": {"type": "json_object", "schema": YES}}, YES, "response_format"),
    ],
)
def test_the_form_of_an_answer_in_every_shape(fields: dict[str, Any], schema: Any, param: str) -> None:
    request = parsed(**fields).request
    assert (request.json_schema, request.json_schema_param) == (schema, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"grammar": 'root ::= "yes"'}, "grammar"),
        ({"guided_choice": ["yes", "no"]}, "guided_choice"),
        ({"guided_regex": "a+"}, "guided_regex"),
        ({"guided_grammar": "root"}, "guided_grammar"),
        ({"structured_outputs": {"regex": "a+"}}, "structured_outputs.regex"),
        ({"response_format": {"type": "json_object", "grammar": "x"}}, "response_format.grammar"),
        ({"response_format": {"type": "text", "schema": YES}}, "response_format"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"min_tokens": 5}, "min_tokens"),
        ({"mirostat": 2}, "mirostat"),
        ({"typical_p": 0.5}, "typical_p"),
        ({"stop_token_ids": [5]}, "stop_token_ids"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"options": {"temperature": 0}}, "options"),
        ({"format": "json"}, "format"),
        ({"extra_body": {"top_k": 5}}, "extra_body"),
        ({"include_reasoning": False}, "include_reasoning"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"best_of": True}, "best_of"),
    ],
)
def test_what_is_not_done_is_refused_with_what_to_do(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)
    assert (error.status, error.param) == (400, param)
    assert f"`{param}`" in error.message


def test_what_asks_for_nothing_passes() -> None:
    nothing = {name: harmless[0] for name, (harmless, _) in REFUSED.items() if harmless}
    assert parsed(**nothing).ignored == ()
    assert parsed(**dict.fromkeys(REFUSED)).ignored == ()
    assert parsed(**dict.fromkeys(HARMLESS, "x")).ignored == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("temprature", "temperature"), ("max_token", "max_tokens"), ("seeed", "seed"), ("tool_choices", "tool_choice")],
)
def test_a_name_that_is_nearly_known_is_asked_about(name: str, meant: str) -> None:
    error = refused(**{name: 1})
    assert (error.status, error.param) == (400, name)
    assert f"`{meant}`" in error.message


def test_the_samplers_of_other_servers_are_held_to() -> None:
    sampling = parsed(top_k=-1, min_p=0.1, repetition_penalty=1.5, logit_bias={"5": -100, "7": 1.5}).request.sampling
    assert sampling == Sampling(top_k=0, min_p=0.1, repetition_penalty=1.5, logit_bias=((5, -100.0), (7, 1.5)))
    assert parsed(repeat_penalty=1.2).request.sampling.repetition_penalty == 1.2
    assert parsed(logit_bias=[[5, 1]]).request.sampling.logit_bias == ((5, 1.0),)
    assert parsed(logit_bias={}).request.sampling == Sampling()


def test_limits_in_every_form() -> None:
    assert parsed(max_tokens=-1).request.max_tokens is None
    assert parsed(max_completion_tokens=-1).request.max_tokens is None
    assert parsed(n_predict=9).request.max_tokens == 9
    assert parsed(max_tokens=5, max_completion_tokens=5).request.max_tokens == 5
    assert refused(max_tokens=0).message.endswith("or -1 for no limit.")


def test_at_most_one_call_can_be_asked_for() -> None:
    assert parsed(parallel_tool_calls=False).request.one_call
    assert not parsed(parallel_tool_calls=True).request.one_call


def test_parts_of_a_text_are_kept_apart() -> None:
    parts = [{"type": "text", "text": "Say"}, {"type": "text", "text": "hi."}]
    assert parsed(messages=[{"role": "user", "content": parts}]).request.messages[0]["content"] == "Say\nhi."


def test_what_clients_send_back_of_an_answer() -> None:
    echoed = {"role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None, "reasoning": "hm"}
    call = parsed(messages=[USER, {**echoed, "function_call": None, "id": "m1"}, USER])
    assert call.request.messages[1] == {"role": "assistant", "content": "a", "reasoning_content": "hm"}
    assert call.ignored == ()
    assert parsed(messages=[{**USER, "mood": "glad"}, USER]).ignored == ("messages.mood",)
    assert refused(messages=[{**USER, "images": ["aGk="]}]).param == "messages.0.images"
    assert refused(messages=[USER, {**echoed, "function_call": {"name": "f"}}]).param == "messages.1.function_call"


def test_plain_completions_hold_to_the_same() -> None:
    call, _ = parse_text({"prompt": "a", "top_k": 3, "n_predict": 4, "mystery": 1, "thinking": {"type": "disabled"}})
    assert (call.request.sampling.top_k, call.request.max_tokens, call.ignored) == (3, 4, ("mystery",))
    for fields in (
        {"response_format": {"type": "json_object"}},
        {"tools": []},
        {"thinking": {"type": "enabled"}},
        {"best_of": 2},
        {"guided_json": YES},
    ):
        with pytest.raises(ApiError) as caught:
            parse_text({"prompt": "a", **fields})
        assert caught.value.status == 400


def test_unknown_fields_are_told_with_the_answer(http: httpx.Client) -> None:
    body = {"messages": [USER], "mystery": 1, "user": "ann", "x_trace": {"a": 1}}
    assert http.post("/chat/completions", json=body).json()["clearseek"]["ignored"] == ["mystery", "x_trace"]
    assert '"ignored":["mystery","x_trace"]' in http.post("/chat/completions", json={**body, "stream": True}).text
    assert "ignored" not in http.post("/chat/completions", json={"messages": [USER]}).json()["clearseek"]
    many = {f"unknown_field_{n}": 1 for n in range(500)}
    told = http.post("/chat/completions", json={"messages": [USER], **many}).json()["clearseek"]["ignored"]
    assert (len(told), told[-1]) == (21, "and 480 more")


def test_half_a_million_fields_are_not_compared_with_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(fields_, "get_close_matches", lambda *given: compared.append(given) or [])
    parsed(**{f"f{n}": 1 for n in range(100_000)})
    assert len(compared) <= 20


def test_a_broken_promise_is_an_error_in_words(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = lambda request: [SchemaBroken("The answer does not match the JSON Schema: no.")]
    answer = http.post("/chat/completions", json={"messages": [USER], "guided_json": YES})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "schema_mismatch"
    assert "does not match" in answer.json()["error"]["message"]
