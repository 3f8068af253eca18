"""A model that says the same again and again: found while it writes, with bounded memory and next to no work.

Only what repeats letter for letter is a loop, and only where it has said enough to be a sentence and not a pattern:
tables, drawings, zeros, rows of equal code and lists are let be for much longer. What the conversation itself holds may
be repeated as often as the model likes, and so may anything as often as a number in the question says ("30 times").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

CIRCLING = "Stopped: it was repeating itself."
"""What is told of an answer that was ended for it."""
KEPT = 16_000
"""Characters of the latest text that are looked at; a block of a quarter of that can still be seen four times."""
EVERY = 24
"""Characters between two looks, and of the text whose last occurrence is looked for."""
CANDIDATES = 6
"""Earlier occurrences that are tried."""
MAX_ASKED = 20_000
"""Characters at the end of each message in which a block is looked for."""
MAX_TURNS = 200
"""Words of a block that is looked for."""

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
        self._known: tuple[frozenset[str], bool] | None = None
        """The words of the last block that was looked for in the conversation, and whether it is there."""
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
        repeated = _repeated(self._text)
        return repeated is not None and self._is_loop(*repeated)

    def _is_loop(self, block: str, length: int) -> bool:
        rounds = length // len(block)
        if rounds < 4:
            return False
        if not block.strip():
            return length >= 1_000
        words = len({word.casefold() for word in _WORD.findall(block) if len({*word}) > 1 or not word.isascii()})
        if words == 0:
            return length >= KEPT - EVERY
        if words < 3 or self._is_code(block, length):
            needed, chars = 32, 2_000
        elif words < 8 or (len(block) < 40 and words < 16):
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
        asked = ""
        for message in self._messages:
            if message.get("role") == "user":
                asked = str(message.get("content") or "")
        if any(rounds <= int(number) + 1 for number in _ASKED.findall(asked)):
            return True
        known = frozenset(_WORD.findall(block))
        if self._known is None or self._known[0] != known:
            texts = (str(message.get("content") or "")[-MAX_ASKED:] for message in self._messages)
            self._known = known, any(_holds(text, block) for text in texts)
        return self._known[1]


def _holds(text: str, block: str) -> bool:
    """Whether a text holds the words of a block, which may begin anywhere in what is repeated."""
    start = re.search(r"[\W\d_]", block)
    at = 0 if start is None else start.start()  # not in the middle of a word
    words = _WORD.findall((block[at:] + block[:at]).casefold())
    plain_text = f" {' '.join(_WORD.findall(text.casefold()))} "
    if len(words) > MAX_TURNS or not any(f" {' '.join(words[n : n + 2])} " in plain_text for n in (0, len(words) // 2)):
        return False
    return any(f" {' '.join(words[cut:] + words[:cut])} " in plain_text for cut in range(len(words)))


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
