"""Whether a stage still gains anything: its looks at dev, paired problem by problem, and its steps' own account.

Pure functions of the lines of metrics.jsonl, so that a run that was interrupted, and one that is replayed, decides the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearseek.evaluation.statistics import Interval, paired_bootstrap
from clearseek.training.report.conclusions import points

IDLE = 5
"""Steps in a row that taught nothing, after which a stage with patience ends."""

Row = Mapping[str, Any]


def accuracy_gain(before: Row, after: Row) -> Interval | None:
    """What accuracy on dev changed by between two looks, with a paired 95% interval; None where they do not say it
    problem by problem."""
    one, other = before.get("right"), after.get("right")
    if not one or not other or {name: len(of) for name, of in one.items()} != {n: len(of) for n, of in other.items()}:
        return None
    names = sorted(one)
    return paired_bootstrap([one[name] for name in names], [other[name] for name in names], 0)


def dev_evaluations(evaluations: Sequence[Row], since: int) -> list[Row]:
    """The looks at dev of a stage that began after `since` steps of the run, the one at its start among them."""
    return [row for row in evaluations if row["split"] == "dev" and row["done"] >= since]


def stop_reason(patience: int, looks: Sequence[Row], steps: Sequence[Row]) -> str | None:
    """Why a stage is to end here, or None. `steps` are its own lines, in order."""
    if not patience:
        return None
    last = steps[-IDLE:]
    if len(last) == IDLE and all(row["numbers"].get("skipped") for row in last):
        return f"its last {IDLE} steps taught nothing"
    if len(looks) <= patience:
        return None
    before, now = looks[-1 - patience], looks[-1]
    gain = accuracy_gain(before, now)
    if gain is None or gain.low > 0:
        return None
    count = sum(len(of) for of in now["right"].values())
    return (
        f"in its last {now['done'] - before['done']} steps it gained {points(gain)} on dev, which {count} problems "
        "cannot tell from nothing"
    )


def regression_warning(looks: Sequence[Row]) -> str | None:
    """What is said where dev has fallen since the stage began, by more than chance."""
    if len(looks) < 2 or (change := accuracy_gain(looks[0], looks[-1])) is None or change.high >= 0:
        return None
    return (
        f"The model has become worse than it was when this stage began: {points(change)} on dev. If it goes on, begin "
        "again with a lower `lr`."
    )
