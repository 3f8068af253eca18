"""A stage context of small parts for tests of stages: a tiny model, words as tokens, tasks a tiny model can learn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from clearseek.ledger.entry import Draft
from clearseek.ledger.meter import Meter
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.llama import Llama
from clearseek.tasks.task import Problem, Score, Solution, Split, Task
from clearseek.training.data.chat_format import ParsedCompletion
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.run.context import first_state
from clearseek.training.stages.base import StageContext
from clearseek.training.update.learner import Learner, open_learner

OPEN, CLOSE, END, SKIP = 60, 61, 62, 63
"""Ids of `<think>`, `</think>`, the end of a turn, and thinking that is off; every other id is a number."""


class Words:
    """What a stage needs of a tokeniser."""

    def decode(self, ids: Sequence[int], *, keep_control: bool = False) -> str:
        names = {OPEN: "<think>", CLOSE: "</think>", END: "<end>", SKIP: "<skip>"}
        return " ".join(names.get(token, str(token)) for token in ids if keep_control or token not in names)


class Numbers:
    """A chat format in which a text is numbers with spaces between, one token each."""

    tokenizer = Words()
    stop_ids = (END,)
    end_id = END

    def prompt(self, said: Any, thinking: bool = True) -> list[int]:
        return [*map(int, said.split()), OPEN if thinking else SKIP]

    def completion(self, thinking: str | None, answer: str, *, cut: bool = False) -> list[int]:
        thought = [] if thinking is None else [*map(int, thinking.split()), CLOSE]
        return [*thought, *map(int, answer.split()), *([] if cut else [END])]

    def read(self, ids: Sequence[int], thinking: bool = True) -> ParsedCompletion:
        ended = bool(ids) and ids[-1] == END
        body = list(ids[:-1] if ended else ids)
        if CLOSE not in body:
            return ParsedCompletion(" ".join(map(str, body)), "", False)
        at = body.index(CLOSE)
        thought, answer = (" ".join(map(str, part)) for part in (body[:at], body[at + 1 :]))
        return ParsedCompletion(thought, answer, ended and bool(thought) and bool(answer) and body.count(CLOSE) == 1)


def tiny(seed: int = 0, vocab: int = 64, **sizes: Any) -> Llama:
    torch.manual_seed(seed)
    kinds: dict[str, Any] = {
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": 32,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 8,
        "intermediate_size": 64,
        "max_positions": 64,
    }
    model = Llama(LlamaConfig(**{**kinds, **sizes}))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(8.0 if "embed" in name or "head" in name else 4.0)
    return model


def copying(name: str = "copy", first: int = 0, last: int = 9) -> Task:
    """Say the number again, after thinking of it."""

    def make(split: Split, index: int) -> Problem:
        number = first + random.Random(f"{name}/{split}/{index}").randint(0, last - first)
        other = random.Random(f"{name}/{split}/{index}/other").randint(10, 40)
        return Problem(name, split, index, f"{number} {other}", str(number))

    def check(problem: Problem, answer: str) -> Score:
        right = float(answer.strip() == problem.answer)
        return Score(right, "right" if right else "wrong", right)

    def solve(problem: Problem, rng: random.Random) -> Solution:
        return Solution(problem.answer, problem.answer)

    return Task(name, make, check, {"generator": "copying"}, solve)


def stage_context(
    folder: Path,
    tasks: Sequence[Task],
    learner: Learner | None = None,
    *,
    seed: int = 1,
    entries: list[Draft] | None = None,
    said: list[str] | None = None,
) -> StageContext:
    kept = entries if entries is not None else []
    told = said if said is not None else []
    return StageContext(
        learner=learner or open_learner(tiny(), LearnerSettings(train_embedding=True)),
        chat=Numbers(),  # type: ignore[arg-type]
        tasks=tasks,
        weights=[1.0 / len(tasks)] * len(tasks),
        meter=Meter(kept.append, rapl=False, gpus=False),
        seed=seed,
        folder=folder,
        tell=told.append,
        first_state=partial(first_state, folder),
    )
