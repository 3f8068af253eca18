"""Sorting words: their first two letters, then along the alphabet the second letters of the words that begin so, as
they stand, then the words in order. Words that begin with the same two letters show as many more as tell them apart.

Finding and ordering are two steps: in one, a small model forgot the second word of a letter.
"""

from __future__ import annotations

import random
import re

from clearseek.tasks.task import Problem, Solution

OPENINGS = ("First letters", "Beginnings", "Each word begins with")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = re.search(r"in (ascending|descending) order[^:]*: *([^\n]*)", problem.prompt)
    if asked is None:
        raise ValueError("a question about sorting in other words")
    down = asked[1] == "descending"
    words = [word for word in re.split(r"[,\s]+", asked[2]) if word]
    if any(word != word.lower() for word in words):
        raise ValueError("sorting is written for words in small letters")
    firsts = "; ".join(f"{word} {' '.join(word[:2])}" for word in words)
    walk = []
    letters = sorted({*ALPHABET, *(word[0] for word in words)})
    for letter in reversed(letters) if down else letters:
        group = [word for word in words if word[0] == letter]
        if group:
            keys = " ".join(".".join(_beginning(word, group)[1:]) for word in group)
            letter += f":{keys}= {' '.join(sorted(group, reverse=down))}"
        walk.append(letter)
    lines = [f"{rng.choice(OPENINGS)}: {firsts}", ("forward", "backward")[down], " ".join(walk)]
    return Solution("\n".join(lines), ", ".join(sorted(words, reverse=down)))


def _beginning(word: str, others: list[str]) -> str:
    """As many letters as tell a word from the others, two or more."""
    size = 2
    while size < len(word) and any(other != word and other.startswith(word[:size]) for other in others):
        size += 1
    return word[:size]
