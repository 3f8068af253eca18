"""What a sample earns: accuracy, form and length, kept apart, and added up only for the advantage."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from clearseek.seeds import seed_of
from clearseek.tasks.task import CUT_OFF, Problem, Score, Task
from clearseek.training.data.chat_format import ChatFormat, ParsedCompletion
from clearseek.training.rollout.slots import Sample


@dataclass(frozen=True, slots=True)
class RewardRule:
    """`total = accuracy + format x form + length x punishment`.

    `random`: a coin instead of the accuracy, in the reward only. A control: what still improves under it was not
    learned from the verifier (Shao et al. 2025, "Spurious rewards").
    """

    format: float = 0.1
    length: float = 0.0
    max_new: int = 160
    length_margin: int = 32
    random: bool = False


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One sample, read and scored. `accuracy` is always the verifier's; `reward` is what is learned from."""

    written: ParsedCompletion
    accuracy: float
    form: float
    length: float
    reward: float
    why: str
    second: float | None
    truncated: bool
    fault: str = ""
    """What went wrong with the verifier itself."""


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """One problem, its samples and what they earned."""

    task: Task
    problem: Problem
    prompt: tuple[int, ...]
    samples: list[Sample]
    scores: list[SampleScore]
    mask: bool
    """Whether samples that were cut off are left out of what is learned."""

    @property
    def trained(self) -> list[bool]:
        """Which samples are learned from; the others are still of the group that each is compared with."""
        return [not (self.mask and score.truncated) for score in self.scores]

    @property
    def trained_samples(self) -> list[Sample]:
        return [sample for sample, own in zip(self.samples, self.trained, strict=True) if own]

    @property
    def informative(self) -> bool:
        """Whether there is something to learn: where all rewards are equal, every advantage is 0."""
        return any(score.reward != self.scores[0].reward for score in self.scores) and any(self.trained)


def score_samples(
    task: Task, problem: Problem, samples: Sequence[Sample], chat: ChatFormat, rule: RewardRule, *seeds: int | str
) -> list[SampleScore]:
    """Every sample of one problem. The verifier is given what stands after the thinking, and nothing else.

    A sample that was cut off has no answer: what stands there would have gone on, and paying for `1` of `123 km` pays
    a model for never coming to an end.
    """
    results = []
    for sample in samples:
        written = chat.read(sample.ids)
        truncated = sample.finish == "length"
        score = Score(0.0, CUT_OFF) if truncated else task.check(problem, written.answer)
        form = float(written.well_formed)
        length = overlong_penalty(len(sample.ids), rule.max_new, rule.length_margin)
        if truncated:
            length = -1.0
        earned = score.accuracy
        if rule.random:
            earned = float(random.Random(seed_of(*seeds, problem.id, sample.number, "coin")).random() < 0.5)
        total = earned + rule.format * form + rule.length * length
        parts = score.accuracy, form, length, total
        results.append(SampleScore(written, *parts, score.why, score.second, truncated, score.fault))
    return results


def overlong_penalty(length: int, most: int, margin: int) -> float:
    """0 up to `most - margin` tokens, then down in a straight line to -1 at `most`, and -1 beyond (DAPO,
    arXiv 2503.14476, equation 13)."""
    if margin <= 0:
        return -1.0 if length > most else 0.0
    return -min(1.0, max(0.0, (length - (most - margin)) / margin))
