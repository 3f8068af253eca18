"""What is told of a GRPO step: its metrics, some samples for people, and the signs that something goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from clearseek.tasks.task import Task
from clearseek.tasks.verifier_faults import faults_of
from clearseek.training.data.chat_format import ChatFormat
from clearseek.training.recipe.grpo_settings import GrpoSettings
from clearseek.training.score.rewards import ScoredGroup
from clearseek.training.stages.curriculum import remember
from clearseek.training.stages.health import AGAIN, START, warnings_of
from clearseek.training.update.learner import UpdateReport

SAMPLES = 4
"""Samples of a step that are told to people."""
WATCHED = (
    "groups_that_teach", "truncated", "mismatch", "accuracy", "format", "length", "entropy", "second_judged",
    "second_verifier", "skipped", "groups",
)  # fmt: skip
"""Metrics that warnings are made of."""


def group_metrics(groups: Sequence[ScoredGroup], tasks: Sequence[Task]) -> dict[str, float]:
    """Rewards and their parts, apart, over everything that was drawn."""
    scores = [score for group in groups for score in group.scores]
    second = [score.second for score in scores if score.second is not None]
    judged = [score.accuracy for score in scores if score.second is not None]
    metrics = {
        "reward": _mean([score.reward for score in scores]),
        "accuracy": _mean([score.accuracy for score in scores]),
        "format": _mean([score.form for score in scores]),
        "length_reward": _mean([score.length for score in scores]),
        "length": _mean([float(len(sample.ids)) for group in groups for sample in group.samples]),
        "truncated": _mean([float(score.truncated) for score in scores]),
        "not_scored": _mean([float(bool(score.fault)) for score in scores]),
        "groups": float(len(groups)),
        "groups_that_teach": _mean([float(group.informative) for group in groups]),
        "groups_all_right": _mean([float(all(s.accuracy >= 1.0 for s in group.scores)) for group in groups]),
        "groups_all_wrong": _mean([float(all(s.accuracy <= 0.0 for s in group.scores)) for group in groups]),
        "second_judged": len(second) / len(scores),
    }
    if second:  # where it said nothing of a sample, it cannot disagree
        metrics["second_verifier"] = _mean(second) + metrics["accuracy"] - _mean(judged)
    for task in tasks:
        own = [score.accuracy for group in groups if group.task is task for score in group.scores]
        if own:
            metrics[f"accuracy/{task.name}"] = _mean(own)
    return metrics


def update_metrics(reports: Sequence[UpdateReport], lr: float, groups: Sequence[ScoredGroup]) -> dict[str, float]:
    """Of the optimizer steps, of which there may be none."""
    metrics = {
        "lr": lr if reports else 0.0,
        "skipped": 0.0 if reports else 1.0,
        "loss": sum(report.loss for report in reports),
        "grad_norm": max((report.grad_norm for report in reports), default=0.0),
        "tokens_trained": float(sum(report.scored for report in reports)),
        "tokens_generated": float(sum(len(sample.ids) for group in groups for sample in group.samples)),
        "mismatch": 0.0,
    }
    scored = sum(report.scored for report in reports)
    for name in sorted({name for report in reports for name in report.parts}):
        if name in ("policy", "kl"):  # the loss's shares add up over updates, the means are weighted by tokens
            metrics[f"loss/{name}"] = sum(report.parts[name] for report in reports)
        else:
            metrics[name] = sum(report.parts[name] * report.scored for report in reports) / scored
    return metrics


def sample_rows(step: int, stage: str, groups: Sequence[ScoredGroup], chat: ChatFormat) -> list[dict[str, Any]]:
    """The first sample of some groups, as people read it."""
    rows = []
    for group in groups[:: max(1, len(groups) // SAMPLES)][:SAMPLES]:
        score, ids = group.scores[0], group.samples[0].ids
        rows.append({
            "step": step,
            "stage": stage,
            "kind": "sample",
            "task": group.task.name,
            "problem": group.problem.id,
            "prompt": group.problem.prompt,
            "reference": group.problem.answer,
            "text": chat.tokenizer.decode(list(ids), keep_control=True),
            "answer": score.written.answer,
            "reward": score.reward,
            "accuracy": score.accuracy,
            "format": score.form,
            "length": score.length,
            "why": score.why,
            "right_in_group": sum(other.accuracy for other in group.scores),
        })  # fmt: skip
    return rows


@dataclass(slots=True)
class History:
    """What a step needs of those before it: all of it is in the checkpoint."""

    taught: dict[str, float] = field(default_factory=dict)
    """Task -> share of its groups that were informative lately."""
    first: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    told: dict[str, int] = field(default_factory=dict)
    """Warning -> the step in which it was told last."""

    def add(
        self, number: int, groups: Sequence[ScoredGroup], metrics: Mapping[str, float], settings: GrpoSettings
    ) -> list[str]:
        """Put down what later steps need; the warnings that are due."""
        by_task: dict[str, list[bool]] = {}
        for group in groups:
            by_task.setdefault(group.task.name, []).append(group.informative)
        self.taught = remember(self.taught, by_task)
        kept = {name: metrics[name] for name in WATCHED if name in metrics}
        self.steps += 1
        if len(self.first) < START:
            self.first.append(kept)
        self.recent = [*self.recent, kept][-2 * START :]
        history = self.recent if self.steps <= 2 * START else [*self.first, *self.recent]
        warnings = warnings_of(
            history,
            max_new=settings.max_new,
            random_reward=settings.reward == "random",
            min_groups=settings.min_groups,
        )
        warnings |= faults_of((group.task.name, score.fault, score.why) for group in groups for score in group.scores)
        due = [name for name in warnings if number - self.told.get(name, -AGAIN) >= AGAIN]
        self.told |= dict.fromkeys(due, number)
        return [warnings[name] for name in due]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> History | None:
        """None where this is another stage's."""
        if set(values) != {each.name for each in fields(cls)}:
            return None
        return cls(
            dict(values["taught"]), list(values["first"]), list(values["recent"]), values["steps"], dict(values["told"])
        )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
