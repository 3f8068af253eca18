"""Letters: every word spelled out, and at each letter that counts the number so far."""

from __future__ import annotations

import random
import re

from clearseek.tasks.task import Problem, Solution

OPENINGS = ("Find {}.", "Look for {}.", "Count every {}.")


def solve(problem: Problem, rng: random.Random) -> Solution:
    asked = re.search(r'letter "(.)" appear in the text: "(.*)"\?', problem.prompt, re.DOTALL)
    if asked is None:
        raise ValueError("a question about letters in other words")
    letter, text = asked[1].lower(), asked[2]
    words = []
    count = 0
    for word in text.split():
        spelled = []
        for sign in word.lower():
            if sign == letter:
                count += 1
                sign = f"{sign}{count}"
            spelled.append(sign)
        words.append(f"{word}: {' '.join(spelled)}")
    # in one line, so that every word follows a space as it does in the question, and is the same tokens
    thinking = f"{rng.choice(OPENINGS).format(letter)} {'; '.join(words)}\n{rng.choice(('total', 'in all'))} {count}"
    return Solution(thinking, str(count))
