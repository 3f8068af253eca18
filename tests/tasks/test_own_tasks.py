"""Tasks of one's own: ten lines of Python in a child, or a JSONL file; what is wrong with them, in a sentence."""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clearseek.errors import UserError
from clearseek.tasks import Task, TaskSpec, load_task
from clearseek.tasks.references import check_references
from clearseek.tasks.splits import OutOfProblems, draw

TEN_LINES = """\
def make(rng, index):
    dozens, eggs = rng.randint(2, 99), rng.randint(0, 11)
    prompt = f"{dozens} dozen eggs and {eggs} more: how many eggs? Answer with the number alone."
    return {"prompt": prompt, "answer": str(12 * dozens + eggs), "dozens": dozens, "eggs": eggs}

def score(problem, answer):
    return float(answer == problem["answer"])

def solve(problem, rng):
    return f"{problem['dozens']} x 12 + {problem['eggs']}", problem["answer"]
"""


def own(tmp_path: Path, text: str, **more: Any) -> Task:
    file = tmp_path / "eggs.py"
    file.write_text(text, "utf-8")
    return load_task(TaskSpec(python=str(file), **more))


def lines(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> Task:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return load_task(TaskSpec(jsonl=str(file), **more))


def test_ten_lines_are_a_task(tmp_path: Path) -> None:
    assert len([line for line in TEN_LINES.splitlines() if line]) <= 10
    task = own(tmp_path, TEN_LINES)
    assert task.name == "eggs"
    assert check_references(task, 20) == 20
    problem = task.make("train", 4)
    assert problem == own(tmp_path, TEN_LINES).make("train", 4)
    assert problem.prompt != task.make("test", 4).prompt
    assert task.check(problem, "no idea").accuracy == 0.0
    assert task.check(problem, f" {problem.answer}\n").accuracy == 1.0
    assert task.check(problem, f"<think></think>{problem.answer}").why.startswith("refused")
    assert task.check(problem, problem.answer * 100_000).why.startswith("refused")
    assert task.solve is not None
    assert task.solve(problem, random.Random(1)).answer == problem.answer


def test_a_verifier_may_take_the_place_of_score(tmp_path: Path) -> None:
    task = own(tmp_path, TEN_LINES.partition("def score")[0], verifier="integer", name="dozens")
    problem = task.make("train", 0)
    assert problem.id == "dozens/train/0"
    assert task.check(problem, problem.answer).accuracy == 1.0
    assert task.check(problem, "12 or 13").accuracy == 0.0


def test_what_it_prints_and_imports_disturbs_nothing(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 12\n")
    text = "from beside import FACTOR\nprint('hello')\n" + TEN_LINES.replace("12 *", "FACTOR *")
    task = own(tmp_path, text.replace("    return float", "    print(answer)\n    return float"))
    assert check_references(task, 5) == 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def mak(rng, index): pass", "has no function `make"),
        ("def make(rng, index): return {}", "has no function `score"),
        ("def make(rng index):", "cannot be read: SyntaxError"),
        ("import nothing_of_that_name", "cannot be read: ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "cannot be read: SystemExit"),
    ],
)
def test_a_file_that_does_not_work_is_told_at_once(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as told:
        own(tmp_path, text)
    assert "eggs.py" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return 5", "TypeError: it returned int"),
        ("return {'prompt': 'x'}", "without the text `answer`"),
        ("return {'prompt': ' ', 'answer': 'x'}", "without the text `prompt`"),
        ("return {'prompt': 'x' * 2000000, 'answer': 'x'}", "larger than 1 MB"),
        ("return {'prompt': object(), 'answer': 'x'}", "TypeError"),
        ("raise KeyError('dozens')", "KeyError: 'dozens'"),
        ("import os; os._exit(1)", "it ended"),
        ("while True: pass", "took longer than 1 s"),
    ],
)
def test_a_make_that_fails_says_which_problem(tmp_path: Path, body: str, sentence: str) -> None:
    text = f"def make(rng, index):\n    {body}\ndef score(problem, answer):\n    return 1.0\n"
    task = own(tmp_path, text, seconds=1.0)
    with pytest.raises(UserError, match=sentence) as told:
        task.make("train", 3)
    assert "make() of eggs.py" in str(told.value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ZeroDivisionError('no')", "failed: ZeroDivisionError: no"),
        ("return 1.5", "a score is from 0 to 1"),
        ("return float('nan')", "a score is from 0 to 1"),
        ("return 'right'", "failed: ValueError"),
        ("while True: pass", "took longer than 1 s"),
        ("import os; os._exit(0)", "it ended"),
        ("import sys; sys.exit()", "it ended"),
    ],
)
def test_a_score_that_throws_or_hangs_counts_as_nothing_and_stops_a_run_before_it_begins(
    tmp_path: Path, body: str, why: str
) -> None:
    text = TEN_LINES.replace('return float(answer == problem["answer"])', body)
    task = own(tmp_path, text, seconds=1.0)
    problem = task.make("train", 0)
    started = time.monotonic()
    score = task.check(problem, problem.answer)
    assert score.accuracy == 0.0
    assert why in score.why
    assert "score() of eggs.py" in score.why
    assert time.monotonic() - started < 60
    assert task.make("train", 1).prompt  # the next question starts a new child
    with pytest.raises(UserError, match="rejects the reference answer"):
        check_references(task, 3)


