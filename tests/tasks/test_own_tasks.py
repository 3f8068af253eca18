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
from clearseek.tasks.child_process import ChildTooSlow, Patience
from clearseek.tasks.json_lines import tag_in
from clearseek.tasks.references import check_references
from clearseek.tasks.splits import OutOfProblems, draw
from clearseek.tasks.task import SPLITS, Score

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
        ("return {'prompt': 'x' + chr(0xd83d), 'answer': 'x'}", "half a character"),
        ("return {'prompt': 'x', 'answer': 'x', 'more': [chr(0xdc00)]}", "half a character"),
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


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("return {problem['answer']: 1.0}[answer]", "score() of eggs.py raised KeyError"),
        (
            "import os; return 1.0 if answer == problem['answer'] else os._exit(3)",
            "score() of eggs.py ended its process",
        ),
        ("return 1.0 if answer == problem['answer'] else None", "score() of eggs.py raised TypeError"),
        ("return 1.0 if answer == problem['answer'] else 7", "score() of eggs.py raised ValueError"),
    ],
)
def test_a_score_that_goes_wrong_on_wrong_answers_is_a_fault_with_a_name(tmp_path: Path, body: str, fault: str) -> None:
    task = own(tmp_path, TEN_LINES.replace('return float(answer == problem["answer"])', body))
    problem = task.make("train", 0)
    assert task.check(problem, problem.answer) == Score(1.0, "right")
    assert {task.check(problem, wrong).fault for wrong in ("x", "y")} == {fault}
    assert task.check(problem, "<think>").fault == ""  # an answer that was refused is no fault of the scorer's


class Instant:
    """A child that answers at once, or hangs."""

    hangs = False

    def start(self) -> None: ...

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        if self.hangs:
            raise ChildTooSlow
        return {}


def test_a_scorer_that_hung_three_times_is_given_less_time_and_one_that_answers_never() -> None:
    child, patience = Instant(), Patience(600.0)
    for _ in range(50):
        patience.ask(child, {})  # type: ignore[arg-type]
    assert patience.seconds == 600.0
    child.hangs = True
    for _ in range(3):
        assert patience.seconds == 600.0
        with pytest.raises(ChildTooSlow):
            patience.ask(child, {})  # type: ignore[arg-type]
    assert 0.5 <= patience.seconds < 600.0  # twenty times its slowest answer
    never = Patience(600.0)
    for _ in range(9):  # nothing is known of how long an honest answer takes
        with pytest.raises(ChildTooSlow):
            never.ask(child, {})  # type: ignore[arg-type]
    assert never.seconds == 600.0


def test_a_score_that_hangs_on_wrong_answers_is_a_fault_too(tmp_path: Path) -> None:
    body = 'while answer != problem["answer"]: pass\n    return 1.0'
    task = own(tmp_path, TEN_LINES.replace('return float(answer == problem["answer"])', body), seconds=1.0)
    problem = task.make("train", 0)
    assert task.check(problem, "wrong").fault == "score() of eggs.py took longer than 1 s"
    assert task.check(problem, problem.answer).accuracy == 1.0


TAGGED = (
    "<think>so</think>",
    "so </think>",
    "<THINK>",
    "< think >",
    "<think a=b>",
    "</thinking>",
    "so <|im_end|>",
)


@pytest.mark.parametrize("tag", [*TAGGED, "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|eot_id|>", "<end_of_turn>"])
def test_a_worked_solution_with_a_tag_is_refused_with_what_to_do(tmp_path: Path, tag: str) -> None:
    row = {"prompt": "2?", "answer": "2", "thinking": f"It is {tag} two.", "split": "train"}
    with pytest.raises(UserError, match=r"line 1 is no problem: its `thinking` holds .* leave the tags out"):
        lines(tmp_path, [row])
    with pytest.raises(UserError, match=r"its `answer` holds"):
        lines(tmp_path, [{**row, "thinking": "It is two.", "answer": f"{tag}2"}])
    task = own(tmp_path, TEN_LINES.replace("x 12", f"x 12 {tag}".replace("'", '"')))
    with pytest.raises(UserError, match=r"solve\(\) of eggs.py wrote for eggs/train/\d+ what cannot be learned"):
        check_references(task, 3)
    lines(tmp_path, [{"prompt": f"What does {tag} mean?", "answer": tag, "split": "train"}])  # nothing to be learned


