"""What every verifier does first: bound the answer, and refuse what no honest answer holds. Verifiers are attacked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Options = Mapping[str, Any]
Verdict = tuple[float, str]
"""Accuracy, 0 to 1, and why in words."""

RIGHT: Verdict = (1.0, "right")
WRONG: Verdict = (0.0, "wrong")
NOTHING: Verdict = (0.0, "no answer")

Verifier = Callable[[str, str, Options], Verdict]
"""`(reference, answer, options)` -> verdict. `options`: the problem's data, and what the task says of its verifier."""

_TAGS = re.compile(r"</?\s*(?:think|answer|im_start|im_end)|<\|", re.IGNORECASE)


def refused(why: str) -> Verdict:
    return 0.0, f"refused: {why}"


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """An answer no verifier needs to look at."""

    verdict: Verdict


def plain_text(text: str) -> str:
    """A text in the one form in which it is compared: characters composed (NFC), runs of white space as one space."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())


def same_text(reference: str, answer: str) -> bool:
    """Whether two texts are one, whatever they are. A much longer answer costs nothing: composed, it stays longer."""
    return len(answer) <= 4 * len(reference) + 64 and plain_text(answer) == plain_text(reference) != ""


def normalised(answer: str, longest: int, allowed: str = "") -> str:
    """The answer without the white space around it. Raises Refusal: empty, too long, tags, characters unseen.

    The length is looked at before anything else is, so that a megabyte costs nothing. What stands in `allowed`, the
    reference, is not refused: joiners in an emoji or a Persian word, a tag that was asked for.
    """
    if len(answer) > longest + 64:  # some white space around an answer is no crime
        raise Refusal(refused(f"longer than {longest} characters"))
    text = answer.strip()
    if not text:
        raise Refusal(NOTHING)
    if len(text) > longest:
        raise Refusal(refused(f"longer than {longest} characters"))
    tags = {tag.casefold() for tag in _TAGS.findall(text)} - {tag.casefold() for tag in _TAGS.findall(allowed)}
    if tags:
        raise Refusal(refused("a tag of the chat in the answer"))
    text = text.replace("\r\n", "\n")
    for char in text:
        if char not in "\n\t" and not char.isprintable() and char not in allowed:
            raise Refusal(refused(f"the character U+{ord(char):04X}"))
    return unicodedata.normalize("NFC", text) if not text.isascii() else text