def test_a_verifier_that_rejects_its_own_answers_is_caught_with_the_problem_shown(tmp_path: Path) -> None:
    task = own(tmp_path, TEN_LINES.replace('"answer": str(12 *', '"answer": str(13 *'), name="eggs")
    assert check_references(task, 5) == 5  # wrong by twelves, but of one mind with itself
    task = own(tmp_path, TEN_LINES.replace('== problem["answer"]', '== "x" + problem["answer"]'))
    with pytest.raises(
        UserError, match=r"The verifier of eggs rejects .* of its own problem eggs/train/\d+: '.*dozen eggs"
    ):
        check_references(task, 5)
    task = own(tmp_path, TEN_LINES.replace(', problem["answer"]\n', ', problem["answer"] + "0"\n'))
    with pytest.raises(UserError, match="rejects the worked solution's answer"):
        check_references(task, 5)


def test_a_small_space_runs_out_in_one_sentence(tmp_path: Path) -> None:
    small = TEN_LINES.replace("rng.randint(2, 99), rng.randint(0, 11)", "rng.randint(2, 9), 0")
    task = own(tmp_path, small)
    with pytest.raises(OutOfProblems, match="eggs has only 8 different problems") as told:
        draw(task, "train", 50, 0)
    assert told.value.found == 8
    assert len(draw(task, "test", 50, 0)) == 8
    assert check_references(task, 50) == 8
    kept = frozenset(problem.digest for problem in draw(task, "test", 3, 0))
    assert len(draw(task, "train", 5, 0, kept)) == 5
    with pytest.raises(OutOfProblems, match="only 5 different"):
        draw(task, "train", 6, 0, kept)


def test_jsonl_with_several_verifiers_splits_by_the_question(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": f"What is {n} + 1?", "answer": n + 1} for n in range(400)]
    rows.append({"prompt": "Which is even? (A) 1 (B) 2", "answer": "B", "verifier": "choice", "split": "test"})
    rows.append({"prompt": "Name it.", "answer": "it", "split": "dev", "thinking": "It is it."})
    task = lines(tmp_path, rows, verifier="integer", name="plus-one")
    sizes = task.card["sizes"]
    assert sum(sizes.values()) == 402
    assert 20 <= sizes["dev"] <= 65
    assert 20 <= sizes["test"] <= 65
    everything = [problem for split in ("train", "dev", "test") for problem in draw(task, split, sizes[split], 3)]  # type: ignore[arg-type]
    assert len({problem.digest for problem in everything}) == 402
    for problem in everything:
        if problem.answer != "it":
            assert task.check(problem, problem.answer).accuracy == 1.0
    with pytest.raises(UserError, match="verifier of plus-one rejects"):
        check_references(
            lines(
                tmp_path,
                [{"prompt": "Name it.", "answer": "it", "split": "train"}],
                verifier="integer",
                name="plus-one",
            )
        )
    # the same question is in the same split whatever stands around it
    again = lines(tmp_path, list(reversed(rows[:400])), verifier="integer", name="plus-one")
    where = {problem.digest: problem.split for problem in everything}
    for split in ("train", "dev", "test"):
        for problem in draw(again, split, again.card["sizes"][split], 0):  # type: ignore[arg-type]
            assert where[problem.digest] == split


def test_jsonl_lines_with_thinking_are_worked_solutions(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "answer": str(n), "thinking": f"It says {n}.", "split": "train"} for n in range(5)]
    task = lines(tmp_path, rows)
    assert task.solve is not None
    problem = draw(task, "train", 1, 0)[0]
    assert task.solve(problem, random.Random(0)).thinking == f"It says {problem.answer}."


