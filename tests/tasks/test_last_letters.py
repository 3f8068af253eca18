"""The task that teaches how words are spelled: its solutions are right, and what suite `r1` asks is not in it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("reasoning_gym")

from clearseek.tasks import TaskSpec, load_task
from clearseek.tasks.references import check_references
from clearseek.tasks.splits import draw

FILE = Path(__file__).parent.parent.parent / "recipes" / "last_letters.py"


def test_every_word_is_spelled_and_none_that_is_asked_to_be_spelled_backward() -> None:
    task = load_task(TaskSpec(name="last_letters", python=str(FILE), verifier="list", seconds=60))
    check_references(task, 20)
    assert task.solve is not None
    asked = {problem.answer[::-1].lower() for problem in draw(load_task("spell_backward"), "test", 200, seed=0)}
    assert len(asked) == 200
    seen = set()
    for problem in draw(task, "train", 400, seed=0):
        solution = task.solve(problem, random.Random(problem.id))
        assert task.check(problem, solution.answer).accuracy == 1
        spelled = dict(part.split(": ") for part in solution.thinking.partition(": ")[2].split("; "))
        for word, letters in spelled.items():
            bare = "".join(sign for sign in letters if sign.isalpha())
            assert bare in (word, word.lower())
        seen |= {word.lower() for word in spelled}
    assert not seen & asked
    assert len(seen) > 1500
