"""A child process that answers questions, one JSON line each way, and is ended when it takes too long.

What runs there is not trusted to end: sympy on an answer somebody wrote, a scorer of another package, a user's own
file. The child is started when it is first asked, and again after it was ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any

MAX_REPLY = 4 << 20
START_SECONDS = 60.0
"""How long a child may take to say that it is there: it imports sympy or a user's own file, on a busy machine."""


class ChildTooSlow(Exception):
    """It did not answer in time, and was ended."""


class ChildDied(Exception):
    """It ended by itself, or said something that is no answer."""


class Child:
    """`arguments` follow `python`. Usable from several threads; one question at a time."""

    def __init__(self, arguments: Sequence[str], start_seconds: float = START_SECONDS) -> None:
        self._arguments = list(arguments)
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._buffer = b""

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Its reply. Raises ChildTooSlow or ChildDied; the next question starts a new child."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                process = self._start()
            try:
                assert process.stdin is not None
                line = json.dumps(message).encode() + b"\n"
                process.stdin.write(line)
                process.stdin.flush()
                return self._reply(process, seconds)
            except (BrokenPipeError, OSError):
                self._end()
                raise ChildDied("it ended") from None
            except BaseException:  # a reply that is still under way must never answer the next question
                self._end()
                raise

    def start(self) -> None:
        """So that it is there. Raises ChildTooSlow or ChildDied."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    def close(self) -> None:
        with self._lock:
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        # A fixed hash seed: what a generator draws from a set must not differ from one run to the next.
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        process = subprocess.Popen(
            [sys.executable, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._process, self._buffer = process, b""
        weakref.finalize(self, _kill, process)  # at the interpreter's end too
        try:
            hello = self._reply(process, self._start_seconds)
        except BaseException:
            self._end()
            raise
        if error := hello.get("error"):
            self._end()
            raise ChildDied(str(error))
        return process

    def _reply(self, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        assert process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise ChildTooSlow(f"no answer within {seconds:g} s")
            block = os.read(process.stdout.fileno(), 1 << 16)
            if not block:
                raise ChildDied("it ended")
            self._buffer += block
            if len(self._buffer) > MAX_REPLY:
                raise ChildDied("it said more than 4 MB")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            raise ChildDied("it said something that is no JSON") from None
        if not isinstance(reply, dict):
            raise ChildDied("it said something that is no JSON object")
        return reply

    def _end(self) -> None:
        if self._process is not None:
            _kill(self._process)
            self._process = None


class Patience:
    """How long a scorer may take for one answer: `seconds`, until it has hung `HANGS` times; from then on twenty times
    what its slowest answer took, and at least half a second. A scorer that hangs on every wrong answer must not cost
    its whole limit each time, and one that never hangs is never cut shorter than its limit."""

    HANGS = 3
    AT_LEAST = 0.5
    TIMES = 20.0

    def __init__(self, seconds: float) -> None:
        self.limit = seconds
        self._slowest = self._hangs = 0.0
        self._answered = False

    @property
    def seconds(self) -> float:
        if self._hangs < self.HANGS or not self._answered:
            return self.limit
        return min(self.limit, max(self.AT_LEAST, self.TIMES * self._slowest))

    def ask(self, child: Child, message: dict[str, Any]) -> dict[str, Any]:
        """As `Child.ask`; the time a child takes to start does not count."""
        child.start()
        began = time.monotonic()
        try:
            reply = child.ask(message, self.seconds)
        except ChildTooSlow:
            self._hangs += 1
            raise
        self._slowest, self._answered = max(self._slowest, time.monotonic() - began), True
        return reply


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The child and whatever it started in its session."""
    if process.poll() is None:  # after that its number may be another's
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
