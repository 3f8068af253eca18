"""A kind of the suite `plain` as a task: problems by split and number, each in one of the split's own wordings."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from clearseek import __version__
from clearseek.errors import UserError
from clearseek.seeds import seed_of
from clearseek.suggest import suggest
from clearseek.tasks.plain import KINDS
from clearseek.tasks.plain.kind import Kind
from clearseek.tasks.task import SPLITS, Problem, Score, Split, Task
from clearseek.tasks.task_spec import TaskSpec
from clearseek.tasks.verifiers import score, verdict
from clearseek.tasks.verifiers.natural_answer import natural_answer

BY_NAME = {kind.name: kind for kind in KINDS}


def plain_task(spec: TaskSpec) -> Task:
    """Raises UserError for a kind that is not there."""
    if spec.plain not in BY_NAME:
        raise UserError(f"The suite `plain` has no kind {spec.plain!r}; {suggest(spec.plain, BY_NAME)}")
    kind = BY_NAME[spec.plain]
    name = spec.name or f"plain_{kind.name}"

    def make(split: Split, index: int) -> Problem:
        return _problem(kind, name, split, index, random.Random(seed_of("plain", kind.name, spec.seed, split, index)))

    def check(problem: Problem, answer: str) -> Score:
        return score(verdict(natural_answer, problem.answer, answer, {**problem.data, "prompt": problem.prompt}))

    card = {
        "generator": f"clearseek plain {kind.name}",
        "version": __version__,
        "license": "Apache-2.0",
        "seeds": {split: f"plain/{kind.name}/{spec.seed}/{split}/INDEX" for split in SPLITS},
        "verifier": "natural_answer",
        "description": f"Questions of the kind `{kind.name}` as people ask them, in {len(kind.wordings)} wordings.",
    }
    return Task(name, make, check, card)


def _problem(kind: Kind, name: str, split: Split, index: int, rng: random.Random) -> Problem:
    fields, answer = kind.draw(rng)
    prompt = rng.choice(kind.worded(split)).format(**fields)
    data: dict[str, Any] = {"form": kind.form, "programs": [program.format(**fields) for program in kind.programs]}
    among = fields.get("among", kind.among)
    if among:
        data["among"] = list(among)
    return Problem(name, split, index, prompt, _text(answer), data)


def _text(answer: Any) -> str:
    if isinstance(answer, list):
        return ", ".join(map(str, answer))
    if isinstance(answer, Decimal):
        return f"{answer.normalize():f}"
    return str(answer)
