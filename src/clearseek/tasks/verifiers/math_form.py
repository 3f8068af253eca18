"""What form an answer has: a number that is worked out, or one that leaves the work to the verifier. No sympy here."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from clearseek.tasks.verifiers.math_parser import SCALARS, Node

MARKS = ("percent", "degree", "dollars")
MAX_EXPONENT = 400


def walk(node: Node) -> Iterator[Node]:
    yield node
    for part in node.parts:
        yield from walk(part)


def kinds_of(node: Node) -> set[str]:
    return {one.kind for one in walk(node)}


def names_of(node: Node) -> set[str]:
    """The unknowns in it."""
    return {str(one.value) for one in walk(node) if one.kind == "symbol"}


def without_markers(node: Node) -> Node:
    """Without the marks of units: per cent as a hundredth, degrees and dollars as the number they count."""
    parts = tuple(without_markers(part) for part in node.parts)
    if node.kind == "percent":
        value = numeral(parts[0])
        hundred = Node("number", (), Fraction(100))
        return Node("div", (parts[0], hundred)) if value is None else _number(value / 100)
    if node.kind in MARKS:
        return parts[0]
    return Node(node.kind, parts, node.value)


def _number(value: Fraction) -> Node:
    number = Node("number", (), abs(value))
    return Node("neg", (number,)) if value < 0 else number


def fraction_of(node: Node) -> tuple[int, int] | None:
    """Numerator and denominator, where a fraction of two whole numbers is what was written; signs apart."""
    if node.kind == "neg":
        node = node.parts[0]
    if node.kind != "div":
        return None
    above, below = node.parts
    if above.kind == "neg":
        above = above.parts[0]
    values = [one.value for one in (above, below) if one.kind == "number"]
    if (
        len(values) == 2
        and all(isinstance(value, Fraction) and value.denominator == 1 for value in values)
        and values[1]
    ):
        return int(values[0]), int(values[1])
    return None


def numeral(node: Node) -> Fraction | None:
    """The value of one number as it is written down: a decimal, a fraction of two whole numbers, `1.2 x 10^5`; None for
    everything that still has to be worked out."""
    if node.kind == "neg" and node.parts[0].kind not in ("neg",):
        value = numeral(node.parts[0])
        return None if value is None or value < 0 else -value
    if node.kind == "number":
        assert isinstance(node.value, Fraction)
        return node.value
    if (pair := fraction_of(node)) is not None:
        negative = node.parts[0].kind == "neg"
        return -Fraction(*pair) if negative else Fraction(*pair)
    return _scientific(node)


def _scientific(node: Node) -> Fraction | None:
    if node.kind != "mul" or len(node.parts) != 2 or node.parts[1].kind != "pow" or node.parts[0].kind != "number":
        return None
    base, exponent = node.parts[1].parts
    power = numeral(exponent) if exponent.kind in ("number", "neg") else None
    mantissa = node.parts[0].value
    assert isinstance(mantissa, Fraction)
    if base.value != 10 or power is None or power.denominator != 1 or abs(power) > MAX_EXPONENT:
        return None
    return mantissa * Fraction(10) ** int(power) if 1 <= mantissa < 10 else None


def is_scalar(node: Node) -> bool:
    return node.kind in SCALARS
