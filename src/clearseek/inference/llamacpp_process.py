"""One llama.cpp child process: started, watched, ended. A crash kills the child, not the chat."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil

from clearseek.inference.errors import EngineUnavailable
from clearseek.inference.machine import Plan

START_SECONDS = 300
"""A 70B file on a cold disk takes minutes; longer than this and something is wrong."""


SPINS = "1000"
"""How often a thread of the engine looks whether the others are ready before it sleeps (libgomp's default is 300,000).
At a barrier, of which one token has hundreds, the default burns a whole time slice whenever another program, such as
the browser that shows the answer, has taken the other's core: see docs/lab/log.md."""


HUNG_SECONDS = 120.0
"""A child that is asked for something and uses next to no CPU time for so long has hung, and is ended. How long an
answer takes does not matter: a prompt may be read for an hour, and keeps the cores busy all the while."""
HUNG_SHARE = 0.005
"""CPU seconds in a second that are next to none."""


def _environment() -> dict[str, str]:
    return {"GOMP_SPINCOUNT": SPINS} | dict(os.environ)


class LlamaProcess:
    """A running child. Make one with `start`; `session` is the way to reach it."""

    def __init__(self, process: asyncio.subprocess.Process, key: str) -> None:
        self.process = process
        self.key = key
        self._times = psutil.Process(process.pid)
        self._session: aiohttp.ClientSession | None = None
        self.log: collections.deque[str] = collections.deque(maxlen=40)
        self._reader = asyncio.create_task(self._read_log())
        self._asked = 0
        self._hung = False
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, model: Path, plan: Plan) -> LlamaProcess:
        """Starts a child and waits until the model is loaded. Raises EngineUnavailable with its reason."""
        key = secrets.token_urlsafe(32)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "clearseek.inference.llamacpp_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            # Its own session: Ctrl-C in the terminal is for us, and we end the child when we are done.
            start_new_session=True,
        )
        child = cls(process, key)
        settings = {
            "model": str(model),
            "key": key,
            "total_context": plan.total_context,
            "slots": plan.slots,
            "threads": plan.threads,
            "batch": plan.batch,
            "cache_mib": plan.cache_mib,
        }
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            await process.stdin.drain()
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        except TimeoutError:
            await child.stop()
            raise EngineUnavailable(f"The engine did not load {model.name} within {START_SECONDS} seconds.") from None
        except ConnectionError:
            line = b""
        except asyncio.CancelledError:
            await child.stop()
            raise
        data = json.loads(line) if line.startswith(b"{") else {}
        if "url" not in data:
            await child.stop()
            raise EngineUnavailable(child.failure(model, data.get("error")))
        # No total timeout: an answer may take an hour. No proxy: this is the loopback.
        child._session = aiohttp.ClientSession(
            base_url=data["url"],
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            # llama.cpp drops the connection after a stream without announcing it: never reuse one.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        )
        return child

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    def failure(self, model: Path, error: str | None) -> str:
        """One sentence on why the model did not load: the child's own words where it had any."""
        complaints = [line for line in self.log if " E " in line or "error" in line.lower()]
        reason = complaints[0].split(":", 1)[-1].strip() if complaints else error
        if not reason:
            reason = f"the engine ended with {self.ending()}"
        reason = reason.rstrip(".")
        return f"The engine could not load {model.name}: {reason}. Check the file with `clearseek models show`."

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """While somebody waits for the child it is watched: one that has hung is ended, and they are told."""
        self._asked += 1
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._asked -= 1

    async def _watch(self) -> None:
        while self._asked and self.alive:
            before = self.cpu_seconds()
            for _ in range(8):
                await asyncio.sleep(HUNG_SECONDS / 8)
                if not self._asked:
                    return
            after = self.cpu_seconds()
            if before is None or after is None:
                return
            if after - before < HUNG_SECONDS * HUNG_SHARE and self.alive:
                self._hung = True
                self.process.kill()

    def cpu_seconds(self) -> float | None:
        """CPU time that the child has used so far, all its threads together; None when it is gone."""
        try:
            times = self._times.cpu_times()
        except psutil.Error:
            return None
        return float(times.user + times.system)

    def ending(self) -> str:
        """How the process ended, in words."""
        code = self.process.returncode
        if self._hung:
            return f"it did nothing for {HUNG_SECONDS:.0f} seconds and was ended"
        if code is None:
            return "no exit code (it still runs)"
        if code < 0:
            try:
                return f"signal {signal.Signals(-code).name}"
            except ValueError:
                return f"signal {-code}"
        return f"exit code {code}"

    async def stop(self) -> None:
        """Ends the child: closes its stdin, and kills it if that is not enough. Safe to call twice."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self._session is not None:
            await self._session.close()
        if self.alive:
            if self.process.stdin is not None:
                self.process.stdin.close()
            try:
                await asyncio.wait_for(self.process.wait(), 2)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        # The log may be held open by nobody now: it ends by itself, and is worth having when it tells why.
        await asyncio.wait([self._reader], timeout=1)
        self._reader.cancel()

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        while True:
            try:
                line = await self.process.stderr.readline()
            except ValueError:
                continue  # a line longer than the buffer: llama.cpp printing a template; not worth keeping
            if not line:
                return
            self.log.append(line.decode("utf-8", "replace").rstrip())
