"""The servers that `bench serve` compares, each a process of its own, and the load that is put on them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from clearseek.errors import UserError

if TYPE_CHECKING:
    from clearseek.hub.model import Model
    from clearseek.inference.machine import Plan

START_SECONDS = 180
SAMPLE_SECONDS = 0.2


class NotHere(UserError):
    """A peer that this machine does not have; the others are measured without it."""


@dataclass
class ProcessWatch:
    peak_rss: int = 0


@dataclass(frozen=True)
class Server:
    """A server under test. `url` is of its API, without `/chat/completions`."""

    name: str
    url: str
    process: subprocess.Popen[str] = field(repr=False)

    def cpu_seconds(self) -> float:
        """CPU time of the server process itself so far, its children apart."""
        import psutil

        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    @contextlib.contextmanager
    def watched(self) -> Iterator[ProcessWatch]:
        """Follow the memory of the server process (bytes, its children apart) while the block runs."""
        import psutil

        watch, done, process = ProcessWatch(), threading.Event(), psutil.Process(self.process.pid)

        def look() -> None:
            while not done.wait(SAMPLE_SECONDS):
                with contextlib.suppress(psutil.Error):
                    watch.peak_rss = max(watch.peak_rss, process.memory_info().rss)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            done.set()
            thread.join()


def load(arm: Server, users: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Ask, from another process: every user asks its bodies one after another, all users at once."""
    job = json.dumps({"url": f"{arm.url}/chat/completions", "key": "", "users": users})
    done = subprocess.run(
        [sys.executable, "-m", "clearseek.cli.bench_load"], input=job, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UserError(f"{arm.name} did not answer: {done.stderr.strip() or f'exit code {done.returncode}'}")
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def ask_once(url: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """One answer, not streamed: (text, usage)."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/chat/completions", data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            document = json.load(response)
    except urllib.error.HTTPError as error:
        raise UserError(f"The server answered {error.code}: {error.read(500).decode('utf-8', 'replace')}") from None
    return document["choices"][0]["message"]["content"] or "", document["usage"]


@contextlib.contextmanager
def clearseek_server(model: str, plan: Plan, *, metering: bool = True) -> Iterator[Server]:
    """Our server, with the plan spelt out, so that memory used by a peer cannot change it."""
    name = "clearseek" if metering else "unmetered"
    flags = ["--host", "127.0.0.1", "--port", "0", "--model", model, "--context", str(plan.context)]
    flags += ["--slots", str(plan.slots), "--threads", str(plan.threads)]
    command = [sys.executable, "-m", "clearseek.cli.main", "serve", *flags]
    with _process(name, command, {"CLEARSEEK_METERING": "true" if metering else "false"}) as (process, log):
        url = _wait(process, log, lambda: _first_url(log))
        yield Server(name, f"{url}/v1", process)


def unmetered_server(model: Model, plan: Plan) -> AbstractContextManager[Server]:
    """Our server again, booking nothing: what keeping the books costs."""
    return clearseek_server(model.name, plan, metering=False)


@contextlib.contextmanager
def bare_server(model: Model, plan: Plan) -> Iterator[Server]:
    """llama.cpp's own server out of the same wheel."""
    settings = {
        "model": str(model.path),
        "total_context": plan.total_context,
        "slots": plan.slots,
        "threads": plan.threads,
        "cache_mib": plan.cache_mib,
    }
    with _process("bare", [sys.executable, "-m", "clearseek.cli.bench_bare"]) as (process, log):
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        url = _wait(process, log, lambda: _first_url(log))
        yield Server("bare", f"{url}/v1", process)


@contextlib.contextmanager
def llama_cpp_python(model: Model, plan: Plan) -> Iterator[Server]:
    """llama-cpp-python's server, where it is installed. It answers one request at a time."""
    if importlib.util.find_spec("llama_cpp") is None:
        raise NotHere("llama-cpp-python is not installed (pip install 'clearseek[bench]' compiles it)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ["--model", str(model.path), "--host", "127.0.0.1", "--port", str(port)]
    flags += ["--n_ctx", str(plan.context), "--n_threads", str(plan.threads)]
    flags += ["--n_threads_batch", str(plan.threads)]
    with _process("llama-cpp-python", [sys.executable, "-m", "llama_cpp.server", *flags]) as (process, log):
        url = f"http://127.0.0.1:{port}"
        _wait(process, log, lambda: url if _answers(f"{url}/v1/models") else "")
        yield Server("llama-cpp-python", f"{url}/v1", process)


PEERS: dict[str, Callable[[Model, Plan], AbstractContextManager[Server]]] = {
    "bare": bare_server,
    "llama-cpp-python": llama_cpp_python,
    "unmetered": unmetered_server,
}


@contextlib.contextmanager
def _process(
    name: str, command: list[str], more: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A server that writes to a file (a pipe that nobody empties would block it), ended when the block ends."""
    with tempfile.TemporaryFile("w+", prefix=f"bench-{name}-") as log:
        env = {**os.environ, **(more or {})}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True, env=env
        )
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[str], log: IO[str], ready: Callable[[], str]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if url := ready():
            return url
        time.sleep(0.1)
    last_lines = _read(log).strip().splitlines()
    raise UserError(f"A server of the benchmark did not start: {last_lines[-1] if last_lines else 'it said nothing'}")


def _first_url(log: IO[str]) -> str:
    match = re.search(r"http://127\.0\.0\.1:\d+", _read(log))
    return match.group() if match else ""


def _read(log: IO[str]) -> str:
    # its position is shared with the server that writes to it: read without moving it

    return os.pread(log.fileno(), 1_000_000, 0).decode("utf-8", "replace")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
