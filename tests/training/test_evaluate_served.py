"""Served models are evaluated through the real engine, and remote ones through a server that dies half-way."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sums import HOW, asked

from clearseek.errors import UserError
from clearseek.evaluation import engine_backend
from clearseek.evaluation.engine_backend import (
    EngineBackend,
    LedgerSink,
    RemoteBackend,
    model_of_file,
    remote_models,
    request_of,
)
from clearseek.evaluation.runner import evaluate
from clearseek.evaluation.transcripts import Transcripts
from clearseek.hub.model import Model
from clearseek.inference.errors import BadRequest
from clearseek.ledger.entry import Draft

SERVED = dataclasses.replace(HOW, by="llama.cpp", budget=8, max_new=16, style="prompted")


class Dying:
    """An engine that answers `good` questions and then hangs up; `good` can be raised."""

    def __init__(self) -> None:
        self.good = 0
        self.bodies: list[dict[str, Any]] = []
        self.refuses = ""
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.say({"object": "list", "data": [{"id": "big"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                engine.bodies.append(body)
                if engine.refuses:
                    self.say({"error": {"message": engine.refuses}}, 400)
                    return
                if engine.good <= 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                engine.good -= 1
                first, second = body["messages"][-1]["content"].split(": ")[1].rstrip("?").split(" + ")
                said = [
                    {"choices": [{"index": 0, "delta": {"reasoning_content": "add"}, "finish_reason": None}]},
                    {"choices": [{"index": 0, "delta": {"content": f"{int(first) + int(second)}"}}]},
                    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                    {
                        "choices": [],
                        "usage": {
                            "prompt_tokens": 9,
                            "completion_tokens": 5,
                            "completion_tokens_details": {"reasoning_tokens": 3},
                        },
                    },
                ]
                text = "".join(f"data: {json.dumps(one)}\n\n" for one in said) + "data: [DONE]\n\n"
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def say(self, document: Any, status: int = 200) -> None:
                raw = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def dying() -> Iterator[Dying]:
    engine = Dying()
    threading.Thread(target=engine.server.serve_forever, daemon=True).start()
    yield engine
    engine.server.shutdown()
    engine.server.server_close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_backend, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(engine_backend.EngineCrashed, "retry_after", 0)


@pytest.mark.usefixtures("impatient")
def test_a_remote_engine_that_dies_half_way_is_not_paid_twice(dying: Dying, tmp_path: Path) -> None:
    entries: list[Draft] = []
    how = dataclasses.replace(HOW, by="remote", style="unknown", digest=None)
    assert remote_models(dying.url, None) == ["big"]
    answerer = RemoteBackend(dying.url, None, "big", LedgerSink(entries.append), at_once=2)
    dying.good = 7
    file = tmp_path / "think.jsonl"
    with pytest.raises(UserError, match="What was answered before is kept"), Transcripts(file, how) as kept:
        evaluate(answerer, asked(), how, kept=kept)
    dying.good = 100
    with Transcripts(file, how) as kept:
        found = evaluate(answerer, asked(), how, kept=kept)
    assert dying.good == 100 - 13
    assert found.mean.value == 1.0
    row = found.rows[0]
    assert (row.thinking, row.answer, row.thinking_tokens, row.tokens, row.well_formed) == ("add", "1", 3, 5, True)
    assert [entry.kind for entry in entries] == ["eval", "eval"]
    assert entries[0].labels["failed"] == "UserError"
    assert entries[0].quantities["completion_tokens"].value == 35
    assert entries[1].labels["engine"] == "remote"
    assert entries[1].quantities["completion_tokens"].value == 65
    assert entries[1].quantities["flops"].value is None
    assert "money" not in entries[1].quantities


@pytest.mark.usefixtures("impatient")
def test_one_failure_that_passes_is_not_told(dying: Dying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_backend, "WAITS", (0.2, 0.2))
    how = dataclasses.replace(HOW, by="remote", n=2)
    answerer = RemoteBackend(dying.url, None, "big", LedgerSink(lambda draft: None), at_once=1)
    threading.Timer(0.05, lambda: setattr(dying, "good", 100)).start()
    assert evaluate(answerer, asked(2), how).mean.value == 1.0


def test_a_remote_engine_that_refuses_every_request_ends_it_at_once(dying: Dying) -> None:
    dying.refuses = "max_tokens is too large"
    answerer = RemoteBackend(dying.url, None, "big", LedgerSink(lambda draft: None), at_once=1)
    with pytest.raises(BadRequest, match="max_tokens is too large"):
        evaluate(answerer, asked(), dataclasses.replace(HOW, by="remote"))
    assert len(dying.bodies) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("word", ["content_filter", "insufficient_system_resource"])
def test_what_was_withheld_or_broken_off_is_no_answer(word: str) -> None:
    """It says nothing of the model: told apart from wrong answers, or asked again."""
    sys.path.append(str(Path(__file__).parent.parent / "inference"))
    from remote_dialects import DIALECTS
    from scripted_upstream import Upstream, sends

    name = "finish-content_filter" if word == "content_filter" else "finish-insufficient"
    with Upstream(sends(DIALECTS[name].raw)) as upstream:
        answerer = RemoteBackend(upstream.url, None, "big", LedgerSink(lambda draft: None), at_once=1)
        how = dataclasses.replace(HOW, by="remote", n=1)
        if word == "content_filter":
            found = evaluate(answerer, asked(1), how)
            assert {(row.answer, row.why) for row in found.rows} == {
                ("", "refused: the engine's filter withheld the answer")
            }
        else:
            with pytest.raises(UserError, match="It was tried 3 times"):
                evaluate(answerer, asked(1), how)


def test_what_is_asked() -> None:
    ask = asked().asks(1, 3)[4]
    request = request_of(ask, dataclasses.replace(SERVED, system="Be brief.", temperature=0.5))
    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert request.messages[1]["content"] == ask.problem.prompt
    assert (request.max_tokens, request.thinking.budget, request.sampling.temperature) == (16, 8, 0.5)
    assert request.sampling.seed is not None
    assert 0 <= request.sampling.seed < 2**31
    assert not request_of(ask, dataclasses.replace(SERVED, thinking=False)).thinking.enabled


def tiny(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "inference")
    from tiny_llama import write_tiny

    return model_of_file(write_tiny(folder / "tiny.gguf"))


def test_a_file_through_the_real_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries: list[Draft] = []
    model = tiny(tmp_path, monkeypatch)
    assert (model.name, model.thinking) == ("tiny", "prompted")
    how = dataclasses.replace(SERVED, model="tiny", digest=model.sha256, n=3)
    one_by_one = EngineBackend(model, LedgerSink(entries.append), at_once=1, threads=1)
    found = evaluate(one_by_one, asked(3), how)
    assert all(0 < row.tokens <= 16 and row.prompt_tokens > 0 for row in found.rows)
    assert {row.finish for row in found.rows} <= {"length", "budget", "stop"}
    (entry,) = entries
    assert (entry.kind, entry.labels["model_sha256"], entry.labels["arm"]) == ("eval", model.sha256, "think-8")
    assert entry.quantities["completion_tokens"].value == found.tokens
    assert entry.quantities["flops"].value > 0
    assert entry.quantities["cpu"].value > 0
    again = evaluate(one_by_one, asked(3), how)
    assert [row.answer for row in again.rows] == [row.answer for row in found.rows]
    short = dataclasses.replace(how, max_new=400)  # the tiny context does not hold the answer and the question
    much = asked(1, easy="trained")
    long = dataclasses.replace(much.problems["easy"][0], prompt="x" * 2000)
    refused = evaluate(one_by_one, dataclasses.replace(much, problems={"easy": [long]}), short)
    assert refused.mean.value == 0.0
    assert "refused: the prompt has" in refused.rows[0].why


@pytest.mark.slow
def test_the_real_model_says_the_same_one_at_a_time(real_model: Model) -> None:
    how = dataclasses.replace(SERVED, model=real_model.name, digest=real_model.sha256, n=4, budget=24, max_new=48)
    answerer = EngineBackend(real_model, LedgerSink(lambda draft: None), at_once=1)
    first, again = (evaluate(answerer, asked(4), how) for _ in range(2))
    assert [(row.thinking, row.answer) for row in first.rows] == [(row.thinking, row.answer) for row in again.rows]
    assert all(row.answer for row in first.rows)
