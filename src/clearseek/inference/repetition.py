"""A model that says the same again and again: found while it writes, with bounded memory and next to no work.

Only what repeats letter for letter is a loop, and only where it has said enough to be a sentence and not a pattern:
tables, drawings, zeros, rows of equal code and lists are let be for much longer. What the conversation itself holds may
be repeated as often as the model likes, and so may anything as often as a number in the question says ("30 times").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

KEPT = 16_000
"""Characters of the latest text that are looked at; a block of a quarter of that can still be seen four times."""
EVERY = 24
"""Characters between two looks, and of the text whose last occurrence is looked for."""
CANDIDATES = 6
"""Earlier occurrences that are tried."""

_WORD = re.compile(r"[a-zA-Z\u00c0-\u024f\u0370-\u1fff']+|[^\W\d_]")
_ASKED = re.compile(r"(\d{1,4})\s*[^\W\d_]")
_CODE_LINE = re.compile(r"\s*$|\s*\||    |\t|\s*[{}\[\]<]")
_MARK = re.compile(r"^ {0,3}(?:`{3,}|~{3,})", re.MULTILINE)


class Repetition:
    """Feed what is written; `feed` says whether it has become a loop. `messages` are what the model was asked."""

    def __init__(self, messages: Sequence[Mapping[str, Any]] = (), *, code: bool = False) -> None:
        """With `code` all of the text is read as code or data (an answer that is JSON)."""
        self._messages, self._code = messages, code
        self._text = ""
        self._new = 0
        self._marks = 0
        """Fence marks in text that is not kept any more."""

    def feed(self, text: str) -> bool:
        self._text += text
        self._new += len(text)
        if self._new < EVERY:
            return False
        self._new = 0
        if len(self._text) > 2 * KEPT:
            self._marks += len(_MARK.findall(self._text[:-KEPT]))
            self._text = self._text[-KEPT:]
        found = _repeated(self._text)
        return found is not None and self._is_loop(*found)

    def _is_loop(self, block: str, length: int) -> bool:
        rounds = length // len(block)
        if rounds < 4:
            return False
        if not block.strip():
            return length >= 1_000
        words = len({word.casefold() for word in _WORD.findall(block)})
        if words == 0:
            return length >= KEPT - EVERY
        if words < 3 or self._is_code(block, length):
            needed, chars = 32, 2_000
        elif words < 8 or len(block) < 40:
            needed, chars = 8, 160
        else:
            needed, chars = 4, 0
        return rounds >= needed and length >= chars and not self._was_asked(block, rounds)

    def _is_code(self, block: str, length: int) -> bool:
        """Whether the repeated lines stand in a fence, or look like rows of a table or of data."""
        if self._code:
            return True
        if _MARK.search(block):
            return False
        before = self._text[: len(self._text) - length]
        if (self._marks + len(_MARK.findall(before))) % 2:
            return True
        return "\n" in block and all(_CODE_LINE.match(line) for line in (block + block).split("\n")[1:-1])

    def _was_asked(self, block: str, rounds: int) -> bool:
        """Whether the conversation holds the block, or its question a number of times that is not reached."""
        wanted = " ".join(_WORD.findall(block)).casefold()
        asked = ""
        for message in self._messages:
            text = str(message.get("content") or "")
            if message.get("role") == "user":
                asked = text
            if _holds(" ".join(_WORD.findall(text)).casefold(), wanted):
                return True
        return any(rounds <= int(number) + 1 for number in _ASKED.findall(asked))


def _holds(text: str, block: str) -> bool:
    """Whether a text holds a block, which may begin in the middle of what is repeated."""
    if block in text:
        return True
    words = block.split(" ")
    if len(words) > 400:
        return False
    return any(" ".join(words[cut:] + words[:cut]) in text for cut in range(1, len(words)))


def _repeated(text: str) -> tuple[str, int] | None:
    """The block that a text ends with more than once, and over how many characters; None where there is none."""
    tail = text[-EVERY:]
    if len(tail) < EVERY:
        return None
    at = len(text) - EVERY
    best: tuple[str, int] | None = None
    for _ in range(CANDIDATES):
        at = text.rfind(tail, max(0, len(text) - KEPT // 2), at + EVERY - 1)
        if at < 0:
            break
        period = len(text) - EVERY - at
        length = period + _same(text, period)
        if best is None or length // period > best[1] // len(best[0]):
            best = text[-period:], length
    return best


def _same(text: str, period: int) -> int:
    """How many characters at the end are those one period before."""
    known, step = 0, EVERY
    while step:
        end = len(text) - known
        start = end - step
        if start - period >= 0 and text[start:end] == text[start - period : end - period]:
            known += step
            step *= 2
        else:
            step //= 2
    return known
