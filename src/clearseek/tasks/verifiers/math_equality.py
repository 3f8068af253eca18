"""Whether two trees are the same mathematics, exactly: what the child of the verifier `math` does, with sympy.

Nothing here is ever a float that decides for "equal": decimals are fractions, and what is irrational is proven equal by
algebra or counts as another number. Floats only say "not equal", early.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy

from clearseek.tasks.verifiers.math_form import numeral, without_markers
from clearseek.tasks.verifiers.math_parser import SCALARS, Node
from clearseek.tasks.verifiers.math_tokens import NotUnderstood

MAX_BITS = 8192
"""Of a power of numbers, worked out."""
MAX_EXPANDED = 24
"""The power to which a sum may be taken."""
_DIGITS = 50
_POINTS = 3
_FLIPPED = {">": "<", "\\ge": "\\le"}
_FUNCTIONS = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "sinh": sympy.sinh, "cosh": sympy.cosh,
    "tanh": sympy.tanh, "ln": sympy.log, "exp": sympy.exp, "abs": sympy.Abs, "sqrt": sympy.sqrt,
}  # fmt: skip
_SOME_LOGARITHM = sympy.Function("logarithm")
"""`\\log` without a base is the same as itself, and as no other: some mean ten, some e."""


@functools.lru_cache(maxsize=4096)
def value_of(node: Node) -> Any:
    """The sympy expression. Raises NotUnderstood for what is too large or has no value."""
    value = _value(node)
    if value.has(sympy.nan, sympy.zoo):
        raise NotUnderstood("a division by zero")
    return value


def _value(node: Node) -> Any:
    match node.kind:
        case "number":
            assert isinstance(node.value, Fraction)
            return sympy.Rational(node.value.numerator, node.value.denominator)
        case "symbol":
            return sympy.Symbol(str(node.value), real=True)
        case "constant":
            return {"e": sympy.E, "i": sympy.I, "pi": sympy.pi, "infty": sympy.oo}[str(node.value)]
        case "neg" if node.parts[0].value == "infty":
            return -sympy.oo
    if any(part.value == "infty" for part in node.parts):
        raise NotUnderstood("arithmetic with infinity")
    parts = [value_of(part) for part in node.parts]
    match node.kind:
        case "add":
            return sympy.Add(*parts)
        case "mul":
            return sympy.Mul(*parts)
        case "neg":
            return -parts[0]
        case "div":
            if parts[1].is_zero:
                raise NotUnderstood("a division by zero")
            return parts[0] / parts[1]
        case "pow":
            return _power(*parts)
        case "call":
            return _call(str(node.value), parts)
    raise NotUnderstood(f"a {node.kind} where a number or a formula should stand")


def _power(base: Any, exponent: Any) -> Any:
    if exponent.is_Rational and not exponent.is_Integer and base.is_Rational and base < 0:
        raise NotUnderstood("a root of what is below 0")
    if base.is_Rational and exponent.is_Rational:
        bits = max(int(base.p).bit_length(), int(base.q).bit_length()) * abs(exponent)
        if bits > MAX_BITS:
            raise NotUnderstood("a number too large to look at")
        if base == 0 and exponent < 0:
            raise NotUnderstood("a division by zero")
    elif exponent.is_Integer and abs(exponent) > MAX_EXPANDED and (base.is_Add or not base.free_symbols):
        raise NotUnderstood("a power too large to look at")
    return sympy.Pow(base, exponent)


def _call(name: str, parts: Sequence[Any]) -> Any:
    inner = parts[0]
    match name:
        case "factorial":
            if inner.is_number and not (inner.is_Integer and 0 <= inner <= 300):
                raise NotUnderstood("a factorial too large to look at")
            return sympy.factorial(inner)
        case "binom":
            if any(part.is_number and not (part.is_Integer and 0 <= part <= 500) for part in parts):
                raise NotUnderstood("a binomial coefficient too large to look at")
            return sympy.binomial(*parts)
        case "root":
            degree = parts[1]
            if not (degree.is_Integer and 2 <= degree <= 64):
                raise NotUnderstood("a root of that degree")
            if inner.is_number and inner.is_negative and degree % 2:
                return -sympy.root(-inner, degree)
            return sympy.root(inner, degree)
        case "log" if len(parts) == 2:
            if parts[1] in (0, 1):
                raise NotUnderstood("a logarithm to that base")
            return sympy.log(inner) / sympy.log(parts[1])
        case "log":
            return _SOME_LOGARITHM(inner)
    return _FUNCTIONS[name](inner)


# --- equal


def same(one: Any, other: Any, room: Fraction = Fraction(0)) -> bool:
    """Whether two expressions are the same, proven; or numbers no further apart than `room`."""
    if one == other:
        return True
    if one in (sympy.oo, -sympy.oo) or other in (sympy.oo, -sympy.oo):
        return False
    difference = one - other
    if difference.is_Rational:
        return bool(difference == 0 or abs(difference) <= sympy.Rational(room.numerator, room.denominator))
    if room and not difference.free_symbols and difference.is_real:
        return bool(abs(difference.evalf(_DIGITS)) <= sympy.Rational(room.numerator, room.denominator))
    return not _differs(difference) and _proven(difference)


def _differs(difference: Any) -> bool:
    """Whether it is not zero at some point; the points are always the same."""
    rng = random.Random(20)
    symbols = sorted(difference.free_symbols, key=str)
    for _ in range(_POINTS if symbols else 1):
        point = {symbol: sympy.Rational(rng.randint(2, 97), rng.randint(31, 37)) for symbol in symbols}
        try:
            value = difference.subs(point).evalf(_DIGITS, maxn=4 * _DIGITS)
            if value.is_number and value.is_finite and abs(value) > sympy.Float(10) ** -20:
                return True
        except (ArithmeticError, ValueError, TypeError, AttributeError):
            continue
    return False


def _proven(difference: Any) -> bool:
    """Whether algebra brings it to nothing."""
    for simpler in (sympy.expand, sympy.together, sympy.radsimp, sympy.expand_log, sympy.expand_trig, sympy.simplify):
        try:
            found = sympy.expand(simpler(difference))
        except (ArithmeticError, ValueError, TypeError, AttributeError, NotImplementedError):
            continue
        if found == 0:
            return True
    if difference.free_symbols or not difference.is_algebraic:
        return False
    try:
        unknown = sympy.Symbol("x")
        return bool(sympy.minimal_polynomial(difference, unknown) == unknown)
    except (ArithmeticError, ValueError, TypeError, NotImplementedError):
        return False


def undone(node: Node) -> set[str]:
    """What arithmetic an answer left to do, by kind: numbers that stand to be added, multiplied, divided, taken to a
    power or put into a function."""
    results: set[str] = set()
    if numeral(node) is not None:
        pair = node.parts and node.kind in ("div", "neg") and _even(node)
        return {"quotient"} if pair else results
    for part in node.parts:
        results |= undone(part)
    if node.kind not in SCALARS or node.kind in ("number", "symbol", "constant", "pm"):
        return results
    value = value_of(node)
    parts = [value_of(part) for part in node.parts]
    number = bool(value.is_Rational)
    if node.kind == "add" and len(sympy.Add.make_args(value)) < sum(len(sympy.Add.make_args(one)) for one in parts):
        results.add("sum")
    elif node.kind == "mul" and (number or sum(bool(one.is_Rational) for one in parts) > 1):
        results.add("product")
    elif node.kind == "div":
        if number and not (parts[0].is_Rational and value.q != 1):
            results.add("quotient")  # what is no fraction of two numbers, or comes out even
        elif not number and _comes_out(parts[0].as_coeff_Mul()[0], parts[1]):
            results.add("quotient")
    elif node.kind == "pow" and (number or parts[1] in (0, 1)):
        results.add("power")
    elif node.kind == "call" and number:
        results.add("function")
    elif node.kind == "neg" and node.parts[0].kind == "neg":
        results.add("sign")
    return results


def _comes_out(above: Any, divisor: Any) -> bool:
    """Whether the number in front of what is divided leaves none below the line."""
    below = divisor.as_coeff_Mul()[0]
    return bool(divisor == 1 or (above.is_Integer and below.is_Integer and below != 1 and above % below == 0))


def _even(node: Node) -> bool:
    value = numeral(node)
    return value is not None and value.denominator == 1 and (node.kind == "div" or node.parts[0].kind == "div")


def compare(
    reference: Node, answer: Node, *, expression: bool = False, room: Fraction = Fraction(0)
) -> tuple[bool, str]:
    """Whether the answer is the reference, and why not. Raises NotUnderstood."""
    ours, theirs = _spread(without_markers(reference)), _spread(without_markers(answer))
    if not _equal(ours, theirs, room):
        return False, "wrong"
    if not expression and (left := undone(theirs) - undone(ours)):
        return False, f"refused: a {min(left)} that was not worked out"
    return True, "right"


def _spread(node: Node) -> Node:
    """`\\pm` as the two that it means."""
    if node.kind in SCALARS and _has_pm(node):
        return Node("list", (_signed(node, plus=True), _signed(node, plus=False)))
    if node.kind in ("list", "set"):
        spread = [_spread(part) for part in node.parts]
        parts = [inner for one in spread for inner in (one.parts if one.kind == "list" else (one,))]
        return Node(node.kind, tuple(parts))
    if node.kind == "relation" and node.value == "=" and _has_pm(node.parts[1]):
        left, right = node.parts
        both = _spread(right)
        return Node("list", tuple(Node("relation", (left, one), "=") for one in both.parts))
    return node


def _has_pm(node: Node) -> bool:
    return node.kind == "pm" or any(map(_has_pm, node.parts))


def _signed(node: Node, *, plus: bool) -> Node:
    if node.kind == "pm":
        inner = _signed(node.parts[0], plus=plus)
        return inner if plus else Node("neg", (inner,))
    return Node(node.kind, tuple(_signed(part, plus=plus) for part in node.parts), node.value)


def _equal(ours: Node, theirs: Node, room: Fraction) -> bool:
    if ours.kind == "dots" or theirs.kind == "dots":
        return ours.kind == theirs.kind
    if ours.kind in SCALARS and theirs.kind in SCALARS:
        return same(value_of(ours), value_of(theirs), room)
    if ours.kind == "relation" or theirs.kind == "relation":
        return _relations(ours, theirs, room)
    if ours.kind in ("list", "set"):
        return theirs.kind in ("list", "set") and _items(ours, theirs, room)
    if ours.kind == "union":
        return theirs.kind == "union" and _matched(ours.parts, theirs.parts, room)
    if ours.kind == "matrix" or ours.kind in ("tuple", "bracket", "interval"):
        return ours.kind == theirs.kind and ours.value == theirs.value and _in_order(ours.parts, theirs.parts, room)
    return False


def _items(ours: Node, theirs: Node, room: Fraction) -> bool:
    """In any order, as solutions are; a sequence with dots term by term as it is written."""
    if any(part.kind == "dots" for part in (*ours.parts, *theirs.parts)):
        return _in_order(ours.parts, theirs.parts, room)
    return _matched(ours.parts, theirs.parts, room)


def _in_order(ours: Sequence[Node], theirs: Sequence[Node], room: Fraction) -> bool:
    return len(ours) == len(theirs) and all(_equal(one, other, room) for one, other in zip(ours, theirs, strict=True))


def _matched(ours: Sequence[Node], theirs: Sequence[Node], room: Fraction) -> bool:
    left = list(theirs)
    for value in ours:
        place = next((at for at, other in enumerate(left) if _equal(value, other, room)), None)
        if place is None:
            return False
        del left[place]
    return not left


def _named(side: Node) -> bool:
    """Whether a side only names what the other is: `x`, `f(x)`."""
    if side.kind == "mul" and [part.kind for part in side.parts] == ["symbol", "symbol"]:
        return side.parts[0].value in tuple("fghFGHPQ")
    return side.kind == "symbol"


def _relations(ours: Node, theirs: Node, room: Fraction) -> bool:
    if ours.kind != "relation":  # `x = 12` for 12: it names what was asked for
        named = theirs.value == "=" and theirs.parts[0].kind == "symbol" and ours.kind in SCALARS
        return named and _equal(ours, theirs.parts[1], room)
    if theirs.kind != "relation":
        if ours.value == "=" and _named(ours.parts[0]):
            return _equal(ours.parts[1], theirs, room)
        if ours.value == "\\in":
            return _equal(ours.parts[1], theirs, room)
        span = _as_span(ours)
        return span is not None and theirs.kind in ("tuple", "bracket", "interval") and _span_is(span, theirs, room)
    (signs, sides), (their_signs, their_sides) = _one_way(ours), _one_way(theirs)
    if signs != their_signs:
        return False
    if _in_order(sides, their_sides, room):
        return True
    if signs not in (["="], ["\\ne"]) or not all(side.kind in SCALARS for side in (*sides, *their_sides)):
        return False
    if _in_order(sides, their_sides[::-1], room):
        return True
    if any(map(_named, sides)) or numeral(sides[0]) is not None:
        return False  # a solution is one: what it follows from is not
    gap, their_gap = (value_of(side[0]) - value_of(side[1]) for side in (sides, their_sides))
    return same(gap, their_gap) or same(gap, -their_gap)


def _one_way(relation: Node) -> tuple[list[str], list[Node]]:
    """A chain of inequalities with the smaller on the left."""
    signs, sides = str(relation.value).split(), list(relation.parts)
    if all(sign in _FLIPPED for sign in signs):
        return [_FLIPPED[sign] for sign in signs[::-1]], sides[::-1]
    return signs, sides


def _as_span(relation: Node) -> tuple[Node, Node, bool, bool] | None:
    """`(low, high, low belongs to it, high does)` of `a < x <= b` or `x < b`, in one unknown."""
    signs, sides = _one_way(relation)
    infinity = Node("constant", (), "infty")
    if not all(sign in ("<", "\\le") for sign in signs):
        return None
    if len(sides) == 3 and sides[1].kind == "symbol":
        return sides[0], sides[2], signs[0] == "\\le", signs[1] == "\\le"
    if len(sides) == 2 and sides[0].kind == "symbol":
        return Node("neg", (infinity,)), sides[1], False, signs[0] == "\\le"
    if len(sides) == 2 and sides[1].kind == "symbol":
        return sides[0], infinity, signs[0] == "\\le", False
    return None


def _span_is(span: tuple[Node, Node, bool, bool], theirs: Node, room: Fraction) -> bool:
    brackets = {"tuple": "()", "bracket": "[]"}.get(theirs.kind, str(theirs.value))
    closed = brackets[0] == "[", brackets[1] == "]"
    return len(theirs.parts) == 2 and closed == span[2:] and _in_order(span[:2], theirs.parts, room)
