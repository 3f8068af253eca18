"""Verifiers that compare: exact text, whole numbers, numbers with a tolerance, one of several choices, lists.

Each is microseconds of pure Python on a bounded text. None looks for the answer inside a longer one: an answer that
names two numbers is no answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from clearseek.tasks.verifiers.bounds import RIGHT, WRONG, Options, Refusal, Verdict, refused, tidy

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,39})", re.ASCII)
_GROUPED = re.compile(r"-?[1-9][0-9]{0,2}(?:,[0-9]{3}){1,12}", re.ASCII)
_DECIMAL = re.compile(r"(-?(?:0|[1-9][0-9]{0,29}))(\.[0-9]{1,30})?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)
_FRACTION = re.compile(r"(-?(?:0|[1-9][0-9]{0,29}))/([1-9][0-9]{0,29})", re.ASCII)
_CHOICE_DRESS = re.compile(r"\(?([^()]*?)\)?[.:]?")
MAX_NUMBER = 64
MAX_ITEMS = 200


def exact(reference: str, answer: str, options: Options) -> Verdict:
    """The same text, runs of white space counted as one; with `ignore_case` in either case."""
    try:
        text = tidy(answer, 2 * len(reference) + 16)
    except Refusal as refusal:
        return refusal.verdict
    ours, theirs = " ".join(reference.split()), " ".join(text.split())
    if options.get("ignore_case"):
        ours, theirs = ours.casefold(), theirs.casefold()
    return RIGHT if ours == theirs else WRONG


def integer(reference: str, answer: str, options: Options) -> Verdict:
    """One whole number in ASCII digits: no sign but `-`, no leading zero, no separators, no unit, nothing else."""
    try:
        text = tidy(answer, MAX_NUMBER)
    except Refusal as refusal:
        return refusal.verdict
    if not _INTEGER.fullmatch(text) or text == "-0":
        return refused("not one whole number")
    return RIGHT if text == reference.strip() else WRONG


def read_number(text: str) -> Fraction | None:
    """A decimal, a fraction or a whole number with proper thousands; None for everything else, nan and hex too."""
    if len(text) > MAX_NUMBER:
        return None
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if match := _DECIMAL.fullmatch(text):
        return Fraction(text)
    if match := _FRACTION.fullmatch(text):
        return Fraction(int(match[1]), int(match[2]))
    return None


def numeric(reference: str, answer: str, options: Options) -> Verdict:
    """One number, compared as exact fractions. `absolute` and `relative` say how far off it may be (0: not at all)."""
    try:
        text = tidy(answer, MAX_NUMBER)
    except Refusal as refusal:
        return refusal.verdict
    theirs, ours = read_number(text), read_number(reference.strip())
    if ours is None:
        return 0.0, f"the reference answer {reference[:40]!r} is no number"
    if theirs is None:
        return refused("not one number")
    room = max(Fraction(options.get("absolute", 0)), Fraction(options.get("relative", 0)) * abs(ours))
    return RIGHT if abs(theirs - ours) <= room else WRONG


def choice(reference: str, answer: str, options: Options) -> Verdict:
    """One of several: `B`, `(b)`, `B.` are the same; so is case. The `choices`, where given, bound what is one."""
    try:
        text = tidy(answer, 2 * len(reference) + 16)
    except Refusal as refusal:
        return refusal.verdict
    theirs, ours = _bare(text), _bare(reference)
    choices = options.get("choices")
    if choices and theirs not in {_bare(str(one)) for one in choices}:
        return refused("none of the choices")
    return RIGHT if theirs == ours else WRONG


def _bare(text: str) -> str:
    match = _CHOICE_DRESS.fullmatch(text.strip())
    return " ".join((match[1] if match else text).split()).casefold()


def listed(reference: str, answer: str, options: Options) -> Verdict:
    """The same items in the same order, in the form of the reference: bare with commas, or in brackets and quotes."""
    try:
        text = tidy(answer, 2 * len(reference) + 16)
    except Refusal as refusal:
        return refusal.verdict
    theirs, ours = _items(text), _items(reference)
    if theirs is None or ours is None:
        return refused("not a list of that form")
    if theirs[0] != ours[0]:
        return refused("not in the form that was asked for")
    return RIGHT if theirs[1] == ours[1] else WRONG


def _items(text: str) -> tuple[bool, list[str]] | None:
    """`(in brackets, items)`; None where it is neither form."""
    text = text.strip()
    bracketed = text.startswith("[")
    if bracketed:
        if not text.endswith("]"):
            return None
        text = text[1:-1].strip()
        if not text:
            return True, []
    items = [item.strip(" \n\t") for item in text.split(",")]
    if len(items) > MAX_ITEMS or not all(items):
        return None
    if bracketed:
        quote = items[0][0]
        if quote in "'\"":
            if not all(len(item) > 2 and item[0] == quote == item[-1] for item in items):
                return None
            items = [item[1:-1] for item in items]
        if any(mark in item for item in items for mark in "'\"[]"):
            return None
    return bracketed, items
