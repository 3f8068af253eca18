"""Worked examples on disk: what a line of one's own may leave out, and what is said of one that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clearseek.errors import UserError
from clearseek.training.data.traces import Trace, read_traces

DOCS = Path(__file__).parent.parent.parent / "docs" / "recipes.md"


def test_a_line_needs_a_prompt_and_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "c", "thinking": "d", "answer": "e", "cut": true}\n')
    assert list(read_traces(file)) == [Trace("a", None, "b"), Trace("c", "d", "e", cut=True)]


def test_the_example_in_the_docs_is_one(tmp_path: Path) -> None:
    (line,) = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith('{"prompt"')]
    (tmp_path / "docs.jsonl").write_text(line + "\n")
    (trace,) = read_traces(tmp_path / "docs.jsonl")
    assert (trace.thinking, trace.answer) == (json.loads(line)["thinking"], "36")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("What is 2 + 2?", "it is not JSON"),
        ('["a", "b"]', "it is not an object in braces"),
        ('{"messages": []}', "it has a key `messages`, where `prompt`, `thinking` and `answer` are known"),
        ('{"prompt": "a"}', "it has no `answer`"),
        ('{"prompt": "a", "answer": 4}', "`prompt` and `answer` are texts"),
        ('{"prompt": "a", "answer": "b", "thinking": 1}', "`thinking` is a text or null"),
        ('{"prompt": "a", "answer": "b", "cut": 1}', "`cut` is true or false"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a", "answer": "b"}\n' + line + "\n")
    with pytest.raises(UserError) as told:
        list(read_traces(file))
    assert str(told.value) == f"{file}, line 2, is no worked example: {said}."
