"""Mathematics as an answer writes it, plain or in LaTeX, read into a tree: all of it, or not at all.

A reader of its own, and a narrow one, because it decides what is rewarded: it has no rule by which a part that it does
not know is passed over. What can be read in two ways (`1/2x`, `x_12`, two numbers side by side) is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from clearseek.tasks.verifiers.math_tokens import FUNCTIONS, GREEK, NotUnderstood, tokens_of
from clearseek.tasks.verifiers.numerals import bare_numeral

MAX_MATH = 400
DEEPEST = 24
MAX_DIGITS = 60

_SCIENTIFIC = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)[eE][+-]?[0-9]{1,2}", re.ASCII)
_GROUPED = re.compile(r"-?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Node:
    """`kind`: number, symbol, constant, add, mul, div, pow, neg, call, pm; of these are made list, tuple, set, bracket,
    interval, union, matrix, relation, dots, percent, degree. `value`: a number's, or a name."""

    kind: str
    parts: tuple[Node, ...] = ()
    value: Fraction | str = ""


SCALARS = frozenset({"number", "symbol", "constant", "add", "mul", "div", "pow", "neg", "call", "pm"})


def read(text: str, *, thousands: bool = True) -> Node:
    """The tree of the whole text, undressed. Raises NotUnderstood. `thousands`: whether `1,234` alone is a number."""
    text = bare_numeral(text)
    if len(text) > MAX_MATH:
        raise NotUnderstood(f"more than {MAX_MATH} characters")
    sign, bare = (True, text[1:].lstrip()) if text.startswith("-") else (False, text)
    if _SCIENTIFIC.fullmatch(bare) or (thousands and _GROUPED.fullmatch(bare)):
        number = Node("number", (), Fraction(bare.replace(",", "")))
        return Node("neg", (number,)) if sign else number
    reader = _Reader(tokens_of(text))
    found = reader.items()
    if reader.at < len(reader.tokens):
        raise NotUnderstood(f"{_shown(reader.tokens[reader.at])} where nothing more can stand")
    return found


def _shown(token: str) -> str:
    return f"`{token}`" if token else "the end"


