"""Evaluations: figures from rows, resumed without asking twice, on disk and back, compared problem by problem."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sums import HOW, Says, asked

from clearseek.errors import UserError
from clearseek.evaluation.comparison import compare, comparison_json
from clearseek.evaluation.results import Evaluation, _ends_in, as_json, from_json, results_of, summarise
from clearseek.evaluation.results_page import results_page
from clearseek.evaluation.runner import (
    Completion,
    Query,
    contamination_notes,
    draw_queries,
    evaluate,
    held_out_by,
    scored,
)
from clearseek.evaluation.statistics import wilson
from clearseek.evaluation.transcripts import Transcripts
from clearseek.tasks import TaskSpec, load_task


def even(ask: Query) -> bool:
    return ask.problem.index % 2 == 0 or (ask.task.name == "easy" and ask.problem.index < 6)


def without_time(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, seconds=0.0)


def test_shares_intervals_and_means_by_membership() -> None:
    found = evaluate(Says(even), asked(), HOW)
    easy, odd = found.of("easy"), found.of("odd")
    assert (easy.accuracy, odd.accuracy) == (wilson(8, 10), wilson(5, 10))
    # The mean of one task is that task: two intervals of the same answers, side by side, would contradict each other.
    assert (found.means["trained"], found.means["unseen"]) == (easy.accuracy, odd.accuracy)
    assert found.mean == found.means["trained"]
    assert (easy.n, easy.well_formed, easy.truncated, easy.tokens, easy.second) == (10, 1.0, 0.0, 5.0, 0.5)
    assert [row.problem for row in found.rows[:2]] == ["easy/test/0", "easy/test/1"]  # in order, whoever answered first
    assert found.tokens == 100


def test_several_samples_give_pass_at_k_and_a_bootstrap_over_problems() -> None:
    how = dataclasses.replace(HOW, samples=4, temperature=1.0)
    answerer = Says(lambda ask: ask.sample < ask.problem.index % 3)  # 0, 1 or 2 of 4
    found = evaluate(answerer, asked(9, easy="trained"), how)
    task = found.of("easy")
    assert task.accuracy.value == pytest.approx((0 + 1 + 2) / 12)
    assert task.accuracy.low < task.accuracy.value < task.accuracy.high
    assert list(task.pass_at) == [1, 2, 4]
    assert task.pass_at[1] == pytest.approx(0.25)
    assert task.pass_at[2] == pytest.approx((0 + 1 / 2 + 5 / 6) / 3)
    assert task.pass_at[4] == pytest.approx(2 / 3)
    assert len({ask.seed for ask in answerer.seen}) == 36


def test_an_answer_that_was_cut_off_is_none_whatever_stands_there() -> None:
    ask = asked(1).asks(1, 0)[0]
    whole = Completion("thought", ask.problem.answer, "stop", True, 3, 1, 5, 0.1)
    assert scored(ask, whole).accuracy == 1.0
    cut = scored(ask, dataclasses.replace(whole, finish="length", well_formed=False))
    assert (cut.accuracy, cut.second) == (0.0, None)
    assert cut.why.startswith("cut off")
    assert summarise(HOW, [("easy", "trained")], [cut], 1.0).of("easy").loosely == 0.0
    assert scored(ask, dataclasses.replace(whole, finish="budget")).accuracy == 1.0  # its thinking was closed for it


def test_a_scorer_that_goes_wrong_is_noted(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def make(rng, index):\n    return {'prompt': str(rng.random()), 'answer': '7'}\n"
        "def score(problem, answer):\n    return {'7': 1.0}[answer]\n"
    )
    task = load_task(TaskSpec(python=str(tmp_path / "own.py")))
    ours = draw_queries([(task, "other")], "test", 6, 0)
    found = evaluate(Says(lambda ask: ask.problem.index % 2 == 0), ours, HOW)
    wrong = sum(row.accuracy < 1.0 for row in found.rows)
    assert 0 < wrong < 6
    (note,) = found.notes
    assert note.startswith(
        f"{wrong} of 6 answers of the task own could not be scored: score() of own.py raised KeyError"
    )
    assert "could not be scored" in results_page([found], None)


SMALL_TASK = (
    "def make(rng, index):\n    n = rng.randrange(400)\n    return {'prompt': f'What is {n}?', 'answer': str(n)}\n"
    "def score(problem, answer):\n    return float(answer == problem['answer'])\n"
)


def test_problems_that_may_have_been_trained_on_are_told_and_those_a_run_kept_out_are_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "tasks").mkdir(parents=True)
    for file in (tmp_path / "small.py", run / "tasks" / "small.py"):
        file.write_text(SMALL_TASK)
    (run / "recipe.toml").write_text(
        '[evaluate]\ndev = 5\ntest = 30\n[[tasks]]\nname = "small"\npython = "tasks/small.py"\nweight = 1.0\n'
    )
    task = load_task(TaskSpec(name="small", python=str(tmp_path / "small.py")))
    kept = held_out_by(run)
    assert 30 <= len(kept) <= 35
    assert contamination_notes(draw_queries([(task, "other")], "test", 30, 0), "test", kept) == []
    (told,) = contamination_notes(draw_queries([(task, "other")], "test", 150, 5), "test", kept)
    assert re.match(
        r"1[0-4][0-9] of the 150 test problems of small are problems of its train split as well and were", told
    )
    (told,) = contamination_notes(draw_queries([(task, "other")], "test", 30, 0), "test", frozenset())
    assert told.startswith("30 of the 30 test problems")
    assert contamination_notes(draw_queries([(task, "other")], "train", 30, 0), "train", frozenset()) == []
    assert held_out_by(tmp_path) == frozenset()
    wide = tmp_path / "wide.py"
    wide.write_text(SMALL_TASK.replace("400", "10**12"))
    assert (
        contamination_notes(
            draw_queries([(load_task(TaskSpec(python=str(wide))), "other")], "test", 30, 0), "test", kept
        )
        == []
    )


def test_what_was_interrupted_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    file = tmp_path / "out" / "think.jsonl"
    whole = evaluate(Says(even), asked(), HOW)
    done = []
    with pytest.raises(KeyboardInterrupt), Transcripts(file, HOW) as kept:
        evaluate(Says(even, stop=7), asked(), HOW, kept=kept, progress=lambda *told: done.append(told))
    assert done[-1] == (7, 20, 35)
    with file.open("ab") as out:
        out.write(b'{"problem": "easy/test/0", "dig')  # power went
    rest = Says(even)
    with Transcripts(file, HOW) as kept:
        resumed = evaluate(rest, asked(), HOW, kept=kept)
    assert len(rest.seen) == 13
    assert without_time(resumed) == without_time(whole)
    assert resumed.rows == whole.rows
    again = Says(even)
    with Transcripts(file, HOW) as kept:
        assert without_time(evaluate(again, asked(), HOW, kept=kept)) == without_time(whole)
    assert again.seen == []
    with Transcripts(file, HOW, afresh=True) as kept:
        evaluate(again, asked(), HOW, kept=kept)
    assert len(again.seen) == 20


def test_other_conditions_other_problems_and_a_second_writer_are_told(tmp_path: Path) -> None:
    file = tmp_path / "think.jsonl"
    with Transcripts(file, HOW) as kept:
        evaluate(Says(even), asked(), HOW, kept=kept)
        with pytest.raises(UserError, match="Another evaluation is writing"):
            Transcripts(file, HOW).__enter__()
    with (
        pytest.raises(UserError, match="`n` was 10 and is 50 now"),
        Transcripts(file, dataclasses.replace(HOW, n=50)),
    ):
        pass
    with pytest.raises(UserError, match="which is another problem now"), Transcripts(file, HOW) as kept:
        evaluate(Says(even), asked(easy="trained"), HOW, kept=kept)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b"[1]\n" + b"".join(lines[1:]))
    with pytest.raises(UserError, match="line 2, is no transcript"), Transcripts(file, HOW):
        pass


def test_a_refused_problem_counts_as_wrong_and_says_why() -> None:
    ask = asked().asks(1, 0)[0]
    row = scored(ask, Completion("", ask.problem.answer, "length", False, 9, 0, 0, 0.0, refused="it has 9 tokens"))
    assert (row.accuracy, row.why) == (0.0, "refused: it has 9 tokens")


def test_to_json_and_back_and_into_a_receipt(tmp_path: Path) -> None:
    found = evaluate(Says(even), asked(), HOW)
    document = json.loads(json.dumps(as_json(found, "after")))
    assert dataclasses.replace(from_json(document, "it"), seconds=found.seconds) == found
    pattern = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")  # as the receipt's schema wants
    assert all(pattern.match(name) for name in document["results"])
    long = evaluate(Says(even), asked(2, **{f"{'x' * 40}{end}": "trained" for end in "ab"}), HOW)
    assert len([name for name in results_of(long) if name.startswith("accuracy_x") and pattern.match(name)]) == 2
    assert document["results"]["accuracy_easy"]["low"] == pytest.approx(wilson(8, 10).low)
    assert "n=10, seed 3" in document["results"]["mean"]["how"]
    assert results_of(found)["mean_unseen"].value == 0.5
    from clearseek.receipts.statement import _evaluations

    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "after.json").write_text(json.dumps(document))
    (made,) = _evaluations(tmp_path)
    assert (made["name"], made["results"]) == ("after", document["results"])


@pytest.mark.parametrize("broken", [[], {}, {"form": "other/2"}, {"form": "clearseek-evaluation/1", "tasks": 3}])
def test_what_is_no_evaluation_is_told(broken: object) -> None:
    with pytest.raises(UserError, match=r"x\.json is"):
        from_json(broken, "x.json")


def test_two_evaluations_paired() -> None:
    before = evaluate(Says(lambda ask: ask.problem.index < 4), asked(), HOW)
    after = evaluate(Says(even), asked(), dataclasses.replace(HOW, model="n", digest=None, budget=64))
    found = compare(before, after)
    easy, odd = found.tasks
    assert (easy.won, easy.lost, easy.p) == (4, 0, 0.125)
    assert (odd.won, odd.lost, odd.p) == (3, 2, 1.0)
    assert easy.difference.value == pytest.approx(0.4)
    assert easy.difference.low > 0
    assert found.means["trained"].value == pytest.approx(0.4)
    assert found.remarks == ("Besides the model, `budget` differs: None before, 64 after.",)
    assert json.loads(json.dumps(comparison_json(found)))["tasks"][0]["p"] == 0.125
    assert compare(before, after) == found


def test_pairs_are_the_same_problems_only() -> None:
    before = evaluate(Says(even), asked(4, easy="trained", gone="trained"), HOW)
    after = evaluate(Says(even), asked(6, easy="trained", new="trained"), HOW)
    found = compare(before, after)
    assert [(task.task, task.n) for task in found.tasks] == [("easy", 4)]
    assert len(found.remarks) == 3
    with pytest.raises(UserError, match="no problem in common"):
        compare(evaluate(Says(even), asked(4, gone="trained"), HOW), after)


def test_the_page_stands_alone_and_escapes_what_a_model_wrote() -> None:
    hostile = dataclasses.replace(HOW, model="<script>alert(1)</script>")
    arms = [
        evaluate(Says(even), asked(), dataclasses.replace(hostile, **how))
        for how in ({"budget": 64}, {"budget": 16}, {"thinking": False})
    ]
    page = results_page(arms, compare(arms[1], arms[0]))
    assert "<script" not in page
    assert "Accuracy against thinking" in page
    assert "Before and after" in page
    assert "pass@" not in page
    assert "80.0%" in page
    samples = evaluate(Says(even), asked(), dataclasses.replace(HOW, samples=2, temperature=0.5))
    assert "pass@2" in results_page([samples])
    nothing = evaluate(Says(lambda ask: False), asked(), HOW)
    assert "0.0%" in results_page([nothing])


def test_evaluating_a_served_model_needs_no_torch() -> None:
    code = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "tokenizers", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoTorch())
import clearseek.cli.eval_run, clearseek.cli.eval_text, clearseek.evaluation.engine_backend
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("answer", "reference", "ends"),
    [
        ("42.", "42", True),
        ("The answer is **42**.", "42", True),
        ("Yes", "yes", True),
        ("142", "42", False),
        ("-42", "42", False),
        ("3.42", "42", False),
        ("42 apples", "42", False),
        ("", "42", False),
        ("anything", "", False),
    ],
)
def test_what_the_asked_form_costs_is_told_apart(answer: str, reference: str, ends: bool) -> None:
    assert _ends_in(answer, reference) == ends
