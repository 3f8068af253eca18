"""A kind of question that people ask a small assistant: how its numbers are drawn, how it is worded, and programs that
answer it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clearseek.seeds import seed_of
from clearseek.tasks.task import Split

Role = Literal["taught", "rewarded", "unseen"]
"""Taught with worked programs; only rewarded for right answers; or never trained on at all."""
Form = Literal["number", "word", "text", "list", "time", "date"]
"""What an answer is; see `verifiers/natural_answer.py`."""
LEAST_WORDINGS = 12
_KEPT = 2
"""Wordings of each kind that are kept for dev, and as many for test."""


@dataclass(frozen=True)
class Kind:
    """`draw` gives the fields of the templates and the answer. `wordings` are templates of the question, `programs` of
    code whose last line's value is the answer (empty: only the answer is known). `among`: the words of which the answer
    is one, where there are such."""

    name: str
    role: Role
    form: Form
    draw: Callable[[random.Random], tuple[Mapping[str, Any], Any]]
    wordings: tuple[str, ...]
    programs: tuple[str, ...] = ()
    among: tuple[str, ...] = ()

    def worded(self, split: Split) -> tuple[str, ...]:
        """The wordings of a split: no wording is in two."""
        shuffled = list(self.wordings)
        random.Random(seed_of("plain", self.name)).shuffle(shuffled)
        kept = {"dev": shuffled[:_KEPT], "test": shuffled[_KEPT : 2 * _KEPT], "train": shuffled[2 * _KEPT :]}
        return tuple(kept[split])


def lines(text: str) -> tuple[str, ...]:
    """One template a line."""
    return tuple(line.strip() for line in text.strip().splitlines())


def listed(items: Sequence[Any], last: str = "and") -> str:
    """3, 5 and 8."""
    texts = [str(item) for item in items]
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}" if len(texts) > 1 else texts[0]


_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(number: int) -> str:
    """A number below a million in English words."""
    if number < 0:
        return f"minus {in_words(-number)}"
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" and {in_words(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    return f"{in_words(thousands)} thousand" + (f" {in_words(rest)}" if rest else "")