@pytest.mark.parametrize("text", ["a < b and b > c", "I think <b>so</b>", "<thinker>", "x <| y |> z", "1<2|3>2", "<s>"])
def test_what_only_looks_like_a_tag_is_none(text: str) -> None:
    assert tag_in(text) == ""


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


def test_a_question_that_comes_twice_in_jsonl_counts_once_and_those_after_it_are_read(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {number}", "answer": str(number)} for number in (1, 2, 3)]
    task = lines(tmp_path, [*rows, {"prompt": " SAY  2", "answer": "5"}, {"prompt": "Say 4", "answer": "4"}], test=0.0)
    sizes = task.card["sizes"]
    assert sum(sizes.values()) == 4
    found = {p.prompt: p.answer for split in SPLITS for p in (task.make(split, n) for n in range(sizes[split]))}
    assert found == {"Say 1": "1", "Say 2": "2", "Say 3": "3", "Say 4": "4"}


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
        ('{"prompt": "x", "answer": "1", "answer": "2"}', "it has the key `answer` twice"),
        ('{"prompt": "x", "answer": "1", "data": {"a": 1, "a": 2}}', "it has the key `a` twice"),
        ('{"prompt": "Q \\ud83d?", "answer": "1"}', r"it holds \\ud83d, which is half a character"),
        ('{"prompt": "x", "answer": "1", "data": {"a": ["\\udc00"]}}', "which is half a character"),
        ('{"prompt": "x", "answer": NaN}', "NaN is no number"),
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


def test_expression_is_said_of_a_task_or_of_a_line_and_the_question_is_known_to_the_verifier(tmp_path: Path) -> None:
    row = {"prompt": "Write 945 as a product.", "answer": "945", "verifier": "math", "split": "train"}
    plain = lines(tmp_path, [row])
    assert plain.check(plain.make("train", 0), "35*27").why.startswith("refused: not worked out")
    for task in (lines(tmp_path, [{**row, "expression": True}]), lines(tmp_path, [row], expression=True)):
        assert task.check(task.make("train", 0), "35*27").accuracy == 1.0
        assert task.check(task.make("train", 0), "35*28").accuracy == 0.0
    asked = lines(tmp_path, [{**row, "prompt": "What is 3/8 as a decimal?", "answer": "0.375", "verifier": "numeric"}])
    assert asked.check(asked.make("train", 0), "3/8").why == "refused: the division of the question, not worked out"
    assert asked.check(asked.make("train", 0), "0.375").accuracy == 1.0
    echo = own(
        tmp_path,
        "def make(rng, n):\n    return {'prompt': f'Expand (x+{n})^2.', 'answer': f'x^2+{2*n}x+{n**2}'}\n",
        verifier="math",
    )
    assert echo.check(echo.make("train", 3), "(x+3)^2").why == "refused: the question again"


@pytest.mark.parametrize(
    ("verifier", "reference", "answer", "asked"),
    [
        ("exact", "Paris", "pARIS", {"ignore_case": True}),
        ("numeric", "0.333", "0.3335", {"tolerance": 0.001}),
        ("choice", "D", "D", {"choices": ["C", "D", "E"]}),
    ],
)
def test_what_a_task_asks_of_its_verifier_reaches_it(
    tmp_path: Path, verifier: str, reference: str, answer: str, asked: dict[str, Any]
) -> None:
    row = {"prompt": "What is it?", "answer": reference, "verifier": verifier, "split": "train"}
    told, untold = lines(tmp_path, [row], **asked), lines(tmp_path, [row])
    problem = told.make("train", 0)
    assert told.check(problem, answer).accuracy == 1.0
    if verifier == "choice":
        assert told.check(problem, "A").why != untold.check(problem, "A").why
    else:
        assert untold.check(problem, answer).accuracy == 0.0


def test_a_verifier_that_breaks_scores_nothing_and_says_why(tmp_path: Path) -> None:
    row = {"prompt": "x", "answer": "1", "verifier": "numeric", "data": {"absolute": "much"}, "split": "train"}
    task = lines(tmp_path, [row])
    score = task.check(task.make("train", 0), "1")
    assert score.accuracy == 0.0
    assert score.why.startswith("the verifier failed: ValueError")


def test_a_spec_says_one_thing() -> None:
    with pytest.raises(ValueError, match="one of `generator`, `jsonl`, `python` and `plain`"):
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
