"""Verifiers by name. Each is bounded in time and size, and written to be attacked: see docs/tasks.md."""

from __future__ import annotations

from clearseek.errors import UserError
from clearseek.suggest import suggest
from clearseek.tasks.task import Score
from clearseek.tasks.verifiers.answer_bounds import Options, Verdict, Verifier
from clearseek.tasks.verifiers.code import code, unavailable
from clearseek.tasks.verifiers.comparisons import choice, exact, integer, listed, numeric
from clearseek.tasks.verifiers.countdown import countdown
from clearseek.tasks.verifiers.generator_scorer import SILENT
from clearseek.tasks.verifiers.mathematics import math_verifier
from clearseek.tasks.verifiers.natural_answer import natural_answer

_PLAIN: dict[str, Verifier] = {
    "exact": exact,
    "integer": integer,
    "numeric": numeric,
    "choice": choice,
    "list": listed,
    "countdown": countdown,
    "code": code,
    "natural_answer": natural_answer,
}
FAILED = "the verifier failed:"
NAMES = (*_PLAIN, "math", "generator")


def check_name(name: str) -> None:
    """Raises UserError for a verifier that is not there."""
    if name not in NAMES:
        raise UserError(f"There is no verifier `{name}`; {suggest(name, NAMES)}")


def verifier(name: str, interpreter: str = "monty") -> Verifier:
    """The verifier of that name; `generator` belongs to a generator and is not among them. `interpreter`: what is to
    run programs. Raises UserError."""
    check_name(name)
    if name == "math":
        return math_verifier()
    if name == "generator":
        raise UserError("The verifier `generator` is a generator's own scorer: name a `generator` too.")
    if name == "code" and (why := unavailable(interpreter == "cpython")):
        raise UserError(why)
    return _PLAIN[name]


def verdict(check: Verifier, reference: str, answer: str, options: Options) -> Verdict:
    """What the verifier says; where it breaks, 0 and why. A rollout is no place for an exception."""
    try:
        return check(reference, answer, options)
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError, OSError) as error:
        return 0.0, f"{FAILED} {type(error).__name__}: {error}"[:300]


def score(given: Verdict, second: float | None = None) -> Score:
    """A verdict as a task's score; where the verifier itself went wrong, with its fault."""
    accuracy, why = given
    fault = ""
    if why.startswith(FAILED):
        fault = f"its verifier raised {why.removeprefix(FAILED).strip().partition(':')[0]}"
    elif why.startswith(SILENT):
        fault = "its verifier could not say"
    return Score(accuracy, why, second, fault)


__all__ = ["NAMES", "Verdict", "Verifier", "check_name", "score", "verdict", "verifier"]
