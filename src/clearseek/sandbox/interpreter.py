"""Python in pydantic-monty: worker processes with an interpreter in which files, network and processes do not exist.

    with shared_interpreter().session(seed=1, now=datetime.now()) as session:
        session.run("x = 46 * 38\\nx").output        "1748"
        session.run("x / 0").error                   "ZeroDivisionError: division by zero (line 1)"

Nothing is random but by the seed, the clock stands still at `now`, and sleeping takes no time: the same code gives the
same output, on any machine.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from clearseek.errors import UserError
from clearseek.sandbox.program import MAX_OUTPUT, Ended, last_line
from clearseek.sandbox.values import shown

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession

MAX_CODE = 20_000
"""Characters of one piece of code."""
MAX_PRINTED = 1 << 20
"""Bytes that one run may print; what is given back of them is bounded by `ExecutionLimits.output`."""
PROGRAM_MEMORY = 256 << 20
DAY = datetime(2026, 1, 1, 12)
"""What the clock of a program says that runs by itself."""
SESSIONS_AT_ONCE = 16
"""Each has a worker process of its own, of a few megabytes; one more waits until one is closed."""
SESSIONS_A_WORKER = 1000
"""Then a worker process is replaced, so that whatever leaks cannot grow."""
MISSING = (
    "Python that a model writes is run by pydantic-monty, which is not installed here: pip install pydantic-monty "
    "(there are builds for Linux and macOS)."
)


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """Of one run: seconds, bytes of memory, characters given back."""

    seconds: float = 2.0
    memory: int = 64 << 20
    output: int = 4000


@dataclass(frozen=True, slots=True)
class CodeResult:
    """One piece of code, and what came of it. `printed` and `value` (of a last expression) are cut to the limit of
    output, `error` is the last line of an error, "" where there was none."""

    code: str
    printed: str
    value: str
    error: str
    seconds: float
    cut: bool

    @property
    def output(self) -> str:
        """What a notebook shows below a cell: what was printed, then the value or the error, on lines of their own."""
        printed = self.printed.removesuffix("\n")
        return "\n".join(part for part in (printed, self.error or self.value) if part)


@functools.cache
def missing() -> str:
    """Why no code can be run here, in a sentence; "" where it can."""
    try:
        import pydantic_monty  # noqa: F401
    except ImportError:
        return MISSING
    return ""


class Interpreter:
    """A pool of workers, started when first needed. May be used from several threads. Raises UserError where the
    interpreter is not installed."""

    def __init__(self, processes: int = SESSIONS_AT_ONCE) -> None:
        self._processes = processes
        self._pool: Monty | None = None
        self._quiet: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def session(
        self, limits: ExecutionLimits = ExecutionLimits(), *, seed: int | str, now: datetime
    ) -> InterpreterSession:
        """A place where code keeps its names from run to run. `seed`: of `random`; `now`: what its clock says."""
        return InterpreterSession(self, limits, seed, now)

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
            if self._quiet is not None:
                self._quiet.cleanup()
            self._pool = self._quiet = None

    def _opened(self) -> Monty:
        from pydantic_monty import Monty

        with self._lock:
            if self._pool is None:
                self._quiet = tempfile.TemporaryDirectory(prefix="clearseek-sandbox-")
                pool = Monty(
                    binary_path=_without_stderr(Path(self._quiet.name)),
                    max_processes=self._processes,
                    max_checkouts_per_worker=SESSIONS_A_WORKER,
                )
                pool.__enter__()
                self._pool = pool
            return self._pool


@functools.cache
def shared_interpreter() -> Interpreter:
    """The one of this process, which ends with it."""
    shared = Interpreter()
    atexit.register(shared.close)
    return shared


class InterpreterSession:
    """See `Interpreter.session`. After a run that took too long, too much memory or the worker's life, the names that
    were there are gone."""

    def __init__(self, owner: Interpreter, limits: ExecutionLimits, seed: int | str, now: datetime) -> None:
        self._owner, self._limits, self._seed, self._now = owner, limits, seed, now
        self._inner: MontySession | None = None

    def __enter__(self) -> InterpreterSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            with contextlib.suppress(Exception):  # a worker that is gone cannot be given back, and need not be
                inner.__exit__(None, None, None)

    def run(self, code: str, stdin: str = "") -> CodeResult:
        """Run a piece of code; what it does wrong is in the result, never an exception. `input()` reads the lines of
        `stdin`. Raises UserError where the interpreter is not installed."""
        if missing():
            raise UserError(missing())
        began = time.perf_counter()
        if len(code) > MAX_CODE:
            return CodeResult(code, "", "", f"ValueError: code of more than {MAX_CODE:,} characters", 0.0, False)
        printed, value, error, gone = self._feed(code, stdin)
        if gone:
            self.close()
        most = self._limits.output
        cut = len(printed) > most or len(value) > most
        seconds = time.perf_counter() - began
        return CodeResult(code, _cut(printed, most), _cut(value, most), _cut(error, most), seconds, cut)

    def _feed(self, code: str, stdin: str) -> tuple[str, str, str, bool]:
        """What was printed, the value, the error, and whether the worker's state is to be thrown away."""
        import pydantic_monty as monty

        sink = monty.CollectString(MAX_PRINTED)
        try:
            value = self._open().feed_run(
                code, print_callback=sink, external_lookup={"input": functools.partial(_line_of, _lines(stdin))}
            )
            return sink.output, shown(value, self._limits.output), "", False
        except monty.MontyCrashedError:
            return sink.output, "", "RuntimeError: the interpreter was ended in mid-run", True
        except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
            text, gone = self._told(error)
            return sink.output, "", text, gone
        except (monty.MontyError, ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
            return sink.output, "", f"{type(error).__name__}: {error}", False

    def _open(self) -> MontySession:
        if self._inner is None:
            from clearseek.sandbox.modules import host_modules

            inner = self._owner._opened().checkout(
                script_name="code.py",
                limits={
                    "max_feed_duration_secs": self._limits.seconds,
                    "max_memory": self._limits.memory,
                    "max_recursion_depth": 1000,
                    "max_suspensions": 100_000,
                },
                os_policy={"datetime": self._now, "sleep": "zero", "random_start": {"seed": self._seed}},
                external_modules=host_modules(),
            )
            inner.__enter__()
            self._inner = inner
        return self._inner

    def _told(self, error: Any) -> tuple[str, bool]:
        """The last line of an error, with the line of the code; and whether state is lost with it."""
        text = str(error.display("type-msg"))
        if text.startswith("TimeoutError: feed time limit"):
            return f"TimeoutError: longer than {self._limits.seconds:g} s", True
        if text.startswith("MemoryError: "):
            if text.endswith(f"> {MAX_PRINTED} bytes"):
                return f"MemoryError: more than {MAX_PRINTED >> 20} MB were printed", True
            return f"MemoryError: more than {self._limits.memory >> 20} MB", True
        frames = [frame.line for frame in error.traceback() if frame.filename.startswith(("<python-input", "code.py"))]
        last = " ".join(text.split())
        return f"{last} (line {frames[-1]})" if frames else last, False


def run_program(program: str, stdin: str, seconds: float) -> Ended:
    """A whole program, as `cpython.run` runs one: by itself, its input in lines, its output as it was printed. Its
    random numbers are always the same, and its day is `DAY`."""
    if why := missing():
        return Ended("", why, unavailable=True)
    with shared_interpreter().session(ExecutionLimits(seconds, PROGRAM_MEMORY, MAX_OUTPUT), seed=0, now=DAY) as session:
        run = session.run(program, stdin)
    if not run.error:
        return Ended(run.printed, "")
    slow = run.error.startswith("TimeoutError: longer")
    return Ended(run.printed, "too slow" if slow else f"the program failed: {last_line(run.error)}")


def _without_stderr(folder: Path) -> Path | None:
    """The worker's program with its stderr closed: it writes there of every run that took too much memory, and the
    terminal is somebody's."""
    found = shutil.which("monty", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if found is None:
        return None  # it lies where pydantic-monty knows
    binary, script = Path(found), folder / "monty"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(binary))} "$@" 2>/dev/null\n')
    script.chmod(0o700)
    try:
        subprocess.run([script, "--version"], stdout=subprocess.DEVNULL, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):  # no program may be run from there; then it may write as it likes
        return binary
    return script


def _lines(text: str) -> Iterator[str]:
    return iter(text.splitlines())


def _line_of(lines: Iterator[str], prompt: object = "") -> str:
    """What `input` reads."""
    for line in lines:
        return line
    raise EOFError("EOF when reading a line")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"
