"""A task written in Python by the person who trains: their file runs in a child process, bounded in time.

It is their own code and is not walled in; it is kept apart so that a hang or a crash in it costs one problem and not
the run, and so that it cannot touch the generators of random numbers that a run's replay depends on.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.hub.files import hash_file
from clearseek.tasks.child_process import Child, ChildDied, ChildTooSlow, Patience
from clearseek.tasks.json_lines import check_untagged, check_whole
from clearseek.tasks.task import SPLITS, Problem, Score, Solution, Split, Task
from clearseek.tasks.task_spec import TaskSpec
from clearseek.tasks.verifiers import score, verdict, verifier
from clearseek.tasks.verifiers.answer_bounds import Refusal, normalised

MAX_ANSWER = 20_000


def python_task(spec: TaskSpec, file: Path) -> Task:
    """Raises UserError where the file cannot be read, or has no `make`, or neither `score` nor a `verifier`."""
    name = spec.name or file.stem
    child = Child(["-m", "clearseek.tasks.python_task_child", str(file.resolve())])
    what = _ask(child, {"do": "what"}, spec.seconds, f"{file.name}")
    has = set(what["has"])
    if "make" not in has:
        raise UserError(f"{file} has no function `make(rng, index)` that returns a problem.")
    if "score" not in has and not spec.verifier:
        raise UserError(f"{file} has no function `score(problem, answer)`; write one, or name a `verifier`.")
    checks = verifier(spec.verifier, spec.interpreter) if spec.verifier else None
    options = spec.options
    patience, scorer = Patience(spec.seconds), f"score() of {file.name}"

    def make(split: Split, index: int) -> Problem:
        seed = f"{name}/{spec.seed}/{split}/{index}"
        place = f"make() of {file.name}"
        reply = _ask(child, {"do": "make", "seed": seed, "index": index}, spec.seconds, place)
        if "error" in reply:
            raise UserError(f"{place} failed for {split} problem {index}: {reply['error']}.")
        made = reply["problem"]
        for key in ("prompt", "answer"):
            if not isinstance(made.get(key), str) or (key == "prompt" and not made[key].strip()):
                raise UserError(f"{place} returned a problem without the text `{key}`.")
        try:
            check_whole(made)
        except ValueError as error:
            raise UserError(f"{place} returned a problem that cannot be used: {error}.") from None
        prompt = f"{made['prompt']}\n{spec.suffix}" if spec.suffix else made["prompt"]
        return Problem(name, split, index, prompt, made["answer"], {**made, "index": index})

    def check(problem: Problem, answer: str) -> Score:
        if checks is not None:
            return score(verdict(checks, problem.answer, answer, {**problem.data, **options, "prompt": problem.prompt}))
        try:
            text = normalised(answer, MAX_ANSWER)
        except Refusal as refusal:
            return Score(*refusal.verdict)
        question = {"do": "score", "problem": dict(problem.data), "answer": text}
        try:
            limit = patience.seconds
            reply = patience.ask(child, question)
        except ChildTooSlow:
            slow = f"{scorer} took longer than {limit:g} s"
            return Score(0.0, slow, fault=slow)
        except ChildDied as error:
            return Score(0.0, f"{scorer} failed: {error}", fault=f"{scorer} ended its process")
        if "error" in reply:
            message = str(reply["error"])
            return Score(0.0, f"{scorer} failed: {message}", fault=f"{scorer} raised {message.partition(':')[0]}")
        accuracy = reply["accuracy"]
        return Score(accuracy, "right" if accuracy >= 1.0 else "wrong" if accuracy <= 0.0 else "partly right")

    def solve(problem: Problem, rng: random.Random) -> Solution:
        question = {"do": "solve", "problem": dict(problem.data), "seed": str(rng.getrandbits(64))}
        reply = _ask(child, question, spec.seconds, f"solve() of {file.name}")
        if "error" in reply:
            raise UserError(f"solve() of {file.name} failed for {problem.id}: {reply['error']}.")
        try:
            check_whole(reply["solution"])
            check_untagged(*reply["solution"])
        except ValueError as error:
            raise UserError(f"solve() of {file.name} wrote for {problem.id} what cannot be learned: {error}.") from None
        return Solution(*reply["solution"])

    card = {
        "generator": f"file {file.name}",
        "version": f"sha256:{hash_file(file)}",
        "license": spec.license or "unknown",
        "seeds": {split: f"{name}/{spec.seed}/{split}/INDEX" for split in SPLITS},
        "verifier": spec.verifier or f"score() of {file.name}",
        "description": f"Problems made by {file.name}.",
    }
    return Task(name, make, check, card, solve if "solve" in has else None)


def _ask(child: Child, question: dict[str, Any], seconds: float, what: str) -> dict[str, Any]:
    try:
        return child.ask(question, seconds)
    except ChildTooSlow:
        raise UserError(f"{what} took longer than {seconds:g} s.") from None
    except ChildDied as error:
        raise UserError(f"{what} failed: {error}.") from None
