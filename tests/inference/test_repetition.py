"""A model that goes round in a circle is ended; one that was asked for much of the same is not."""

from __future__ import annotations

import base64
import json
import random
import time

import pytest

from clearseek.inference.repetition import KEPT, Repetition

CODE = "```bash\nls -la\n```\n\nThis command lists all files in the current directory, with their sizes and owners.\n\n"
CIRCLES = {
    "a code block with its sentence": "To list files, use `ls`:\n\n" + CODE * 5,
    "a sentence": "Hello! " + "I can do this. " * 30,
    "a longer sentence": "The first step is to find the derivative of the function and set it to zero. " * 6,
    "a paragraph in another language": "Начнём сначала: нужно найти производную функции и приравнять её к нулю.\n\n"
    * 5,
    "one without spaces": "首先我们需要求出函数的导数，然后令其等于零，再解这个方程。" * 6,
    "numbers in it": "So we add 3 and 4 and get 7. But wait, let me check this again from the start.\n" * 5,
    "a list item": "- Salt and pepper, to taste, and a little of the oil from before\n" * 6,
    "a long block": "".join(f"Step {n}: take the {n}th number and add it to the sum of the others. " for n in range(40))
    * 5,
    "one word without end": "yes " * 700,
    "an exclamation mark without end": "!" * (KEPT + 100),
    "empty lines without end": "{" + "\n" * 1200,
}
HONEST = {
    "a drawing": "\n".join("*" * 40 for _ in range(20)),
    "a frame": "#" * 41 + "\n" + ("#" + " " * 39 + "#\n") * 20 + "#" * 41,
    "a chess board": "```\n" + ("+---+---+---+---+\n|   |   |   |   |\n") * 8 + "```",
    "a table of equal rows": "| day | done | open | who |\n|---|---|---|---|\n"
    + "| to do | not yet | nobody | later on |\n" * 12,
    "an empty form": "| | | | |\n|---|---|---|---|\n" + "| Name | Street | Town | Country |\n" * 12,
    "numbers": ", ".join(str(n) for n in range(1, 1500)),
    "the same number": "0, " * 1500,
    "zeros": "0" * 4096,
    "base64 of zeros": base64.b64encode(bytes(6000)).decode(),
    "base64": base64.b64encode(random.Random(1).randbytes(6000)).decode(),
    "JSON": json.dumps(
        [{"id": 0, "name": "", "email": "", "phone": "", "street": "", "town": "", "active": True}] * 14, indent=2
    ),
    "JSON in a line": "```json\n" + '{"id": 0, "name": "", "email": "", "phone": "", "street": "", "on": true},\n' * 14,
    "HTML": "```html\n<ul>\n" + '  <li class="item"><a href="#" title="one more item of the list">Item</a></li>\n' * 18,
    "code with similar lines": "```python\n" + "".join(f"print('the value of x{n} is', x{n})\n" for n in range(60)),
    "code with equal lines": "```python\n"
    + "    assert next(values) == expected_value_of(the_next_one, in_the_list)\n" * 16,
    "code without a fence": "    value = step(value, of=the_matrix, by=the_rate, until=the_end)\n" * 16,
    "a chorus": "Row, row, row your boat, gently down the stream.\nMerrily, merrily, merrily, life is but a dream.\n"
    * 3,
    "laughing": "ha " * 60,
    "a count": "".join(
        f"{n} bottles of beer on the wall, {n} bottles of beer. Take one down.\n" for n in range(99, 1, -1)
    ),
    "a multiplication table": "".join(f"{a} times {b} is {a * b}.\n" for a in range(1, 11) for b in range(1, 11)),
}


def looped(text: str, question: str = "Tell me.", *, size: int = 5, code: bool = False) -> int | None:
    """After how many characters it is called a loop; None where it never is."""
    watch = Repetition([{"role": "user", "content": question}], code=code)
    for at in range(0, len(text), size):
        if watch.feed(text[at : at + size]):
            return at
    return None


@pytest.mark.parametrize("case", CIRCLES)
def test_a_circle_is_seen(case: str) -> None:
    assert looped(CIRCLES[case])


@pytest.mark.parametrize("case", HONEST)
def test_what_only_looks_alike_is_let_be(case: str) -> None:
    assert looped(HONEST[case]) is None


def test_four_rounds_of_a_paragraph_are_enough() -> None:
    paragraph = "The river runs from the hills in the north to the sea, past three towns and a mill.\n\n"
    at = looped("Rivers.\n\n" + paragraph * 9)
    assert at is not None
    assert 3 * len(paragraph) < at < 5 * len(paragraph)
    assert looped("Rivers.\n\n" + paragraph * 3 + "And so on.") is None


def test_what_was_asked_for_is_given() -> None:
    line = "All work and no play makes Jack a dull boy.\n"
    assert looped(line * 30)
    assert looped(line * 30, "Write the line from The Shining 30 times.") is None
    assert looped(line * 60, "Write the line from The Shining 30 times.")
    assert looped("I will not talk in class. " * 100, "Write: I will not talk in class. As often as you can.") is None
    assert looped("hello\n" * 50, "write hello 50 times") is None
    poem = "Rain on the roof of the old grey house, and a cat that waits for a sleeping mouse.\n"
    watch = Repetition([{"role": "assistant", "content": poem}, {"role": "user", "content": "Again and again!"}])
    assert not any(watch.feed(poem) for _ in range(20))


def test_data_asked_for_with_a_schema_is_read_as_code() -> None:
    rows = '{"first name":"Ann","last name":"Other","town":"Oslo","street":"none","floor":1},' * 12
    assert looped(rows, code=True) is None


def test_memory_is_bounded_and_a_look_costs_next_to_nothing() -> None:
    rng = random.Random(2)
    words = ["river", "hill", "stone", "the", "of", "and", "goes"]
    watch = Repetition()
    pieces = [rng.choice(words) + " " for _ in range(20_000)]
    began = time.process_time()
    assert not any(watch.feed(piece) for piece in pieces)
    assert time.process_time() - began < 20
    assert len(watch._text) <= 2 * KEPT + 100
