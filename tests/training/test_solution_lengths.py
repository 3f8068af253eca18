"""Worked solutions in tokens of the model that learns from them."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("torch")
pytest.importorskip("tokenizers")
pytest.importorskip("reasoning_gym")

from clearseek.hub.model import Model
from clearseek.tasks.load import load_suite
from clearseek.tasks.splits import draw
from clearseek.training.data.chat_format import ChatFormat, chat_format_of

MOST, USUAL = 160, 115
"""Tokens of a trace, the answer and the end included: of any, and of half of them."""


@pytest.fixture(scope="module")
def chat(real_model: Model) -> ChatFormat:
    return chat_format_of(real_model.path)


SUITE = load_suite("r1")


@pytest.mark.parametrize(
    "task", [task for task in (*SUITE.trained, *SUITE.unseen) if task.solve is not None], ids=lambda task: task.name
)
def test_a_trace_is_short_and_reads_back_as_it_was_written(task, chat: ChatFormat) -> None:  # type: ignore[no-untyped-def]
    lengths = []
    for problem in draw(task, "train", 300, 7):
        try:
            solution = task.solve(problem, random.Random(problem.id))
        except ValueError:
            continue  # of a kind that the program leaves out
        ids = chat.completion(solution.thinking, solution.answer)
        written = chat.read(ids)
        assert written.well_formed
        assert (written.thinking, written.answer) == (solution.thinking, solution.answer)
        lengths.append(len(ids))
        assert len(chat.prompt(problem.prompt)) <= 120
    assert len(lengths) >= 297
    assert max(lengths) <= MOST
    assert sorted(lengths)[150] <= USUAL


def test_a_digit_is_a_token_and_so_is_a_spelled_letter(chat: ChatFormat) -> None:
    """What the programs' short steps rest on."""
    assert len(chat.tokenizer.encode("47+85=132")) == 9
    assert len(chat.tokenizer.encode(" q u i c k")) == 5
    assert len(chat.tokenizer.encode("".join(f" {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"))) == 26
