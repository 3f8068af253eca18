"""The answer is a Python program: it runs in a process of its own behind walls, and what it prints is compared here.

The expected output never enters that process: only the input does, on stdin.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import IO

from clearseek.tasks import jail
from clearseek.tasks.verifiers.answer_bounds import NOTHING, RIGHT, Options, Verdict, refused
from clearseek.tasks.verifiers.generator_scorer import SILENT

MAX_PROGRAM = 20_000
MAX_OUTPUT = 1 << 20
MAX_TESTS = 50
MEMORY = 512 << 20
MAX_TOLD = 400
_FENCE = re.compile(r"^[ \t]*+(?P<fence>`{3,}+|~{3,}+)(?P<of>[^\n`]*+)$", re.MULTILINE)
_PYTHON = frozenset({"", "python", "py", "python3", "py3", "python 3", "{.python}"})
NO_WALL = (
    "The verifier `code` runs programs that a model wrote, and this system lets no wall be built around them (it needs "
    "Linux 5.13 with Landlock, and user namespaces): run it there as a plain user, in a container that allows user "
    "namespaces, or in a virtual machine."
)


class BadFence(Exception):
    """The program cannot be told from what stands around it, and why."""


def code(reference: str, answer: str, options: Options) -> Verdict:
    """`options["tests"]` is a list of `{"input": .., "output": ..}`; right when every output is, white space at the
    end of lines apart. Without tests the program's output is compared with the reference answer. `seconds` bounds
    each test (default 5)."""
    if len(answer) > MAX_PROGRAM:
        return refused(f"longer than {MAX_PROGRAM} characters")
    try:
        program = program_of(answer)
    except BadFence as error:
        return refused(str(error))
    if not program.strip():
        return NOTHING
    if "\x00" in program:
        return refused("the character U+0000")
    tests = options.get("tests") or [{"input": "", "output": reference}]
    seconds = float(options.get("seconds", 5.0))
    for number, test in enumerate(list(tests)[:MAX_TESTS], 1):
        output, trouble = run(program, str(test.get("input", "")), seconds)
        if trouble == NO_WALL and missing_wall():
            return 0.0, f"{SILENT} {trouble}"
        if trouble:
            return 0.0, f"test {number}: {trouble}"
        if _lines(output) != _lines(str(test.get("output", ""))):
            return 0.0, f"test {number}: wrong output"
    return RIGHT


def program_of(answer: str) -> str:
    """The program in an answer: what one fence of Python holds, or all of it. Raises BadFence."""
    results: list[str] = []
    opened = None
    for mark in _FENCE.finditer(answer):
        if opened is None:
            opened = mark
        elif not mark["of"].strip() and mark["fence"].startswith(opened["fence"]):  # what closes names no language
            language = opened["of"].strip().casefold()
            if language not in _PYTHON:
                raise BadFence(f"a program in {language[:20]}, and not in Python")
            results.append(textwrap.dedent(answer[opened.end() + 1 : max(opened.end() + 1, mark.start())]))
            opened = None
    if opened is not None:
        raise BadFence("a code fence that does not end")
    if len(results) > 1:
        raise BadFence("more than one program")
    return results[0] if results else answer


@functools.cache
def missing_wall() -> str:
    """Why no program of a model can be run here, in a sentence; "" where one can."""
    return NO_WALL if run("pass", "", 20.0)[1] == NO_WALL else ""


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
        with (Path(folder) / "errors").open("w+b") as errors:
            return _run(source, inner, stdin, seconds, errors)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(source: Path, folder: Path, stdin: str, seconds: float, errors: IO[bytes]) -> tuple[str, str]:
    command = [sys.executable, "-I", "-S", "-B", str(Path(jail.__file__)), str(source), str(folder)]
    process = subprocess.Popen(
        [*command, str(max(1, round(seconds))), str(MEMORY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
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
    if process.returncode == jail.NO_WALL and not output:
        return "", NO_WALL
    if process.returncode in (128 + signal.SIGXCPU, 128 + signal.SIGKILL):
        return "", "too slow, or too large"
    if process.returncode != 0:
        return "", f"the program failed{_told(errors)}"
    return output.decode("utf-8", errors="replace"), ""


def _told(errors: IO[bytes]) -> str:
    """The last line that the program's process said, as text that can be shown: an exception, mostly."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - MAX_TOLD))
    text = errors.read(MAX_TOLD).decode("utf-8", errors="replace").strip().rpartition("\n")[2]
    shown = "".join(char if char.isprintable() else " " for char in text).strip()
    return f": {shown}" if shown else ""


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(content)
        process.stdin.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # after that its number may be another's
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
