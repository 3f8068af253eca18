"""Verifiers that compare: exact text, whole numbers, numbers with a tolerance, one of several choices, lists.

Each is microseconds of pure Python on a bounded text. None looks for the answer inside a longer one: an answer that
names two numbers is no answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from clearseek.tasks.verifiers.answer_bounds import (
    RIGHT,
    WRONG,
    Options,
    Refusal,
    Verdict,
    normalised,
    plain_text,
    refused,
    same_text,
)
from clearseek.tasks.verifiers.numerals import MAX_NUMBER, bare_numeral, read_number, undone

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,39})", re.ASCII)
_CHOICE_DRESS = re.compile(r"\(?([^()]*?)\)?[.:]?")
MAX_ITEMS = 200


def exact(reference: str, answer: str, options: Options) -> Verdict:
    """The same text, runs of white space counted as one, composed or not; with `ignore_case` in either case."""
    if same_text(reference, answer):
        return RIGHT
    try:
        text = normalised(answer, 2 * len(reference) + 16, allowed=reference)
    except Refusal as refusal:
        return refusal.verdict
    if options.get("ignore_case") and plain_text(text).casefold() == plain_text(reference).casefold():
        return RIGHT
    return WRONG


def integer(reference: str, answer: str, options: Options) -> Verdict:
    """One whole number in ASCII digits: no sign but `-`, no leading zero, no separators, no unit, nothing else."""
    try:
        text = normalised(answer, MAX_NUMBER)
    except Refusal as refusal:
        return refusal.verdict
    if not _INTEGER.fullmatch(text) or text == "-0":
        return refused("not one whole number")
    return RIGHT if text == reference.strip() else WRONG


def numeric(reference: str, answer: str, options: Options) -> Verdict:
    """One number, compared as exact fractions. `absolute` and `relative` say how far off it may be (0: not at all).

    Emphasis, dollar signs, a box and a full stop around it say nothing. A division that comes out even is no number.
    """
    try:
        text = bare_numeral(normalised(answer, MAX_NUMBER))
    except Refusal as refusal:
        return refusal.verdict
    theirs, ours = read_number(text), read_number(bare_numeral(reference))
    if ours is None:
        return 0.0, f"the reference answer {reference[:40]!r} is no number"
    if theirs is None:
        return refused("not one number")
    if why := undone(text, bare_numeral(reference), options):
        return refused(why)
    room = max(Fraction(options.get("absolute", 0)), Fraction(options.get("relative", 0)) * abs(ours))
    return RIGHT if abs(theirs - ours) <= room else WRONG


def choice(reference: str, answer: str, options: Options) -> Verdict:
    """One of several: `B`, `(b)`, `B.` are the same; so is case. The `choices`, where given, bound what is one."""
    try:
        text = (
            answer if same_text(reference, answer) else normalised(answer, 2 * len(reference) + 16, allowed=reference)
        )
    except Refusal as refusal:
        return refusal.verdict
    theirs, ours = _bare(text), _bare(reference)
    choices = options.get("choices")
    if choices and theirs not in {_bare(str(one)) for one in choices}:
        return refused("none of the choices")
    return RIGHT if theirs == ours else WRONG


def _bare(text: str) -> str:
    text = plain_text(text)
    match = _CHOICE_DRESS.fullmatch(text)
    return (match[1].strip() if match else text).casefold()


def listed(reference: str, answer: str, options: Options) -> Verdict:
    """The same items in the same order, in the form of the reference: bare with commas, or in brackets and quotes."""
    if same_text(reference, answer):
        return RIGHT
    try:
        text = normalised(answer, 2 * len(reference) + 16, allowed=reference)
    except Refusal as refusal:
        return refusal.verdict
    theirs, ours = _items(plain_text(text)), _items(plain_text(reference))
    if theirs is None or ours is None:
        return refused("not a list of that form")
    if theirs[0] != ours[0]:
        return refused("not in the form that was asked for")
    return RIGHT if theirs[1] == ours[1] else WRONG


def _items(text: str) -> tuple[bool, list[str]] | None:
    """`(in brackets, items)`; None where it is neither form."""
    if not text.startswith("["):
        items = [item.strip() for item in text.split(",")]
        return None if len(items) > MAX_ITEMS or not all(items) else (False, items)
    if not text.endswith("]"):
        return None
    text = text[1:-1].strip()
    items, quotes = [], set()
    while text:
        quote = text[0] if text[0] in "'\"" else ""
        match = (_QUOTED if quote else _BARE).match(text)
        if match is None or len(items) >= MAX_ITEMS:
            return None
        items.append(_ESCAPED.sub(r"\1", match[2]) if quote else match[1])
        if not set("'\"") & set(items[-1]):  # what holds one kind is put into the other
            quotes.add(quote)
        text = text[match.end() :]
    return (True, items) if len(quotes) <= 1 else None


_QUOTED = re.compile(r"(['\"])((?:\\.|(?!\1)[^\\])+)\1 ?(?:, ?(?=.)|$)", re.DOTALL)
_BARE = re.compile(r"([^,'\"\[\]]+?) ?(?:, ?(?=.)|$)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
