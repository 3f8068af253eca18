"""Remote engines through the whole server: the real `openai` client, ClearSeek, and an upstream with a script."""

from __future__ import annotations

import json
import sys
import time
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
from remote_dialects import BERN, DIALECTS, chunk, event
from scripted_upstream import Connection, Script, Upstream, sends, silent

from clearseek.hub.store import Store
from clearseek.inference.accounting import Accounting
from clearseek.inference.pool import Pool
from clearseek.ledger.prices import Rates
from clearseek.settings import Settings

USER: Any = [{"role": "user", "content": "Where?"}]
TOLD = {"aborted": "insufficient_system_resource"}


async def half_then_silent(connection: Connection) -> None:
    await connection.head()
    await connection.send(chunk({"content": "Half"}).encode())
    await silent(connection)


async def slowly(connection: Connection) -> None:
    await connection.head()
    for text in ("It is ", "Bern."):
        time.sleep(0.1)  # noqa: ASYNC251 - an upstream that is busy
        await connection.send(chunk({"content": text}).encode())
    await connection.send(chunk({}, "stop").encode())


OTHERS: dict[str, Script] = {
    "slowly": slowly,
    "half-then-silent": half_then_silent,
    "half-then-error": sends((chunk({"content": "Half"}) + event({"error": {"message": "out of memory"}})).encode()),
    "busy": sends(b'{"message": "slow down"}', status=429, Retry_After="9"),
    "bad-gateway": sends(b"<title>502 Bad Gateway</title>", status=502, type="text/html"),
}


@dataclass(frozen=True)
class Running:
    url: str
    upstream: Upstream
    client: OpenAI
    http: httpx.Client


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("through")
    with pytest.MonkeyPatch.context() as patch, Upstream() as upstream:
        patch.setenv("CLEARSEEK_HOME", str(home))
        upstream.answers |= {name: sends(one.raw, type=one.type) for name, one in DIALECTS.items()} | OTHERS
        names = json.dumps({"data": [{"id": name} for name in upstream.answers]}).encode()
        upstream.lists = sends(names, type="application/json", size=100)
        settings = Settings(engine_url=upstream.url)
        pool = Pool(settings, Store(home / "models", ()), Accounting(home / "ledger.jsonl", Rates()))
        with (
            serving(pool, home) as url,
            OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client,
            httpx.Client(base_url=url, timeout=60) as http,
        ):
            yield Running(url, upstream, client, http)


def calls_of(found: Any) -> list[tuple[str, str, Any]]:
    return [(one.id, one.function.name, json.loads(one.function.arguments)) for one in found or ()]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_streamed_and_whole(running: Running, name: str) -> None:
    dialect = DIALECTS[name]
    answer = running.client.chat.completions.create(model=name, messages=USER)
    [choice] = answer.choices
    thinking, content, calls, reason = "", "", [], None
    for part in running.client.chat.completions.create(model=name, messages=USER, stream=True):
        [piece] = part.choices
        thinking += getattr(piece.delta, "reasoning_content", None) or ""
        content += piece.delta.content or ""
        calls += piece.delta.tool_calls or []
        reason = piece.finish_reason or reason
    last = part
    assert (getattr(choice.message, "reasoning_content", None) or "", choice.message.content) == (thinking, content)
    assert (thinking, content) == (dialect.thinking, dialect.answer)
    assert choice.finish_reason == reason == TOLD.get(dialect.reason, dialect.reason)
    for found in (choice.message.tool_calls, calls):
        assert [one[1:] for one in calls_of(found)] == [one[1:] for one in dialect.calls]
        assert all(one[0] for one in calls_of(found))
    for usage in (answer.usage, last.usage):
        if dialect.usage is None:
            assert usage is None
        else:
            assert usage is not None
            assert (usage.prompt_tokens, usage.completion_tokens) == (dialect.usage[0], dialect.usage[2])
    for told in (answer.clearseek, last.clearseek):  # type: ignore[attr-defined]
        times = told["timings"]
        assert times["clock"] == "server"
        assert times["prompt"] > 0
        assert times["decode"] is None or times["decode"] > 0
        assert told["spent"]["wall"]["value"] <= times["queue"] + times["prompt"] + (times["decode"] or 0) + 1.0


