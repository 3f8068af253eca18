"""Answers as they are said: what is right however it is put, and what only looks like it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from clearseek.tasks.verifiers.natural_answer import MAX_ANSWER, natural_answer

SUM: dict[str, Any] = {"form": "number", "prompt": "What is 46 + 38?"}
CLOCK: dict[str, Any] = {"form": "time", "prompt": "It is 09:50. What time is it in 4 hours and 5 minutes?"}
DAY: dict[str, Any] = {"form": "date", "prompt": "What is the date 10 days after 2024-02-20?"}
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
WEEK: dict[str, Any] = {"form": "word", "among": WEEKDAYS, "prompt": "Was it a Monday?"}
YES: dict[str, Any] = {"form": "word", "among": ["yes", "no"], "prompt": "Is 7 prime? yes or no"}
TEXT: dict[str, Any] = {"form": "text", "prompt": "Spell ribbon backwards."}
MOST: dict[str, Any] = {"form": "number", "prompt": "Which is the largest of 3, 9 and 5?"}
LONGEST: dict[str, Any] = {"form": "word", "among": ["fig", "lemon"], "prompt": "Longest word: fig, lemon"}
LIST: dict[str, Any] = {"form": "list", "prompt": "Sort 9, 3, 5"}


@pytest.mark.parametrize(
    ("reference", "answer", "options"),
    [
        ("84", "84", SUM),
        ("84", "84.", SUM),
        ("84", "**84**", SUM),
        ("84", "It's **84**.", SUM),
        ("84", "46 + 38 = 84", SUM),
        ("84", "The sum of 46 and 38 is 84.", SUM),
        ("84", "That makes 84 euros.", SUM),
        ("84", "$84.00", SUM),
        ("1234.5", "It comes to $1,234.50.", SUM),
        ("-5", "It is -5 degrees.", SUM),
        ("-5", "\u22125", SUM),
        ("-5", "It is minus 5.", SUM),
        ("12", "12%", SUM),
        ("46", "46", SUM),
        ("46", "It is 46.", SUM),
        ("9", "The largest of 3, 9 and 5 is 9.", MOST),
        ("9", "Of 3, 9 and 5 it is **9**.", MOST),
        ("lemon", "The longest of fig and lemon is lemon.", LONGEST),
        ("13:55", "13:55", CLOCK),
        ("13:55", "It will be 1:55 pm.", CLOCK),
        ("13:55", "4 hours and 5 minutes after 09:50 it is **13:55**.", CLOCK),
        ("00:05", "12:05 am", CLOCK),
        ("2024-03-01", "2024-03-01", DAY),
        ("2024-03-01", "It is 1 March 2024.", DAY),
        ("2024-03-01", "March 1st, 2024", DAY),
        ("2024-03-01", "10 days after 2024-02-20 is **March 1, 2024**.", DAY),
        ("2024-03-01", "1.3.2024", DAY),
        ("Tuesday", "Tuesday", WEEK),
        ("Tuesday", "That was a **Tuesday**.", WEEK),
        ("Tuesday", "tuesday", WEEK),
        ("yes", "Yes.", YES),
        ("yes", "Yes, 7 is a prime number.", YES),
        ("nobbir", "nobbir", TEXT),
        ("nobbir", "nobbir.", TEXT),
        ("nobbir", '"nobbir"', TEXT),
        ("nobbir", "Spelled backwards, ribbon is nobbir.", TEXT),
        ("nobbir", 'Backwards "ribbon" is "nobbir".', TEXT),
        ("nobbir", "It is **nobbir**.", TEXT),
        ("3, 5, 9", "3, 5, 9", LIST),
        ("3, 5, 9", "[3, 5, 9]", LIST),
        ("3, 5, 9", "3 5 9", LIST),
        ("3, 5, 9", "3, 5 and 9.", LIST),
        ("3, 5, 9", "Sorted: 3, 5, 9", LIST),
        ("3, 5, 9", "- 3\n- 5\n- 9", LIST),
        ("apple, lemon", "['apple', 'lemon']", LIST),
    ],
)
def test_what_is_right_however_it_is_put(reference: str, answer: str, options: dict[str, Any]) -> None:
    assert natural_answer(reference, answer, options) == (1.0, "right")


@pytest.mark.parametrize(
    ("reference", "answer", "options"),
    [
        ("84", "", SUM),
        ("84", "85", SUM),
        ("84", "84 or 85", SUM),
        ("84", "It is 84, or perhaps 85.", SUM),
        ("84", "**84** or **85**", SUM),
        ("84", "46 + 38", SUM),
        ("84", "8 4", SUM),
        ("84", "84/1", SUM),
        ("84", "84-85", SUM),
        ("84", "84\u201385", SUM),
        ("84", "84 or 46", SUM),
        ("84", "It is 84 million.", SUM),
        ("84", "minus 84", SUM),
        ("84", "It is not 84.", SUM),
        ("84", "184", SUM),
        ("84", "84.5", SUM),
        ("84", "0x84", SUM),
        ("84", " ".join(map(str, range(100))), SUM),
        ("84", "84 " * 300, SUM),
        ("84", "84\x00", SUM),
        ("46", "46 or 38", SUM),
        ("84", "</think> 84", SUM),
        ("9", "3, 9, 5", MOST),
        ("9", "The largest of 3, 9 and 5 is 5.", MOST),
        ("9", "The largest of 3, 9 and 5", MOST),
        ("9", "It is 3. It is 9 and 5.", MOST),
        ("lemon", "fig, lemon", LONGEST),
        ("lemon", "Of fig and lemon it is fig.", LONGEST),
        ("13:55", "13:54", CLOCK),
        ("13:55", "13:55 or 14:55", CLOCK),
        ("13:55", "1:55 am", CLOCK),
        ("13:55", "1355", CLOCK),
        ("2024-03-01", "2024-02-30", DAY),
        ("2024-03-01", "2024-03-01 or 2024-03-02", DAY),
        ("2024-03-01", "1 March", DAY),
        ("Tuesday", "Monday", WEEK),
        ("Tuesday", "Monday or Tuesday", WEEK),
        ("Tuesday", " ".join(WEEKDAYS), WEEK),
        ("Tuesday", "Tuesdays", WEEK),
        ("yes", "yes and no", YES),
        ("yes", "No.", YES),
        ("yes", "It is not known.", YES),
        ("nobbir", "ribbon", TEXT),
        ("nobbir", "nobbir or nobbri", TEXT),
        ("nobbir", '"nobbir", "nobbri" or "nobirb"', TEXT),
        ("nobbir", "NOBBIR", TEXT),
        ("nobbir", "It could be nobbri or it is nobbir.", TEXT),
        ("3, 5, 9", "9, 5, 3", LIST),
        ("3, 5, 9", "3, 5", LIST),
        ("3, 5, 9", "3, 5, 9, 9", LIST),
        ("3, 5, 9", "3, 5, 9: 9, 5, 3", LIST),
    ],
)
def test_what_only_looks_like_it(reference: str, answer: str, options: dict[str, Any]) -> None:
    assert natural_answer(reference, answer, options)[0] == 0.0


def test_it_takes_no_time_whatever_it_is_given() -> None:
    began = time.process_time()
    long = [
        "9" * MAX_ANSWER,
        "1," * 200,
        "*" * MAX_ANSWER,
        "**a" * 133,
        "1:1" * 133,
        "(" * MAX_ANSWER,
        "- " * 200,
        '"' * 399,
    ]
    for answer in long:
        for options in (SUM, CLOCK, DAY, WEEK, TEXT, LIST):
            natural_answer("84" if options is SUM else "x", answer, options)
    assert time.process_time() - began < 2.0
