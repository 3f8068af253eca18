"""The shipped suite: its problems never change, its verifiers accept its own answers, its second verifiers agree."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

pytest.importorskip("reasoning_gym")

from clearseek.errors import UserError
from clearseek.tasks import TaskSpec, load_task
from clearseek.tasks.load import Suite, load_suite
from clearseek.tasks.references import check_references
from clearseek.tasks.splits import draw
from clearseek.tasks.suites import shipped_suites
from clearseek.tasks.task import SPLITS, Task

SPACES = {
    "chain_sum": 100_000,
    "products": 39_000,
    "gcd": 39_000,
    "fraction_simplification": 20_000,
}


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suite("r1")


def tasks_of(suite: Suite) -> tuple[Task, ...]:
    return (*suite.trained, *suite.unseen)


def test_at_least_eight_tasks_are_trained_and_five_never(suite: Suite) -> None:
    trained, unseen = {task.name for task in suite.trained}, {task.name for task in suite.unseen}
    assert len(trained) >= 8
    assert len(unseen) >= 5
    assert not trained & unseen
    assert not {task.card["generator"] for task in suite.trained} & {task.card["generator"] for task in suite.unseen}
    assert all(task.solve is not None for task in suite.trained)


def test_every_reference_answer_is_right_by_both_verifiers(suite: Suite) -> None:
    for task in tasks_of(suite):
        assert check_references(task, 60) == 60
    for task in suite.trained:
        assert task.card["second"]


def test_prompts_are_short(suite: Suite) -> None:
    for task in tasks_of(suite):
        for problem in draw(task, "dev", 30, 3):
            assert len(problem.prompt) < (900 if task.name == "gsm_symbolic" else 300), problem.prompt
            assert problem.prompt == problem.prompt.strip()


@pytest.mark.slow
def test_splits_share_no_problem_and_a_draw_has_none_twice(suite: Suite) -> None:
    for task in tasks_of(suite):
        kept = {problem.digest for split in ("dev", "test") for problem in draw(task, split, 60, 0)}  # type: ignore[arg-type]
        try:
            train = draw(task, "train", 200, 1, frozenset(kept))
        except UserError:
            assert task.name == "prime_factorization"
            continue
        digests = {problem.digest for problem in train}
        assert len(digests) == 200
        assert not digests & kept
        assert {problem.split for problem in train} == {"train"}


def test_a_longer_draw_begins_with_the_shorter_one(suite: Suite) -> None:
    task = suite.trained[0]
    assert draw(task, "test", 50, 7)[:20] == draw(task, "test", 20, 7)
    assert draw(task, "test", 20, 8) != draw(task, "test", 20, 7)


@pytest.mark.slow
def test_problems_are_the_same_in_another_process_with_another_hash_seed(suite: Suite) -> None:
    code = (
        "from clearseek.tasks.load import load_suite\n"
        "s = load_suite('r1')\n"
        "for t in (*s.trained, *s.unseen):\n"
        "    for split in ('train', 'dev', 'test'):\n"
        "        p = t.make(split, 12345)\n"
        "        print(p.digest, repr(p.answer), sorted(p.data.items()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77", "PATH": "", "TZ": "Asia/Tokyo"},
    )
    here = [
        f"{p.digest} {p.answer!r} {sorted(p.data.items())}"
        for task in tasks_of(suite)
        for p in (task.make(split, 12345) for split in SPLITS)  # type: ignore[arg-type]
    ]
    assert done.stdout.splitlines() == here


def test_published_problems_have_not_changed(suite: Suite) -> None:
    found = {task.name: task.make("test", 0).digest[:16] for task in tasks_of(suite)}
    assert found == FIRST_DIGESTS


def wrong_answers(answer: str, rng: random.Random) -> list[str]:
    """Answers near the right one, in its form or not."""
    found = [
        f"{answer} ",
        f"{answer}.",
        f"the answer is {answer}",
        f"{answer} or {answer}",
        f"0{answer}",
        "",
        "0",
        "nan",
    ]
    digits = [place for place, char in enumerate(answer) if char.isdigit()]
    if digits:
        place = rng.choice(digits)
        found.append(answer[:place] + str((int(answer[place]) + rng.randint(1, 9)) % 10) + answer[place + 1 :])
    found += [answer[::-1], answer[1:], answer[:-1], answer.upper(), answer + answer[-1:], f"-{answer}"]
    if ", " in answer:
        parts = answer.split(", ")
        rng.shuffle(parts)
        found.append(", ".join(parts))
    return found


def test_the_two_verifiers_agree_on_right_and_nearly_right_answers(suite: Suite) -> None:
    rng = random.Random(5)
    compared = 0
    for task in suite.trained:
        for problem in draw(task, "train", 40, 9):
            for answer in wrong_answers(problem.answer, rng):
                score = task.check(problem, answer)
                assert score.second == score.accuracy, (task.name, problem.prompt, answer, score)
                compared += 1
    assert compared > 5000


@pytest.mark.slow
def test_the_spaces_are_as_large_as_the_file_says(suite: Suite) -> None:
    """By how often problems drawn at random meet: n draws from N meet about n^2 / 2N times."""
    for task in suite.trained:
        n = 3000
        digests = [task.make("train", index).digest for index in range(n)]
        met = n - len(set(digests))
        assert n * n / 2 / max(met, 1) > SPACES.get(task.name, 50_000) * 0.6, (task.name, met)


def test_names_and_suites_that_are_not_there() -> None:
    with pytest.raises(UserError, match="did you mean `r1`"):
        load_suite("r2")
    with pytest.raises(UserError, match="did you mean `chain_sum`"):
        load_task("chain_sums")
    assert load_task("gcd").name == "gcd"
    assert load_task(TaskSpec(name="gcd")).make("dev", 1) == load_task("gcd").make("dev", 1)
    assert load_task(TaskSpec(name="gcd", seed=2)).make("dev", 1) != load_task("gcd").make("dev", 1)
    with pytest.raises(UserError, match="gcd is a shipped task and takes no settings but `seed`"):
        load_task(TaskSpec(name="gcd", suffix="Quickly."))
    assert shipped_suites()["r1"].title


# Of `make("test", 0)` as published. Never to change: receipts name these problems by their seeds.
FIRST_DIGESTS = {
    "chain_sum": "c05b2556400bc007",
    "products": "70050b7d1f7d3d7d",
    "leg_counting": "355357deb5dfa7a8",
    "letter_counting": "89f581f56b49ef57",
    "gcd": "98aa027f957ba723",
    "countdown": "36fa09f0552e1ee0",
    "number_sorting": "f3d9db155cdb174b",
    "word_sorting": "ebaf9ac5fc1f9349",
    "spell_backward": "a29191c8a0653f6a",
    "simple_equations": "96958a01e27e8413",
    "number_filtering": "81f24fd579fdd3f9",
    "time_intervals": "88d04b57bf294ab5",
    "fraction_simplification": "b808539102dbc7eb",
    "lcm": "3f69cd1cb73446bc",
    "decimal_chain_sum": "2c5d80633bc2e75e",
    "word_sequence_reversal": "e171b9c8b11d0a4d",
    "prime_factorization": "f7bf61fce5ec4b8d",
    "calendar_arithmetic": "99f24b02956f860e",
    "syllogism": "4b574cd3d0c50688",
    "family_relationships": "1642306c6dabc916",
    "gsm_symbolic": "4e27a84c166e6de9",
}
