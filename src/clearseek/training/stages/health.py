"""What is said in words about a stage of reinforcement learning: plain signs that something goes wrong, and why.

A pure function of the steps' numbers. Every sign is said when it first shows and again every `AGAIN` steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

AGAIN = 10
BLOWN = 3
"""Steps in a row whose loss has to be far above the first one's before it is said that the weights have blown up."""
START = 5
"""Steps whose mean is what later ones are compared with, and over which they are averaged."""


def warnings_of(
    history: Sequence[Mapping[str, float]], *, max_new: int, random_reward: bool, min_groups: int = 1
) -> dict[str, str]:
    """Signs in the last steps, by name. `history` holds the numbers of every step so far, or at least of the first and
    the last `START` of them."""
    warnings: dict[str, str] = {}
    last = history[-1]
    damaged = _damaged(history) if len(history) > START else None
    if damaged is not None:
        warnings["damaged"] = f"{damaged}: the model has been damaged; begin again with a lower learning rate."
    elif last["groups_that_teach"] == 0.0:
        warnings["flat"] = _flat(last)
    elif last.get("skipped"):
        taught, groups = round(last["groups_that_teach"] * last["groups"]), round(last["groups"])
        warnings["skipped"] = (
            f"Only {taught} of {groups} groups taught, fewer than `min_groups` = {min_groups}, so this step changed "
            "nothing: draw more problems (`prompts`) or more samples of each, or lower `min_groups`."
        )
    if last["truncated"] > 0.5:
        warnings["truncated"] = (
            f"{last['truncated']:.0%} of the samples were cut off at {max_new} tokens before they had an answer: raise "
            "max_new, or teach shorter thinking first."
        )
    if last["mismatch"] > 0.05:
        warnings["mismatch"] = (
            f"Rollouts and training disagree by {last['mismatch']:.3f} nats a token: what is trained is not what was "
            "sampled from. Compute both in float32 to see whether it is rounding."
        )
    if last["second_judged"] > 0 and last["accuracy"] - last["second_verifier"] > 0.1:
        warnings["second"] = (
            f"The verifier accepts {last['accuracy']:.0%}, and a second one, which nobody learns from, "
            f"{last['second_verifier']:.0%}: the model may have learned to please the verifier. Read the samples."
        )
    if len(history) >= 3 * START:
        warnings |= _trends(history)
    if random_reward and len(history) == 1:
        warnings["random"] = "Rewards are coin tosses: this is a control, and nothing should be learned."
    return warnings


def diverged(losses: Sequence[float], vocabulary: int) -> str | None:
    """Whether a supervised stage has come to be far worse than its first step, several steps in a row: half of what a
    guess costs that knows nothing, which is the logarithm of the vocabulary. Weights that a learning rate has thrown
    about do that, and examples of other kinds hardly ever."""
    blind = math.log(vocabulary)
    if len(losses) <= BLOWN or min(losses[-BLOWN:]) <= losses[0] + 0.5 * blind:
        return None
    return (
        f"the loss is {losses[-1]:.1f} nats a token, where its first step had {losses[0]:.1f} and blind guessing has "
        f"{blind:.1f}: the weights have blown up"
    )


def _damaged(history: Sequence[Mapping[str, float]]) -> str | None:
    """What was right, or had the form, in one of the first steps, and hardly ever is now."""
    recent = history[-START:]
    for name, words in (("accuracy", "right"), ("format", "of the right form")):
        most = max(step[name] for step in history[:START])
        now = _mean([step[name] for step in recent])
        if most >= 0.2 and now < 0.2 * most:
            return f"Samples were {words} {most:.0%} of the time in the first steps and are {now:.0%} of it now"
    return None


def _flat(last: Mapping[str, float]) -> str:
    if last["accuracy"] == 0.0:
        why = "no sample was right"
        if last["format"] < 0.5:
            why += (
                f", and only {last['format']:.0%} had the form `thinking </think> answer`: teach the form first (sft)"
            )
        else:
            why += ": the problems are too hard for it now; start with easier ones, or with worked solutions"
    elif last["accuracy"] == 1.0:
        why = "every sample was right: the problems are too easy now"
    else:
        why = "each problem was solved by all of its samples or by none: draw more samples of each, or more problems"
    return f"Every group's rewards were all equal, so this step taught nothing: {why}."


def _trends(history: Sequence[Mapping[str, float]]) -> dict[str, str]:
    trends = {}
    first, recent = history[:START], history[-START:]
    entropies = [step["entropy"] for step in recent if "entropy" in step]
    before = [step["entropy"] for step in first if "entropy" in step]
    if entropies and before:
        now, then = _mean(entropies), _mean(before)
        if now < 0.25 * then:
            trends["entropy"] = (
                f"Entropy fell from {then:.3f} to {now:.3f} nats a token: samples of a group have become nearly the "
                "same, and soon nothing will differ. Lower the learning rate, or raise clip_high."
            )
    lengths = _mean([step["length"] for step in recent]), _mean([step["length"] for step in first])
    gained = _mean([step["accuracy"] for step in recent]) - _mean([step["accuracy"] for step in first])
    if lengths[0] > 1.3 * lengths[1] and gained < 0.02:
        trends["length"] = (
            f"Samples grew from {lengths[1]:.0f} to {lengths[0]:.0f} tokens, and accuracy did not ({gained:+.3f}): "
            "length is being learned for its own sake."
        )
    return trends


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
