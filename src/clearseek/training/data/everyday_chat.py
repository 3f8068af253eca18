"""Everyday chat: prompts that need no reasoning, and what of their answers is worth learning from."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from clearseek.errors import UserError
from clearseek.hub.chat_template import THINK_CLOSE, THINK_OPEN
from clearseek.training.data.chat_format import ChatFormat
from clearseek.training.data.user_files import PROMPTS_FILE

DIRECT = (
    "There is nothing to work out here.",
    "This needs no steps. I can answer it directly.",
    "Nothing to calculate, so I answer.",
    "I can say this at once.",
)
"""The thought before an everyday answer."""

_WORD = re.compile(r"[^\W\d_]+")


def read_prompts(file: str) -> list[str]:
    """Everyday prompts, in the order of the file. Raises UserError, naming the line that is none."""
    if file:
        where, text = file, _text(Path(file))
    else:
        place = resources.files("clearseek") / PROMPTS_FILE
        where, text = "prompts.jsonl", place.read_text("utf-8")
    prompts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            prompt = None
        if not isinstance(prompt, str) or not prompt.strip():
            raise UserError(f"{where}, line {number}, holds no `prompt`.")
        prompts.append(prompt)
    return prompts


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None


def everyday_answer(chat: ChatFormat, ids: Sequence[int]) -> tuple[str, bool]:
    """What was answered without thinking, and whether it came to an end; without its last word where it did not. Empty
    where it holds tags of thinking."""
    written = chat.read(ids, thinking=False)
    if written.well_formed:
        return written.answer, True
    text = written.answer
    if THINK_OPEN in text or THINK_CLOSE in text:
        return "", False
    return text[: max(text.rfind(" "), text.rfind("\n"), 0)].rstrip(), False


def is_repetitive(answer: str) -> bool:
    """Whether more than a fifth of its runs of four words, or a quarter of its lines, were there before.

    Numbers, signs and capitals make no other word: the items of a list repeat themselves under new numbers.
    """
    lines = [tuple(_WORD.findall(line.lower())) for line in answer.splitlines()]
    messages = [line for line in lines if line]
    words = [word for line in messages for word in line]
    runs = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return len(set(runs)) < 0.8 * len(runs) or len(set(messages)) < 0.75 * len(messages)