def test_jsonl_of_several_tasks_is_chosen_by_name(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{word} {n}", "answer": word, "task": word, "split": "train"} for word in "ab" for n in range(9)
    ]
    assert Counter(p.answer for p in draw(lines(tmp_path, rows, name="b"), "train", 9, 0)) == {"b": 9}
    with pytest.raises(UserError, match="has no problems for the task c"):
        lines(tmp_path, rows, name="c")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2 is no problem"),
        ("[]", "it is not an object"),
        ('{"prompt": "x"}', "it has no `answer`"),
        ('{"prompt": 5, "answer": "x"}', "`prompt` is not a text"),
        ('{"prompt": "x", "answer": "x", "verifer": "exact"}', "did you mean `verifier`"),
        ('{"prompt": "x", "answer": "x", "verifier": "exakt"}', "did you mean `exact`"),
        ('{"prompt": "x", "answer": "x", "split": "val"}', "`split` is train, dev or test"),
        ('{"prompt": "x", "answer": "x", "verifier": "generator"}', "is for a generator's problems"),
        ('{"prompt": "x", "answer": "x", "tests": 5}', "`tests` is a list"),
        ('{"prompt": "x", "answer": "x", "data": 5}', "`data` is not an object"),
        ('{"prompt": "x", "answer": "x", "choices": "AB"}', "`choices` is not a list"),
        ("[" * 100_000, "is no problem"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a", "answer": "b"}\n' + line + "\n")
    with pytest.raises(UserError, match=sentence) as told:
        load_task(TaskSpec(jsonl=str(file)))
    assert "line 2" in str(told.value)


def test_a_verifier_that_breaks_scores_nothing_and_says_why(tmp_path: Path) -> None:
    row = {"prompt": "x", "answer": "1", "verifier": "numeric", "data": {"absolute": "much"}, "split": "train"}
    task = lines(tmp_path, [row])
    score = task.check(task.make("train", 0), "1")
    assert score.accuracy == 0.0
    assert score.why.startswith("the verifier failed: ValueError")


def test_a_spec_says_one_thing() -> None:
    with pytest.raises(ValueError, match="one of `generator`, `jsonl` and `python`"):
        TaskSpec(generator="gcd", jsonl="x.jsonl")
    with pytest.raises(ValueError, match="a task needs"):
        TaskSpec()
    with pytest.raises(ValueError, match="something must be left"):
        TaskSpec(jsonl="x", dev=0.5, test=0.5)
    with pytest.raises(UserError, match=r"There is no file nothing\.jsonl"):
        load_task(TaskSpec(jsonl="nothing.jsonl"))


def test_tasks_need_no_torch(tmp_path: Path) -> None:
    (tmp_path / "eggs.py").write_text(TEN_LINES)
    import subprocess

    code = (
        "import sys\nfrom clearseek.tasks import TaskSpec, load_task\n"
        f"task = load_task(TaskSpec(python={str(tmp_path / 'eggs.py')!r}))\n"
        "assert task.make('train', 0).prompt\n"
        "assert not {'torch', 'reasoning_gym', 'sympy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
