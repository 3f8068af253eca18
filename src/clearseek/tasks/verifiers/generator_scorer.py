"""A generator's own scorer, in a child: for problems that several answers solve."""

from __future__ import annotations

from typing import Any

from clearseek.tasks.child_process import Child, ChildDied, ChildTooSlow, Patience
from clearseek.tasks.verifiers.answer_bounds import RIGHT, WRONG, Options, Refusal, Verdict, Verifier, normalised

SCORER_SECONDS = 5.0
SILENT = "the verifier could not say:"


def generator_scorer(generator: str, config: dict[str, Any], seconds: float = SCORER_SECONDS) -> Verifier:
    """The generator's own scorer, for problems that several answers solve; `options["seed"]` says which problem."""
    child, patience = Child(["-m", "clearseek.tasks.worker", "generator"]), Patience(seconds)

    def own(reference: str, answer: str, options: Options) -> Verdict:
        try:
            text = normalised(answer, 4 * len(reference) + 1000)
        except Refusal as refusal:
            return refusal.verdict
        if reference and " ".join(text.split()) == " ".join(reference.split()):
            return RIGHT
        question = {"do": "score", "generator": generator, "config": config, "seed": options["seed"], "answer": text}
        try:
            reply = patience.ask(child, question)
        except ChildTooSlow:
            return 0.0, "too slow"
        except ChildDied as error:
            return 0.0, f"{SILENT} {error}"
        return scorer_result(reply)

    return own


def scorer_result(reply: dict[str, Any]) -> Verdict:
    """A verdict from a child's reply."""
    if "error" in reply:
        return 0.0, f"{SILENT} {reply['error']}"
    if reply.get("why"):
        return 0.0, str(reply["why"])
    accuracy = reply.get("accuracy", 0.0)
    # part marks are none: a scorer that gives 0.9 for an answer that is nearly right teaches nearly right answers
    return RIGHT if isinstance(accuracy, float) and 0.999 <= accuracy <= 1.001 else WRONG
