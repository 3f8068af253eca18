"""The one stream that a browser opens: changes of all chats, and the answers that it follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from scripted import ScriptedPool, serving, until

from clearseek.inference.engine import Delta, Finished, Progress, Request, Usage
from clearseek.server import keys

NAME = "a-listener-of-tests"


def slowly(request: Request) -> list[Any]:
    words = [step for word in ("one ", "two ", "three ") for step in (Delta("answer", word, 1), 0.05)]
    return [Progress(10, 4, 10), Delta("thinking", "Hm", 1), 0.05, *words, Finished("stop", Usage(10, 4, 4, 1))]


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool(slowly)


def begin(http: httpx.Client) -> dict[str, Any]:
    id = http.post("/api/conversations", json={}).json()["id"]
    asked = http.post(f"/api/conversations/{id}/messages", json={"content": "Hello?", "parent_id": None})
    answer: dict[str, Any] = asked.raise_for_status().json()["assistant"]
    return answer


def told(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, orjson.loads(line[6:])


def hear_to_the_end(lines: Iterator[str], generation: str) -> list[tuple[str, dict[str, Any]]]:
    heard = []
    for name, data in told(lines):
        if name == "generation" and data["generation"] == generation:
            heard.append((data["event"], data["data"]))
            if data["event"] in ("done", "error", "gone"):
                return heard
    raise AssertionError("the stream ended")


def follow(http: httpx.Client, *generations: str, name: str = NAME) -> httpx.Response:
    return http.post(f"/api/live/{name}", json={"follow": list(generations)})


def test_answers_come_on_the_stream_of_changes(http: httpx.Client) -> None:
    with http.stream("GET", f"/api/live?listener={NAME}") as stream:
        lines = stream.iter_lines()
        next(lines)
        one, two = begin(http)["generation_id"], begin(http)["generation_id"]
        assert follow(http, one, two).status_code == 202
        heard: dict[str, list[tuple[str, dict[str, Any]]]] = {one: [], two: []}
        changed = 0
        for name, data in told(lines):
            changed += name == "changed"
            if name == "generation":
                heard[data["generation"]].append((data["event"], data["data"]))
            if all(events and events[-1][0] == "done" for events in heard.values()):
                break
    assert changed
    for events in heard.values():
        assert events[0][0] == "snapshot"
        text = events[0][1]["message"]["content"] + "".join(d["text"] for name, d in events if name == "answer")
        assert text == events[-1][1]["message"]["content"] == "one two three "


def test_what_is_over_or_gone_is_told_so(http: httpx.Client) -> None:
    over = begin(http)["generation_id"]
    with http.stream("GET", f"/api/generations/{over}/events") as events:
        events.read()
    with http.stream("GET", f"/api/live?listener={NAME}") as stream:
        lines = stream.iter_lines()
        next(lines)
        follow(http, over, "no-such-generation")
        assert [name for name, _ in hear_to_the_end(lines, over)] == ["snapshot", "done"]
        assert [name for name, _ in hear_to_the_end(lines, "no-such-generation")] == ["gone"]
        follow(http, over)  # asked for again, told again
        assert [name for name, _ in hear_to_the_end(lines, over)] == ["snapshot", "done"]


def test_the_pace_is_told_where_an_engine_counts(http: httpx.Client, pool: ScriptedPool) -> None:
    for counts in (True, False):
        pool.script = lambda request, counts=counts: slowly(request)[0 if counts else 1 :]
        answer = begin(http)
        with http.stream("GET", f"/api/generations/{answer['generation_id']}/events") as events:
            heard = list(told(events.iter_lines()))
        paces = [data for name, data in heard if name == "answer"]
        assert all(("tokens" in data) == counts for data in paces)
        if counts and paces:
            assert paces[-1]["tokens"] == 4
            assert paces[-1]["seconds"] >= 0


def test_nobody_is_told_of_what_is_not_theirs(home: Path) -> None:
    mine, theirs = keys.create("ann"), keys.create("bob")
    with serving(ScriptedPool(slowly), home) as url:
        me = httpx.Client(base_url=url, headers={"x-api-key": mine})
        they = httpx.Client(base_url=url, headers={"x-api-key": theirs})
        with me, they, they.stream("GET", f"/api/live?listener={NAME}") as stream:
            lines = stream.iter_lines()
            next(lines)
            generation = begin(me)["generation_id"]
            assert follow(me, generation).status_code == 404, "that stream is theirs"
            assert follow(they, generation).status_code == 202
            assert [name for name, _ in hear_to_the_end(lines, generation)] == ["gone"]


def test_a_stream_that_ended_follows_nothing(http: httpx.Client, pool: ScriptedPool) -> None:
    with http.stream("GET", f"/api/live?listener={NAME}") as stream:
        lines = stream.iter_lines()
        next(lines)
        until(lambda: follow(http).status_code == 202)
    until(lambda: follow(http).status_code == 404)
    for name in ("short", "x" * 65, "with space in it", "%2e%2e%2f%2e%2e%2f"):
        assert follow(http, name=name).status_code in (404, 422)
    assert follow(http, *("x" for _ in range(101))).status_code == 422


def test_the_list_says_what_is_being_answered(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = lambda request: [Progress(1, 0, 1), 0.3, Delta("answer", "x"), Finished("stop", Usage())]
    answer = begin(http)
    quiet = http.post("/api/conversations", json={"title": "quiet"}).json()["id"]
    rows = {row["id"]: row["generating"] for row in http.get("/api/conversations").json()["conversations"]}
    assert sorted(rows.values()) == [False, True]
    assert rows[quiet] is False
    with http.stream("GET", f"/api/generations/{answer['generation_id']}/events") as events:
        events.read()
    until(lambda: not any(row["generating"] for row in http.get("/api/conversations").json()["conversations"]))


# Deleting many


def test_several_and_all_are_deleted_and_nobody_elses(home: Path) -> None:
    mine, theirs = keys.create("ann"), keys.create("bob")
    with serving(ScriptedPool(slowly), home) as url:
        me = httpx.Client(base_url=url, headers={"x-api-key": mine})
        they = httpx.Client(base_url=url, headers={"x-api-key": theirs})
        with me, they:
            ids = [me.post("/api/conversations", json={}).json()["id"] for _ in range(5)]
            other = they.post("/api/conversations", json={}).json()["id"]
            gone = me.post("/api/conversations/delete", json={"ids": [*ids[:2], other, "nonsense"]})
            assert gone.json() == {"deleted": 2}
            for wrong in ({}, {"ids": []}, {"all": False}, {"all": True, "ids": [ids[2]]}, {"every": True}):
                assert me.post("/api/conversations/delete", json=wrong).status_code == 422, wrong
            assert me.post("/api/conversations/delete", json={"all": True}).json() == {"deleted": 3}
            assert me.get("/api/conversations").json()["conversations"] == []
            assert [row["id"] for row in they.get("/api/conversations").json()["conversations"]] == [other]


def test_what_is_deleted_with_many_stops_generating(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = lambda request: [Progress(1, 0, 1), *[s for _ in range(3000) for s in (Delta("answer", "x"), 0.01)]]
    begin(http)
    until(lambda: pool.stats().running == 1)
    http.post("/api/conversations/delete", json={"all": True}).raise_for_status()
    until(lambda: pool.stats().running == 0)


# How full the context is


def test_how_full_the_context_is(http: httpx.Client) -> None:
    answer = begin(http)
    with http.stream("GET", f"/api/generations/{answer['generation_id']}/events") as events:
        events.read()
    # 10 of the prompt and 4 of the answer, of which one was thinking and is not sent again
    assert http.get(f"/api/messages/{answer['id']}/context").json() == {"tokens": 13, "holds": 2048}
    assert http.get(f"/api/messages/{answer['parent_id']}/context").json()["tokens"] is None
    assert http.get("/api/messages/nonsense/context").status_code == 404


def test_what_several_goes_summed_up_is_not_told_as_if_it_were_one(http: httpx.Client, pool: ScriptedPool) -> None:
    pool.script = lambda request: [Progress(10, 4, 10), Delta("answer", "x"), Finished("length", Usage(10, 4, 1, 0))]
    answer = begin(http)
    with http.stream("GET", f"/api/generations/{answer['generation_id']}/events") as events:
        events.read()
    assert http.get(f"/api/messages/{answer['id']}/context").json()["tokens"] == 11
    more = http.post(f"/api/messages/{answer['id']}/continue", json={}).json()["assistant"]
    with http.stream("GET", f"/api/generations/{more['generation_id']}/events") as events:
        events.read()
    assert http.get(f"/api/messages/{answer['id']}/context").json()["tokens"] is None
