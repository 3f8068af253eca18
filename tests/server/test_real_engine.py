"""The attacks that only the real engine can answer: what it does when a client is gone, and to whom it does it."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from real_server import clearseek_serve, engine_of
from scripted import until

pytestmark = pytest.mark.slow
LONG = "Tell a long story about the sea. " * 150  # well over a thousand tokens to read
STORY: dict[str, Any] = {"messages": [{"role": "user", "content": "Tell a long story."}], "max_tokens": 1500}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_store: Any) -> Iterator[tuple[str, psutil.Process]]:
    home = tmp_path_factory.mktemp("real")
    (home / "models").symlink_to(model_store.root.resolve(), target_is_directory=True)
    with clearseek_serve(home, "--context", "2048", "--slots", "2") as (url, process):
        httpx.post(f"{url}/chat/completions", json={**STORY, "max_tokens": 2}, timeout=120).raise_for_status()
        yield url, process


@contextmanager
def asked(url: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection that has asked. Leaving the block drops it."""
    parts, text = urlsplit(url), json.dumps(body).encode()
    head = f"POST /chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(text)}\r\n\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        connection.sendall(head.encode() + text)
        yield connection


def gauge(url: str, name: str) -> float:
    found = re.search(rf"^clearseek_{name} (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def assert_it_stops(url: str, engine: psutil.Process) -> None:
    """Soon nobody has a place (`test_leaving` holds it to a second), and the engine computes no longer than its batch
    in hand takes.

    That is counted in processor seconds, so that it holds on a busy machine too: reading LONG to its end, or writing
    STORY, would take several times as many.
    """
    before = cpu(engine)
    until(lambda: gauge(url, "running") == 0 and gauge(url, "waiting") == 0)
    until(lambda: _rests(engine), 30)
    assert cpu(engine) - before < 1.5 * (psutil.cpu_count() or 1)


def _rests(engine: psutil.Process) -> bool:
    before = cpu(engine)
    time.sleep(0.5)
    return cpu(engine) - before < 0.03


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("where", ["queue", "prefill", "decode"])
def test_disconnect_stops_compute(server: tuple[str, psutil.Process], where: str, stream: bool) -> None:
    url, process = server
    engine = engine_of(process)
    tokens = gauge_tokens(url)
    abandoned = gauge(url, "abandoned_total")
    body = {**STORY, "stream": stream}
    if where == "queue":
        with asked(url, STORY), asked(url, STORY):
            until(lambda: gauge(url, "running") == 2)
            with asked(url, body):
                until(lambda: gauge(url, "waiting") == 1)
            until(lambda: gauge(url, "waiting") == 0)
            assert gauge(url, "running") == 2, "the others go on"
    else:
        if where == "prefill":
            body["messages"] = [{"role": "user", "content": f"{time.time()} {LONG}"}]
        with asked(url, body) as connection:
            until(lambda: gauge(url, "running") == 1)
            if where == "prefill":
                time.sleep(0.3)
            elif stream:
                received = b""
                while received.count(b"data: ") < 8:
                    received += connection.recv(65536)
            else:
                time.sleep(1.5)
    assert_it_stops(url, engine)
    assert gauge(url, "abandoned_total") == abandoned + (3 if where == "queue" else 1)
    assert gauge_tokens(url) == tokens, "what was cut short is not counted as answered, and nothing goes on"
    assert engine_of(process).pid == engine.pid, "the engine itself lives"


def gauge_tokens(url: str) -> str:
    return "".join(re.findall(r"^clearseek_tokens_total.*$", httpx.get(f"{url}/metrics").text, re.MULTILINE))


def test_cancelling_one_leaves_the_others_bytes(server: tuple[str, psutil.Process]) -> None:
    url, _ = server
    body = {
        "messages": [{"role": "user", "content": "Write about the moon."}],
        "temperature": 0,
        "seed": 1,
        "max_tokens": 60,
    }

    def ask() -> str:
        message = httpx.post(f"{url}/chat/completions", json=body, timeout=120).json()["choices"][0]["message"]
        return str(message["reasoning_content"]) + "|" + str(message["content"])

    def beside(others: Callable[[], None]) -> str:
        got: list[str] = []
        thread = threading.Thread(target=lambda: got.append(ask()))
        thread.start()
        others()
        thread.join(120)
        return got[0]

    def cancelled() -> None:
        for pause in (0.4, 0.1, 0.6):
            with asked(url, {**STORY, "stream": True}):
                time.sleep(pause)

    alone = ask()
    assert len(alone) > 50
    assert beside(cancelled) == alone
