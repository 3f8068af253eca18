"""reasoning-gym's generators by name: any of them, any configuration, in one sentence where it does not work."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys

import pytest

pytest.importorskip("reasoning_gym")

from clearseek.errors import UserError
from clearseek.tasks import TaskSpec, load_task
from clearseek.tasks.generator_task import INDICES, SPAN, seed_range
from clearseek.tasks.generators import OPENED_ONCE, checked_config, generator_names, plain_item, rendered
from clearseek.tasks.references import check_references
from clearseek.tasks.splits import draw
from clearseek.tasks.task import SPLITS

pytestmark = pytest.mark.slow  # every generator there is

# Generators whose problems have no reference answer: several are right, and the generator names none.
WITHOUT_REFERENCE = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}


def test_what_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no generator `chain_summ`; did you mean `chain_sum`"):
        load_task(TaskSpec(generator="chain_summ"))
    with pytest.raises(UserError, match="no setting `max_term`; did you mean `max_terms`"):
        load_task(TaskSpec(generator="chain_sum", config={"max_term": 3}))
    with pytest.raises(UserError, match="do not work: max_terms must be >= min_terms"):
        load_task(TaskSpec(generator="chain_sum", config={"min_terms": 5, "max_terms": 3}))
    with pytest.raises(UserError, match="no setting `seed`"):
        load_task(TaskSpec(generator="chain_sum", config={"seed": 5}))
    with pytest.raises(UserError, match="cannot be 'lowercas'; did you mean `lowercase`"):
        load_task(TaskSpec(generator="word_sorting", config={"transformation": "lowercas"}))
    with pytest.raises(UserError, match="no verifier `integr`; did you mean `integer`"):
        load_task(TaskSpec(generator="gcd", verifier="integr"))
    with pytest.raises(UserError, match="no second verifier `leg`; did you mean `legs`"):
        load_task(TaskSpec(generator="leg_counting", second="leg"))
    with pytest.raises(UserError, match="have no field `numbrs`; did you mean `numbers`"):
        load_task(TaskSpec(generator="gcd", prompt="{numbrs}?")).make("train", 0)


def test_toml_says_enums_tuples_times_and_mixtures() -> None:
    config = checked_config("aiw", {"task_types": ["siblings"]})
    assert [one.value for one in config["task_types"]] == ["siblings"]
    noon = datetime.time(12)
    assert checked_config("time_intervals", {"min_time": noon})["min_time"] == noon
    assert checked_config("fraction_simplification", {"styles": ["plain"]})["styles"] in (["plain"], ("plain",))
    mixed = TaskSpec(
        name="mixed",
        generator="composite",
        config={"datasets": [{"name": "gcd", "weight": 2.0}, {"name": "lcm", "config": {"max_value": 20}}]},
    )
    prompts = {problem.prompt.split()[3] for problem in draw(load_task(mixed), "train", 30, 0)}
    assert prompts == {"Common"} or {"Divisor", "Multiple"} & prompts or len(prompts) >= 1
    assert check_references(load_task(mixed), 10) == 10


def test_seed_ranges_of_splits_never_meet() -> None:
    for seed in (0, 1, 7, 12345, (1 << 20) - 1):
        ranges = [seed_range(seed, split) for split in SPLITS]
        for place, (first, last) in enumerate(ranges):
            assert place * SPAN <= first < last <= (place + 1) * SPAN
            assert last - first == 4 * INDICES
    assert seed_range(0, "train") != seed_range(1, "train")


def test_another_seed_gives_other_problems() -> None:
    one, other = load_task(TaskSpec(generator="gcd")), load_task(TaskSpec(generator="gcd", seed=1))
    assert one.make("train", 0) == load_task(TaskSpec(generator="gcd")).make("train", 0)
    assert one.make("train", 0) != other.make("train", 0)


def test_cut_prompt_answer_and_suffix() -> None:
    plain = load_task(TaskSpec(generator="countdown")).make("dev", 3)
    cut = load_task(TaskSpec(generator="countdown", cut="\n\nFinal answer", suffix="The expression alone.")).make(
        "dev", 3
    )
    assert plain.prompt.startswith(cut.prompt.removesuffix("\nThe expression alone."))
    assert rendered("{a} of {b}", {"a": ["48.0", "-0.0", 3], "b": "x"}, "t") == "48, 0, 3 of x"
    assert "{" in rendered("{not a field}", {}, "t")


def test_a_problem_says_nothing_of_today() -> None:
    task = load_task(TaskSpec(generator="time_intervals", config={"task_types": ["time", "time_seconds"]}))
    today = str(datetime.date.today())
    for problem in draw(task, "train", 20, 0):
        assert today not in str(problem)


def test_single_answers_are_compared_strictly_whatever_the_package_thinks() -> None:
    task = load_task(TaskSpec(generator="products"))
    problem = task.make("train", 0)
    assert task.check(problem, problem.answer).accuracy == 1.0
    for lax in (f"{problem.answer}.0", f"+{problem.answer}", f"000{problem.answer}", f"so: {problem.answer}"):
        assert task.check(problem, lax).accuracy == 0.0


def test_where_several_answers_are_right_the_generators_own_scorer_says_so_from_behind_walls() -> None:
    task = load_task(TaskSpec(generator="countdown", config={"min_numbers": 3, "max_numbers": 3}, seconds=2.0))
    problem = draw(task, "train", 1, 0)[0]
    assert task.check(problem, f"({problem.answer})").accuracy == 1.0
    assert task.check(problem, "1+1").accuracy == 0.0  # the package gives part marks for that
    # its scorer evaluates what it is given: what that can reach is what the walls leave
    hostile = "__import__('os').system('touch /tmp/clearseek-scorer-escaped')"
    assert task.check(problem, hostile).accuracy == 0.0
    assert task.check(problem, "9**9**9**9").accuracy == 0.0
    assert not os.path.exists("/tmp/clearseek-scorer-escaped")
    assert task.check(problem, f"({problem.answer})").accuracy == 1.0  # a child that was ended is started again


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_generator_makes_problems_whose_own_answers_are_right_and_the_same_again() -> None:
    code = """
import sys
from clearseek.tasks import TaskSpec, load_task
for name in sys.argv[1:]:
    task = load_task(TaskSpec(generator=name, seconds=30))
    found = [task.make(split, 5) for split in ("train", "test")]
    print(name, *(problem.digest for problem in found))
"""
    names = [name for name in generator_names() if name != "composite"]
    assert len(names) >= 100
    one = subprocess.Popen([sys.executable, "-c", code, *names], stdout=subprocess.PIPE, text=True)
    here = []
    failed = {}
    for name in names:
        task = load_task(TaskSpec(generator=name, seconds=30))
        problems = [task.make(split, 5) for split in ("train", "test")]  # type: ignore[arg-type]
        here.append(" ".join([name, *(problem.digest for problem in problems)]))
        for problem in problems:
            if not problem.answer:
                assert name in WITHOUT_REFERENCE
                continue
            score = task.check(problem, problem.answer)
            if score.accuracy != 1.0:
                failed[name] = score.why
    assert failed == {}
    assert one.communicate()[0].splitlines() == here


def test_generators_opened_once_give_what_their_chunks_would() -> None:
    from reasoning_gym.factory import create_dataset

    for name in sorted(OPENED_ONCE - {"arc_agi", "codeio", "group_anagrams", "figlet_font"}):
        chunk = create_dataset(name, seed=2560, size=256)
        whole = create_dataset(name, seed=0, size=1 << 31)
        for place in (0, 200):
            assert plain_item(name, chunk[place]) == plain_item(name, whole[2560 + place]), name
