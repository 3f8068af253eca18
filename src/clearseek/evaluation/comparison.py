"""Two evaluations on the same problems: what changed, problem by problem, and how sure that is. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from clearseek.errors import UserError
from clearseek.evaluation.results import MEMBERSHIPS, Evaluation, Membership, accuracy_of
from clearseek.evaluation.statistics import Interval, mcnemar, paired_bootstrap
from clearseek.seeds import seed_of

_MAY_DIFFER = ("model", "digest", "n")
"""Conditions whose difference needs no remark: the point of the comparison, and what pairing takes care of."""


@dataclass(frozen=True)
class TaskDifference:
    """One task on the problems that both were asked. `won` and `lost` count problems right only after or before."""

    task: str
    membership: Membership
    n: int
    before: Interval
    after: Interval
    difference: Interval
    won: int
    lost: int
    p: float
    """McNemar's, exact and two-sided."""


@dataclass(frozen=True)
class Comparison:
    before: str
    after: str
    tasks: tuple[TaskDifference, ...]
    means: Mapping[str, Interval]
    """Of the differences, over the tasks of a membership."""
    remarks: tuple[str, ...]


def compare(before: Evaluation, after: Evaluation, seed: int = 0) -> Comparison:
    """`after` minus `before`, paired by problem. Raises UserError where they have no problem in common."""
    old = {task.task: task for task in before.tasks}
    result, values, remarks = [], {}, _remarks(before, after)
    for task in after.tasks:
        if task.task not in old:
            remarks.append(f"{task.task} was not asked before.")
            continue
        other = old[task.task]
        common = [one for one, digest in task.digests.items() if other.digests.get(one) == digest]
        if len(common) < max(len(task.scores), len(other.scores)):
            remarks.append(f"{task.task}: {len(common)} problems are the same in both; only they are compared.")
        if not common:
            continue
        a, b = [other.scores[one] for one in common], [task.scores[one] for one in common]
        won = sum(y >= 1 > x for x, y in zip(a, b, strict=True))
        lost = sum(x >= 1 > y for x, y in zip(a, b, strict=True))
        difference = paired_bootstrap([a], [b], seed_of("difference", task.task, seed))
        seeds = seed_of("before", task.task, seed), seed_of("after", task.task, seed)
        was, _ = accuracy_of(a, before.conditions.samples, seeds[0])
        now, _ = accuracy_of(b, after.conditions.samples, seeds[1])
        result.append(
            TaskDifference(task.task, task.membership, len(common), was, now, difference, won, lost, mcnemar(lost, won))
        )
        values[task.task] = (a, b)
    if not result:
        raise UserError(
            "The two evaluations have no problem in common: they need the same tasks, split and seed to be compared."
        )
    remarks += [f"{name} was not asked again." for name in old if name not in {task.task for task in after.tasks}]
    means_of: dict[str, Interval] = {}
    for kind in MEMBERSHIPS:
        pairs = [values[one.task] for one in result if one.membership == kind]
        if pairs:
            sides = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            means_of[kind] = paired_bootstrap(*sides, seed_of("differences", seed))
    names = _name(before), _name(after)
    return Comparison(*names, tuple(result), means_of, tuple(remarks))


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    return asdict(comparison)


def _remarks(before: Evaluation, after: Evaluation) -> list[str]:
    old, new = asdict(before.conditions), asdict(after.conditions)
    differ = [name for name in old if name not in _MAY_DIFFER and old[name] != new[name]]
    return [f"Besides the model, `{name}` differs: {old[name]} before, {new[name]} after." for name in differ]


def _name(evaluation: Evaluation) -> str:
    how = evaluation.conditions
    return f"{how.model} ({how.arm})"