def test_what_goes_wrong_has_its_own_status(running: Running) -> None:
    with pytest.raises(openai.RateLimitError) as busy:
        running.client.chat.completions.create(model="busy", messages=USER)
    assert busy.value.response.headers["retry-after"] == "9"
    with pytest.raises(openai.InternalServerError, match="502 Bad Gateway") as away:
        running.client.chat.completions.create(model="bad-gateway", messages=USER)
    assert away.value.status_code == 503
    with pytest.raises(openai.InternalServerError, match="out of memory"):
        running.client.chat.completions.create(model="half-then-error", messages=USER)
    with pytest.raises(openai.NotFoundError, match="did you mean"):
        running.client.chat.completions.create(model="half-then-err", messages=USER)


def ask(running: Running, model: str) -> tuple[str, dict[str, Any]]:
    id = running.http.post("/api/conversations", json={}).json()["id"]
    asked = running.http.post(
        f"/api/conversations/{id}/messages", json={"content": "Where?", "parent_id": None, "model": model}
    )
    return id, asked.raise_for_status().json()["assistant"]


def kept(running: Running, id: str, over: bool = True) -> dict[str, Any]:
    def message() -> dict[str, Any]:
        return running.http.get(f"/api/conversations/{id}").json()["messages"][-1]  # type: ignore[no-any-return]

    until(lambda: message()["status"] != "generating" if over else bool(message()["content"]), 30)
    return message()


@pytest.mark.parametrize("model", ["slowly", "json", "half-then-error", "bad-gateway"])
def test_no_answer_on_the_page_took_no_time(running: Running, model: str) -> None:
    id, _ = ask(running, model)
    message = kept(running, id)
    times, wall = message["timings"], message["spent"]["wall"]
    if times is None:  # nothing came: the books know
        assert wall["value"] > 0
        return
    assert times["clock"] == "server"
    took = times["prompt"] + (times["decode"] or 0)
    assert took > 0
    assert abs(took - wall["value"]) < 1.0, "two clocks of one answer"
    assert 0.0 not in (times["prompt"], times["decode"])
    if model == "slowly":
        assert times["prompt"] >= 0.09
        assert times["decode"] >= 0.09


def test_a_stopped_answer_is_timed_by_the_server_and_never_called_queued(running: Running) -> None:
    id, answer = ask(running, "half-then-silent")
    kept(running, id, over=False)
    running.http.post(f"/api/generations/{answer['generation_id']}/stop").raise_for_status()
    message = kept(running, id)
    assert message["status"] == "stopped"
    assert message["usage"] is None
    assert message["timings"]["clock"] == "server"
    assert message["timings"]["queue"] is None, "nobody saw it waiting"
    assert message["timings"]["prompt"] > 0
    running.http.get(f"/api/generations/{answer['generation_id']}/events")  # until it is written down
    exported = running.http.get(f"/api/conversations/{id}/export", params={"format": "json"})
    again = running.http.post("/api/conversations/import", json=exported.json()).raise_for_status().json()
    assert message["timings"] in [one["timings"] for one in again["messages"]]


def test_a_withheld_answer_says_so(running: Running) -> None:
    id, _ = ask(running, "finish-content_filter")
    assert kept(running, id)["finish_reason"] == "content_filter"
    id, _ = ask(running, "finish-insufficient")
    assert kept(running, id)["finish_reason"] == "aborted"


def test_thinking_told_apart_is_thinking_on_the_page(running: Running) -> None:
    for name in ("mistral-parts", "reasoning_details", "openrouter", "inline-tags"):
        id, _ = ask(running, name)
        message = kept(running, id)
        assert (message["thinking"], message["content"]) == (BERN["thinking"], BERN["answer"])
