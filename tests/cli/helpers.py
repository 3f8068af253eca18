"""Running the real program: as a child, and as a child on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ANSI = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07|[=>()][0-9A-Z]?)")

KEPT = ("CLEARSEEK_MODEL",)
"""What `real_home` says stays said."""


def environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CLEARSEEK_") or key in KEPT}
    return {**kept, "CLEARSEEK_HOME": str(home), "COLUMNS": "100", "TERM": "xterm-256color"}


def clearseek(*args: str, home: Path, stdin: str | None = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run `clearseek args`; `stdin` is piped in. Past its time it is ended with all that it started."""
    command = [sys.executable, "-m", "clearseek.cli.main", *args]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class OnTerminal:
    """`clearseek args` on a pseudo-terminal. `seen` is everything it wrote."""

    def __init__(self, *args: str, home: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {**environment(home), "LINES": "30"}
            os.execve(sys.executable, [sys.executable, "-m", "clearseek.cli.main", *args], env)
        self.seen = ""
        self._at = 0

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, pattern: str, seconds: float = 300) -> str:
        """Read until the pattern comes after what was already waited for; returns what was written up to it."""
        deadline = time.monotonic() + seconds
        while True:
            new = ANSI.sub("", self.seen)[self._at :]
            if found := re.search(pattern, new):
                self._at += found.end()
                return new[: found.end()]
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {new[-2000:]!r}"
            assert self._read(min(left, 0.5)) or left > 0

    def end(self, seconds: float = 120) -> int:
        """Wait for the program to leave; returns its exit code (128 + signal if a signal ended it)."""
        deadline = time.monotonic() + seconds
        while True:
            self._read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, f"it did not leave; it said {self.seen[-2000:]!r}"

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # Linux's way of saying that the other end is closed
            return False
        self.seen += data.decode("utf-8", "replace")
        # answer what prompt_toolkit asks a terminal: where the cursor is
        if b"\x1b[6n" in data:
            os.write(self.fd, b"\x1b[30;1R")
        return bool(data)
