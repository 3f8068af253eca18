"""Starting and stopping: the address, the port that is taken, the address that needs keys, streams at shutdown."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from real_server import clearseek_serve
from scripted import ScriptedPool, endless, until

from clearseek.conversations.store import ChatStore
from clearseek.errors import UserError
from clearseek.hub.store import Store
from clearseek.server import app as app_module
from clearseek.server.app import create_app, run
from clearseek.server.transport import listen
from clearseek.settings import OWN_MODEL, Settings

SERVE = """
import sys
from clearseek.server.app import run
from clearseek.settings import Settings
run(Settings(port=int(sys.argv[1])))
"""


def start(home: Path, port: int = 0) -> subprocess.Popen[str]:
    """A server in a process of its own, without any model: it starts, and says so when asked."""
    environment = {**os.environ, "CLEARSEEK_HOME": str(home)}
    command = [sys.executable, "-c", SERVE, str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_ends_while_a_page_listens(home: Path, how: signal.Signals) -> None:
    process = start(home)
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line.startswith("ClearSeek is at http://127.0.0.1:")
    url = line.split()[-1]
    with httpx.stream("GET", f"{url}/api/live") as events:
        assert events.status_code == 200
        began = time.monotonic()
        process.send_signal(how)
        process.wait(60)
        assert time.monotonic() - began < 50
    assert process.returncode in (0, -how)
    assert process.stdout.read() == ""
    assert "Traceback" not in process.stderr.read()


def test_a_port_in_use_is_a_sentence_that_says_how_to_choose_another(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"Port {port} on 127.0.0.1 is in use.*--port"):
            run(Settings(port=port))


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid", "x" * 300])
def test_an_address_that_is_not_ours_is_a_sentence(host: str) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1"):
        listen(host, 0)


def test_what_cannot_be_opened_is_told_and_not_logged_as_a_crash(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(path: Path) -> ChatStore:
        raise UserError("The chat history is broken.")

    monkeypatch.setattr(app_module, "ChatStore", broken)
    with pytest.raises(UserError, match="history is broken"):
        run(Settings(port=0))
    assert capfd.readouterr() == ("", "")


async def test_shutdown_ends_running_answers(home: Path) -> None:
    pool = ScriptedPool(endless)
    app = create_app(
        Settings(),
        store=Store(home / "models"),
        pool=pool,
        chats=ChatStore(home / "chat.sqlite"),  # type: ignore[arg-type]
    )
    async with app.router.lifespan_context(app):
        services = app.state.services
        conversation = services.chats.create("local")
        await services.generations.ask("local", conversation.id, "hi", None)
        await asyncio.to_thread(until, lambda: pool.tokens > 0)
    assert not pool.scheduler.running
    chats = ChatStore(home / "chat.sqlite")
    assert [m.status for m in chats.conversation("local", conversation.id).messages if m.role == "assistant"] == [
        "interrupted"
    ]
    chats.close()


@pytest.mark.slow
def test_serve_answers_with_the_real_model(real_home: Path) -> None:
    with clearseek_serve(real_home) as (url, _):
        body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 5}
        answer = httpx.post(f"{url}/chat/completions", json=body, timeout=60).json()
        assert answer["usage"]["completion_tokens"] == 5
        state = httpx.get(f"{url}/api/state").json()
        assert state["models"][0]["digest"] == answer["clearseek"]["model_digest"]
        assert answer["clearseek"]["receipt_digest"] is None, "others made these weights"
        receipt = Store(real_home / "models").find("smollm2-135m-instruct").path.parent / "receipt.json"
        receipt.write_bytes(b"{}")
        try:
            answer = httpx.post(f"{url}/chat/completions", json=body, timeout=60).json()
        finally:
            receipt.unlink()
        assert answer["clearseek"]["receipt_digest"] == hashlib.sha256(b"{}").hexdigest()
        # the answer names its weights, and the weights their receipt
        own = Store(real_home / "models").find(OWN_MODEL)
        answer = httpx.post(f"{url}/chat/completions", json=body | {"model": OWN_MODEL}, timeout=60).json()
        assert answer["clearseek"]["model_digest"] == own.sha256
        paper = own.path.parent / "receipt.json"
        assert answer["clearseek"]["receipt_digest"] == hashlib.sha256(paper.read_bytes()).hexdigest()
