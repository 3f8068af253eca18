"""Worked solutions: right, true in every step, short, and of problems that really differ."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

pytest.importorskip("reasoning_gym")

from clearseek.tasks.load import load_suite
from clearseek.tasks.solutions import GENERATORS, solver_of, steps
from clearseek.tasks.splits import draw
from clearseek.tasks.task import Problem, Solution, Task

PROBLEMS = 300
SUITE = load_suite("r1")
TASKS = [task for task in (*SUITE.trained, *SUITE.unseen) if task.solve is not None]
EQUATION = re.compile(r"(?<![\w+*/.-])(\d+(?:[-+*/]\d+)+)=(-?\d+)(?:r(\d+))?(?![\d*/+])")
LONGHAND = re.compile(r"(\d+)([-+*/])(\d+): [^\n:]*? -> (\d+)(?:r(\d+))?")
COMPARED = re.compile(r"(?<![\w.])(\d+)([<>=])(\d+) (?=keep|drop)|(?<![\w.])(\d+)<(\d+),? ")
BORROWED = re.compile(r"(?<!\d)(\d)~(\d)(?!\d)")


@cache
def solved(name: str) -> list[tuple[Problem, Solution]]:
    """Problems and their solutions; at most one in a hundred may be of a kind that the program leaves out."""
    task = next(task for task in TASKS if task.name == name)
    assert task.solve is not None
    found = []
    for problem in draw(task, "train", PROBLEMS, 3):
        try:
            found.append((problem, task.solve(problem, random.Random(problem.id))))
        except ValueError:
            continue
    assert len(found) >= 0.99 * PROBLEMS
    return found


def reckon(first: int, sign: str, second: int) -> tuple[int, int]:
    """Result and rest."""
    if sign == "/":
        return divmod(first, second)
    return {"+": first + second, "-": first - second, "*": first * second}[sign], 0


def wrong_steps(text: str) -> list[str]:
    """Every equation, long calculation and comparison in the text that is not true."""
    wrong = []
    for match in EQUATION.finditer(text):
        numbers = [int(number) for number in re.findall(r"\d+", match[1])]
        signs = re.findall(r"[-+*/]", match[1])
        value, rest = numbers[0], 0
        for sign, number in zip(signs, numbers[1:], strict=True):
            value, rest = reckon(value, sign, number)
        if len(set(signs)) > 1 or (value, rest) != (int(match[2]), int(match[3] or 0)):
            wrong.append(match[0])
    for match in LONGHAND.finditer(text):
        if reckon(int(match[1]), match[2], int(match[3])) != (int(match[4]), int(match[5] or 0)):
            wrong.append(match[0])
    for match in COMPARED.finditer(text):
        first, sign, second = (match[4], "<", match[5]) if match[4] else (match[1], match[2], match[3])
        if sign != ("<" if int(first) < int(second) else "=" if int(first) == int(second) else ">"):
            wrong.append(match[0])
    wrong += [match[0] for match in BORROWED.finditer(text) if (int(match[1]) - 1) % 10 != int(match[2])]
    return wrong


def test_every_trained_task_has_worked_solutions() -> None:
    assert all(task.solve is not None for task in SUITE.trained)
    assert len(TASKS) >= 13
    assert solver_of("sudoku") is None
    assert all(solver_of(name) is not None for name in GENERATORS)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_solution_is_right_and_every_step_of_it_true(task: Task) -> None:
    for problem, solution in solved(task.name):
        score = task.check(problem, solution.answer)
        assert score.accuracy == 1.0, (problem.prompt, solution, score)
        assert score.second in (None, 1.0)
        assert wrong_steps(solution.thinking) == [], (problem.prompt, solution)
        assert "think>" not in solution.thinking
        assert solution.thinking == solution.thinking.strip()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_same_draw_words_it_the_same_and_others_differ_in_words_alone(task: Task) -> None:
    assert task.solve is not None
    for problem, _ in solved(task.name)[:20]:
        worded = {task.solve(problem, random.Random(seed)) for seed in range(12)}
        assert task.solve(problem, random.Random(5)) in worded
        assert len({solution.answer for solution in worded}) == 1
        assert len({solution.thinking for solution in worded}) >= 2
        figures = {tuple(re.findall(r"\d+", solution.thinking)) for solution in worded}
        assert len(figures) == 1


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_problems_that_differ_in_wording_alone_are_few(task: Task) -> None:
    """The same words for every solution: two that are alike then are one problem, asked in two ways."""
    assert task.solve is not None
    said: dict[str, int] = {}
    for problem, _ in solved(task.name):
        thinking = task.solve(problem, random.Random(0)).thinking
        said[thinking] = said.get(thinking, 0) + 1
    assert len(said) >= 0.99 * len(solved(task.name))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_question_of_another_kind_is_refused_and_not_answered_wrongly(task: Task) -> None:
    assert task.solve is not None
    for prompt in ("", "Hello?", "What is the capital of Peru?"):
        with pytest.raises(ValueError):
            task.solve(Problem(task.name, "train", 0, prompt, ""), random.Random(0))


def test_the_check_of_steps_finds_what_is_wrong() -> None:
    assert wrong_steps("7+5=13") == ["7+5=13"]
    assert wrong_steps("7+5=12 4+8+1=13 47+85: 7+5=12 -> 132 46/7=6r4 6*o-17=79") == []
    assert wrong_steps("47+85: 7+5=12 4+8+1=13 -> 133") == ["47+85: 7+5=12 4+8+1=13 -> 133"]
    assert wrong_steps("46/7=6r5") == ["46/7=6r5"]
    assert wrong_steps("87<20 keep") == ["87<20 "]
    assert wrong_steps("87<20, so") == ["87<20, "]
    assert wrong_steps("2<7 12-7=5 5~4 0~9") == []
    assert wrong_steps("9<7 12-7=5 5~3") == ["9<7 ", "5~3"]


def test_arithmetic_written_out() -> None:
    assert steps.add(47, 85) == "47+85: 7+5=12 4+8+1=13 -> 132"
    assert steps.add(7, 5) == "7+5=12"
    assert steps.add(182, 15) == "182+15: 2+5=7 8+1=9 1 -> 197"
    assert steps.subtract(302, 47) == "302-47: 2<7 12-7=5 0~9 9-4=5 3~2 -> 255"
    assert steps.subtract(123, 115) == "123-115: 3<5 13-5=8 2~1 1-1=0 1-1=0 -> 8"
    assert steps.subtract(1638, 950) == "1638-950: 8-0=8 3<5 13-5=8 6~5<9 15-9=6 1~0 -> 688"
    assert steps.subtract(1005, 7) == "1005-7: 5<7 15-7=8 0~9 0~9 1~0 -> 998"
    assert steps.times_digit(9, 6) == "9*6=54"
    assert steps.times_digit(10, 6) == "10*6: 0*6=0 1*6=6 -> 60"
    assert steps.times_digit(47, 6) == "47*6: 7*6=42 4*6=24 24+4=28 -> 282"
    assert steps.times(47, 30) == ["47*30: 7*3=21 4*3=12 12+2=14 -> 1410"]
    assert steps.divide(299, 13) == ["13*20=260", "299-260: 9-0=9 9-6=3 2-2=0 -> 39", "1:13 2:26 3:39"]
    assert steps.divide_digits(594, 3) == "594/3: 1r2 9r2 8 -> 198"
    assert steps.divide_digits(33, 7) == "33/7=4r5"


def worked(name: str, prompt: str) -> list[str]:
    """The lines of a solution after the one that opens it."""
    solve = solver_of(name)
    assert solve is not None
    return solve(Problem(name, "train", 0, prompt, ""), random.Random(0)).thinking.split("\n")[1:]


def test_what_is_kept_grows_line_by_line_so_that_the_answer_is_a_copy() -> None:
    prompt = "Keep all numbers larger than 46 in this list: ['74', '28', '46', '93']\nReturn the new list."
    assert worked("number_filtering", prompt) == ["74>46 keep: 74", "28<46 drop", "46=46 drop", "93>46 keep: 74 93"]


def test_what_is_sorted_is_found_first_and_ordered_then() -> None:
    numbers = worked("number_sorting", "Sort these numbers in descending order: 5, 74, 100, 78, 70, 78")
    assert numbers == ["10:0=100 9:- 8:- 7:4 8 0 8=78 78 74 70 6:- 5:- 4:- 3:- 2:- 1:- 0:5=5"]
    words = worked("word_sorting", "Sort these words in ascending order: state, ape, stone, sea, and")
    assert words[1].startswith("a:p n= and ape b c d ")
    assert words[1].endswith(" r s:t.a t.o e= sea state stone t u v w x y z")


def test_arithmetic_written_out_is_true() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        a, b = sorted((rng.randrange(rng.choice((20, 200, 2000))), rng.randrange(rng.choice((20, 200)))), reverse=True)
        digit = rng.randint(2, 9)
        lines = [steps.add(a, b), steps.subtract(a, b), steps.times_digit(a, digit), steps.divide_digits(a, digit)]
        lines += steps.times(a, b % 100)
        if b:
            lines += steps.divide(b * (a % 99 + 1), b)
        for line in lines:
            assert wrong_steps(line) == [], line
        assert lines[0].endswith(f"{a + b}")
        assert lines[1].endswith(f"{a - b}")


def test_a_sum_is_written_out_what_is_added_first_and_what_is_taken_away_then() -> None:
    prompt = "State the final answer to the following arithmetic problem: "
    above = ["plus 12+45: 2+5=7 1+4=5 -> 57", "minus 3+20: 3+0=3 2 -> 23", "57-23: 7-3=4 5-2=3 -> 34"]
    assert worked("chain_sum", f"{prompt}12 - 3 + 45 - 20 =") == above
    below = ["plus 3+1=4", "minus 12+4: 2+4=6 1 -> 16", "4<16, 16-4=12"]
    assert worked("chain_sum", f"{prompt}3 - 12 - 4 + 1 =")[:-1] == below


def test_a_countdown_that_only_a_division_of_a_whole_solves_is_solved_unless_it_is_too_long() -> None:
    lines = worked("countdown", "Find a way to make 10 from numbers: 9, 50, 40")
    assert lines == [
        "9: need 1 19; 50+40=90 50-40=10 no",
        "50: need 60 40; 40+9=49 40-9=31 no",
        "40: need 50 30; 50+9=59 50-9=41 no",
        "50+40=90 90/9=10",
    ]
    with pytest.raises(ValueError, match="too long"):
        worked("countdown", "Find a way to make 17 from numbers: 33, 3, 18")
