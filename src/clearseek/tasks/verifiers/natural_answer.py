"""An answer that is said: bare, in bold, or in a sentence ("It's **391**.", "That makes 391 euros.").

A sentence may repeat what the question named. Beyond that it may name one answer only: whoever names two has not
answered. What the answer is (`options["form"]`): a number, a time, a date, one word of several, a text, a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from datetime import date
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
)

MAX_ANSWER = 400
MAX_NAMED = 12
"""Numbers, times or dates that a sentence may name."""
_BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![\w.,:/-])(?P<sign>[-\u2212]|(?:minus|negative) )?"
    r"(?P<digits>(?:[1-9][0-9]{0,2}(?:,[0-9]{3}){1,9}|[0-9]{1,30})(?:\.[0-9]{1,20})?)(?![\w:/]|[-.,\u2013][0-9])",
    re.ASCII | re.IGNORECASE,
)
_OPEN = re.compile(r"\bor\b|\bnot [-0-9]|[0-9] (?:hundred|thousand|million|billion|trillion|dozen)\b", re.ASCII | re.I)
"""What leaves an answer open, or makes a number another one."""
_TIME = re.compile(r"\b([0-9]{1,2})[:.h]([0-9]{2})(?: ?([ap])\.?m\b)?", re.ASCII | re.IGNORECASE)
_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = "|".join(month[:3] + f"(?:{month[3:]})?" for month in _MONTHS)
_DATES = (
    re.compile(r"\b(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})\b", re.ASCII),
    re.compile(r"\b(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4})\b", re.ASCII),
    re.compile(
        rf"\b(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<n>{_MONTH})\.?,? (?P<y>[0-9]{{4}})\b", re.ASCII | re.I
    ),
    re.compile(rf"\b(?P<n>{_MONTH})\.? (?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)?,? (?P<y>[0-9]{{4}})\b", re.ASCII | re.I),
)
_MARKS = "\"'`\u201c\u201d\u2018\u2019*"


def natural_answer(reference: str, answer: str, options: Options) -> Verdict:
    """Right where the answer names the reference and nothing else in its place. `among`: the words of which a word is
    one; `prompt`: the question, whose numbers a sentence may repeat; `ignore_case` for texts."""
    try:
        text = normalised(answer, MAX_ANSWER, allowed=reference)
    except Refusal as refusal:
        return refusal.verdict
    bold = {part.strip() for part in _BOLD.findall(text)}
    if len(bold) > 1:
        return refused("more than one answer in bold")
    text = bold.pop() if bold else text.replace("**", "")
    form = options.get("form", "number")
    if form != "word" and _OPEN.search(text):
        return refused("an answer that is left open")
    asked = str(options.get("prompt", ""))
    if form in _NAMED:
        return _one_named(_NAMED[form], reference, text, asked)
    if form == "word":
        return _word(reference, text, asked, options.get("among") or ())
    if form == "list":
        return RIGHT if _items(text) == _items(reference) else WRONG
    return _text(reference, text, bool(options.get("ignore_case")))


def _numbers(text: str) -> list[Hashable]:
    results: list[Hashable] = []
    for match in _NUMBER.finditer(text):
        value = Fraction(match["digits"].replace(",", ""))
        results.append(-value if match["sign"] else value)
    return results


def _times(text: str) -> list[Hashable]:
    results: list[Hashable] = []
    for hour, minute, half in _TIME.findall(text):
        h, m = int(hour), int(minute)
        if half and 1 <= h <= 12:
            h = h % 12 + (12 if half.lower() == "p" else 0)
        if h < 24 and m < 60:
            results.append((h, m))
    return results


def _dates(text: str) -> list[Hashable]:
    results: list[Hashable] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            name = (parts.get("n") or "").lower()[:3]
            month = (
                next((n for n, each in enumerate(_MONTHS, 1) if each.startswith(name)), 0) if name else int(parts["m"])
            )
            try:
                results.append(date(int(parts["y"]), month, int(parts["d"])))
            except ValueError:
                results.append(match[0])  # no day that there is, and so a wrong answer
    return results


_NAMED: dict[str, Callable[[str], list[Hashable]]] = {"number": _numbers, "time": _times, "date": _dates}


def _one_named(read: Callable[[str], list[Hashable]], reference: str, text: str, asked: str) -> Verdict:
    wanted, named = read(reference), read(text)
    if len(wanted) != 1:
        return 0.0, f"the reference answer {reference[:40]!r} is none of its form"
    if not named:
        return refused("no answer of that form")
    if len(named) > MAX_NAMED:
        return refused(f"more than {MAX_NAMED} answers")
    own = set(named) - set(read(asked)) or set(named)
    if own == set(wanted):
        return RIGHT
    # "The largest of 3, 9 and 5 is 9.": an answer out of the question stands at the end
    return RIGHT if own <= set(read(asked)) and set(read(_end(text))) == set(wanted) else WRONG


def _end(text: str) -> str:
    """What stands after the last "is", colon or equals sign; all of it where there is none."""
    return re.split(r"\b(?:is|are|was)\b|[:=]", text)[-1]


def _word(reference: str, text: str, asked: str, among: Iterable[str]) -> Verdict:
    choices = {each.casefold() for each in among}

    def named(part: str) -> set[str]:
        return choices & set(re.findall(r"\w+", part.casefold()))

    if not named(text):
        return refused("none of the words that it could be")
    if named(text) == {reference.casefold()}:
        return RIGHT
    return RIGHT if choices <= named(asked) and named(_end(text)) == {reference.casefold()} else WRONG


def _text(reference: str, text: str, ignore_case: bool) -> Verdict:
    text, wanted = plain_text(text), plain_text(reference)
    if ignore_case:
        text, wanted = text.casefold(), wanted.casefold()
    bare = text.removesuffix(".").strip(_MARKS).removesuffix(".")
    if bare == wanted:
        return RIGHT
    quoted = set(re.findall(r"[\"\u201c`]([^\"\u201c\u201d`]+)[\"\u201d`]", text))
    after = re.search(r"(?:\bis|\bgives|:|=) (.+?)[.!]?$", text)
    if after and after[1].strip(_MARKS) == wanted:
        return RIGHT
    return RIGHT if wanted in quoted and len(quoted) <= 2 else WRONG  # the question's word, and its answer


def _items(text: str) -> list[str]:
    """Of a list in a line, on lines, or after a colon."""
    text = text.strip().removesuffix(".").strip()
    if ":" in text:
        text = text.rpartition(":")[2]
    text = re.sub(r"(?m)^\s*(?:[-*\u2022]|[0-9]{1,3}[.)]) ", "", text).strip(" []()")
    parts = re.split(r"\s*(?:,|;|\n|\band\b|&)\s*", text)
    if len([part for part in parts if part]) == 1:
        parts = text.split()
    return [part.strip(f" {_MARKS}.").casefold() for part in parts if part.strip(f" {_MARKS}.")]
