"""Verifiers that work in a child: mathematics by `math-verify` (sympy can blow up), and a generator's own scorer."""

from __future__ import annotations

import re
from typing import Any

from clearseek.tasks.children import Child, ChildDied, ChildTooSlow
from clearseek.tasks.verifiers.bounds import RIGHT, WRONG, Options, Refusal, Verdict, Verifier, refused, tidy

MAX_MATH = 400
MATH_SECONDS = 3.0
SCORER_SECONDS = 5.0
_MATH_CHARACTERS = re.compile(r"[A-Za-z0-9+\-*/^_=<>()\[\]{}.,;:|!&\\ \n$%']+", re.ASCII)
_FUNCTIONS = re.compile(r"\\?(?:arcsin|arccos|arctan|sqrt|frac|exp|log|sin|cos|tan|ln|pi)(?![a-z])")
_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z])")
_COMMANDS = frozenset(
    {
        *("frac", "dfrac", "tfrac", "sqrt", "cdot", "times", "div", "pi", "left", "right", "ln", "log", "exp"),
        *("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "theta", "alpha", "beta"),
        *("infty", ",", " ", "!", ";"),
    }
)
"""What LaTeX may say in an answer whose reference does not say it."""
_TOWER = re.compile(r"(\*\*|\^).*(\*\*|\^)", re.DOTALL)
_BIG_POWER = re.compile(r"(?:\*\*|\^)\s*[({]?\s*-?[0-9]{4,}")
_BIG_FACTORIAL = re.compile(r"[0-9]{4,}\s*!|!\s*!")


def math_verifier(seconds: float = MATH_SECONDS) -> Verifier:
    """A verifier with a child of its own, started when it is first needed."""
    child = Child(["-m", "clearseek.tasks.worker", "math"])

    def math(reference: str, answer: str, options: Options) -> Verdict:
        """Equal as mathematics: `1/2`, `0.5` and `\\frac{1}{2}` are. One expression; not a sentence, not two."""
        try:
            text = _unboxed(tidy(answer, MAX_MATH))
        except Refusal as refusal:
            return refusal.verdict
        if why := _suspect(text, reference):
            return refused(why)
        if text == reference.strip():
            return RIGHT
        try:
            reply = child.ask({"reference": _unboxed(reference.strip()), "answer": text}, seconds)
        except ChildTooSlow:
            return 0.0, "too slow"
        except ChildDied as error:
            return 0.0, f"the verifier could not say: {error}"
        return _verdict(reply)

    return math


def _unboxed(text: str) -> str:
    """What one `\\boxed{}` or one pair of dollar signs around everything holds."""
    text = text.strip()
    for start, end in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(start) and text.endswith(end) and len(text) > len(start) + len(end):
            text = text[len(start) : -len(end)].strip()
            break
    if text.startswith(r"\boxed{") and text.endswith("}") and text.count(r"\boxed") == 1:
        text = text[len(r"\boxed{") : -1].strip()
    return text


def _suspect(text: str, reference: str) -> str:
    """Why an answer is not looked at; "" where it may be."""
    if not _MATH_CHARACTERS.fullmatch(text):
        return "more than one expression in ASCII or LaTeX"
    if "boxed" in text or "$" in text:
        return "more than one answer"
    if _TOWER.search(text) and not _TOWER.search(reference):
        return "a power of a power"
    if _BIG_POWER.search(text) or _BIG_FACTORIAL.search(text) or re.search(r"[0-9]{60,}", text):
        return "a number too large to look at"
    if text.count("!") > max(1, reference.count("!")):
        return "a factorial of a factorial"
    if not _balanced(text):
        return "brackets that do not match, or lie too deep"
    unknown = {name for name in _COMMAND.findall(text) if name not in _COMMANDS and f"\\{name}" not in reference}
    if unknown:
        return f"\\{min(unknown)} in the answer"
    letters = set(re.sub(r"[^A-Za-z]", "", _COMMAND.sub("", _FUNCTIONS.sub("", text))))
    if letters - set(reference) - {"e", "i"}:
        return "words, units or unknowns that are not in the reference answer"
    for mark in (",", ";", "=", "|", "<", ">", "%"):
        if mark in re.sub(r"\\[,;]", "", text) and mark not in reference:
            return "more than one expression"
    return "" if text.count("=") <= max(1, reference.count("=")) else "more than one expression"


def _balanced(text: str, deepest: int = 16) -> bool:
    stack: list[str] = []
    for char in text:
        if char in "([{":
            stack.append({"(": ")", "[": "]", "{": "}"}[char])
            if len(stack) > deepest:
                return False
        elif char in ")]}":  # a half-open interval ends with the other kind
            if not stack or (stack[-1] == "}") != (char == "}"):
                return False
            stack.pop()
    return not stack


def scorer(generator: str, config: dict[str, Any], seconds: float = SCORER_SECONDS) -> Verifier:
    """The generator's own scorer, for problems that several answers solve; `options["seed"]` says which problem."""
    child = Child(["-m", "clearseek.tasks.worker", "generator"])

    def own(reference: str, answer: str, options: Options) -> Verdict:
        try:
            text = tidy(answer, 4 * len(reference) + 1000)
        except Refusal as refusal:
            return refusal.verdict
        if reference and " ".join(text.split()) == " ".join(reference.split()):
            return RIGHT
        question = {"do": "score", "generator": generator, "config": config, "seed": options["seed"], "answer": text}
        try:
            reply = child.ask(question, seconds)
        except ChildTooSlow:
            return 0.0, "too slow"
        except ChildDied as error:
            return 0.0, f"the verifier could not say: {error}"
        return _verdict(reply)

    return own


def _verdict(reply: dict[str, Any]) -> Verdict:
    if "error" in reply:
        return 0.0, f"the verifier could not say: {reply['error']}"
    if reply.get("why"):
        return 0.0, str(reply["why"])
    accuracy = reply.get("accuracy", 0.0)
    # part marks are none: a scorer that gives 0.9 for an answer that is nearly right teaches nearly right answers
    return RIGHT if isinstance(accuracy, float) and 0.999 <= accuracy <= 1.001 else WRONG
