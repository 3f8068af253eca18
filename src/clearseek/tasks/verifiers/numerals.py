"""Numbers as people write them: what dress a bare answer may wear, and the exact value of one numeral."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

MAX_NUMBER = 64
WRAPS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), (r"\boxed{", "}"), ("**", "**"), ("`", "`"))
"""What may stand around a whole answer, and says nothing."""
DEEPEST_DRESS = 3
_LABEL = re.compile(r"(?:the )?(?:final )?answer(?: is)?:\s*", re.IGNORECASE | re.ASCII)
_GROUPED = re.compile(r"-?[1-9][0-9]{0,2}(?:,[0-9]{3}){1,12}(?:\.[0-9]{1,30})?", re.ASCII)
_DECIMAL = re.compile(r"-?(?:(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_FRACTION = re.compile(r"(-?)(?:([1-9][0-9]{0,19}) +)?(0|[1-9][0-9]{0,29}) ?/ ?([1-9][0-9]{0,29})", re.ASCII)
_WHOLE = re.compile(r"[0-9]+", re.ASCII)


def bare_numeral(text: str) -> str:
    """The answer without the marks around it that can hold no second one: emphasis, dollar signs, one box, a full stop,
    `Answer:` before it, and a typographer's minus as the plain one."""
    text = text.strip().replace("\u2212", "-")
    for _ in range(DEEPEST_DRESS):
        before = text
        if match := _LABEL.match(text):
            text = text[match.end() :]
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        for start, end in WRAPS:
            inner = text[len(start) : -len(end)]
            if text.startswith(start) and text.endswith(end) and inner.strip() and _closed(inner, start, end):
                text = inner.strip()
                break
        if text == before:
            break
    return text


def _closed(inner: str, start: str, end: str) -> bool:
    """Whether what stands inside is one thing, and the two marks belong together."""
    if end != "}":
        return start not in inner and end not in inner
    depth = 0
    for char in inner:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0 and "\\boxed" not in inner


def read_number(text: str) -> Fraction | None:
    """A decimal (`.5` too), a fraction, a mixed number (`1 1/2`), a whole number with proper thousands; None for
    everything else: nan, hexadecimal, a plus in front, two numbers."""
    if len(text) > MAX_NUMBER:
        return None
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if _DECIMAL.fullmatch(text):
        return Fraction(text)
    if match := _FRACTION.fullmatch(text):
        whole, top, bottom = int(match[2] or 0), int(match[3]), int(match[4])
        if whole and not 0 < top < bottom:
            return None
        value = whole + Fraction(top, bottom)
        return -value if match[1] else value
    return None


def undone(text: str, reference: str, options: Mapping[str, Any]) -> str:
    """Why a fraction is a question and no answer: a division that comes out even was left to do, or its two numbers are
    the question's own. "" where it is an answer; with `expression` any is."""
    match = _FRACTION.fullmatch(text)
    if match is None or match[2] or options.get("expression") or text == reference.strip():
        return ""
    return unworked_fraction(int(match[3]), int(match[4]), reference, options)


def unworked_fraction(top: int, bottom: int, reference: str, options: Mapping[str, Any]) -> str:
    """As `undone`, of a numerator and a denominator."""
    if options.get("expression"):
        return ""
    written = _FRACTION.fullmatch(reference.strip())
    if written is not None and (int(written[3]), int(written[4])) == (top, bottom):
        return ""
    if top % bottom == 0:
        return "a division that was not worked out"
    asked = options.get("prompt")
    if isinstance(asked, str) and {str(top), str(bottom)} <= set(_WHOLE.findall(asked)):
        return "the division of the question, not worked out"
    return ""
