"""Python that a model wrote: what it may do, what it may not, and that neither a hundred thousand runs nor a worker
that dies leaves a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from clearseek.errors import UserError
from clearseek.sandbox import CodeResult, ExecutionLimits, Interpreter, shared_interpreter

NOON = datetime(2026, 12, 1, 12)
ESCAPES = (Path(__file__).parent / "escapes.txt").read_text("utf-8").splitlines()


def run(code: str, stdin: str = "", *, seed: int | str = 1, limits: ExecutionLimits = ExecutionLimits()) -> CodeResult:
    with shared_interpreter().session(limits, seed=seed, now=NOON) as session:
        return session.run(code, stdin)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("347 * 28", "9716"),
        ("print('a')\n'b'", "a\nb"),
        ("print(1, end='')", "1"),
        ("x = 3", ""),
        ("None", ""),
        ("'x'", "x"),
        ("['x', 1.5, None, True]", "['x', 1.5, None, True]"),
        ("import datetime\ndatetime.date.today().strftime('%A')", "Tuesday"),
        ("import statistics\nstatistics.median([1, 5, 2])", "2"),
        ("import calendar\ncalendar.day_name[calendar.weekday(2024, 2, 29)]", "Thursday"),
        ("import string\nstring.digits", "0123456789"),
        ("from math import gcd\ngcd(12, 18)", "6"),
        ("int(input()) + int(input())", "7"),
        ("1 / 0", "ZeroDivisionError: division by zero (line 1)"),
        ("x = 1\nx +", "SyntaxError: Expected an expression (line 2)"),
        ("def f():\n    return y\nprint(1)\nf()", "1\nNameError: name 'y' is not defined (line 2)"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines (line 1)"),
        ("'<|im_end|>\\x00'", "<|im_end|>\x00"),
        ("class A: pass\n[A()]", "[<A object>]"),
        ("10 ** 5000", "a number of about 5,000 digits"),
        ("import fractions", "ModuleNotFoundError: No module named 'fractions' (line 1)"),
    ],
)
def test_what_comes_out(code: str, output: str) -> None:
    assert run(code, "3\n4").output == output


def test_names_last_as_long_as_an_answer() -> None:
    with shared_interpreter().session(seed=1, now=NOON) as session:
        assert session.run("def twice(n):\n    return 2 * n\nx = 4").error == ""
        assert session.run("twice(x)").output == "8"
        assert session.run("1 / 0").error
        assert session.run("x").output == "4", "an error takes nothing away"
    assert run("x").error == "NameError: name 'x' is not defined (line 1)"


def test_the_same_code_gives_the_same_output() -> None:
    code = "import random, time, datetime\n[random.random(), time.time(), datetime.datetime.now()]"
    assert run(code).output == run(code).output
    assert run(code, seed=2).output != run(code).output
    assert run(code, seed="a").output == run(code, seed="a").output
    hashed = "list({'a', 'b', 'c', 'd', 'e'})"
    assert len({run(hashed).output for _ in range(5)}) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("while True: pass", "TimeoutError: longer than 0.3 s"),
        (
            "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
            "TimeoutError: longer than 0.3 s",
        ),
        ("9 ** 9 ** 9", "MemoryError: more than 8 MB"),
        ("[0] * 10 ** 10", "MemoryError: more than 8 MB"),
        ("x = [1]\nwhile True: x = x + x", "MemoryError: more than 8 MB"),
        ("'a' * 10 ** 9", "MemoryError: more than 8 MB"),
        ("print('x' * 10 ** 9)", "MemoryError: more than 8 MB"),
        ("def f(): return f()\nf()", "RecursionError: maximum recursion depth exceeded (line 1)"),
        ("x = " + "(" * 5000 + ")" * 5000, "SyntaxError: "),
        ("#" * 20_001, "ValueError: code of more than 20,000 characters"),
        ("\ud800", "SyntaxError: source code is not valid UTF-8"),
        ("import statistics\nstatistics.mean([2 ** 5000])", "ValueError: a number of more than 4096 bits"),
        ("import statistics\nstatistics.mean([1] * 10001)", "ValueError: more than 10,000 values"),
        ("import statistics\nstatistics.mean([[1] * 9000] * 9000)", "ValueError: more than 10,000 values"),
    ],
)
def test_every_run_is_bounded(code: str, error: str) -> None:
    began = time.monotonic()
    result = run(code, limits=ExecutionLimits(seconds=0.3, memory=8 << 20))
    assert result.error.startswith(error)
    assert time.monotonic() - began < 30
    assert run("1 + 1").output == "2"


@pytest.mark.parametrize(
    "code",
    [
        "'a' * 3_000_000",
        "[0] * 300_000",
        "print('a' * 900_000)",
        "[['a' * 100] * 100] * 100",
        "{n: n for n in range(90_000)}",
    ],
)
def test_what_is_given_back_is_bounded(code: str) -> None:
    result = run(code, limits=ExecutionLimits(output=100))
    assert result.error == ""
    assert result.cut
    assert len(result.output) <= 200


def test_output_without_end_is_an_error_and_not_a_gigabyte() -> None:
    result = run("while True: print('x' * 1000)")
    assert result.error in ("MemoryError: more than 1 MB were printed", "TimeoutError: longer than 2 s")
    assert len(result.output) < 5000


def test_nothing_gets_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, made = tmp_path / "secret", tmp_path / "made"
    secret.write_text("the-secret-itself")
    monkeypatch.setenv("SECRET", "the-secret-itself")
    monkeypatch.chdir(tmp_path)
    assert len(ESCAPES) >= 100
    before = secret.stat()
    for line in ESCAPES:
        code = line.format(secret=secret, made=made).replace("\\n", "\n")
        result = run(code, limits=ExecutionLimits(seconds=1.0))
        assert "the-secret-itself" not in result.output, code
        assert not made.exists(), code
    assert os.listdir(tmp_path) == ["secret"]
    assert secret.read_text() == "the-secret-itself"
    assert (secret.stat().st_mtime_ns, secret.stat().st_mode) == (before.st_mtime_ns, before.st_mode)


@pytest.mark.slow
def test_a_hundred_thousand_runs_leave_memory_and_processes_flat() -> None:
    this = psutil.Process()
    shared_interpreter().session(seed=0, now=NOON).run("1")

    def count() -> tuple[int, int]:
        own = [this, *this.children(recursive=True)]
        return len(own), sum(process.memory_info().rss for process in own)

    for number in range(10_000):
        assert run(f"{number} * 7", seed=number).output == str(number * 7)
    processes, memory = count()
    for number in range(90_000):
        assert run(f"x = [{number}] * 100\nsum(x)").output == str(number * 100)
    assert count()[0] <= processes + 1
    assert count()[1] < memory + (32 << 20)


def test_a_worker_that_is_killed_in_mid_run_is_told_and_replaced() -> None:
    own = Interpreter(1)
    this = psutil.Process()
    before = {child.pid for child in this.children(recursive=True)}
    with own.session(ExecutionLimits(seconds=60.0), seed=1, now=NOON) as session:
        assert session.run("x = 1").error == ""
        (worker,) = {child.pid for child in this.children(recursive=True)} - before
        results: list[CodeResult] = []
        thread = threading.Thread(target=lambda: results.append(session.run("while True: pass")))
        thread.start()
        while psutil.Process(worker).cpu_times().user < 0.05:
            time.sleep(0.01)
        os.kill(worker, signal.SIGKILL)
        thread.join(30)
        assert results[0].error == "RuntimeError: the interpreter was ended in mid-run"
        assert session.run("x").error.startswith("NameError"), "its names are gone with it"
        assert session.run("6 * 7").output == "42"
    own.close()
    assert {child.pid for child in this.children(recursive=True)} <= before


def test_threads_may_share_it() -> None:
    results: dict[int, str] = {}

    def ask(number: int) -> None:
        results[number] = run(f"sum(range({number}))").output

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: str(sum(range(number))) for number in range(30)}


def test_nothing_of_it_is_said_on_the_terminal_and_nothing_is_left_behind() -> None:
    code = (
        "from datetime import datetime\nfrom clearseek.sandbox import shared_interpreter\n"
        "with shared_interpreter().session(seed=1, now=datetime(2026, 1, 1)) as session:\n"
        "    assert session.run(\"'a' * 50_000_000\").error == 'MemoryError: more than 64 MB'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_it_is_not_installed_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from clearseek.sandbox import interpreter as module

    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    module.missing.cache_clear()
    try:
        with pytest.raises(UserError, match="pip install pydantic-monty"):
            Interpreter().session(seed=1, now=NOON).run("1")
        ended = module.run_program("print(1)", "", 1.0)
        assert ended.unavailable
        assert "pip install pydantic-monty" in ended.trouble
    finally:
        module.missing.cache_clear()


def test_where_no_program_may_be_run_from_the_folder_of_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where /tmp is mounted noexec: the worker is started itself."""
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)
    own = Interpreter(1)
    with own.session(seed=1, now=NOON) as session:
        assert session.run("6 * 7").output == "42"
    own.close()