class _Reader:
    """Recursive descent; every method raises NotUnderstood."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth, self.in_bars = tokens, 0, 0, 0

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise NotUnderstood(f"{_shown(token)} where {_shown(wanted) if wanted else 'more'} should stand")
        self.at += 1
        return token

    def took(self, *tokens: str) -> bool:
        if self.peek() in tokens:
            self.at += 1
            return True
        return False

    # --- what is no number: lists, relations, sets

    def items(self) -> Node:
        results = [self.item()]
        while self.took(",", ";"):
            results.append(self.item())
        return results[0] if len(results) == 1 else Node("list", tuple(results))

    def item(self) -> Node:
        if self.took("\\ldots"):
            return Node("dots")
        sides, signs = [self.side()], []
        while self.peek() in ("=", "<", ">", "\\le", "\\ge", "\\ne", "\\in"):
            signs.append(self.take())
            sides.append(self.side())
        return Node("relation", tuple(sides), " ".join(signs)) if signs else sides[0]

    def side(self) -> Node:
        results = [self.measured()]
        while self.took("\\cup"):
            results.append(self.measured())
        if len(results) == 1:
            return results[0]
        if any(result.kind in SCALARS for result in results):
            raise NotUnderstood("a union of what is no set")
        return Node("union", tuple(results))

    def measured(self) -> Node:
        dollars = self.took("\\$")
        found = self.sum()
        if self.took("%"):
            return Node("percent", (_scalar(found),))
        if dollars:
            return Node("dollars", (_scalar(found),))
        return found

    # --- numbers and formulas

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotUnderstood("brackets that lie too deep")
        sign = self.take() if self.peek() in ("+", "-", "\\pm") else ""
        first = self.product()
        results = [first if not sign or sign == "+" else Node(_SIGNS[sign], (_scalar(first),))]
        while self.peek() in ("+", "-", "\\pm"):
            sign = self.take()
            term = _scalar(self.product())
            results.append(term if sign == "+" else Node(_SIGNS[sign], (term,)))
        self.depth -= 1
        return results[0] if len(results) == 1 else Node("add", tuple(map(_scalar, results)))

    def product(self) -> Node:
        value = self.factor()
        factors = [value]
        divided = False
        while True:
            if self.took("*"):
                factors.append(_scalar(self.factor()))
            elif self.took("/"):
                value = _scalar(factors[0]) if len(factors) == 1 else Node("mul", tuple(map(_scalar, factors)))
                factors = [Node("div", (value, _scalar(self.factor())))]
                divided = True
                if self.begins_factor():
                    raise NotUnderstood("a factor after a stroke, which could stand above or below it")
            elif self.begins_factor():
                if divided and len(factors) == 1:
                    raise NotUnderstood("a factor after a stroke, which could stand above or below it")
                factors.append(_scalar(self.factor()))
            else:
                break
        return factors[0] if len(factors) == 1 else Node("mul", tuple(map(_scalar, factors)))

    def begins_factor(self) -> bool:
        """Whether what comes is multiplied without a sign. A number never is: `x 2` and `2 3` are not read."""
        token = self.peek()
        if token == "|":
            return not self.in_bars
        return (len(token) == 1 and (token.isalpha() or token in "({")) or (
            token[1:] in ("frac", "sqrt", "pi", "binom", *FUNCTIONS, *GREEK) and token[0] == "\\"
        )

    def factor(self) -> Node:
        base = self.atom()
        while True:
            if self.took("^"):
                if self.took("\\circ"):
                    return Node("degree", (_scalar(base),))
                if self.peek() == "{" and self.peek(1) == "\\circ" and self.peek(2) == "}":
                    self.at += 3
                    return Node("degree", (_scalar(base),))
                base = Node("pow", (_scalar(base), self.exponent()))
                if self.peek() == "^":
                    raise NotUnderstood("a power of a power without brackets")
            elif self.took("!"):
                if self.peek() == "!":
                    raise NotUnderstood("`!!`")
                base = Node("call", (_scalar(base),), "factorial")
            else:
                return base

    def exponent(self) -> Node:
        if self.took("-"):
            return Node("neg", (_scalar(self.atom(plain=True)),))
        return _scalar(self.atom(plain=True))

    def group(self, end: str) -> Node:
        scalar = _scalar(self.sum())
        self.take(end)
        return scalar

    def argument(self) -> Node:
        """What `\\frac` and `\\sqrt` are given: a group in braces, or one digit, letter or `\\pi`."""
        if self.took("{"):
            return self.group("}")
        token = self.peek()
        if token.isdigit():  # `\frac12` is a half
            self.tokens[self.at : self.at + 1] = list(token)
            return Node("number", (), _number(self.take()))
        if len(token) == 1 and token.isalpha():
            return self.atom(plain=True)
        if token == "\\pi":
            return self.atom(plain=True)
        raise NotUnderstood(f"{_shown(token)} where a group in braces should stand")

    def atom(self, *, plain: bool = False) -> Node:
        """`plain`: no mixed number begins here."""
        token = self.peek()
        if token[:1].isdigit() or (token[:1] == "." and len(token) > 1):
            return self.number(plain=plain)
        if len(token) == 1 and token.isalpha():
            return self.letter()
        if token in ("(", "["):
            return self.brackets()
        if token == "{":
            self.take()
            inner = self.items()
            self.take("}")
            return inner if inner.kind in SCALARS else self.as_set(inner)
        if token == "\\{":
            self.take()
            inner = Node("list") if self.peek() == "\\}" else self.items()
            self.take("\\}")
            return self.as_set(inner)
        if token == "|":
            if self.in_bars:
                raise NotUnderstood("bars within bars")
            self.take()
            self.in_bars += 1
            inner = _scalar(self.sum())
            self.take("|")
            self.in_bars -= 1
            return Node("call", (inner,), "abs")
        if token[:1] == "\\":
            return self.command()
        raise NotUnderstood(f"{_shown(token)} where a number or a formula should stand")

    def as_set(self, inner: Node) -> Node:
        return Node("set", inner.parts if inner.kind == "list" else (inner,))

    def number(self, *, plain: bool) -> Node:
        token = self.take()
        value = _number(token)
        whole = token.isdigit()
        if whole and not plain:
            top, stroke, bottom = self.peek(), self.peek(1), self.peek(2)
            if top.isdigit() and stroke == "/" and bottom.isdigit():
                self.at += 3
                return self.mixed(value, _number(top), _number(bottom))
            if top == "\\frac":
                mark = self.at
                fraction = self.command()
                if all(part.kind == "number" and part.value.denominator == 1 for part in fraction.parts):  # type: ignore[union-attr]
                    above, below = (part.value for part in fraction.parts)
                    return self.mixed(value, above, below)  # type: ignore[arg-type]
                self.at = mark
        if self.peek()[:1].isdigit():
            raise NotUnderstood("two numbers side by side")
        return Node("number", (), value)

    def mixed(self, whole: Fraction, top: Fraction, bottom: Fraction) -> Node:
        if not 0 < top < bottom or whole == 0 or self.begins_factor() or self.peek() in ("/", "^", "!"):
            raise NotUnderstood("a number before a fraction, which could be a sum or a product")
        if self.peek()[:1].isdigit():
            raise NotUnderstood("two numbers side by side")
        return Node("number", (), whole + top / bottom)

    def letter(self) -> Node:
        name = self.take()
        if self.peek() != "_":
            return Node("constant", (), name) if name in "ei" else Node("symbol", (), name)
        return Node("symbol", (), f"{name}_{self.subscript()}")

    def subscript(self) -> str:
        self.take("_")
        if self.took("{"):
            inner = []
            while self.peek() != "}":
                inner.append(self.take())
            self.take()
            if not inner or not all(one.isalnum() or one in "+-," for one in inner):
                raise NotUnderstood("a subscript that is no name")
            return " ".join(inner)
        token = self.take()
        if not token.isalnum() or len(token) > 1:
            raise NotUnderstood("a subscript of several characters without braces")
        return token

    def brackets(self) -> Node:
        opened = self.take()
        inner = self.items()
        closed = self.take()
        if closed not in (")", "]"):
            raise NotUnderstood(f"{_shown(closed)} where a bracket should end")
        parts = inner.parts if inner.kind == "list" else (inner,)
        if opened == "(" and closed == ")":
            return inner if inner.kind in SCALARS else Node("tuple", parts)
        if opened == "[" and closed == "]":
            return Node("bracket", parts)
        if len(parts) != 2:
            raise NotUnderstood("brackets that do not match")
        return Node("interval", parts, opened + closed)

    def command(self) -> Node:
        name = self.take()[1:]
        match name:
            case "frac" | "binom":
                above = self.argument()
                below = self.argument()
                return Node("div", (above, below)) if name == "frac" else Node("call", (above, below), "binom")
            case "sqrt":
                if self.took("["):
                    degree = self.group("]")
                    return Node("call", (self.argument(), degree), "root")
                if self.took("("):
                    return Node("call", (self.group(")"),), "sqrt")
                return Node("call", (self.argument_once(),), "sqrt")
            case "pi" | "infty":
                return Node("constant", (), name)
            case "emptyset":
                return Node("set")
            case "begin":
                return self.matrix()
        if name in GREEK:
            return Node("symbol", (), f"\\{name}" + (f"_{self.subscript()}" if self.peek() == "_" else ""))
        if name in FUNCTIONS:
            return self.function(name)
        raise NotUnderstood(f"`\\{name}`")

    def argument_once(self) -> Node:
        """`\\sqrt12` could be the root of 1 or of 12."""
        token = self.peek()
        if token.isdigit() and len(token) > 1:
            raise NotUnderstood("a root without braces")
        return self.argument()

    def function(self, name: str) -> Node:
        base: tuple[Node, ...] = ()
        if name == "log" and self.took("_"):
            base = (self.argument_once(),)
        power = self.exponent() if self.took("^") else None
        if self.took("("):
            inner = self.group(")")
        elif self.took("{"):
            inner = self.group("}")
        else:
            inner = self.bare_argument()
        call = Node("call", (inner, *base), name)
        if power is None:
            return call
        if power.kind == "neg":
            raise NotUnderstood("a function to the power of less than nothing, which could be its inverse")
        return Node("pow", (call, power))

    def bare_argument(self) -> Node:
        """What a function without brackets is of: `2x`, `\\theta`, `\\frac{\\pi}{4}`, as far as the next function."""
        results: list[Node] = []
        while True:
            token = self.peek()
            number = token[:1].isdigit() and not results
            if number or (len(token) == 1 and token.isalpha()) or token[1:] in ("pi", "frac", "sqrt", *GREEK):
                atom = self.atom(plain=True)
                if self.took("^"):
                    atom = Node("pow", (atom, self.exponent()))
                results.append(atom)
            else:
                break
        if not results or self.peek() in ("(", "{", "|", "/", "!"):
            raise NotUnderstood("a function whose argument could end in several places")
        return results[0] if len(results) == 1 else Node("mul", tuple(results))

    def matrix(self) -> Node:
        kind = self.environment()
        if kind not in ("pmatrix", "bmatrix"):
            raise NotUnderstood(f"`\\begin{{{kind}}}`")
        rows = [[self.item()]]
        while self.peek() != "\\end":
            if self.took("\\\\"):
                if self.peek() != "\\end":
                    rows.append([self.item()])
            else:
                self.take("&")
                rows[-1].append(self.item())
        self.take()
        if self.environment() != kind or len({len(row) for row in rows}) != 1:
            raise NotUnderstood("a matrix without an end, or with rows of several lengths")
        return Node("matrix", tuple(Node("tuple", tuple(row)) for row in rows))

    def environment(self) -> str:
        self.take("{")
        name = ""
        while self.peek() != "}":
            name += self.take()
        self.take()
        return name


_SIGNS = {"-": "neg", "\\pm": "pm"}


def _scalar(node: Node) -> Node:
    if node.kind not in SCALARS:
        raise NotUnderstood(f"a {node.kind} where a number or a formula should stand")
    return node


def _number(token: str) -> Fraction:
    plain = re.sub(r"\{,\}|\\,|\\!,", "", token)
    digits, _, period = plain.partition("\\")
    if sum(char.isdigit() for char in plain) > MAX_DIGITS:
        raise NotUnderstood("a number too large to look at")
    whole, _, places = digits.partition(".")
    if len(whole) > 1 and whole[0] == "0":
        raise NotUnderstood("a zero in front")
    value = Fraction(f"{whole or '0'}.{places or '0'}")
    if period:
        again = re.sub(r"[^0-9]", "", period)
        if "." not in digits:
            raise NotUnderstood("a period that is no decimal's")
        value += Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(places))
    return value
