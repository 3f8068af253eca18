"""The suite `plain`: its kinds, their wordings and their worked programs."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime

import pytest

from clearseek.errors import UserError
from clearseek.sandbox import shared_interpreter
from clearseek.tasks import TaskSpec, load_task
from clearseek.tasks.load import load_suite
from clearseek.tasks.plain import KINDS, Kind
from clearseek.tasks.plain.kind import LEAST_WORDINGS, in_words
from clearseek.tasks.splits import draw
from clearseek.tasks.task import SPLITS, Split
from clearseek.tasks.verifiers.natural_answer import natural_answer

BY_NAME = {kind.name: kind for kind in KINDS}


def test_what_there_is() -> None:
    roles = Counter(kind.role for kind in KINDS)
    assert len(KINDS) == len(BY_NAME) >= 60
    assert roles["rewarded"] >= 15
    assert roles["unseen"] >= 15
    for kind in KINDS:
        assert len(set(kind.wordings)) == len(kind.wordings) >= LEAST_WORDINGS, kind.name
        assert bool(kind.programs) == (kind.role == "taught"), kind.name
        assert kind.role != "taught" or len(kind.programs) >= 2 or kind.name == "order_of_operations", kind.name
        foreign = [wording for wording in kind.wordings if not wording.isascii()]
        assert foreign, f"{kind.name} is asked in English alone"


def test_no_wording_is_in_two_splits() -> None:
    for kind in KINDS:
        splits: tuple[Split, ...] = ("train", "dev", "test")
        parts = {split: kind.worded(split) for split in splits}
        assert sorted(sum(parts.values(), ())) == sorted(kind.wordings)
        assert [len(parts["dev"]), len(parts["test"])] == [2, 2]
        assert len(parts["train"]) >= 8


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_wording_can_be_asked_and_every_program_gives_the_answer(kind: Kind) -> None:
    rng = random.Random(7)
    for _ in range(12):
        fields, answer = kind.draw(rng)
        for wording in kind.wordings:
            prompt = wording.format(**fields)
            assert "{" not in prompt
            assert len(prompt) < 400
        text = ", ".join(map(str, answer)) if isinstance(answer, list) else str(answer)
        asked = kind.wordings[0].format(**fields)
        data = {"form": kind.form, "among": fields.get("among", kind.among), "prompt": asked}
        assert natural_answer(text, text, data) == (1.0, "right"), (text, data)
        for program in kind.programs:
            with shared_interpreter().session(seed=1, now=datetime(2026, 1, 1)) as session:
                run = session.run(program.format(**fields))
            assert run.error == "", program
            assert natural_answer(text, run.output, data) == (1.0, "right"), (
                program.format(**fields),
                run.output,
                text,
            )


def test_problems_are_the_same_for_ever_and_their_splits_never_meet() -> None:
    suite = load_suite("plain")
    assert len(suite.trained) == 63
    assert len(suite.unseen) == 15
    for task in (*suite.trained, *suite.unseen):
        problem = task.make("train", 3)
        assert problem == task.make("train", 3)
        assert task.check(problem, problem.answer).accuracy == 1.0
        assert task.check(problem, "").accuracy == 0.0
        assert task.check(problem, "I don't know.").accuracy == 0.0
    task = suite.trained[0]
    splits: tuple[Split, ...] = ("train", "dev", "test")
    digests = [{problem.digest for problem in draw(task, split, 60, 0)} for split in splits]
    assert not digests[0] & digests[1]
    assert not digests[0] & digests[2]
    assert not digests[1] & digests[2]
    other = load_task(TaskSpec(plain="add", seed=2))
    assert other.make("train", 0) != task.make("train", 0)
    assert set(SPLITS) == {"train", "dev", "test"}


def test_a_kind_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean `median`"):
        load_task(TaskSpec(plain="medain"))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"), (13, "thirteen"), (20, "twenty"), (47, "forty-seven"), (100, "one hundred"),
        (305, "three hundred and five"), (2999, "two thousand nine hundred and ninety-nine"), (-4, "minus four"),
    ],
)  # fmt: skip
def test_numbers_in_words(number: int, words: str) -> None:
    assert in_words(number) == words
