"""What a task is: a maker of problems, a verifier of answers, and, where a program can do it, a worked solution."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

CUT_OFF = "cut off at the limit: no answer"
"""Why an answer that did not come to its end is not looked at."""
Split = Literal["train", "dev", "test"]
SPLITS: tuple[str, ...] = get_args(Split)


@dataclass(frozen=True, slots=True)
class Problem:
    """One question. `prompt` is what the user says; `answer` the reference; `data` what the verifier needs (JSON)."""

    task: str
    split: Split
    index: int
    prompt: str
    answer: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.task}/{self.split}/{self.index}"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the prompt, white space and case apart: the same question is the same digest."""
        return hashlib.sha256(" ".join(self.prompt.split()).casefold().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Solution:
    """Thinking and answer, as the model should write them: `<think>` and `</think>` are not part of either."""

    thinking: str
    answer: str


@dataclass(frozen=True, slots=True)
class Score:
    """What a verifier says of one answer.

    `accuracy` is 0 to 1. `why` is in words: "right", "wrong", "no answer", "refused: ...", "too slow", ...
    `second` is what a second, hidden verifier says, where the task has one: never trained on, only watched.
    `fault` is what went wrong with the verifier itself, the same words for the same kind; "": it could say.
    """

    accuracy: float
    why: str
    second: float | None = None
    fault: str = ""


@dataclass(frozen=True)
class Task:
    """A maker of problems and their verifier. `make(split, index)` gives the same problem for ever.

    `check` is given what the model answered after its thinking, never the thinking; it raises nothing. `solve` writes
    a worked solution, worded by the random generator it is given. `card` says where the problems come from: generator,
    version, config, licence, seeds.
    """

    name: str
    make: Callable[[Split, int], Problem]
    check: Callable[[Problem, str], Score]
    card: Mapping[str, Any]
    solve: Callable[[Problem, random.Random], Solution] | None = None
