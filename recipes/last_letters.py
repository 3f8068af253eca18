"""Last letters: a task in a file of its own, written so that a small model learns how its tokens are spelled.

A model reads words in pieces and never sees their letters. Most that the shipped model got wrong in spelling backward,
counting letters and sorting words was a word's letters (docs/lab/r1-135m.md). Here it spells five to ten words an
answer.

The words are those that reasoning-gym's tasks are made of, without the ones that the suite `r1` asks to be spelled
backward in its dev and test problems: to learn their letters here would be to learn the answers.
"""

import functools
import re

from reasoning_gym.data import read_data_file

from clearseek.tasks import load_task
from clearseek.tasks.splits import draw

ASKED = (
    "What is the last letter of each of these words: {}?",
    "Spell these words and give the last letter of each: {}",
    "Which letter does each of these words end with: {}?",
)
FORM = "Answer with the letters alone, separated by commas."


@functools.cache
def words():
    """Those of a list of English words, and those of a story, each in order and without the ones that are asked."""
    backward = load_task("spell_backward")
    kept = {
        problem.prompt.rpartition(":")[2].strip().lower()
        for split, count in (("dev", 100), ("test", 400))
        for problem in draw(backward, split, count, seed=0)
    }
    rare = {word for word in read_data_file("words3to10.txt").split() if len(word) <= 7 and word.isalpha()}
    common = {word for word in re.findall(r"\b[^\W\d_]+\b", read_data_file("in_the_year_2889.txt")) if len(word) > 2}
    return tuple(sorted(word for word in some if word.lower() not in kept) for some in (rare, common))


def make(rng, index):
    rare, common = words()
    few = rng.random() < 0.5
    count = rng.randint(5, 7) if few else rng.randint(8, 10)
    chosen = [rng.choice(rare if rng.random() < 0.6 else common) for _ in range(count)]
    prompt = f"{rng.choice(ASKED).format(', '.join(chosen))}\n{FORM}"
    return {"prompt": prompt, "answer": ", ".join(word[-1] for word in chosen), "words": chosen, "numbered": few}


def solve(problem, rng):
    spelled = []
    for word in problem["words"]:
        letters = [f"{letter}{place}" for place, letter in enumerate(word, 1)] if problem["numbered"] else word.lower()
        spelled.append(f"{word}: {' '.join(letters)}")
    # in one line, so that every word follows a space as it does in the question, and is the same tokens
    return f"{rng.choice(('Spelled', 'Letters', 'One by one'))}: {'; '.join(spelled)}", problem["answer"]
