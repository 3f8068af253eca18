"""A client that goes away stops the work at once, wherever it is; and a full queue says so at once."""

from __future__ import annotations

import gc
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import psutil
import pytest
from scripted import ScriptedPool, endless, serving, until

from clearseek.inference.engine import Progress


def ask(url: str, *, stream: bool) -> socket.socket:
    """A connection that has asked and not yet read."""
    parts = urlsplit(url)
    assert parts.hostname
    body = orjson.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": stream})
    head = f"POST /chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection = socket.create_connection((parts.hostname, parts.port or 80))
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("where", ["queue", "prefill", "decode"])
def test_dropping_the_socket_frees_the_place_and_freezes_the_counter(
    home: Path, where: str, how: str, stream: bool
) -> None:
    script = endless if where == "decode" else lambda request: [Progress(9, 0, 1), 60.0]
    pool = ScriptedPool(script, slots=0 if where == "queue" else 1, capacity=2)
    with serving(pool, home) as url:
        connection = ask(url, stream=stream)
        if where == "queue":
            until(lambda: pool.scheduler.waiting == 1)
        elif where == "prefill":
            until(lambda: len(pool.scheduler.running) == 1)
        else:
            until(lambda: pool.tokens > 3)
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        until(lambda: not pool.scheduler.running and not pool.scheduler.waiting)
        frozen = pool.tokens
        time.sleep(0.1)
        assert pool.tokens == frozen
        assert pool.abandoned == 1
        assert 'status="499"' in httpx.get(f"{url}/metrics").text


def test_leaving_in_the_middle_of_the_body_asks_nothing(url: str, pool: ScriptedPool) -> None:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    connection.sendall(
        f"POST /chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 99\r\n\r\n{{".encode()
    )
    connection.close()
    until(lambda: 'status="499"' in httpx.get(f"{url}/metrics").text)
    assert pool.requests == []


def test_one_over_capacity_is_refused_at_once(home: Path) -> None:
    pool = ScriptedPool(endless, slots=1, capacity=1)
    with serving(pool, home) as url, httpx.Client(base_url=url) as http:
        connections = [ask(url, stream=True), ask(url, stream=False)]
        until(lambda: pool.scheduler.waiting == 1)
        body = {"messages": [{"role": "user", "content": "hi"}]}
        http.get("/health")  # the connection is made
        for stream in (True, False) * 5:
            answer = http.post("/chat/completions", json={**body, "stream": stream})
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["code"] == "too_many_requests"
            assert answer.json()["error"]["type"] == "rate_limit_error"
        assert pool.scheduler.waiting == 1  # refused while the others still ran and waited
        for connection in connections:
            connection.close()
        until(lambda: not pool.scheduler.running and not pool.scheduler.waiting)


@pytest.mark.slow
def test_four_thousand_refusals_leak_nothing(home: Path) -> None:
    pool = ScriptedPool(endless, slots=1, capacity=0)
    process = psutil.Process()
    with serving(pool, home) as url, httpx.Client(base_url=url) as http:
        occupant = ask(url, stream=True)
        until(lambda: len(pool.scheduler.running) == 1)
        body = {"messages": [{"role": "user", "content": "hi " * 1_000}], "stream": True}

        def refuse(times: int) -> None:
            for _ in range(times):
                assert http.post("/chat/completions", json=body).status_code == 429
                pool.requests.clear()
                pool.clients.clear()

        refuse(1_000)  # caches fill, once
        gc.collect()
        objects, memory = len(gc.get_objects()), process.memory_info().rss
        refuse(4_000)
        gc.collect()
        assert len(gc.get_objects()) - objects < 1_000
        assert process.memory_info().rss - memory < 8 * 1024 * 1024
        assert pool.scheduler.refused == 5_000
        assert pool.scheduler.waiting == 0
        occupant.close()
        until(lambda: not pool.scheduler.running)
