"""The answer is a Python program: it runs in a sandbox (`clearseek.sandbox`), and what it prints is compared here.

The expected output never enters the sandbox: only the input does.
"""

from __future__ import annotations

import re
import textwrap

from clearseek.sandbox import cpython, interpreter
from clearseek.sandbox.program import Ended
from clearseek.tasks.verifiers.answer_bounds import NOTHING, RIGHT, Options, Verdict, refused
from clearseek.tasks.verifiers.generator_scorer import SILENT

MAX_PROGRAM = 20_000
MAX_TESTS = 50
_FENCE = re.compile(r"^[ \t]*+(?P<fence>`{3,}+|~{3,}+)(?P<of>[^\n`]*+)$", re.MULTILINE)
_PYTHON = frozenset({"", "python", "py", "python3", "py3", "python 3", "{.python}"})


class BadFence(Exception):
    """The program cannot be told from what stands around it, and why."""


def code(reference: str, answer: str, options: Options) -> Verdict:
    """`options["tests"]` is a list of `{"input": .., "output": ..}`; right when every output is, white space at the
    end of lines apart. Without tests the program's output is compared with the reference answer. `seconds` bounds
    each test (default 5); `interpreter` is "monty" or "cpython"."""
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
    seconds, full = float(options.get("seconds", 5.0)), options.get("interpreter") == "cpython"
    for number, test in enumerate(list(tests)[:MAX_TESTS], 1):
        ended = _run(program, str(test.get("input", "")), seconds, full)
        if ended.unavailable:
            return 0.0, f"{SILENT} {ended.trouble}"
        if ended.trouble:
            return 0.0, f"test {number}: {ended.trouble}"
        if _lines(ended.output) != _lines(str(test.get("output", ""))):
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


def unavailable(full: bool) -> str:
    """Why no program can be run here, in a sentence; "" where one can. `full`: in full CPython."""
    return cpython.unavailable() if full else interpreter.missing()


def _run(program: str, stdin: str, seconds: float, full: bool) -> Ended:
    return cpython.run(program, stdin, seconds) if full else interpreter.run_program(program, stdin, seconds)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
