"""What a run has to say at its end: steps that changed nothing, and whether the model is better than its beginning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearseek.evaluation.statistics import Interval, paired_bootstrap
from clearseek.training.report.view import Conclusions, StageView

LAST = 5
"""Steps whose mean loss is held against the first one's."""


def conclusions_of(folder: Path, stages: Sequence[StageView], tasks: Sequence[str]) -> Conclusions:
    """From the lines of the steps and the transcripts of the tests before and after. `tasks` are those trained on."""
    messages = [sentence for stage in stages if (sentence := idle(stage)) is not None]
    damaged = [sentence for stage in stages if (sentence := higher_loss(stage)) is not None]
    messages += damaged
    before, after = (_accuracies(folder / "evaluations" / f"test-{name}.transcripts.jsonl") for name in
                     ("before", "after"))  # fmt: skip
    pairs = [
        [(before[key], after[key]) for key in before if key[0] == task and key in after]
        for task in dict.fromkeys(tasks)
    ]
    pairs = [of for of in pairs if of]
    if not pairs:
        return Conclusions(tuple(messages), bool(damaged))
    change = paired_bootstrap([[a for a, _ in of] for of in pairs], [[b for _, b in of] for of in pairs], 0)
    was, now = (sum(sum(pair[side] for pair in of) / len(of) for of in pairs) / len(pairs) for side in (0, 1))
    numbers = f"{was:.0%} before and {now:.0%} after, {points(change)} paired, {sum(map(len, pairs))} problems"
    if change.high < 0:
        messages.append(f"On test the model is worse than what it began from: {numbers}.")
    elif change.low > 0:
        messages.append(f"On test the model is better than what it began from: {numbers}.")
    else:
        messages.append(f"On test no change can be told from chance: {numbers}.")
    return Conclusions(tuple(messages), bool(damaged) or change.high < 0)


def idle(stage: StageView) -> str | None:
    """A stage whose steps, or most of them, changed nothing."""
    nothing = sum(bool(row["numbers"].get("skipped")) for row in stage.rows)
    if not nothing:
        return None
    why = "too few groups of answers differed" if stage.kind == "grpo" else "their examples were too long"
    if nothing == len(stage.rows):
        return f"The stage {stage.name} changed nothing: in all of its {nothing} steps {why}."
    if 4 * nothing >= len(stage.rows):
        return f"{nothing} of the {len(stage.rows)} steps of the stage {stage.name} changed nothing: {why}."
    return None


def higher_loss(stage: StageView) -> str | None:
    """A supervised stage that ended further from its examples than it began."""
    losses = [loss for _, loss in stage.curve("loss")]
    if stage.kind != "sft" or len(losses) <= LAST:
        return None
    last = sum(losses[-LAST:]) / LAST
    if last <= 1.2 * losses[0] + 0.1:  # batches differ
        return None
    return (
        f"The loss of the stage {stage.name} was {losses[0]:.2f} at first and is {last:.2f} at last: the model was "
        "damaged; begin again with a lower `lr`."
    )


def _accuracies(path: Path) -> dict[tuple[str, str, int], float]:
    """(task, problem, sample) -> accuracy; empty where there are none."""
    if not path.is_file():
        return {}
    rows: list[Mapping[str, Any]] = [json.loads(line) for line in path.read_bytes().splitlines()]
    return {(row["task"], row["problem"], row["sample"]): float(row["accuracy"]) for row in rows}


def points(change: Interval) -> str:
    """In points of a hundred, with its interval."""
    return f"{100 * change.value:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
