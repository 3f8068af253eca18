"""The verifier `math`: the answer read whole, compared exactly. Numbers are compared here, all else in a child."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from clearseek.tasks.child_process import Child, ChildDied, ChildTooSlow, Patience
from clearseek.tasks.verifiers.answer_bounds import (
    RIGHT,
    WRONG,
    Options,
    Refusal,
    Verdict,
    Verifier,
    normalised,
    refused,
)
from clearseek.tasks.verifiers.generator_scorer import SILENT, scorer_result
from clearseek.tasks.verifiers.math_form import (
    MARKS,
    fraction_of,
    is_scalar,
    kinds_of,
    names_of,
    numeral,
    walk,
    without_markers,
)
from clearseek.tasks.verifiers.math_parser import MAX_MATH, Node, read
from clearseek.tasks.verifiers.math_tokens import NotUnderstood, tokens_of
from clearseek.tasks.verifiers.numerals import bare_numeral, unworked_fraction

MATH_SECONDS = 3.0
_WORK = frozenset({"add", "mul", "div", "pow", "call"})


def math_verifier(seconds: float = MATH_SECONDS) -> Verifier:
    """A verifier with a child of its own, started when it is first needed."""
    child, patience = Child(["-m", "clearseek.tasks.worker", "math"]), Patience(seconds)

    def math(reference: str, answer: str, options: Options) -> Verdict:
        """Equal as mathematics, to every digit given: `1/2`, `0.5` and `\\frac{1}{2}` are. One expression, worked out
        as far as the reference is; not a sentence, not two answers, not the question again."""
        try:
            text = normalised(answer, MAX_MATH, allowed=reference)
        except Refusal as refusal:
            return refusal.verdict
        if _written(text) == _written(reference):
            return RIGHT
        try:
            ours = read(reference)
        except NotUnderstood as error:
            return 0.0, f"wrong: only the same text is right, as the reference answer is not read: {error}"
        try:
            theirs = read(text, thousands=ours.kind not in ("list", "tuple"))
        except NotUnderstood as error:
            return refused(f"not read as one answer: {error}")
        if unfit := _foreign(ours, theirs) or _asked(reference, text, theirs, options):
            return refused(unfit)
        value = numeral(without_markers(ours)) if is_scalar(without_markers(ours)) else None
        given = _value(theirs)
        if value is not None and given is not None:
            return RIGHT if abs(value - given) <= Fraction(options.get("absolute", 0)) else WRONG
        if value is not None and not options.get("expression"):
            return refused("not worked out: the answer is one number") if is_scalar(without_markers(theirs)) else WRONG
        question = {
            "reference": reference,
            "answer": text,
            "expression": bool(options.get("expression")),
            "absolute": str(Fraction(options.get("absolute", 0))),
        }
        try:
            return scorer_result(patience.ask(child, question))
        except ChildTooSlow:
            return 0.0, "too slow"
        except ChildDied as error:
            return 0.0, f"{SILENT} {error}"

    return math


def _written(text: str) -> list[str]:
    return tokens_of(bare_numeral(text), strict=False)


def _value(node: Node) -> Fraction | None:
    """The number that an answer is, `x = 12` being 12."""
    if node.kind == "relation" and node.value == "=" and node.parts[0].kind == "symbol":
        node = node.parts[1]
    node = without_markers(node)
    return numeral(node) if is_scalar(node) else None


def _foreign(ours: Node, theirs: Node) -> str:
    """What the answer has and the reference has not, and must not: units, unknowns that nobody asked for."""
    marks = (kinds_of(theirs) - kinds_of(ours)) & set(MARKS)
    if marks:
        return {"percent": "per cent", "degree": "degrees", "dollars": "a currency"}[min(marks)]
    named = {
        str(one.parts[0].value) for one in walk(theirs) if one.kind == "relation" and one.parts[0].kind == "symbol"
    }
    more = names_of(theirs) - names_of(ours)
    if more and (more != named or len(named) > 1 or "relation" in kinds_of(ours)):
        return "words, units or unknowns that are not in the reference answer"
    return ""


def _asked(reference: str, text: str, theirs: Node, options: Options) -> str:
    """Whether the answer is the question again, or leaves its division to do."""
    if options.get("expression"):
        return ""
    for one in walk(without_markers(theirs)):
        if pair := fraction_of(one):
            pairs = {fraction_of(part) for part in walk(without_markers(read(reference)))}
            if pair not in pairs and (why := unworked_fraction(*pair, reference, options)):
                return why
    prompt = options.get("prompt")
    if isinstance(prompt, str) and kinds_of(theirs) & _WORK:
        asked, said_ = tokens_of(prompt[:20_000], strict=False), _written(text)
        size = len(said_)
        if any(asked[at : at + size] == said_ for at in range(len(asked) - size + 1)):
            return "the question again"
    return ""


def reply_of(question: dict[str, Any]) -> dict[str, Any]:
    """What the child says of one question."""
    from clearseek.tasks.verifiers.math_equality import compare, value_of

    value_of.cache_clear()
    ours = read(question["reference"])
    try:
        theirs = read(question["answer"], thousands=ours.kind not in ("list", "tuple"))
        right, why = compare(ours, theirs, expression=question["expression"], room=Fraction(question["absolute"]))
    except NotUnderstood as error:
        return {"accuracy": 0.0, "why": f"refused: {error}"}
    return {"accuracy": 1.0} if right else {"accuracy": 0.0, "why": why}
