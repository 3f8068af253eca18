"""Budgets with the real program, the real model and the real `openai` client."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from openai import OpenAI
from real_server import clearseek_serve
from scripted import until

from clearseek.ledger.book import Book, check

pytestmark = pytest.mark.slow
OFF: dict[str, Any] = {"thinking": {"type": "disabled"}}
STORY: Any = [{"role": "user", "content": "Tell me a very long story about the sea, with many characters and details."}]


@contextmanager
def serving(home: Path, config: str) -> Iterator[tuple[OpenAI, str, psutil.Process]]:
    (home / "config.toml").write_text(config)
    with (
        clearseek_serve(home, "--context", "2048", "--slots", "2") as (url, process),
        OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client,
    ):
        yield client, url, process


def ask(client: OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="smollm2", messages=STORY, extra_body=OFF, **more)


def test_tokens_are_held_to_the_last_one_over_a_restart(real_home: Path) -> None:
    with serving(real_home, "[budget]\ntokens_per_day = 150\n") as (client, _, _):
        answer = ask(client, max_tokens=40, seed=1)
        assert answer.clearseek["spent"]["cpu"]["value"] > 0
    with serving(real_home, "[budget]\ntokens_per_day = 150\n") as (client, url, _):
        chunks = list(ask(client, stream=True, seed=2))
        last = chunks[-1]
        assert last.choices[0].finish_reason == "length"
        assert "150 tokens" in last.clearseek["budget"]
        assert answer.usage.total_tokens + last.usage.total_tokens == 150
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError, match="used up") as refused:
                ask(client, stream=stream)
            assert refused.value.status_code == 402
            assert refused.value.code == "budget"
        assert httpx.get(f"{url}/v1/user/balance").json()["is_available"] is False


def test_money_ends_an_answer_on_its_way(real_home: Path) -> None:
    # 3,600 dollars an hour: a dollar a second; two dollars are spent on loading alone on a slow day
    config = "[prices]\nmachine_usd_per_hour = 3600\n[budget]\nusd_per_day = {}\n"
    with serving(real_home, config.format(1000)) as (client, url, _):
        ask(client, max_tokens=2)
        spent = httpx.get(f"{url}/api/books").json()["total"]["money"]["value"]
        before = float(httpx.get(f"{url}/user/balance").json()["balance_infos"][0]["total_balance"])
        assert before == pytest.approx(1000 - spent, abs=0.01)
    with serving(real_home, config.format(spent + 4)) as (client, url, _):
        # loading again costs its seconds too; what is left after that is a second or two
        answer = ask(client)
        assert answer.choices[0].finish_reason == "insufficient_system_resource"
        assert answer.choices[0].message.content
        assert "is used up" in answer.clearseek["budget"]
        with pytest.raises(openai.APIStatusError) as refused:
            ask(client)
        assert refused.value.status_code == 402
        total = httpx.get(f"{url}/api/books").json()["total"]["money"]["value"]
        assert spent + 4 <= total < spent + 4 + 3, "held to about a second"


def test_whoever_hangs_up_is_booked_and_a_killed_server_leaves_a_whole_ledger(real_home: Path) -> None:
    ledger = real_home / "ledger.jsonl"

    def booked() -> list[dict[str, Any]]:
        return [json.loads(line) for line in ledger.read_text().splitlines()]

    with serving(real_home, "") as (client, _, process):
        first = ask(client, max_tokens=10)
        stream = ask(client, stream=True)
        for _ in range(5):
            next(stream)
        stream.close()
        until(lambda: len(booked()) == 3)
        cut = booked()[2]
        assert cut["labels"]["status"] == "cancelled"
        assert cut["quantities"]["completion_tokens"]["value"] >= 3
        again = ask(client, stream=True)
        next(again)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(120)
    assert first.clearseek["spent"]["entry"]["hash"] == booked()[1]["hash"]
    found = check(ledger)
    assert (found.state, found.entries) == ("intact", 3), "only what was in flight is not there"
    assert [entry.kind for entry in Book(ledger).read()] == ["load", "answer", "answer"]
