"""A task whose problems stand in a JSONL file of your own."""

from __future__ import annotations

import difflib
import hashlib
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.tasks.json_lines import check_untagged, read_object
from clearseek.tasks.task import SPLITS, Problem, Score, Solution, Split, Task
from clearseek.tasks.task_spec import TaskSpec
from clearseek.tasks.verifiers import Verifier, check_name, score, verdict, verifier

MAX_FILE = 512 << 20
MAX_LINE = 1 << 20
_KEYS = ("prompt", "answer", "verifier", "task", "split", "thinking", "choices", "tests", "numbers", "target", "data",
         "expression")  # fmt: skip
_OPTIONS = ("choices", "tests", "numbers", "target", "expression")
_TEXTS = ("prompt", "answer", "verifier", "task", "split", "thinking")


def jsonl_task(spec: TaskSpec, file: Path) -> Task:
    """Raises UserError naming the line that is no problem. A line's `task`, where lines have one, chooses by name."""
    name = spec.name or file.stem
    problems: dict[str, list[Problem]] = {split: [] for split in SPLITS}
    checks: dict[str, Verifier] = {}
    digests: set[str] = set()
    if file.stat().st_size > MAX_FILE:
        raise UserError(f"{file} is larger than {MAX_FILE >> 20} MiB.")
    content = hashlib.sha256()
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            content.update(line)
            if not line.strip():
                continue
            values = _read(line, f"{file}, line {number}")
            if values.get("task", name) != name:
                continue
            verifies = values.get("verifier") or spec.verifier or "exact"
            if verifies == "generator":
                raise UserError(f"{file}, line {number}: the verifier `generator` is for a generator's problems.")
            if verifies not in checks:
                try:
                    check_name(verifies)
                except UserError as error:
                    raise UserError(f"{file}, line {number}: {error}") from None
                checks[verifies] = verifier(verifies, spec.interpreter)
            problem = _problem(name, values, verifies, spec, problems)
            if problem.digest in digests:
                continue  # the same question twice would be in two splits, or count double
            digests.add(problem.digest)
            problems[problem.split].append(problem)
    if not digests:
        raise UserError(f"{file} has no problems for the task {name}.")

    def make(split: Split, index: int) -> Problem:
        try:
            if index < 0:
                raise IndexError
            return problems[split][index]
        except IndexError:
            raise UserError(f"{name} has {len(problems[split])} problems in {split}, and no number {index}.") from None

    def check(problem: Problem, answer: str) -> Score:
        options = {**spec.options, **problem.data, "prompt": problem.prompt}
        return score(verdict(checks[str(problem.data["verifier"])], problem.answer, answer, options))

    def solve(problem: Problem, rng: random.Random) -> Solution:
        if "thinking" not in problem.data:
            raise ValueError("a problem without a worked solution")
        return Solution(str(problem.data["thinking"]), problem.answer)

    worked = all("thinking" in problem.data for split in problems.values() for problem in split)
    card = {
        "generator": f"file {file.name}",
        "version": f"sha256:{content.hexdigest()}",
        "license": spec.license or "unknown",
        "sizes": {split: len(found) for split, found in problems.items()},
        "shares": {"dev": spec.dev, "test": spec.test},
        "verifier": ", ".join(sorted(checks)),
        "description": f"Problems of the file {file.name}.",
    }
    return Task(name, make, check, card, solve if worked else None)


def _read(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        if len(line) > MAX_LINE:
            raise ValueError("it is longer than 1 MiB")
        values = read_object(line)
        if isinstance(values.get("answer"), int | float) and not isinstance(values["answer"], bool):
            values["answer"] = json.dumps(values["answer"])
        for key in values:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.5)
                raise ValueError(f"it has an unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
        for key in ("prompt", "answer"):
            if key not in values:
                raise ValueError(f"it has no `{key}`")
        for key in _TEXTS:
            if key in values and not isinstance(values[key], str):
                raise ValueError(f"`{key}` is not a text")
        if not values["prompt"].strip():
            raise ValueError("its `prompt` is empty")
        if values.get("split", "train") not in SPLITS:
            raise ValueError("`split` is train, dev or test")
        if "thinking" in values:
            check_untagged(values["thinking"], values["answer"])
        if not isinstance(values.get("data", {}), dict):
            raise ValueError("`data` is not an object")
        for key in ("choices", "numbers"):
            if not isinstance(values.get(key, []), list):
                raise ValueError(f"`{key}` is not a list")
        if not isinstance(values.get("expression", False), bool):
            raise ValueError("`expression` is true or false")
        tests = values.get("tests", [])
        if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
            raise ValueError("`tests` is a list of objects with `input` and `output`")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is no problem: {str(error).rstrip('.')}.") from None
    return values


def _problem(
    name: str, values: Mapping[str, Any], verifies: str, spec: TaskSpec, problems: Mapping[str, list[Problem]]
) -> Problem:
    data = {key: values[key] for key in (*_OPTIONS, "thinking") if key in values}
    data = {**values.get("data", {}), **data, "verifier": verifies}
    prompt = f"{values['prompt']}\n{spec.suffix}" if spec.suffix else values["prompt"]
    draft = Problem(name, "train", 0, prompt, values["answer"], data)
    split = values.get("split") or _split(draft.digest, spec)
    return Problem(name, split, len(problems[split]), prompt, values["answer"], data)


def _split(digest: str, spec: TaskSpec) -> Split:
    """By the question alone, so that a line added or moved puts no other line into another split."""
    place = int(digest[:12], 16) / 16**12
    return "dev" if place < spec.dev else "test" if place < spec.dev + spec.test else "train"
