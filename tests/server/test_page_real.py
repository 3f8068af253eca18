"""The page's routes with the real program and the real model: `kill -9` in the middle, turns that reuse the cache."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

pytestmark = pytest.mark.slow


@contextmanager
def program(home: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`clearseek serve` on a free port."""
    command = [sys.executable, "-m", "clearseek.cli.main", "serve", "--port", "0"]
    environment = os.environ | {"CLEARSEEK_HOME": str(home)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, line
        url = "http://" + line.split("http://")[1].split()[0]
        with httpx.Client(base_url=url, timeout=60) as http:
            yield process, http
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(http: httpx.Client, id: str, content: str, parent: str | None = None, **how: Any) -> dict[str, Any]:
    body = {"content": content, "parent_id": parent, "thinking": False} | how
    answer: dict[str, Any] = (
        http.post(f"/api/conversations/{id}/messages", json=body).raise_for_status().json()["assistant"]
    )
    return answer


def follow(http: httpx.Client, generation_id: str, characters: int | None = None) -> tuple[str, dict[str, Any]]:
    """Listen until the end, or until so many characters of answer have come: the text, and the last message told."""
    text, message, name = "", {}, ""
    with http.stream("GET", f"/api/generations/{generation_id}/events") as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = orjson.loads(line[6:])
                if name in ("snapshot", "done", "error"):
                    message = data["message"]
                    text = message["content"] if name == "snapshot" else text
                elif name == "answer":
                    text += data["text"]
                    if characters is not None and len(text) >= characters:
                        break
    return text, message


def message_in(http: httpx.Client, conversation: str, id: str) -> dict[str, Any]:
    whole = http.get(f"/api/conversations/{conversation}").raise_for_status().json()
    return next(message for message in whole["messages"] if message["id"] == id)


def wait_until_kept(home: Path, message: str, text: str) -> None:
    """The store is written every quarter of a second, and where that takes long (a busy machine) less often."""
    with closing(sqlite3.connect(home / "chat.sqlite", timeout=120)) as store:
        for _ in range(300):
            row = store.execute("SELECT content FROM messages WHERE id = ?", (message,)).fetchone()
            if row is not None and row[0].startswith(text):
                return
            time.sleep(0.1)
    raise AssertionError("what was seen was not written down in time")


def test_after_kill_9_the_answer_is_interrupted_with_what_had_come_and_can_go_on(real_home: Path) -> None:
    with program(real_home) as (process, http):
        id = http.post("/api/conversations", json={}).json()["id"]
        answer = ask(http, id, "Write a long story about a lighthouse keeper and the sea.")
        seen, _ = follow(http, answer["generation_id"], characters=200)
        wait_until_kept(real_home, answer["id"], seen)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with program(real_home) as (_, http):
        left = message_in(http, id, answer["id"])
        assert left["status"] == "interrupted"
        assert left["error"]["code"] == "interrupted"
        assert left["content"].startswith(seen)
        _, told = follow(http, answer["generation_id"])
        assert told == left, "the old tab is told the same"
        found = http.get("/api/conversations", params={"query": "lighthouse"}).json()["conversations"]
        assert [line["id"] for line in found] == [id]
        going_on = http.post(f"/api/messages/{answer['id']}/continue", json={}).raise_for_status().json()["assistant"]
        text, _ = follow(http, going_on["generation_id"], characters=len(left["content"]) + 100)
        assert text.startswith(left["content"])
        assert len(text) > len(left["content"])
        http.post(f"/api/generations/{going_on['generation_id']}/stop").raise_for_status()
        assert follow(http, going_on["generation_id"])[1]["status"] == "stopped"


def test_an_ordinary_stop_of_the_program_keeps_what_came(real_home: Path) -> None:
    with program(real_home) as (process, http):
        id = http.post("/api/conversations", json={}).json()["id"]
        answer = ask(http, id, "Write a long story about a lighthouse keeper and the sea.")
        seen, _ = follow(http, answer["generation_id"], characters=100)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 50
    with program(real_home) as (_, http):
        left = message_in(http, id, answer["id"])
        assert left["status"] == "interrupted"
        assert left["content"].startswith(seen)


def test_a_conversation_reads_only_what_is_new(real_home: Path) -> None:
    with program(real_home) as (_, http):
        id = http.post("/api/conversations", json={}).json()["id"]
        parent = None
        counts, answers = [], []
        for question in ("Name a colour.", "Name another one.", "And a third one.", "Which one is the sky?"):
            answer = ask(http, id, question, parent)
            _, done = follow(http, answer["generation_id"])
            assert done["status"] == "complete", done
            assert done["content"]
            parent = done["id"]
            counts.append(done["usage"])
            answers.append(done["content"])
        # (After an answer with a character that came in several tokens, llama.cpp does not tell which: read again.)
        for before, after in [
            pair for pair, answer in zip(pairwise(counts), answers, strict=False) if answer.isascii()
        ]:
            # All that was in the cache: the prompt before and its answer. Only the new question is read.
            reused = before["prompt_tokens"] + before["completion_tokens"]
            assert after["cached_tokens"] >= reused - 2, counts
            assert after["prompt_tokens"] - after["cached_tokens"] < 30, counts


def test_thinking_is_told_apart_with_its_times(real_home: Path) -> None:
    with program(real_home) as (_, http):
        id = http.post("/api/conversations", json={}).json()["id"]
        answer = ask(http, id, "What is two plus two?", thinking=True, effort="low")
        _, done = follow(http, answer["generation_id"])
        assert done["status"] == "complete"
        assert done["thinking"]
        assert done["content"]
        assert done["thinking_started_at"] < done["thinking_ended_at"]
        assert 0 < done["usage"]["reasoning_tokens"] < done["usage"]["completion_tokens"]
        assert len(done["model_digest"]) == 64
        assert done["timings"]["decode"] > 0
