"""A task's table: what it takes, and what is told of a value that is none."""

from __future__ import annotations

import pytest

from clearseek.errors import UsageError
from clearseek.tasks.task_spec import TaskSpec
from clearseek.toml_tables import Source, fill


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"seconds": "x"}, "line 2: `seconds` must be a number."),
        ({"choices": 3}, "line 2: `choices` must be a list."),
        ({"choices": "abc"}, "line 2: `choices` must be a list."),
        ({"choices": ["a", 3]}, "line 2: `choices` must be a list, each item a text."),
        ({"name": 3}, "line 2: `name` must be a text."),
        ({"config": "y"}, "line 2: `config` must be a table."),
        ({"ignore_case": "no"}, "line 2: `ignore_case` must be true or false."),
        ({"seed": True}, "line 2: `seed` must be a whole number."),
        ({"secnds": 3}, "line 2: [tasks] has no key `secnds`; did you mean `seconds`?"),
        (
            {"python": "a.py"},
            "line 1: a task has one of `generator`, `jsonl`, `python` and `plain`, not generator and python.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(table: dict[str, object], told: str) -> None:
    (key,) = table
    source = Source("mine.toml", f"[[tasks]]\n{key} = ...\n")
    with pytest.raises(UsageError) as error:
        fill(TaskSpec, {"generator": "lcm", **table}, source, "tasks", 0)
    assert str(error.value) == f"mine.toml, {told}"
