"""The answer is a Python program: it runs in a process of its own behind walls, and what it prints is compared here.

The expected output never enters that process: only the input does, on stdin.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from clearseek.tasks import jail
from clearseek.tasks.verifiers.bounds import NOTHING, RIGHT, Options, Verdict, refused

MAX_PROGRAM = 20_000
MAX_OUTPUT = 1 << 20
MAX_TESTS = 50
MEMORY = 512 << 20
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)\n?```", re.DOTALL)


def code(reference: str, answer: str, options: Options) -> Verdict:
    """`options["tests"]` is a list of `{"input": .., "output": ..}`; right when every output is, white space at the
    end of lines apart. Without tests the program's output is compared with the reference answer. `seconds` bounds
    each test (default 5)."""
    if len(answer) > MAX_PROGRAM:
        return refused(f"longer than {MAX_PROGRAM} characters")
    fences = _FENCE.findall(answer)
    if len(fences) > 1:
        return refused("more than one program")
    program = fences[0] if fences else answer
    if not program.strip():
        return NOTHING
    if "\x00" in program:
        return refused("the character U+0000")
    tests = options.get("tests") or [{"input": "", "output": reference}]
    seconds = float(options.get("seconds", 5.0))
    for number, test in enumerate(list(tests)[:MAX_TESTS], 1):
        output, trouble = run(program, str(test.get("input", "")), seconds)
        if trouble:
            return 0.0, f"test {number}: {trouble}"
        if _lines(output) != _lines(str(test.get("output", ""))):
            return 0.0, f"test {number}: wrong output"
    return RIGHT


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def run(program: str, stdin: str, seconds: float) -> tuple[str, str]:
    """`(what it printed, "")`, or `("", what went wrong)`. Returns within `seconds` and a little."""
    folder = tempfile.mkdtemp(prefix="clearseek-code-")
    try:
        inner = Path(folder) / "work"
        inner.mkdir()
        source = Path(folder) / "answer.py"
        source.write_text(program, "utf-8", errors="replace")
        return _run(source, inner, stdin, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(source: Path, folder: Path, stdin: str, seconds: float) -> tuple[str, str]:
    command = [sys.executable, "-I", "-S", "-B", str(Path(jail.__file__)), str(source), str(folder)]
    process = subprocess.Popen(
        [*command, str(max(1, round(seconds))), str(MEMORY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONHASHSEED": "0", "PATH": "", "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8"},
        cwd=folder,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    feeder = threading.Thread(target=_feed, args=(process, stdin.encode()), daemon=True)
    feeder.start()
    timer = threading.Timer(seconds, _kill, (process,))
    started = time.monotonic()
    timer.start()
    try:
        output = process.stdout.read(MAX_OUTPUT + 1)
        if len(output) <= MAX_OUTPUT and not hasattr(os, "waitid"):  # macOS: its number is given up a moment earlier
            process.wait()
        elif len(output) <= MAX_OUTPUT:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and its number still its own
    finally:
        timer.cancel()
        _kill(process)  # whatever it left in its session
        process.wait()
        process.stdout.close()
    if len(output) > MAX_OUTPUT:
        return "", "more than 1 MB of output"
    if time.monotonic() - started >= seconds or process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "", "too slow"
    if process.returncode != 0:
        return "", "the program failed"
    return output.decode("utf-8", errors="replace"), ""


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(content)
        process.stdin.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # after that its number may be another's
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
