"""The regular expressions of JSON Schema, rewritten for the engine so that every reader of them agrees.

JSON Schema's expressions are JavaScript's, most programs that check answers read them as Python's, and the engine reads
them as Rust's. They differ in what `\\w`, `.`, `[[:alpha:]]` or an anchor inside an alternation mean. What is written
here allows only what JavaScript and Python both allow: in doubt the narrower set, or a refusal.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

MAX_CHARS = 2_000
MAX_REPEAT = 2_000
MAX_DEPTH = 20

ANY = "(?s:.*)"
_DOT = r"[^\n\r\x{2028}\x{2029}]"
_WORD = "A-Za-z0-9_"
_LETTERS = r"\p{L}\p{N}\p{M}\p{Pc}\x{200C}\x{200D}"
_BLANK = r"\x09-\x0D\x20"
_BLANKS = r"\x09-\x0D\x1C-\x20\x85\p{Z}\x{FEFF}"
# What both readings allow, and what either allows: the second is for the inside of a negated class.
_NARROW = {"d": "0-9", "D": r"[^\p{N}]", "w": _WORD, "W": f"[^{_LETTERS}]", "s": _BLANK, "S": f"[^{_BLANKS}]"}
_WIDE = {"d": r"\p{Nd}", "D": "[^0-9]", "w": _LETTERS, "W": f"[^{_WORD}]", "s": _BLANKS, "S": f"[^{_BLANK}]"}
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_QUANTIFIER = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_UPPER_ONLY = re.compile(r"\{,[0-9]*\}")


class PatternError(ValueError):
    """Why a pattern cannot be held to, as the end of a sentence that begins with `pattern`."""


def whole(pattern: str) -> str:
    """A Rust expression, anchored at both ends, for the texts in which `pattern` is found.

    Raises PatternError for what the engine's grammar cannot express, and for what is read in more than one way.
    """
    if len(pattern) > MAX_CHARS:
        raise PatternError(f"has more than {MAX_CHARS} characters")
    reader = _Reader(_without_looking(pattern))
    out = _alternatives(reader, top=True, depth=0)
    if reader.more:
        raise PatternError("is no regular expression: a `)` closes nothing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"is no regular expression ({error})") from None
    return f"^(?:{out})$"


_ZOD_EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
_DECIMAL = r"^(?!^[-+.]*$)[+-]?0*"
_DECIMALS = tuple(
    re.compile(form)
    for form in (
        r"\\d\*\\\.\?\\d\*\$",
        r"\\d\*\\\.\?\\d\{0,(?P<after>\d{1,3})\}0\*\$",
        r"\(\?:\\d\{0,(?P<before>\d{1,3})\}\|\(\?=\S{1,30}0\*\$\)\\d\{0,\d{1,3}\}\\\.\\d\{0,(?P<after>\d{1,3})\}0\*\$\)",
        r"\(\?:\\d\{0,(?P<all>\d{1,3})\}\|\(\?=\S{1,30}0\*\$\)\\d\*\\\.\\d\*0\*\$\)",
    )
)
"""How pydantic goes on, by which digits it counts."""


def _without_looking(pattern: str) -> str:
    """The same, or less, for the expressions with look-around that zod writes for e-mail and pydantic for decimals."""
    if pattern == _ZOD_EMAIL:
        return r"^([A-Za-z0-9_'+-]+\.)*[A-Za-z0-9_'+-]*[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}$"
    if pattern.startswith(_DECIMAL):
        for form in _DECIMALS:
            match = form.fullmatch(pattern, len(_DECIMAL))
            if match is not None:
                digits = {name: int(value) for name, value in match.groupdict().items()}
                after = digits.get("after", digits.get("all", 40) // 2)
                before = digits.get("before", digits["all"] - after if "all" in digits else 20)
                fraction = rf"(\.[0-9]{{1,{after}}})?" if after else ""
                return rf"^[+-]?{f'[0-9]{{1,{before}}}' if before else '0'}{fraction}$"
    return pattern


@dataclass
class _Reader:
    text: str
    at: int = 0

    @property
    def more(self) -> bool:
        return self.at < len(self.text)

    def peek(self, size: int = 1) -> str:
        return self.text[self.at : self.at + size]

    def take(self) -> str:
        char = self.peek()
        if not char:
            raise PatternError("is no regular expression: it ends too early")
        self.at += 1
        return char


def _alternatives(reader: _Reader, *, top: bool, depth: int) -> str:
    """Up to the closing bracket or the end. At the top, what is not anchored may stand anywhere in the text."""
    if depth > MAX_DEPTH:
        raise PatternError(f"has groups nested deeper than {MAX_DEPTH}")
    options = []
    while True:
        parts: list[str] = []
        starts = ends = False
        while reader.more and reader.peek() not in "|)":
            if reader.peek() == "^" and top and not parts and not starts:
                reader.take()
                starts = True
            elif reader.peek() == "$" and top and reader.peek(2) in ("$", "$|"):
                reader.take()
                ends = True
            elif reader.peek() in "^$":
                raise PatternError("has an anchor in its middle, which the engine's grammar cannot express")
            else:
                parts.append(_atom(reader, depth) + _quantifier(reader))
        body = "".join(parts)
        if top:
            body = ("" if starts else ANY) + body + ("" if ends else ANY)
        options.append(body)
        if reader.peek() != "|":
            return options[0] if len(options) == 1 else "(?:" + "|".join(options) + ")"
        reader.take()


def _atom(reader: _Reader, depth: int) -> str:
    char = reader.take()
    if char == "(":
        _open_group(reader)
        inside = _alternatives(reader, top=False, depth=depth + 1)
        if reader.peek() != ")":
            raise PatternError("is no regular expression: a group is not closed")
        reader.take()
        return f"(?:{inside})"
    if char == "[":
        return _class(reader)
    if char == ".":
        return _DOT
    if char == "\\":
        named = _NARROW.get(reader.peek())
        if named is not None:
            reader.take()
            return f"[{named}]"
        if reader.peek() in ("b", "B"):
            raise PatternError("uses word boundaries, which the engine's grammar cannot express")
        return _literal(_escaped(reader))
    if char in "*+?" or (char == "{" and _QUANTIFIER.match(reader.text, reader.at - 1)):
        raise PatternError(f"is no regular expression: nothing stands before `{char}` that it could repeat")
    return _literal(char)


def _open_group(reader: _Reader) -> None:
    if reader.peek() != "?":
        return
    if reader.peek(2) in ("?=", "?!") or reader.peek(3) in ("?<=", "?<!"):
        raise PatternError("looks ahead or behind, which the engine's grammar cannot express")
    if reader.peek(2) != "?:":
        raise PatternError("has a group with a name or with flags, which are not read alike everywhere; write (?:...)")
    reader.at += 2


def _quantifier(reader: _Reader) -> str:
    char = reader.peek()
    if char and char in "*+?":
        out = reader.take()
    elif char == "{" and (match := _QUANTIFIER.match(reader.text, reader.at)):
        low, high = int(match[1]), int(match[3]) if match[3] else None
        if max(low, high or 0) > MAX_REPEAT:
            raise PatternError(f"repeats more than {MAX_REPEAT} times")
        if high is not None and high < low:
            raise PatternError(f"is no regular expression: `{match[0]}` is upside down")
        reader.at = match.end()
        out = match[0]
    elif _UPPER_ONLY.match(reader.text, reader.at):
        raise PatternError("has a `{,n}`, which is read in two ways; write {0,n}")
    else:
        return ""
    if reader.peek() == "?":
        reader.take()  # how greedy it is changes nothing of which texts match
    if reader.peek() in ("*", "+", "?") or _QUANTIFIER.match(reader.text, reader.at):
        raise PatternError("repeats a repetition, which is read in two ways")
    return out


def _class(reader: _Reader) -> str:
    negated = reader.peek() == "^"
    if negated:
        reader.take()
    if reader.peek() == "]":
        raise PatternError("has a class that begins with `]`, which is read in two ways; write `\\]`")
    items: list[str] = []
    while reader.peek() != "]":
        first = _member(reader, negated)
        if len(first) == 1 and reader.peek() == "-" and reader.peek(2) not in ("-]", "-"):
            reader.take()
            last = _member(reader, negated)
            if len(last) != 1 or last < first:
                raise PatternError("has a range in a class that is upside down or not between two characters")
            items.append(f"{_literal(first)}-{_literal(last)}")
        elif len(first) == 1:
            items.append(_literal(first))
        else:
            if reader.peek() == "-" and reader.peek(2) != "-]":
                raise PatternError("has a range in a class that is not between two characters")
            items.append(first)
    reader.take()
    return f"[{'^' if negated else ''}{''.join(items)}]"


def _member(reader: _Reader, negated: bool) -> str:
    """One character, or the inside of a class such as `\\d` (which is longer than one)."""
    char = reader.take()
    if char != "\\":
        return char
    named = (_WIDE if negated else _NARROW).get(reader.peek())
    if named is not None:
        reader.take()
        return named
    if reader.peek() == "b":
        reader.take()
        return "\b"
    return _escaped(reader)


def _escaped(reader: _Reader) -> str:
    """The character that an escape stands for, after its backslash."""
    char = reader.take()
    if char in _CONTROL:
        return _CONTROL[char]
    if char in "xu":
        digits = reader.peek(2 if char == "x" else 4)
        if not re.fullmatch("[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}", digits) or len(digits) != (2 if char == "x" else 4):
            raise PatternError(f"has a `\\{char}` without its hexadecimal digits")
        reader.at += len(digits)
        point = int(digits, 16)
        if 0xD800 <= point <= 0xDFFF:
            raise PatternError("has half of a surrogate pair; write the character itself")
        return chr(point)
    if char == "0" and not reader.peek().isdigit():
        return "\0"
    if char in "123456789k":
        raise PatternError("refers back to a group, which the engine's grammar cannot express")
    if char in "pP":
        raise PatternError(f"uses `\\{char}`, which is not read alike everywhere; write the characters as a class")
    if char.isalnum() or char == "_":
        raise PatternError(f"uses `\\{char}`, which is not read alike everywhere")
    return char


def _literal(char: str) -> str:
    """A character that means itself, inside a class and outside."""
    if char.isascii():
        return char if char.isalnum() or char == "_" else f"\\x{ord(char):02X}"
    if 0xD800 <= ord(char) <= 0xDFFF:
        raise PatternError("has half of a surrogate pair in it")
    return f"\\x{{{ord(char):X}}}"
