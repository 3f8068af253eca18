"""Sorting words: along the alphabet, which words begin with that letter; equal beginnings by the letters after them."""

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
    firsts = " ".join(f"{word}:{word[0]}" for word in words)
    walk = []
    letters = sorted({*ALPHABET, *(word[0] for word in words)})
    for letter in reversed(letters) if down else letters:
        found = sorted((word for word in words if word[0] == letter), reverse=down)
        if len(found) > 1:
            keys = " ".join(f"{_beginning(word, found)}" for word in found)
            found = [f"({keys})", *found]
        walk.append(" ".join([letter, *found]))
    lines = [f"{rng.choice(OPENINGS)}: {firsts}", ("forward", "backward")[down], " ".join(walk)]
    return Solution("\n".join(lines), ", ".join(sorted(words, reverse=down)))


def _beginning(word: str, others: list[str]) -> str:
    """As many letters as tell a word from the others, two or more."""
    size = 2
    while size < len(word) and any(other != word and other.startswith(word[:size]) for other in others):
        size += 1
    return word[:size]
