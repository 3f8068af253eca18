"""The page's routes over a real socket, as docs/page-api.md has them; hostile input, and who may see what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fastapi.routing import APIRoute
from server.scripted import DIGEST, ScriptedPool, endless, serving, until

from clearseek.inference.engine import Delta, Finished, Progress, Request, Usage
from clearseek.server import keys
from clearseek.server.routes import conversations
from clearseek.server.starters import starters_for
from clearseek.settings import OWN_MODEL

MESSAGE_FIELDS = {
    *("id", "parent_id", "role", "content", "thinking", "thinking_started_at", "thinking_ended_at", "created_at"),
    *("status", "finish_reason", "attachments", "model", "model_digest", "generation_id", "dropped_turns", "usage"),
    "spent",
    *("timings", "error"),
}


def read_events(http: httpx.Client, generation_id: str, after: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """All events until the server ends the stream."""
    with http.stream("GET", f"/api/generations/{generation_id}/events?after={after}") as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(parse_events(response.iter_lines()))


def parse_events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, orjson.loads(line[6:])


def ask(http: httpx.Client, content: str = "Hello?", conversation: str | None = None, **how: Any) -> dict[str, Any]:
    """Ask and wait for the end: the conversation then."""
    if conversation is None:
        conversation = http.post("/api/conversations", json={}).raise_for_status().json()["id"]
    asked = http.post(f"/api/conversations/{conversation}/messages", json={"content": content, "parent_id": None} | how)
    assert asked.status_code == 201, asked.text
    read_events(http, asked.json()["assistant"]["generation_id"])
    whole: dict[str, Any] = http.get(f"/api/conversations/{conversation}").raise_for_status().json()
    return whole


def current(conversation: dict[str, Any]) -> dict[str, Any]:
    return next(message for message in conversation["messages"] if message["id"] == conversation["current"])


def test_state_says_what_the_page_needs(http: httpx.Client) -> None:
    state = http.get("/api/state").raise_for_status().json()
    assert state["default_model"] == "tiny"
    assert state["efforts"] == ["low", "high", "max"]
    assert state["paste_limit"] == 2000
    model = state["models"][0]
    assert (model["name"], model["digest"], model["context"], model["thinking"]) == ("tiny", DIGEST, 2048, "prompted")
    assert [starter["can"] for starter in state["starters"]] == [True, True, True, False]
    assert state["starters"][3]["note"]


def test_a_small_model_is_not_offered_what_it_cannot_do() -> None:
    small, large, unknown = (starters_for("any", count) for count in (134_515_008, 7_000_000_000, None))
    own = starters_for(OWN_MODEL, 134_515_008)
    assert [starter["can"] for starter in own] == [True, True, True, False]
    assert {starter["text"] for starter in small if starter["can"]}.isdisjoint(s["text"] for s in large)
    assert "reckon" in small[3]["note"]
    assert unknown == large


def test_a_chat_from_question_to_answer(http: httpx.Client, pool: ScriptedPool) -> None:
    made = http.post("/api/conversations", json={}).raise_for_status()
    assert made.status_code == 201
    body = {"content": "Say hello", "parent_id": None, "attachments": [{"name": "a.txt", "text": "ab"}]}
    response = http.post(f"/api/conversations/{made.json()['id']}/messages", json=body)
    assert response.status_code == 201
    user, assistant = response.json()["user"], response.json()["assistant"]
    assert set(user) == set(assistant) == MESSAGE_FIELDS
    assert user["attachments"] == [{"name": "a.txt", "text": "ab", "chars": 2}]
    assert assistant["status"] == "generating"
    assert assistant["parent_id"] == user["id"]
    events = read_events(http, assistant["generation_id"])
    assert events[0][0] == "snapshot"
    assert events[-1][0] == "done"
    message = events[-1][1]["message"]
    assert (message["thinking"], message["content"]) == ("Hm so", "Hello wörld")
    assert message["usage"] == {
        "prompt_tokens": 10,
        "cached_tokens": 4,
        "completion_tokens": 4,
        "reasoning_tokens": 2,
    }
    assert message["model_digest"] == DIGEST
    conversation = http.get(f"/api/conversations/{made.json()['id']}").json()
    assert current(conversation) == message
    assert conversation["title"] == "Say hello"
    assert conversation["model"] == "tiny"
    assert pool.requests[0].messages[0]["content"] == "a.txt:\n```\nab\n```\n\nSay hello"


def test_thinking_can_be_off_or_on_with_an_effort(http: httpx.Client, pool: ScriptedPool) -> None:
    answer = current(ask(http, thinking=False))
    assert answer["thinking"] is None
    assert not pool.requests[-1].thinking.enabled
    ask(http, thinking=True, effort="max")
    assert pool.requests[-1].thinking.effort == "max"


def test_edit_regenerate_and_showing_another_branch(http: httpx.Client) -> None:
    first = ask(http)
    id, answer = first["id"], first["current"]
    again = http.post(f"/api/messages/{answer}/regenerate", json={"thinking": False, "effort": "low"})
    assert again.status_code == 201
    read_events(http, again.json()["assistant"]["generation_id"])
    edited = ask(http, "Hello, really?", id)
    assert len(edited["messages"]) == 5
    shown = http.patch(f"/api/conversations/{id}", json={"current": first["messages"][0]["id"]}).json()
    assert shown["current"] == again.json()["assistant"]["id"], "the newest leaf below what was asked for"
    assert http.patch(f"/api/conversations/{id}", json={"title": "  Greetings "}).json()["title"] == "Greetings"


def test_stop_and_continue(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = endless
    id = http.post("/api/conversations", json={}).json()["id"]
    asked = http.post(f"/api/conversations/{id}/messages", json={"content": "Go on", "parent_id": None}).json()
    answer = asked["assistant"]
    until(lambda: len(current(http.get(f"/api/conversations/{id}").json())["content"]) > 5)
    for _ in range(2):
        assert http.post(f"/api/generations/{answer['generation_id']}/stop").status_code == 202
    events = read_events(http, answer["generation_id"])
    stopped = events[-1][1]["message"]
    assert (events[-1][0], stopped["status"], stopped["finish_reason"]) == ("done", "stopped", "aborted")
    assert pool.stats().running == 0
    tokens = pool.tokens
    pool.script = lambda request: [Delta("answer", " the end"), Finished("stop", Usage(9, 9, 2, 0))]
    response = http.post(f"/api/messages/{answer['id']}/continue", json={})
    assert response.status_code == 201, response.text
    done = read_events(http, response.json()["assistant"]["generation_id"])[-1][1]["message"]
    assert done["content"] == stopped["content"] + " the end"
    assert pool.tokens == tokens + 1, "nothing went on in the dark"
    assert http.post(f"/api/messages/{answer['id']}/continue").status_code == 409


def test_a_tab_that_goes_away_stops_nothing(http: httpx.Client, pool: ScriptedPool) -> None:
    words = [f"w{n} " for n in range(40)]
    pool.script = lambda request: [
        Progress(1, 0, 1),
        *[step for word in words for step in (Delta("answer", word), 0.01)],
        Finished("stop", Usage(1, 0, 40, 0)),
    ]
    id = http.post("/api/conversations", json={}).json()["id"]
    asked = http.post(f"/api/conversations/{id}/messages", json={"content": "Go on", "parent_id": None}).json()
    generation = asked["assistant"]["generation_id"]
    with http.stream("GET", f"/api/generations/{generation}/events") as response:
        for name, _ in parse_events(response.iter_lines()):
            if name == "answer":
                break  # and the connection is dropped
    events = read_events(http, generation)
    text = events[0][1]["message"]["content"] + "".join(data["text"] for name, data in events if name == "answer")
    assert text == "".join(words) == events[-1][1]["message"]["content"]
    assert len(pool.requests) == 1
    assert pool.abandoned == 0


def test_lists_search_and_pages(http: httpx.Client) -> None:
    ids = [ask(http, f"Tell me about the number {word}")["id"] for word in ("seven", "eleven", "thirteen")]
    listed = http.get("/api/conversations").json()
    assert [line["id"] for line in listed["conversations"]] == ids[::-1]
    assert listed["next"] is None
    found = http.get("/api/conversations", params={"query": "elev"}).json()["conversations"]
    assert [line["id"] for line in found] == [ids[1]]
    assert "\ue000eleven\ue001" in found[0]["snippet"]
    assert len(http.get("/api/conversations", params={"query": "wörld"}).json()["conversations"]) == 3
    first = http.get("/api/conversations", params={"limit": 2}).json()
    rest = http.get("/api/conversations", params={"limit": 2, "before": first["next"]}).json()
    assert [line["id"] for line in first["conversations"] + rest["conversations"]] == ids[::-1]
    assert rest["next"] is None


def test_delete(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = endless
    id = http.post("/api/conversations", json={}).json()["id"]
    asked = http.post(f"/api/conversations/{id}/messages", json={"content": "Go on", "parent_id": None}).json()
    until(lambda: pool.stats().running == 1)
    assert http.delete(f"/api/conversations/{id}").status_code == 204
    until(lambda: pool.stats().running == 0)
    assert http.get(f"/api/conversations/{id}").status_code == 404
    assert http.delete(f"/api/conversations/{id}").status_code == 404
    assert http.get(f"/api/generations/{asked['assistant']['generation_id']}/events").status_code == 404


def test_lists_are_told_live(http: httpx.Client, url: str) -> None:
    with httpx.Client(base_url=url, timeout=120) as second_tab, second_tab.stream("GET", "/api/live") as response:
        changes = parse_events(response.iter_lines())
        conversation = ask(http)
        assert next(changes) == ("changed", {"conversation": conversation["id"]})
        http.delete(f"/api/conversations/{conversation['id']}")
        assert next(changes) == ("changed", {"conversation": conversation["id"]})


def test_export_and_import_give_the_same_tree(http: httpx.Client) -> None:
    first = ask(http, "Say hello", attachments=[{"name": "a.txt", "text": "``` # not a heading"}])
    read_events(
        http,
        http.post(f"/api/messages/{first['current']}/regenerate", json={}).json()["assistant"]["generation_id"],
    )
    before = http.get(f"/api/conversations/{first['id']}").json()
    exported = http.get(f"/api/conversations/{first['id']}/export", params={"format": "json"})
    assert exported.headers["content-disposition"] == 'attachment; filename="say-hello.json"'
    response = http.post(
        "/api/conversations/import", content=exported.content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 201, response.text
    after = response.json()
    assert after["id"] != before["id"]
    assert without_ids(before) == without_ids(after)
    text = http.get(f"/api/conversations/{first['id']}/export", params={"format": "md"}).text
    assert text.startswith("# Say hello\n\n## You (")
    assert "````\n``` # not a heading\n````" in text
    assert "<details><summary>Thinking</summary>" in text


def without_ids(conversation: dict[str, Any]) -> dict[str, Any]:
    places = {message["id"]: n for n, message in enumerate(conversation["messages"])} | {None: None}
    messages = [
        message | {"id": places[message["id"]], "parent_id": places[message["parent_id"]]}
        for message in conversation["messages"]
    ]
    return conversation | {
        "id": "",
        "updated_at": 0,
        "current": places[conversation["current"]],
        "messages": messages,
    }


def tree(*messages: dict[str, Any], **head: Any) -> dict[str, Any]:
    return {"format": "clearseek-conversation", "version": 1, "messages": list(messages)} | head


USER: dict[str, Any] = {"id": "a", "role": "user", "content": "hi"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        tree(format="else"),
        tree(version=2),
        tree(USER, USER),
        tree({"id": "a", "role": "system"}),
        tree({"id": "a", "role": "assistant"}),
        tree(USER | {"parent_id": "a"}),
        tree(USER | {"parent_id": "b"}, {"id": "b", "role": "assistant", "parent_id": "a"}),
        tree(USER, USER | {"id": "b", "parent_id": "a"}),
        tree(USER | {"status": "generating"}),
        tree(USER | {"created_at": "NaN"}),
        tree(USER | {"created_at": 1e300}),
        tree(USER, current="z"),
        tree(USER | {"content": "x" * 4_000_001}),
        tree(USER | {"attachments": [{"name": "a\nb", "text": ""}]}),
        tree(USER, {"id": "b", "role": "assistant", "parent_id": "a", "usage": {"x": -1}}),
        tree(USER, {"id": "b", "role": "assistant", "parent_id": "a", "model_digest": "<script>"}),
        tree(*[{"id": str(n), "role": "user"} for n in range(5_001)]),
    ],
)
def test_a_bad_import_is_one_sentence_and_leaves_nothing(http: httpx.Client, body: Any) -> None:
    response = http.post("/api/conversations/import", json=body)
    assert response.status_code == 422, response.text
    assert 10 < len(response.json()["error"]["message"]) < 400
    assert http.get("/api/conversations").json()["conversations"] == []


def test_an_imported_answer_in_the_making_is_interrupted(http: httpx.Client) -> None:
    answer = {"id": "b", "role": "assistant", "parent_id": "a", "status": "generating", "content": "half"}
    made = http.post("/api/conversations/import", json=tree(USER, answer)).json()
    assert current(made)["status"] == "interrupted"
    assert made["title"] == "hi"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/conversations", {"title": "x" * 201}, 422),
        ("POST", "/api/conversations", {"titel": "x"}, 422),
        ("POST", "/api/conversations", {"model": "gpt-9"}, 404),
        ("GET", "/api/conversations?limit=0", None, 422),
        ("GET", "/api/conversations?limit=1000000", None, 422),
        ("GET", "/api/conversations?before=yesterday", None, 400),
        ("GET", "/api/conversations?before=nan_1", None, 200),
        ("GET", "/api/conversations?query=" + "x" * 501, None, 422),
        ("GET", "/api/conversations/nothing", None, 404),
        ("GET", "/api/conversations/" + "x" * 65, None, 422),
        ("GET", "/api/conversations/{id}/export?format=exe", None, 422),
        ("PATCH", "/api/conversations/{id}", {"title": "   "}, 422),
        ("PATCH", "/api/conversations/{id}", {"current": "nothing"}, 404),
        ("POST", "/api/conversations/{id}/messages", {"content": ""}, 422),
        ("POST", "/api/conversations/{id}/messages", {"content": "x" * 1_000_001}, 422),
        ("POST", "/api/conversations/{id}/messages", {"content": "x", "parent_id": "nothing"}, 404),
        ("POST", "/api/conversations/{id}/messages", {"content": "x", "effort": "huge"}, 422),
        ("POST", "/api/conversations/{id}/messages", {"content": "x", "model": "gpt-9"}, 404),
        ("POST", "/api/conversations/{id}/messages", {"content": "x", "attachments": [{"name": "", "text": ""}]}, 422),
        (
            "POST",
            "/api/conversations/{id}/messages",
            {"content": "x", "attachments": [{"name": "a", "text": ""}] * 21},
            422,
        ),
        ("POST", "/api/conversations/nothing/messages", {"content": "x"}, 404),
        ("POST", "/api/messages/nothing/regenerate", {}, 404),
        ("POST", "/api/messages/nothing/continue", {}, 404),
        ("POST", "/api/generations/nothing/stop", None, 404),
        ("GET", "/api/generations/nothing/events", None, 404),
        ("GET", "/api/generations/nothing/events?after=-1", None, 422),
    ],
)
def test_bad_requests_are_one_sentence(
    http: httpx.Client, pool: ScriptedPool, method: str, path: str, body: Any, status: int
) -> None:
    id = http.post("/api/conversations", json={}).json()["id"]
    response = http.request(method, path.replace("{id}", id), json=body)
    assert response.status_code == status, response.text
    if status >= 400:
        error = response.json()["error"]
        assert 10 < len(error["message"]) < 400
        assert error["code"]
    assert pool.requests == []
    assert http.get(f"/api/conversations/{id}").json()["messages"] == []


def test_half_a_character_is_refused(http: httpx.Client) -> None:
    id = http.post("/api/conversations", json={}).json()["id"]
    body = b'{"content": "\\ud800", "parent_id": null}'
    response = http.post(
        f"/api/conversations/{id}/messages", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code in (400, 422), response.text


def test_nobody_reads_anothers(home: Path, pool: ScriptedPool) -> None:
    """Every route of the page that takes an id, asked by another person: as if there were no such thing."""
    mine, theirs = keys.create("mine"), keys.create("theirs")
    with serving(pool, home) as url:
        me = httpx.Client(base_url=url, headers={"authorization": f"Bearer {mine}"}, timeout=120)
        they = httpx.Client(base_url=url, headers={"authorization": f"Bearer {theirs}"}, timeout=120)
        with me, they:
            conversation = ask(me, "my secret")
            slow = [Progress(1, 0, 1), 0.05, Delta("answer", "x"), 30.0]
            pool.script = lambda request: slow
            id, answer = conversation["id"], current(conversation)["id"]
            running = me.post(f"/api/messages/{answer}/regenerate", json={}).json()["assistant"]["generation_id"]
            values = {"conversations": id, "messages": answer, "generations": running}
            bodies: dict[str, Any] = {
                "/api/conversations/{id}": {"title": "stolen"},
                "/api/conversations/{id}/messages": {"content": "and?", "parent_id": answer},
                "/api/messages/{id}/regenerate": {},
                "/api/messages/{id}/continue": {},
            }
            asked = 0
            for route in conversations.router.routes:
                assert isinstance(route, APIRoute)
                if "{id}" not in route.path:
                    continue
                path = route.path.replace("{id}", values[route.path.split("/")[2]])
                for method in route.methods:
                    response = they.request(method, path, json=bodies.get(route.path))
                    assert response.status_code == 404, (method, path, response.text)
                    asked += 1
            assert asked >= 9
            their_own = they.post("/api/conversations", json={}).json()["id"]
            assert they.patch(f"/api/conversations/{their_own}", json={"current": answer}).status_code == 404
            stolen = {"content": "and?", "parent_id": answer}
            assert they.post(f"/api/conversations/{their_own}/messages", json=stolen).status_code == 404
            assert [line["id"] for line in they.get("/api/conversations").json()["conversations"]] == [their_own]
            assert they.get("/api/conversations", params={"query": "secret"}).json()["conversations"] == []
            assert me.get(f"/api/conversations/{id}").json()["title"] == "my secret"
            assert pool.stats().running == 1, "their stop and delete did nothing"
            me.delete(f"/api/conversations/{id}")


def test_a_question_costs_no_waiting(http: httpx.Client, pool: ScriptedPool) -> None:
    """The post answers when the question is kept, not when the engine has begun."""

    def sleepy(request: Request) -> list[Any]:
        return [300.0, Finished("stop", Usage())]

    pool.script = sleepy
    id = http.post("/api/conversations", json={}).json()["id"]
    began = time.monotonic()
    http.post(f"/api/conversations/{id}/messages", json={"content": "Hello", "parent_id": None}).raise_for_status()
    assert time.monotonic() - began < 60
    http.delete(f"/api/conversations/{id}")
